"""Incidents: an institution reports one, those whom it concerns are told, and it is closed.

The report stands in the log, sealed to the auditor. Each borrower whom it concerns is told in an
entry sealed under their own data key: what the log shows of it is that the registry told somebody
of something, on that day.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select

from auditlog.entries import entry_for_subject
from consent.commands.read_evidence import opened
from consent.registry import Registry
from consent.storage.filing_tables import IncidentClosureRow, IncidentPersonRow, IncidentRow
from consent.storage.subjects import Subject, find_subjects, remembered
from consent.transaction import Transaction, reading, writing
from crypto.documents import canonical_json
from protocol.errors import Conflict, NotAllowed, NotFound
from protocol.incidents import Incident, IncidentClosure, IncidentReport
from protocol.parties import Party, Role

TOLD = "incident.notified"
CLOCK_SKEW = timedelta(minutes=5)


@dataclass(frozen=True)
class Reported:
    """What became of a report. ``unreachable`` are those who are not the caller's borrowers, or
    whose key is gone: which of both is not said."""

    sha256: str
    told: int
    """Of this report: who was told before is not told again."""
    unreachable: int

    def body(self) -> dict[str, Any]:
        return {"sha256": self.sha256, "told": self.told, "unreachable": self.unreachable}


def report_incident(registry: Registry, institution: Party, report: IncidentReport) -> Reported:
    """Log an incident that the institution signed, and tell those whom it concerns.

    The same incident can be reported again, for more people. A lender reaches its own borrowers,
    the registry's operator everybody, others nobody.

    Raises:
        SignatureError: not the caller's. NotAllowed: it names another institution. Conflict: it was
            discovered in the future, or is closed. KeysUnavailable: the key store does not answer.
    """
    incident = Incident.verify(report.token, institution.key)
    if incident.institution != institution.id:
        raise NotAllowed(f"the incident names {incident.institution!r} as its institution")
    names = sorted(set(report.affected))
    with reading(registry) as view:
        found = find_subjects(view, names)
    mine = {
        name: subject
        for name, subject in found.items()
        if institution.role is Role.REGISTRY or subject.lender == institution.id
    }
    with writing(registry) as transaction:
        if incident.discovered_at > transaction.moment + CLOCK_SKEW:
            raise Conflict(f"incident {incident.id!r} says that it was discovered in the future")
        if transaction.session.get(IncidentClosureRow, incident.sha256):
            raise Conflict(f"incident {incident.id!r} is closed; report another")
        _open(transaction, incident, report.token)
        reachable = remembered(transaction.session, mine)
        told = _tell(transaction, incident.sha256, report.token, list(reachable.values()))
    return Reported(incident.sha256, told, len(names) - len(reachable))


def _open(transaction: Transaction, incident: Incident, token: str) -> None:
    """Once."""
    if transaction.session.get(IncidentRow, incident.sha256):
        return
    public = {"incident": incident.sha256}
    index = transaction.log_sealed(
        "incident.opened", incident.institution, public, {"token": token}
    )
    transaction.session.add(
        IncidentRow(
            sha256=incident.sha256,
            institution=incident.institution,
            token=token,
            entry_index=index,
        )
    )
    transaction.session.flush()


def _tell(transaction: Transaction, sha256: str, token: str, people: Sequence[Subject]) -> int:
    """Tell those who were not told yet; returns how many."""
    people = list({subject.id: subject for subject in people}.values())
    before = set(
        transaction.session.scalars(
            select(IncidentPersonRow.subject_id).where(
                IncidentPersonRow.incident_sha256 == sha256,
                IncidentPersonRow.subject_id.in_([subject.id for subject in people]),
            )
        )
    )
    fresh = [subject for subject in people if subject.id not in before]
    if not fresh:
        return 0
    body, me = canonical_json({"token": token}), transaction.registry.me.id
    first = transaction.log(
        *(entry_for_subject(TOLD, me, {}, one.id, one.data_key, body) for one in fresh)
    )
    transaction.session.add_all(
        IncidentPersonRow(incident_sha256=sha256, subject_id=one.id, entry_index=index)
        for index, one in enumerate(fresh, first)
    )
    return len(fresh)


def close_incident(
    registry: Registry, institution: Party, sha256: str, token: str
) -> IncidentClosure:
    """Record, signed by whoever reported it, that an incident has been dealt with.

    Raises:
        SignatureError: not the caller's. NotFound: no such incident of the caller's. NotAllowed: it
            is about another incident. Conflict: closed already.
    """
    closure = IncidentClosure.verify(token, institution.key)
    if (closure.incident_sha256, closure.institution) != (sha256, institution.id):
        raise NotAllowed("the closure is of another incident or another institution")
    with writing(registry) as transaction:
        incident, _ = _load(transaction, institution, sha256)
        if transaction.session.get(IncidentClosureRow, sha256):
            raise Conflict(f"incident {incident.id!r} is closed already")
        if not incident.discovered_at <= closure.handled_at <= transaction.moment + CLOCK_SKEW:
            raise Conflict(
                f"incident {incident.id!r} was handled after it was discovered and before now"
            )
        index = transaction.log_sealed(
            "incident.closed", institution.id, {"incident": sha256}, {"token": token}
        )
        transaction.session.add(
            IncidentClosureRow(incident_sha256=sha256, token=token, entry_index=index)
        )
    return closure


def _load(view: Transaction, caller: Party, sha256: str) -> tuple[Incident, IncidentRow]:
    """An incident that the caller may see: their own; every one for auditor and operator. Raises
    NotFound."""
    row = view.session.get(IncidentRow, sha256)
    oversees = caller.role in (Role.AUDITOR, Role.REGISTRY)
    if row is None or not (oversees or row.institution == caller.id):
        raise NotFound(f"there is no incident {sha256[:12]}…")
    key = view.registry.consortium.party(row.institution).key
    return Incident.verify(row.token, key), row


def read_incident(registry: Registry, caller: Party, sha256: str) -> dict[str, Any]:
    """An incident as it was signed, its closure, and how many were told; raises NotFound."""
    with reading(registry) as view:
        _, row = _load(view, caller, sha256)
        closed = view.session.get(IncidentClosureRow, sha256)
        told = view.session.scalar(
            select(func.count()).where(IncidentPersonRow.incident_sha256 == sha256)
        )
        return {
            "token": row.token,
            "entry_index": row.entry_index,
            "closure": closed.token if closed else None,
            "told": told,
        }


def list_incidents(registry: Registry, caller: Party) -> list[dict[str, Any]]:
    """The incidents that the caller may see, in the order in which they were reported."""
    with reading(registry) as view:
        asked = select(IncidentRow).order_by(IncidentRow.entry_index)
        if caller.role not in (Role.AUDITOR, Role.REGISTRY):
            asked = asked.where(IncidentRow.institution == caller.id)
        rows = view.session.scalars(asked).all()
        closed = set(view.session.scalars(select(IncidentClosureRow.incident_sha256)))
    found = [(row, Incident.claimed(row.token)) for row in rows]
    return [
        {
            "sha256": row.sha256,
            "id": one.id,
            "institution": one.institution,
            "grade": one.grade.value,
            "discovered_at": one.discovered_at.isoformat(),
            "closed": row.sha256 in closed,
        }
        for row, one in found
    ]


def read_my_incidents(registry: Registry, pseudonyms: Sequence[str]) -> list[dict[str, Any]]:
    """The incidents that concern this person, oldest first, as they were told.

    Each with the institution's signature (``token``), so that the person can show it to others.
    """
    with reading(registry) as view:
        subjects = {one.id: one for one in find_subjects(view, list(pseudonyms)).values()}
        rows = view.session.execute(
            select(
                IncidentPersonRow.subject_id,
                IncidentPersonRow.entry_index,
                IncidentClosureRow.token.label("closure"),
            )
            .outerjoin(
                IncidentClosureRow,
                IncidentClosureRow.incident_sha256 == IncidentPersonRow.incident_sha256,
            )
            .where(IncidentPersonRow.subject_id.in_(subjects))
            .order_by(IncidentPersonRow.entry_index)
        ).all()
        return [
            _as_told(view, subjects[row.subject_id], row.entry_index, row.closure) for row in rows
        ]


def _as_told(
    view: Transaction, subject: Subject, index: int, closure: str | None
) -> dict[str, Any]:
    """Raises SealError."""
    entry = view.registry.ledger.log.entry(view.session, index)
    token = opened(subject, entry, TOLD)["token"]
    incident = Incident.claimed(token)
    shown = ("what", "categories", "cause", "harm", "remedies", "advice", "contact")
    payload = incident.payload()
    return {
        "pii_principal_id": subject.pseudonym,
        "institution": incident.institution,
        **{name: payload[name] for name in shown},
        "discovered_at": payload["discovered_at"],
        "handled_at": (
            IncidentClosure.claimed(closure).payload()["handled_at"] if closure else None
        ),
        "entry_index": index,
        "token": token,
    }
