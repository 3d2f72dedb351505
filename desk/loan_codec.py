"""Contracts and loan events as JSON and back: what is kept of a loan, for as long as it is kept.

Field names are those of ``lending.loan_events``; days are ISO 8601, amounts whole fen.
"""

from __future__ import annotations

from dataclasses import fields
from datetime import date
from typing import Any

import orjson

from crypto.documents import canonical_json
from lending.allocation import Order
from lending.loan_events import (
    ChargedOff,
    ContractDue,
    Corrected,
    Disbursed,
    Extended,
    FeeCharged,
    GraceGranted,
    LoanContract,
    LoanEvent,
    Recovered,
    Refunded,
    Repaid,
    Restructured,
    Waived,
)

KINDS: dict[str, type[LoanEvent]] = {
    "disbursed": Disbursed,
    "repaid": Repaid,
    "fee-charged": FeeCharged,
    "grace-granted": GraceGranted,
    "extended": Extended,
    "restructured": Restructured,
    "waived": Waived,
    "charged-off": ChargedOff,
    "recovered": Recovered,
    "refunded": Refunded,
    "corrected": Corrected,
}
"""How each event is called where it is stored; never changed."""
_NAMES = {kind: name for name, kind in KINDS.items()}


def kind_of(event: LoanEvent) -> str:
    return _NAMES[type(event)]


def contract_bytes(contract: LoanContract) -> bytes:
    """Canonical JSON, which :func:`contract_from` reads."""
    return canonical_json(
        {
            "id": contract.id,
            "principal": contract.principal,
            "starts": contract.starts.isoformat(),
            "dues": [_due(one) for one in contract.dues],
            "rate_ppm_day": contract.rate_ppm_day,
            "penalty_ppm_day": contract.penalty_ppm_day,
            "grace_days": contract.grace_days,
            "day_count": contract.day_count,
            "order": list(contract.order.written()),
            "by_due": contract.order.by_due,
            "last_first": contract.order.last_first,
            "refinances": list(contract.refinances),
        }
    )


def contract_from(content: bytes) -> LoanContract:
    """Raises AccountError where it does not add up."""
    said = orjson.loads(content)
    return LoanContract(
        id=said["id"],
        principal=said["principal"],
        starts=date.fromisoformat(said["starts"]),
        dues=tuple(map(_instalment, said["dues"])),
        rate_ppm_day=said["rate_ppm_day"],
        penalty_ppm_day=said["penalty_ppm_day"],
        grace_days=said["grace_days"],
        day_count=said["day_count"],
        order=Order.read(said["order"], said["by_due"], said["last_first"]),
        refinances=tuple(said["refinances"]),
    )


def event_bytes(event: LoanEvent) -> bytes:
    """Canonical JSON of all of its fields, which :func:`event_from` reads."""
    return canonical_json(_event(event))


def event_from(content: bytes) -> LoanEvent:
    return _read(orjson.loads(content))


def _due(one: ContractDue) -> list[Any]:
    return [one.day.isoformat(), one.principal, one.interest, one.fees]


def _instalment(said: list[Any]) -> ContractDue:
    day, principal, interest, fees = said
    return ContractDue(date.fromisoformat(day), principal, interest, fees)


def _event(event: LoanEvent) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": kind_of(event)}
    for one in fields(event):
        value = getattr(event, one.name)
        if isinstance(value, date):
            value = value.isoformat()
        elif one.name == "dues":
            value = [_due(due) for due in value]
        elif one.name == "instead":
            value = [_event(inner) for inner in value]
        elif isinstance(value, tuple):
            value = list(value)
        found[one.name] = value
    return found


def _read(said: dict[str, Any]) -> LoanEvent:
    kind = KINDS[said["kind"]]
    given = {name: value for name, value in said.items() if name != "kind"}
    for name in {"day", "until"} & given.keys():
        given[name] = date.fromisoformat(given[name])
    if "dues" in given:
        given["dues"] = tuple(map(_instalment, given["dues"]))
    if "instead" in given:
        given["instead"] = tuple(map(_read, given["instead"]))
        given["corrects"] = tuple(given["corrects"])
    return kind(**given)
