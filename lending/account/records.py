"""Contracts and events as records of text and whole numbers, to store, hash and sign. Pure.

>>> event = Repaid(id="p-1", day=date(2026, 3, 1), amount=5_000)
>>> record_of(event)["kind"], event_from(record_of(event)) == event
('repaid', True)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from datetime import date
from typing import Any

from lending.account.allocation import Order
from lending.account.events import (
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
    SettledEarly,
    Waived,
)
from lending.errors import AccountError

_KINDS: dict[str, type[LoanEvent]] = {
    re.sub(r"(?<=[a-z])(?=[A-Z])", "-", kind.__name__).lower(): kind
    for kind in (
        Disbursed,
        Repaid,
        SettledEarly,
        FeeCharged,
        GraceGranted,
        Extended,
        Restructured,
        Waived,
        ChargedOff,
        Recovered,
        Refunded,
        Corrected,
    )
}
_NAMES = {kind: name for name, kind in _KINDS.items()}
_DAYS = {"day", "until", "starts"}
_LISTS = {"corrects", "refinances"}


def _written(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, LoanEvent):
        return record_of(value)
    if isinstance(value, Order):
        return {
            "steps": list(value.written()),
            "by_due": value.by_due,
            "last_first": value.last_first,
        }
    return [_written(one) for one in value] if isinstance(value, tuple) else value


def _due(one: ContractDue) -> dict[str, Any]:
    return {
        "day": one.day.isoformat(),
        "principal": one.principal,
        "interest": one.interest,
        "fees": one.fees,
        "others": _written(one.others),
    }


def _record(of: LoanEvent | LoanContract) -> dict[str, Any]:
    values = {one.name: getattr(of, one.name) for one in fields(of)}
    dues = {"dues": [_due(one) for one in values.pop("dues")]} if "dues" in values else {}
    return {**{name: _written(value) for name, value in values.items()}, **dues}


def record_of(event: LoanEvent) -> dict[str, Any]:
    return {"kind": _NAMES[type(event)], **_record(event)}


def contract_record(contract: LoanContract) -> dict[str, Any]:
    return _record(contract)


def _read(name: str, value: Any) -> Any:
    if name in _DAYS:
        return date.fromisoformat(value)
    if name in _LISTS:
        return tuple(value)
    if name == "others":
        return tuple((payee, amount) for payee, amount in value)
    if name == "dues":
        return tuple(_contract_due(one) for one in value)
    if name == "instead":
        return tuple(event_from(one) for one in value)
    return Order.read(**value) if name == "order" else value


def _contract_due(record: Mapping[str, Any]) -> ContractDue:
    return ContractDue(**{name: _read(name, value) for name, value in record.items()})


def event_from(record: Mapping[str, Any]) -> LoanEvent:
    """The event of a record.

    Raises:
        AccountError, MoneyError: it is none; the sentence says of which event.
    """
    kind = _KINDS.get(record.get("kind", ""))
    if kind is None:
        raise AccountError(f"{record.get('kind')!r} is no kind of event: {', '.join(_KINDS)} are")
    try:
        return kind(**{name: _read(name, one) for name, one in record.items() if name != "kind"})
    except (TypeError, ValueError, AttributeError) as error:
        raise AccountError(f"event {record.get('id')} cannot be read: {error}") from error


def contract_from(record: Mapping[str, Any]) -> LoanContract:
    """The contract of a record.

    Raises:
        AccountError, MoneyError: it is none.
    """
    try:
        return LoanContract(**{name: _read(name, one) for name, one in record.items()})
    except (TypeError, ValueError, AttributeError) as error:
        raise AccountError(f"contract {record.get('id')} cannot be read: {error}") from error
