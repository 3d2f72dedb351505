"""What borrowers can see of their own: notices, consents, receipts, who used their data, and all of
it as one file."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from auditlog.log import Logged
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
    ModelRow,
    SubjectEntryRow,
    SubjectRow,
)
from consent.transaction import Transaction, reading
from crypto.errors import TahiniError
from crypto.keys import PublicKey, b64
from protocol.campaigns import Campaign
from protocol.changes import CurrentConsent
from protocol.consents import Receipt
from protocol.errors import NotAuthenticated, NotFound
from protocol.records import ConsentRecord, RecordKey, consent_record
from protocol.uses import UseStatement

logger = logging.getLogger("tahini.registry")


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


def own_consents(
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
        people, presents = own_consents(view, pseudonyms)
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


def list_receipts(
    registry: Registry, pseudonyms: Sequence[str], start: int = 0, limit: int | None = None
) -> tuple[list[dict[str, Any]], int | None]:
    """Decisions of this person, newest first, at most ``limit`` from the one at ``start`` on: where
    each stands in the log, and what was decided; and where the next page begins.

    ``decided`` is None where a body cannot be read any more: that hides no other decision.
    """
    with reading(registry) as view:
        require_known(view.session, pseudonyms)
        subjects = _subjects(view, pseudonyms)
        mine = select(DecisionRow).where(DecisionRow.subject_id.in_(subjects))
        newest = mine.order_by(DecisionRow.entry_index.desc()).offset(start)
        rows = view.session.scalars(newest.limit(limit and limit + 1)).all()
        shown = rows[:limit]
        entries = registry.ledger.log.entries_at(view.session, [row.entry_index for row in shown])
    found = [
        {
            "decision_sha256": row.sha256,
            "entry_index": row.entry_index,
            "pii_principal_id": subjects[row.subject_id].pseudonym,
            "recipient": subjects[row.subject_id].lender,
            "decided": _decided(subjects[row.subject_id], entries.get(row.entry_index)),
            "receipt": f"/v1/me/receipts/{row.sha256}",
        }
        for row in shown
    ]
    return found, None if len(rows) == len(shown) else start + len(shown)


def _decided(subject: Subject, entry: Logged | None) -> dict[str, Any] | None:
    """What was decided, when, in answer to what, by which way."""
    try:
        if entry is None:
            raise NotFound("the log has lost the entry of a decision")
        held = opened(subject, entry, "consent.decided")
        decision = decision_in(held)
    except (TahiniError, ValueError, LookupError) as error:
        name = type(error).__name__
        logger.warning("a decision cannot be read (%s); run: tahini log fsck", name)
        return None
    return {
        "event_time": decision.event_time.isoformat(),
        "channel": decision.channel,
        "stated_by": "signature" if "token" in held else "login",
        "notice": {
            "id": decision.notice_id,
            "version": decision.notice_version,
            "language": decision.notice_language,
            "text_sha256": decision.notice_sha256,
        },
        "choices": [choice.model_dump(mode="json") for choice in decision.choices],
        "states": held["states"],
    }


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
        mine = select(SubjectEntryRow).where(SubjectEntryRow.subject_id.in_(subjects))
        about = {row.entry_index: subjects[row.subject_id] for row in session.scalars(mine)}
        for index, entry in registry.ledger.log.entries_at(session, sorted(about)).items():
            leaf = json.loads(entry.leaf)
            if str(leaf["type"]).startswith("use."):
                found.append({"entry_index": index, **_logged_use(about[index], entry, leaf)})
    return sorted(found, key=lambda use: int(use["entry_index"]))


def _logged_use(subject: Subject, entry: Logged, leaf: Mapping[str, Any]) -> dict[str, Any]:
    """``stated`` is None where the lender logged it with a body of its own making."""
    use = {"kind": "logged", "what": leaf["type"], "who": leaf["actor"], "time": leaf["time"]}
    if "use" not in leaf:
        return use | {"purpose": None, "stated": None}
    try:
        said = UseStatement.claimed(str(opened(subject, entry, leaf["type"])["token"]))
    except (TahiniError, ValueError, LookupError) as error:
        name = type(error).__name__
        logger.warning("a use cannot be read (%s); run: tahini log fsck", name)
        return use | {"purpose": None, "stated": None}
    kept = {"application", "follows", "sources", "automated", "model", "policy", "law"}
    stated = said.model_dump(mode="json", include=kept)
    stated["record_ids"] = [one.record_id for one in said.consents]
    return use | {"time": said.at.isoformat(), "purpose": said.purpose, "stated": stated}


def _training_uses(view: Transaction, subjects: dict[int, Subject]) -> list[dict[str, Any]]:
    session = view.session
    placed = set(
        session.scalars(
            select(AssignmentRow.subject_id).where(AssignmentRow.subject_id.in_(subjects))
        )
    )
    lenders = {subject.lender for subject in subjects.values() if subject.id in placed}
    rows = session.execute(
        select(CommitmentRow, CampaignRow)
        .join(CampaignRow, CampaignRow.sha256 == CommitmentRow.campaign_sha256)
        .where(CommitmentRow.lender.in_(lenders))
        .order_by(CommitmentRow.entry_index)
    ).all()
    released = set(session.scalars(select(ModelRow.campaign_sha256).distinct()))
    given = _given_periods(view, subjects)
    found = []
    for made, proposed in rows:
        campaign = Campaign.claimed(proposed.token)
        when = (
            made.committed_at.isoformat()
            if made.committed_at
            else json.loads(view.registry.ledger.log.entry(session, made.entry_index).leaf)["time"]
        )
        periods = given.get((campaign.purpose, made.lender), [])
        if any(start <= when < end for start, end in periods):
            model = f"/v1/me/models/{proposed.sha256}" if proposed.sha256 in released else None
            found.append(
                {
                    "kind": "may-have-used",
                    "what": "release",
                    "who": made.lender,
                    "time": when,
                    "entry_index": made.entry_index,
                    "purpose": campaign.purpose,
                    "campaign": {
                        "sha256": proposed.sha256,
                        "id": campaign.id,
                        "title": campaign.title,
                        "model": model,
                    },
                    "release": made.release,
                    "attempt": made.attempt,
                    "most_epsilon": campaign.mechanism.epsilon,
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
