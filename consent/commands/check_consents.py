"""Whether borrowers of a lender may be used for a purpose now, and which rule says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import TextClause, bindparam, text

from auditlog.database import utc
from consent.commands.place_people import used_up
from consent.commands.request_marks import suspend_marked
from consent.commands.sync_consents import all_codes, coded, notices_of, scope_id
from consent.registry import Registry
from consent.storage.consents import children_of
from consent.storage.enrolment import count_enrolled
from consent.storage.subjects import IN_CHUNK
from consent.transaction import Transaction, reading
from law.categories import SENSITIVITIES, Sensitivity
from protocol.errors import Malformed
from protocol.parties import Party
from protocol.snapshots import (
    MOST_PEOPLE,
    NEVER,
    REASONS,
    AnsweredNotice,
    Flags,
    Reason,
    reasons_of,
)

MAX_NAMED = 10_000
"""Pseudonyms in one question; who asks about more asks by number."""


@dataclass(frozen=True)
class Decisions:
    """For each borrower asked about, in their order, an index into
    ``protocol.snapshots.REASONS``."""

    rules: NDArray[np.uint8]
    moment: datetime

    @property
    def allowed(self) -> int:
        return int((self.rules == REASONS.index(Reason.GIVEN)).sum())


def decide(
    registry: Registry,
    lender: Party,
    purpose: str,
    sensitivity: Sensitivity,
    numbers: NDArray[np.uint32] | None = None,
    names: Sequence[str] | None = None,
) -> Decisions:
    """Whether each of these borrowers of the lender may be used for ``purpose`` now, and which rule
    says so.

    Whoever is not the lender's own is ``not-enrolled``, whether the registry knows the name or not.
    Other data may be used only of whom ordinary data may be used; of a child's none without the
    sensitive consent.

    Args:
        numbers: places on the lender's roll. names: pseudonyms, at most :data:`MAX_NAMED`. None of
            both: everybody.
    """
    with reading(registry) as view:
        return decide_in(view, lender, purpose, sensitivity, numbers, names)


def decide_in(
    view: Transaction,
    lender: Party,
    purpose: str,
    sensitivity: Sensitivity,
    numbers: NDArray[np.uint32] | None = None,
    names: Sequence[str] | None = None,
) -> Decisions:
    """The same, as it stands in this transaction."""
    needed: tuple[Sensitivity, ...] = ("ordinary", sensitivity)
    scope = scope_id(view, purpose, lender)
    used = {kind: used_up(view, lender.id, purpose, kind) for kind in needed}
    if names is not None or (numbers is not None and len(numbers) <= MAX_NAMED):
        wanted, found = _some(view, lender.id, scope, numbers, names)
        people = _NOBODY
        about = np.unique(wanted[wanted < _NOBODY])
    else:
        people = count_enrolled(view.session, lender.id)
        about = np.arange(people, dtype=np.int64)
        wanted = (
            about if numbers is None else np.minimum(np.asarray(numbers, dtype=np.int64), people)
        )
        found = all_codes(view, scope)
    children = children_of(view.session, lender.id)
    rules = _rules(found, about, notices_of(view.notices, purpose, lender.id), used, children)
    enrolled = wanted < people
    told = np.full(len(wanted), REASONS.index(Reason.NOT_ENROLLED), dtype=np.uint8)
    told[enrolled] = rules[np.searchsorted(about, wanted[enrolled])]
    return Decisions(told, view.moment)


def decide_kinds(
    view: Transaction,
    lender: Party,
    purpose: str,
    kinds: Sequence[Sensitivity],
    names: Sequence[str],
) -> dict[Sensitivity, NDArray[np.uint8]]:
    """The rules of :func:`decide_in` for several sensitivities, from one reading."""
    scope = scope_id(view, purpose, lender)
    wanted, found = _some(view, lender.id, scope, None, names)
    about = np.unique(wanted[wanted < _NOBODY])
    children = children_of(view.session, lender.id)
    notices = notices_of(view.notices, purpose, lender.id)
    used = {one: used_up(view, lender.id, purpose, one) for one in {"ordinary", *kinds}}
    enrolled = wanted < _NOBODY
    places = np.searchsorted(about, wanted[enrolled])
    told = {}
    for kind in kinds:
        needed = {one: used[one] for one in ("ordinary", kind)}
        rules = _rules(found, about, notices, needed, children)
        told[kind] = np.full(len(wanted), REASONS.index(Reason.NOT_ENROLLED), dtype=np.uint8)
        told[kind][enrolled] = rules[places]
    return told


def _rules(
    found: Mapping[str, NDArray[Any]],
    about: NDArray[np.int64],
    notices: Mapping[int, AnsweredNotice],
    used: Mapping[Sensitivity, Flags | None],
    children: Sequence[int],
) -> NDArray[np.uint8]:
    """The rule for each number in ``about`` (ascending): the first of the sensitivities in ``used``
    that fails."""
    rules = np.full(len(about), REASONS.index(Reason.GIVEN), dtype=np.uint8)
    young = np.isin(about, children)
    kinds = {"sensitive": None, **used} if young.any() else used
    for kind in sorted(kinds, key=SENSITIVITIES.index):
        reached = kinds[kind]
        codes = np.zeros(len(about), dtype=np.uint32)
        mine = found["sensitivity"] == SENSITIVITIES.index(kind)
        codes[np.searchsorted(about, found["number"][mine])] = found["code"][mine]
        told = reasons_of(codes, notices, None if reached is None else reached[about])
        undecided = rules == REASONS.index(Reason.GIVEN)
        if kind not in used:  # asked for the children's sake alone
            undecided &= young & (told != REASONS.index(Reason.GIVEN))
            told = np.full_like(told, REASONS.index(Reason.CHILD))
        rules[undecided] = told[undecided]
    return rules


_NOBODY = 1 << 32
"""Number of somebody who is not on the roll."""


def _some(
    view: Transaction,
    lender: str,
    scope: int,
    numbers: NDArray[np.uint32] | None,
    names: Sequence[str] | None,
) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
    """The number of each of these on the lender's roll, :data:`_NOBODY` for whoever is not on it;
    and their codes."""
    wanted: Sequence[Any] = names if names is not None else [int(number) for number in numbers]  # type: ignore[union-attr]
    if len(wanted) > MAX_NAMED:
        raise Malformed(f"at most {MAX_NAMED} pseudonyms in one question; ask about more by number")
    known = wanted if names is not None else [number for number in wanted if number < MOST_PEOPLE]
    place: dict[Any, int] = {}
    rows: list[tuple[int, int, int, int, int]] = []
    for start in range(0, len(known), IN_CHUNK):
        asked = {"scope": scope, "lender": lender, "asked": known[start : start + IN_CHUNK]}
        statement = _BY_NAME if names is not None else _BY_NUMBER
        for name, number, sensitivity, state, notice, expiry in view.session.connection().execute(
            statement, asked
        ):
            place[name] = number
            if state is not None:
                ends = utc(expiry)
                rows.append(
                    (
                        number,
                        sensitivity,
                        state,
                        notice,
                        NEVER if ends is None else int(ends.timestamp()),
                    )
                )
    table = np.array(rows, dtype=np.int64).reshape(len(rows), 5)
    found = dict(zip(("number", "sensitivity", "state", "notice", "expiry"), table.T, strict=True))
    found = suspend_marked(view, scope, coded(found, view.moment))
    return np.array([place.get(one, _NOBODY) for one in wanted], dtype=np.int64), found


def _question(column: str) -> TextClause:
    return text(
        f"SELECT s.{column}, s.number, c.sensitivity, c.state, c.notice, c.expiry_time"  # noqa: S608
        " FROM subjects s LEFT JOIN consents c ON c.subject_id = s.id AND c.scope_id = :scope"
        f" WHERE s.lender = :lender AND s.{column} IN :asked"
    ).bindparams(bindparam("asked", expanding=True))


_BY_NAME, _BY_NUMBER = _question("pseudonym"), _question("number")
