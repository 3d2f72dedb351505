"""Asking and answering at the rights desk of a market."""

from __future__ import annotations

import hashlib
from typing import Any

from support.market import Market

from consent.commands.request_marks import marks_of
from consent.transaction import reading
from crypto.keys import b64
from protocol.rights import AnswerOutcome, RightsAnswer

MINE = "/v1/me/requests"
NEEDED: dict[str, dict[str, Any]] = {
    "correct": {"text": "It is 300, not 3000."},
    "statement": {"text": "I was ill."},
    "complain": {"text": "Nobody answers the phone."},
    "transfer": {"transfer_to": "Oak Bank, Hangzhou"},
    "prove": {"about": {"campaign_sha256": "0" * 64, "release": 0}},
}


def asks(market: Market, caller, kind: str = "object", recipient: str = "aspen", **more: Any):
    body = {"recipient": recipient, "asked": {"kind": kind, **NEEDED.get(kind, {}), **more}}
    return market.call(caller, "POST", MINE, body)


def asked(market: Market, person, kind: str = "object", **more: Any) -> str:
    answer = asks(market, person.pseudonym, kind, person.lender, **more)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["request_sha256"])


def answers(market: Market, sha256: str, lender: str = "aspen", attachment: bytes | None = None, **more: Any):
    said = {
        "lender": lender, "request_sha256": sha256, "outcome": AnswerOutcome.GRANTED, "text": "It was put right.",
        "language": "en", "answered_at": market.clock(),
        "attachment_sha256": attachment and hashlib.sha256(attachment).hexdigest(), **more,
    }  # fmt: skip
    token = RightsAnswer.model_validate(said).sign(market.keys[lender])
    body = {"token": token} | ({"attachment": b64(attachment)} if attachment else {})
    return market.call(lender, "POST", f"/v1/requests/{sha256}/answers", body)


def marks(market: Market, lender: str = "aspen", numbers=None) -> dict[str, list[int]]:
    with reading(market.registry) as view:
        return {what: found.tolist() for what, found in marks_of(view, lender, numbers).items()}
