"""What borrowers can see of their own: notices, consents, receipts, who used their data, and all of
it as one file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from consent.commands.borrowers_consents import tag_of
from consent.commands.read_evidence import decision_in, opened, prove_imports, read_served
from consent.commands.record_decisions import Recorded
from consent.registry import Registry
from consent.storage.consents import ConsentKey, load_presents
from consent.storage.subjects import Subject, find_subjects
from consent.storage.tables import (
    AssignmentRow,
    CampaignRow,
    CommitmentRow,
    ConsentEventRow,
    DecisionRow,
    SubjectEntryRow,
    SubjectRow,
)
from consent.transaction import Transaction, reading
from crypto.keys import PublicKey, b64
from protocol.campaigns import Campaign
from protocol.changes import CurrentConsent
from protocol.consents import Receipt
from protocol.errors import NotAuthenticated, NotFound
from protocol.records import ConsentRecord, RecordKey, consent_record
from protocol.states import ConsentStatus


def subject_key(registry: Registry, pseudonym: str) -> tuple[str, PublicKey]:
    """What the subject of this name, or former name, is called now, and the key that signs their
    requests. Whose data key is gone has none: not even in an older copy of the database.

    Raises:
        NotFound: no such subject, or it has no key of its own. KeysUnavailable.
    """
    with reading(registry) as view:
        subject = find_subjects(view, [pseudonym]).get(pseudonym)
    if subject is None or not subject.public_key:
        raise NotFound("no such subject")
    return subject.pseudonym, PublicKey.from_text(subject.public_key)


def _mine(
    view: Transaction, pseudonyms: Sequence[str]
) -> tuple[dict[int, tuple[str, str]], dict[ConsentKey, CurrentConsent]]:
    """Pseudonym and lender by subject id, and the presents of these subjects."""
    rows = view.session.execute(
        select(SubjectRow.id, SubjectRow.pseudonym, SubjectRow.lender).where(
            SubjectRow.pseudonym.in_(pseudonyms)
        )
    )
    people = {row[0]: (row[1], row[2]) for row in rows}
    if not people:
        raise NotAuthenticated("no such borrower, or forgotten")
    lenders = {lender for _, lender in people.values()}
    scopes = [scope for scope, recipient in view.notices.recipients.items() if recipient in lenders]
    return people, load_presents(view.session, sorted(people), scopes)


def _subjects(view: Transaction, pseudonyms: Sequence[str]) -> dict[int, Subject]:
    """This person's subjects by id."""
    return {subject.id: subject for subject in find_subjects(view, list(pseudonyms)).values()}


def require_known(session: Session, pseudonyms: Sequence[str]) -> None:
    """Whoever was erased after the caller had been let in, or is remembered by this process for a
    moment longer, is a stranger; raises NotAuthenticated."""
    named = select(SubjectRow.id).where(SubjectRow.pseudonym.in_(pseudonyms)).limit(1)
    if session.scalar(named) is None:
        raise NotAuthenticated("no such borrower, or forgotten")


def read_consents(registry: Registry, pseudonyms: Sequence[str]) -> tuple[list[ConsentRecord], str]:
    """The consent records of one person's pseudonyms as they stand now, and their tag."""
    with reading(registry) as view:
        people, presents = _mine(view, pseudonyms)
        known = view.notices
        scope_of = view.notices.scope_of
        moment = view.moment
        served = read_served(view, _subjects(view, [pseudonym for pseudonym, _ in people.values()]))
    origin = registry.consortium.log_origin
    records = [
        consent_record(
            RecordKey(origin, people[subject][0], scope_of[scope][1], sensitivity),  # type: ignore[arg-type]
            present,
            known.notices[present.notice],
            known.is_stale(present.notice, scope_of[scope][1]),
            moment,
            served.get((scope, subject, sensitivity)),
        )
        for (scope, subject, sensitivity), present in presents.items()
    ]
    return sorted(records, key=lambda record: record.record_id), tag_of(list(presents.values()))


def read_record(registry: Registry, pseudonyms: Sequence[str], record_id: str) -> ConsentRecord:
    """One of this person's records; raises NotFound, for other people's as for those that do not
    exist."""
    for record in read_consents(registry, pseudonyms)[0]:
        if record.record_id == record_id:
            return record
    raise NotFound("no such consent record")


def read_notices(registry: Registry, pseudonyms: Sequence[str]) -> list[dict[str, Any]]:
    """The newest version of every notice that asks this person something, and what is still open
    about it."""
    with reading(registry) as view:
        people, presents = _mine(view, pseudonyms)
        known = view.notices
    lenders = {lender for _, lender in people.values()}
    newest: dict[str, int] = {}
    for number, notice in known.notices.items():
        if lenders & set(notice.recipients):
            newest[notice.id] = max(number, newest.get(notice.id, 0))
    answered = {
        (known.notices[present.notice].id, scope) for (scope, _, _), present in presents.items()
    }
    stale = {
        (known.notices[present.notice].id, scope)
        for (scope, _, _), present in presents.items()
        if present.state is ConsentStatus.GIVEN
        and known.is_stale(present.notice, known.recipients[scope])
    }
    found = []
    for notice_id, number in sorted(newest.items()):
        notice = known.notices[number]
        mine = sorted(lenders & set(notice.recipients))
        asked = {lender: (notice_id, known.scope(notice.purpose, lender)) for lender in mine}
        found.append(
            {
                "id": notice.id,
                "version": notice.version,
                "purpose": notice.purpose,
                "recipients": mine,
                "languages": {
                    language: notice.text_sha256(language) for language in sorted(notice.texts)
                },
                "asks": {
                    kind: [one.value for one in about]
                    for kind, about in notice.terms.asked().items()
                },
                "unanswered": [lender for lender, key in asked.items() if key not in answered],
                "to_reconfirm": [lender for lender, key in asked.items() if key in stale],
            }
        )
    return found


def list_receipts(registry: Registry, pseudonyms: Sequence[str]) -> list[dict[str, Any]]:
    """Every decision of this person, newest first, with where its entry stands in the log."""
    with registry.ledger.read() as session:
        require_known(session, pseudonyms)
        rows = session.execute(
            select(DecisionRow.sha256, DecisionRow.entry_index, SubjectRow.pseudonym)
            .join(SubjectRow, SubjectRow.id == DecisionRow.subject_id)
            .where(SubjectRow.pseudonym.in_(pseudonyms))
            .order_by(DecisionRow.entry_index.desc())
        )
        return [
            {"decision_sha256": sha256, "entry_index": index, "pii_principal_id": pseudonym}
            for sha256, index, pseudonym in rows
        ]


def reissue_receipt(registry: Registry, pseudonyms: Sequence[str], decision_sha256: str) -> str:
    """The receipt of a decision of this borrower's, again, with a proof under the newest
    checkpoint.

    Raises:
        NotFound: no such decision of this borrower's.
    """
    with reading(registry) as view:
        subjects = _subjects(view, pseudonyms)
        row = view.session.get(DecisionRow, decision_sha256)
        if row is None or row.subject_id not in subjects:
            raise NotFound("no such decision")
        subject = subjects[row.subject_id]
        index = row.entry_index
        entry = registry.ledger.log.entry(view.session, index)
    held = opened(subject, entry, "consent.decided")
    named = decision_in(
        held
    ).pii_principal_id  # the name of that day, if there has been a renaming since
    return issue_receipt(
        registry, Recorded(named, decision_sha256, index, held["states"], held["salt"])
    )


def issue_receipt(registry: Registry, recorded: Recorded) -> str:
    """A signed receipt with an offline inclusion proof."""
    leaf, proof = registry.ledger.proved(recorded.entry_index)
    receipt = Receipt(
        record_id=f"{registry.consortium.log_origin}#{recorded.entry_index}",
        pii_principal_id=recorded.subject,
        decision_sha256=recorded.decision_sha256,
        states=recorded.states,
        salt=recorded.salt,
        entry=b64(leaf),
        proof=proof.text,
        issued_at=registry.clock(),
    )
    return receipt.sign(registry.signing_key)


def read_imports(registry: Registry, pseudonyms: Sequence[str]) -> list[dict[str, Any]]:
    """What lenders handed in about this person, with proofs."""
    with reading(registry) as view:
        require_known(view.session, pseudonyms)
        return prove_imports(view.session, _subjects(view, pseudonyms))


def read_uses(registry: Registry, pseudonyms: Sequence[str]) -> list[dict[str, Any]]:
    """Who used this person's data and when, oldest first, as far as the registry can know it.

    ``may-have-used``: a lender committed a roster for a release while the person had a place in the
    campaign; whether the person stood in that roster is known to the lender and, sealed, to the
    auditor. ``logged``: an entry that a lender wrote about this very person.
    """
    with reading(registry) as view:
        session = view.session
        require_known(session, pseudonyms)
        subjects = _subjects(view, pseudonyms)
        found = _training_uses(view, subjects)
        entries = session.execute(
            select(SubjectEntryRow.entry_index, SubjectEntryRow.subject_id)
            .where(SubjectEntryRow.subject_id.in_(subjects))
            .order_by(SubjectEntryRow.entry_index)
        ).all()
        for index, _ in entries:
            leaf = json.loads(registry.ledger.log.entry(session, index).leaf)
            if str(leaf["type"]).startswith("use."):
                found.append(
                    {
                        "kind": "logged",
                        "what": leaf["type"],
                        "who": leaf["actor"],
                        "time": leaf["time"],
                        "entry_index": index,
                    }
                )
    return sorted(found, key=lambda use: int(use["entry_index"]))


def _training_uses(view: Transaction, subjects: dict[int, Subject]) -> list[dict[str, Any]]:
    session = view.session
    placed = set(
        session.scalars(
            select(AssignmentRow.subject_id).where(AssignmentRow.subject_id.in_(subjects))
        )
    )
    lenders = {subject.lender for subject in subjects.values() if subject.id in placed}
    rows = session.execute(
        select(
            CommitmentRow.entry_index,
            CommitmentRow.lender,
            CommitmentRow.release,
            CampaignRow.token,
            CommitmentRow.committed_at,
        )
        .join(CampaignRow, CampaignRow.sha256 == CommitmentRow.campaign_sha256)
        .where(CommitmentRow.lender.in_(lenders))
        .order_by(CommitmentRow.entry_index)
    ).all()
    given = _given_periods(view, subjects)
    found = []
    for index, lender, release, token, committed_at in rows:
        campaign = Campaign.claimed(token)
        when = (
            committed_at.isoformat()
            if committed_at
            else json.loads(view.registry.ledger.log.entry(session, index).leaf)["time"]
        )
        if any(start <= when < end for start, end in given.get((campaign.purpose, lender), [])):
            found.append(
                {
                    "kind": "may-have-used",
                    "what": f"release {release} of campaign {campaign.id}",
                    "who": lender,
                    "time": when,
                    "entry_index": index,
                }
            )
    return found


def _given_periods(
    view: Transaction, subjects: dict[int, Subject]
) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """When a consent to ordinary data was in force, as RFC 3339 texts, by (purpose, recipient)."""
    scope_of = view.notices.scope_of
    rows = view.session.scalars(
        select(ConsentEventRow)
        .where(ConsentEventRow.subject_id.in_(subjects), ConsentEventRow.sensitivity == "ordinary")
        .order_by(ConsentEventRow.scope_id, ConsentEventRow.sequence)
    )
    periods: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for row in rows:
        mine = periods.setdefault(scope_of[row.scope_id], [])
        when = row.event_time.isoformat()
        if mine and mine[-1][1] == _ENDLESS:
            mine[-1] = (mine[-1][0], when)
        if row.event.value in {"give", "resume"}:
            mine.append((when, _ENDLESS))
    for (scope, _, sensitivity), present in load_presents(
        view.session, list(subjects), list(scope_of)
    ).items():
        mine = periods.get(scope_of[scope], [])
        if (
            sensitivity == "ordinary"
            and present.expiry_time is not None
            and mine
            and mine[-1][1] == _ENDLESS
        ):
            mine[-1] = (mine[-1][0], present.expiry_time.isoformat())  # true without an event
    return periods


_ENDLESS = "9999"
