"""Cases and decisions as JSON and back, exactly: what is stored, hashed and replayed.

Money and points are numbers, a Decimal is its text, a moment its ISO 8601 text. Of the values of
facts, texts, truth values and whole numbers stand as they are; a floating-point number is
``{"number": "0.1"}`` (the shortest text that reads back as the same double), a date
``{"date": "2026-01-31"}`` and a whole number that a double does not hold ``{"integer": "…"}``. So
canonical JSON (RFC 8785) loses nothing, neither ``3.0`` nor ``-0.0``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from operator import attrgetter
from typing import Any, TypeVar, get_args

import orjson

from crypto.documents import MAX_INT, document_hash
from crypto.errors import TahiniError
from lending.cases import (
    Application,
    Case,
    Cost,
    Decision,
    Fact,
    FeaturePoints,
    LoanOffer,
    Outcome,
    PrincipalReason,
    Scored,
    Status,
    Step,
    Value,
)

_SORTED = orjson.OPT_SORT_KEYS
_RFC_8785 = _SORTED | orjson.OPT_STRICT_INTEGER
"""Of what has no doubles and ASCII names only; a whole number beyond 2^53 is refused."""
_POINTS = attrgetter("feature", "bin", "points", "neutral")
_AS_THEY_ARE = frozenset({str, bool, type(None)})
_NAMED: Mapping[str, Callable[[str], Value]] = {
    "number": float,
    "date": date.fromisoformat,
    "integer": int,
}
_STATUSES, _OUTCOMES = frozenset(get_args(Status)), frozenset(get_args(Outcome))
_KINDS = frozenset({"score", "rule", "cost"})
_ASKED = {
    "id": str,
    "product": str,
    "amount": int,
    "term_days": int,
    "purpose": str,
    "wants_person": bool,
}
_CASE = {"outstanding": int} | dict.fromkeys(
    ("model_hash", "policy_hash", "law_hash", "release_hash"), str
)
_SCORED = {"score": int, "band": str, "base": int}
_DECISION = {"application": str, "case_hash": str}
_REASON = {"code": str, "points_below": int}
_OFFER = {"product": str, "amount": int, "term_days": int, "rate_ppm_day": int, "limit": int}
_COST = {"cap_source": str, "total": int}
T = TypeVar("T")
Json = dict[str, Any]


class RecordError(TahiniError):
    """A case or a decision cannot be written, or what was stored is none."""


def case_hash(case: Case) -> str:
    """SHA-256 over the canonical JSON of a case, in hex. Raises RecordError: what has no canonical
    form, as an amount beyond 2^53 or half a character."""
    return stored_hash(case_json(case))


def stored_hash(written: Json) -> str:
    """:func:`case_hash` of a case that was written. Raises RecordError."""
    try:
        if all(map(str.isascii, written["facts"])):  # the only names of it that are not fixed
            return hashlib.sha256(orjson.dumps(written, option=_RFC_8785)).hexdigest()
        return document_hash(written)
    except (TypeError, ValueError, KeyError) as error:
        raise RecordError("the case has no canonical form (RFC 8785)") from error


def case_json(case: Case) -> Json:
    """Raises RecordError: a time without a zone, a fact under a name that is not its own."""
    asked = case.application
    return {
        "application": {
            "id": asked.id,
            "product": asked.product,
            "amount": asked.amount,
            "term_days": asked.term_days,
            "purpose": asked.purpose,
            "received_at": _moment(asked.received_at),
            "wants_person": asked.wants_person,
        },
        "facts": {name: _fact(name, fact) for name, fact in case.facts.items()},
        "scored": None if case.scored is None else _scored(case.scored),
        "outstanding": case.outstanding,
        "now": _moment(case.now),
        "model_hash": case.model_hash,
        "policy_hash": case.policy_hash,
        "law_hash": case.law_hash,
        "release_hash": case.release_hash,
    }


def decision_json(decision: Decision) -> Json:
    """Raises RecordError: a time without a zone."""
    return {
        "application": decision.application,
        "outcome": decision.outcome,
        "scored": None if decision.scored is None else _scored(decision.scored),
        "offer": None if decision.offer is None else _offer(decision.offer),
        "reasons": [
            {
                "code": one.code,
                "kind": one.kind,
                "points_below": one.points_below,
                "detail": {name: _value(value) for name, value in one.detail.items()},
            }
            for one in decision.reasons
        ],
        "trace": [[one.table, one.row, one.held, list(one.read)] for one in decision.trace],
        "case_hash": decision.case_hash,
        "decided_at": _moment(decision.decided_at),
    }


def case_from(stored: Mapping[str, Any]) -> Case:
    """The case of which :func:`case_json` wrote this. Raises RecordError."""
    return _exactly("case", stored, _case_from, case_json)


def case_as_read(stored: Mapping[str, Any]) -> Case:
    """As :func:`case_from`, but not written again to be compared: for whoever compares the hash of
    what was stored (:func:`stored_hash`) with that of the case. Raises RecordError."""
    return _read("case", stored, _case_from)


def decision_from(stored: Mapping[str, Any]) -> Decision:
    """The decision of which :func:`decision_json` wrote this. Raises RecordError."""
    return _exactly("decision", stored, _decision_from, decision_json)


def identical(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same bytes, whatever the order of names: ``1`` is neither
    ``1.0`` nor ``true``. Raises TypeError: one of them is no JSON."""
    return orjson.dumps(one, option=_SORTED) == orjson.dumps(other, option=_SORTED)


def _exactly(
    what: str, stored: Mapping[str, Any], read: Callable[[Any], T], write: Callable[[T], Json]
) -> T:
    """Nothing is guessed or left out: what was read is written as it stood."""
    found = _read(what, stored, read)
    if not identical(_read(what, found, write), stored):
        raise RecordError(f"what was stored is no {what}: it does not read back as it is written")
    return found


def _read(what: str, stored: Any, read: Callable[[Any], T]) -> T:
    try:
        return read(stored)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, RecordError) as error:
        raise RecordError(f"what was stored is no {what} ({type(error).__name__})") from error


def _typed(stored: Any, kinds: Mapping[str, type]) -> Json:
    """These fields of an object, if they are of these types. Raises KeyError, TypeError."""
    found = {}
    for name, kind in kinds.items():
        value = found[name] = stored[name]
        if type(value) is not kind:
            raise TypeError(name)
    return found


def _moment(value: datetime) -> str:
    if value.utcoffset() is None:
        raise RecordError("a time of a case or a decision has no zone")
    return value.isoformat()


def _value(value: Value | None) -> Any:
    kind = type(value)
    if kind in _AS_THEY_ARE:
        return value
    if kind is float:
        return {"number": repr(value)}
    if kind is int:
        return value if -MAX_INT <= value <= MAX_INT else {"integer": str(value)}  # type: ignore[operator]
    if kind is date:
        return {"date": value.isoformat()}  # type: ignore[union-attr]
    raise RecordError(f"a fact cannot be of the type {kind.__name__}")


def _value_from(stored: Any) -> Value | None:
    kind = type(stored)
    if kind is str or kind is int or kind is bool or stored is None:
        return stored  # type: ignore[no-any-return]
    ((named, text),) = stored.items()
    return _NAMED[named](text)


def _fact(name: str, fact: Fact) -> Json:
    if fact.name != name:
        raise RecordError(f"the fact {fact.name!r} stands under the name {name!r}")
    value, observed = fact.value, fact.observed_on
    return {
        "status": fact.status,
        "value": value if type(value) in _AS_THEY_ARE else _value(value),
        "source": fact.source,
        "observed_on": None if observed is None else observed.isoformat(),
    }


def _scored(scored: Scored) -> Json:
    return {
        "score": scored.score,
        "band": scored.band,
        "probability": repr(scored.probability),
        "base": scored.base,
        "points": list(map(list, map(_POINTS, scored.points))),
    }


def _offer(offer: LoanOffer) -> Json:
    cost = offer.cost
    return {
        "product": offer.product,
        "amount": offer.amount,
        "term_days": offer.term_days,
        "rate_ppm_day": offer.rate_ppm_day,
        "limit": offer.limit,
        "cost": {
            "compound": str(cost.compound),
            "simple": str(cost.simple),
            "cap": None if cost.cap is None else str(cost.cap),
            "cap_source": cost.cap_source,
            "total": cost.total,
        },
        "valid_until": _moment(offer.valid_until),
    }


def _one_of(known: frozenset[str], value: Any) -> Any:
    if value not in known:
        raise ValueError
    return value


def _case_from(stored: Mapping[str, Any]) -> Case:
    asked = stored["application"]
    return Case(
        application=Application(
            **_typed(asked, _ASKED), received_at=datetime.fromisoformat(asked["received_at"])
        ),
        facts={name: _fact_from(name, one) for name, one in stored["facts"].items()},
        scored=_scored_from(stored["scored"]),
        now=datetime.fromisoformat(stored["now"]),
        **_typed(stored, _CASE),
    )


def _fact_from(name: str, stored: Mapping[str, Any]) -> Fact:
    status, source, observed = stored["status"], stored["source"], stored["observed_on"]
    if type(source) is not str or status not in _STATUSES:
        raise TypeError("fact")
    observed_on = None if observed is None else date.fromisoformat(observed)
    return Fact(name, status, _value_from(stored["value"]), source, observed_on)


def _scored_from(stored: Mapping[str, Any] | None) -> Scored | None:
    if stored is None:
        return None
    return Scored(
        **_typed(stored, _SCORED),
        probability=float(stored["probability"]),
        points=tuple([_points_from(*one) for one in stored["points"]]),
    )


@lru_cache(maxsize=1 << 16, typed=True)
def _points_from(feature: Any, number: Any, worth: Any, neutral: Any) -> FeaturePoints:
    """A model has few features, each with few bins and points: its points are the same objects in
    every case that is read."""
    if (type(feature), type(number), type(worth), type(neutral)) != (str, int, int, bool):
        raise TypeError("points")
    return FeaturePoints(feature, number, worth, neutral)


def _decision_from(stored: Mapping[str, Any]) -> Decision:
    return Decision(
        **_typed(stored, _DECISION),
        outcome=_one_of(_OUTCOMES, stored["outcome"]),
        scored=_scored_from(stored["scored"]),
        offer=None if stored["offer"] is None else _offer_from(stored["offer"]),
        reasons=tuple(map(_reason_from, stored["reasons"])),
        trace=tuple(map(_step_from, stored["trace"])),
        decided_at=datetime.fromisoformat(stored["decided_at"]),
    )


def _reason_from(stored: Mapping[str, Any]) -> PrincipalReason:
    return PrincipalReason(
        **_typed(stored, _REASON),
        kind=_one_of(_KINDS, stored["kind"]),
        detail={name: _value_from(value) for name, value in stored["detail"].items()},  # type: ignore[misc]
    )


def _step_from(stored: Sequence[Any]) -> Step:
    table, row, held, read = stored
    if type(table) is not str or type(row) is not str or not all(type(one) is str for one in read):
        raise TypeError("step")
    if held is not None and type(held) is not bool:
        raise TypeError("step")
    return Step(table, row, held, tuple(read))


def _offer_from(stored: Mapping[str, Any]) -> LoanOffer:
    cost = stored["cost"]
    return LoanOffer(
        **_typed(stored, _OFFER),
        cost=Cost(
            **_typed(cost, _COST),
            compound=Decimal(cost["compound"]),
            simple=Decimal(cost["simple"]),
            cap=None if cost["cap"] is None else Decimal(cost["cap"]),
        ),
        valid_until=datetime.fromisoformat(stored["valid_until"]),
    )
