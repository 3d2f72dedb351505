"""How applications, decisions and reviews are shown. What has no index in the log is not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from desk.lapsing import lapse_view, lapsed_at, pay_by
from desk.office import MACHINE, Desk
from desk.records import Held, StoredDecision
from desk.reviewing import HeldReview
from desk.states import FIRST, ApplicationStatus
from desk.storage.tables import acceptances, loans, offers
from lending.cases import Application, LoanOffer, PrincipalReason


def application_view(desk: Desk, connection: Connection, found: Held) -> dict[str, Any]:
    """An application as its lender's systems see it. Before the log has given the decision an
    index, all that is told is that it is pending (invariant 12)."""
    row = found.application
    shown = _asked_view(row, row.received_at)
    if found.refused is not None:
        return shown | {
            "status": "void",
            "detail": "a consent that the decision rested on was taken back before it was logged",
        }
    if found.entry_index is None:
        return shown | {"status": "pending"}
    moment = desk.now()
    shown |= {"status": status_of(connection, found, moment).value}
    if found.status is ApplicationStatus.ACCEPTED and (until := pay_by(connection, row.id)):
        shown["pay_by"] = _time(until)
    if (since := lapsed_at(connection, found, moment)) is not None:
        shown["lapsed"] = lapse_view(desk, connection, found, since)
    if row.wrapped_key is not None:
        shown["decision"] = decision_view(found.made(desk), found.entry_index)
    loan = connection.scalar(select(loans.c.id).where(loans.c.application == row.id))
    return shown if loan is None else shown | {"loan": loan}


def decided_view(made: StoredDecision, index: int) -> dict[str, Any]:
    """What :func:`application_view` shows of an application that was decided just now."""
    asked = made.case.application
    return {
        **_asked_view(asked, asked.received_at),
        "status": FIRST[made.decision.outcome].value,
        "decision": decision_view(made, index),
    }


def _asked_view(asked: Row[Any] | Application, received_at: datetime) -> dict[str, Any]:
    return {
        "id": asked.id,
        "product": asked.product,
        "amount": asked.amount,
        "term_days": asked.term_days,
        "received_at": _time(received_at),
    }


def status_of(connection: Connection, found: Held, moment: datetime) -> ApplicationStatus:
    """As it stands at ``moment``: an offer that was not taken in time has expired, one that was
    taken and not paid out in time has lapsed."""
    if found.status is ApplicationStatus.OFFERED:
        until = connection.scalar(
            select(offers.c.valid_until).where(offers.c.decision == found.decision.id)
        )
        if until is not None and moment > until:
            return ApplicationStatus.EXPIRED
    if lapsed_at(connection, found, moment) is not None:
        return ApplicationStatus.LAPSED
    return found.status


def decision_view(made: StoredDecision, index: int) -> dict[str, Any]:
    """A decision that stands in the log, with its offer and its reasons."""
    decision = made.decision
    scored, offer = decision.scored, decision.offer
    return {
        "id": made.blinding.application,
        "outcome": decision.outcome,
        "by": "machine" if made.by == MACHINE else "person",
        "decided_at": _time(decision.decided_at),
        "entry_index": index,
        "score": None if scored is None else {"score": scored.score, "band": scored.band},
        "offer": None if offer is None else offer_view(offer),
        "reasons": [reason_view(reason) for reason in decision.reasons],
    }


def reason_view(reason: PrincipalReason) -> dict[str, Any]:
    return {
        "code": reason.code,
        "kind": reason.kind,
        "points_below": reason.points_below,
        "detail": {name: str(value) for name, value in reason.detail.items()},
    }


def offer_view(offer: LoanOffer) -> dict[str, Any]:
    """Annual figures first (PBOC announcement 2021 no. 3); each a decimal fraction, as text."""
    cost = offer.cost
    return {
        "annual_cost": {
            "compound": str(cost.compound),
            "simple": str(cost.simple),
            "cap": None if cost.cap is None else str(cost.cap),
            "cap_source": cost.cap_source,
        },
        "product": offer.product,
        "amount": offer.amount,
        "term_days": offer.term_days,
        "rate_ppm_day": offer.rate_ppm_day,
        "limit": offer.limit,
        "total_cost": cost.total,
        "valid_until": _time(offer.valid_until),
    }


def accepted_at(connection: Connection, application: str) -> datetime | None:
    found: datetime | None = connection.scalar(
        select(acceptances.c.accepted_at).where(acceptances.c.application == application)
    )
    return found


def review_view(found: HeldReview) -> dict[str, Any]:
    row = found.row
    return {
        "id": row.id,
        "application": row.application,
        "status": found.status.value,
        "opened_at": _time(row.opened_at),
        "taken_by": row.taken_by,
        "taken_at": None if row.taken_at is None else _time(row.taken_at),
    }


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
