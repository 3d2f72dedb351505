"""What a later version of a notice adds to an earlier one: whoever said yes to the earlier must be
asked again. Pure.

Consent is anew where purpose, method or kinds of data change (PIPL article 14), and where recipient
or the recipient's purpose and method do (PIPL article 23); and so it is where people are told that
something else follows from it. It is computed from the terms, never stated by who publishes; who
publishes can only ask more often.
"""

from __future__ import annotations

from collections.abc import Callable

from consent.notice_text import printed
from protocol.notices import Notice, Terms, Words


def _added(what: str, names: Callable[[Terms], set[str]]) -> Callable[[Terms, Terms], str | None]:
    def rule(before: Terms, after: Terms) -> str | None:
        new = sorted(names(after) - names(before))
        return f"{what} {new[0]} is new" if new else None

    return rule


def _other(what: str, value: Callable[[Terms], object]) -> Callable[[Terms, Terms], str | None]:
    def rule(before: Terms, after: Terms) -> str | None:
        return None if value(before) == value(after) else f"{what} is another"

    return rule


def _said_otherwise(
    what: str, said: Callable[[Terms], Words]
) -> Callable[[Terms, Terms], str | None]:
    """To say it in one language more is to say the same; to say what nobody was told is not."""

    def rule(before: Terms, after: Terms) -> str | None:
        was, now = printed(said(before)), printed(said(after))
        same = all(now.get(language) == text for language, text in was.items())
        return None if same and (was or not now) else f"{what} is another"

    return rule


def _by_machine(before: Terms, after: Terms) -> str | None:
    new = after.automated_decision and not before.automated_decision
    return "a machine may decide alone" if new else None


def _kept_longer(before: Terms, after: Terms) -> str | None:
    longer = after.retention_period_days > before.retention_period_days
    return f"data are kept {after.retention_period_days} days" if longer else None


def _fewer_rights(before: Terms, after: Terms) -> str | None:
    gone = sorted(set(before.privacy_rights) - set(after.privacy_rights))
    return f"the right of {gone[0]} is gone" if gone else None


def _on_another_basis(before: Terms, after: Terms) -> str | None:
    """Stating a basis that was not stated adds nothing; stating another one does."""
    both = before.bases.keys() & after.bases.keys()
    other = sorted(one for one in both if before.bases[one] is not after.bases[one])
    return f"the basis of {other[0]} is another" if other else None


def _valid_longer(before: Terms, after: Terms) -> str | None:
    if before.validity_days is None:
        return None
    longer = after.validity_days is None or after.validity_days > before.validity_days
    return "a yes lasts longer" if longer else None


def _less_in_writing(before: Terms, after: Terms) -> str | None:
    return "a yes need not be in writing" if before.written_form > after.written_form else None


RULES: tuple[Callable[[Terms, Terms], str | None], ...] = (
    _added("category", lambda terms: {one.value for one in terms.categories}),
    _by_machine,
    _added("recipient", lambda terms: {f"{one.id} ({one.role})" for one in terms.recipients}),
    _added("name", lambda terms: {f"{one.name!r} of {one.id}" for one in terms.recipients}),
    _added(
        "handler", lambda terms: {one.id for one in terms.recipients if one.capacity != "processor"}
    ),
    _added("storage location", lambda terms: set(terms.storage_locations)),
    _added("jurisdiction", lambda terms: set(terms.jurisdiction)),
    _kept_longer,
    _valid_longer,
    _fewer_rights,
    _less_in_writing,
    _other("the legal basis", lambda terms: terms.lawful_basis),
    _on_another_basis,
    _other("the wider purpose", lambda terms: terms.purpose_type),
    _other("the way of collecting", lambda terms: terms.collection_method),
    _other("the way of processing", lambda terms: terms.processing_method),
    _other("the limits on use", lambda terms: terms.limits),
    _said_otherwise("what may follow", lambda terms: terms.adverse_consequences),
    _said_otherwise("the effect on a person's rights", lambda terms: terms.effect),
    _said_otherwise("how a decision comes about", lambda terms: terms.logic),
    _said_otherwise("what holds for children", lambda terms: terms.children),
)


def further(before: Notice, after: Notice) -> tuple[str, ...]:
    """In words, everything in which ``after`` reaches further than ``before``, or is another."""
    found = [rule(before.terms, after.terms) for rule in RULES]
    flagged = "its publisher asks again" if after.terms.material_change else None
    return tuple(one for one in (*found, flagged) if one is not None)
