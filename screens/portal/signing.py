"""Answers that a key of the person's own device has signed: what a page needs to make them, and
what must hold of what it sends. Pure.

The registry alone says whether a signature counts. Here is checked that what was signed is what was
chosen on the form, so that the page and the document cannot say two things.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from crypto.errors import SignatureError
from protocol.consents import ConsentDecision, Presentation
from screens.house.errors import PageError


def signing(keys: Sequence[Mapping[str, Any]], moment: datetime) -> dict[str, Any]:
    """For the page's module: by lender, what the person is called there and which keys of their
    own count; and what time it is."""
    people: dict[str, dict[str, Any]] = {}
    for key in keys:
        if key["named_by"] == "borrower" and key["ended_at"] is None:
            names = {"pseudonym": key["pii_principal_id"], "thumbprints": []}
            one = people.setdefault(str(key["recipient"]), names)
            one["thumbprints"].append(key["thumbprint"])
    return {"people": people, "now": int(moment.timestamp())}


def signed_answers(signed: str, statement: Mapping[str, Any], purpose: str) -> list[str]:
    """The documents that were sent, if together they say what was chosen and nothing else.

    Raises:
        PageError: they say something else, or are none.
    """
    tokens = signed.split()
    try:
        decisions = [ConsentDecision.claimed(token) for token in tokens]
    except SignatureError as error:
        raise PageError("malformed", 422) from error
    said = [
        {"recipient": one.recipient, "sensitivity": one.sensitivity, "action": str(one.action)}
        for decision in decisions
        for one in decision.choices
        if one.purpose == purpose
    ]
    count = sum(len(decision.choices) for decision in decisions)
    about = ("notice_id", "notice_version", "notice_language", "notice_sha256")
    same = all(getattr(one, name) == statement[name] for one in decisions for name in about)
    shown = statement.get("presentation")
    seen = all(_shown_as(one, shown) for one in decisions)
    if (
        not same
        or not seen
        or count != len(said)
        or _ordered(said) != _ordered(statement["choices"])
    ):
        raise PageError("malformed", 422)
    return tokens


def _shown_as(decision: ConsentDecision, shown: Mapping[str, Any] | None) -> bool:
    """Whether it says of how the text was shown what the page knows, or nothing where nothing is
    asked. The device may have counted a little less."""
    said = decision.presentation
    if said is None or shown is None:
        return said is None and shown is None
    return said.seconds <= shown["seconds"] and said == Presentation.model_validate(
        {**shown, "seconds": said.seconds}
    )


def _ordered(choices: Sequence[Mapping[str, str]]) -> list[tuple[str, ...]]:
    return sorted((one["recipient"], one["sensitivity"], one["action"]) for one in choices)
