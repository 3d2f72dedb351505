"""How applications, decisions and reviews are shown. What has no index in the log is not."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from desk.office import Desk
from desk.records import Held
from desk.reviewing import HeldReview
from desk.states import ApplicationStatus
from desk.storage.tables import acceptances, loans, offers
from lending.cases import PrincipalReason


def application_view(desk: Desk, connection: Connection, found: Held) -> dict[str, Any]:
    """An application as its lender's systems see it. Before the log has given the decision an
    index, all that is told is that it is pending (invariant 12)."""
    row = found.application
    shown: dict[str, Any] = {
        "id": row.id,
        "product": row.product,
        "amount": row.amount,
        "term_days": row.term_days,
        "received_at": _time(row.received_at),
    }
    if found.refused is not None:
        return shown | {
            "status": "void",
            "detail": "a consent that the decision rested on was taken back before it was logged",
        }
    if not found.effective:
        return shown | {"status": "pending"}
    shown |= {"status": status_of(connection, found, desk.now()).value}
    if row.wrapped_key is not None:
        shown["decision"] = decision_view(desk, connection, found)
    loan = connection.scalar(select(loans.c.id).where(loans.c.application == row.id))
    return shown if loan is None else shown | {"loan": loan}


def status_of(connection: Connection, found: Held, moment: datetime) -> ApplicationStatus:
    """As it stands at ``moment``: an offer that was not taken in time has expired."""
    if found.status is ApplicationStatus.OFFERED:
        until = connection.scalar(
            select(offers.c.valid_until).where(offers.c.decision == found.decision.id)
        )
        if until is not None and moment > until:
            return ApplicationStatus.EXPIRED
    return found.status


def decision_view(desk: Desk, connection: Connection, found: Held) -> dict[str, Any]:
    """The newest decision, with its offer and its reasons."""
    row, made = found.decision, found.made(desk)
    scored = made.decision.scored
    offer = connection.execute(select(offers).where(offers.c.decision == row.id)).one_or_none()
    return {
        "id": row.id,
        "outcome": row.outcome,
        "by": "machine" if row.by == "machine" else "person",
        "decided_at": _time(row.decided_at),
        "entry_index": found.entry_index,
        "score": None if scored is None else {"score": scored.score, "band": scored.band},
        "offer": None if offer is None else offer_view(offer),
        "reasons": [reason_view(reason) for reason in made.decision.reasons],
    }


def reason_view(reason: PrincipalReason) -> dict[str, Any]:
    return {
        "code": reason.code,
        "kind": reason.kind,
        "points_below": reason.points_below,
        "detail": {name: str(value) for name, value in reason.detail.items()},
    }


def offer_view(row: Row[Any]) -> dict[str, Any]:
    """Annual figures first (PBOC announcement 2021 no. 3); each a decimal fraction, as text."""
    return {
        "annual_cost": {
            "compound": row.compound,
            "simple": row.simple,
            "cap": row.cap,
            "cap_source": row.cap_source,
        },
        "product": row.product,
        "amount": row.amount,
        "term_days": row.term_days,
        "rate_ppm_day": row.rate_ppm_day,
        "limit": row.credit_limit,
        "total_cost": row.total,
        "valid_until": _time(row.valid_until),
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
    return moment.isoformat()
