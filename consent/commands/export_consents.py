"""Export of what the registry holds about one person (GDPR Art. 15 and 20, PIPL Art. 45).

Every table that speaks of a borrower is in it; a test goes through the schema and says which is
not. What lenders hold is not: the registry has never seen it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select

from auditlog.entries import opened_counts
from consent.arrangement import successions
from consent.budgets import price
from consent.commands.place_people import bitmaps
from consent.commands.read_consents import (
    _subjects,
    list_receipts,
    read_consents,
    read_uses,
)
from consent.commands.read_evidence import prove_imports
from consent.commands.read_history import revocations_of
from consent.commands.read_requests import list_own_requests, read_own_request
from consent.commands.register_keys import keys_of, only_keys_of
from consent.commands.report_incidents import read_my_incidents
from consent.registry import Registry
from consent.storage.erasure_tables import LegalHoldRow, TombstoneRow
from consent.storage.subjects import Subject
from consent.storage.tables import (
    AssignmentRow,
    CampaignRow,
    CommitmentRow,
    ConsentEventRow,
    DataKeyRow,
    FormerNameRow,
    IdempotencyRow,
    LoginLinkRow,
    PlacesRow,
    SubjectEntryRow,
    SubjectRow,
)
from consent.storage.tombstones import Tombstones
from consent.transaction import Transaction, reading
from crypto.bodies import SealedBody, unseal
from crypto.errors import SealError
from crypto.keys import b64, unb64
from crypto.sealing import body_context, unpad
from law.vocabulary import LANGUAGES
from privacy.accounting import epsilon_of
from protocol.campaigns import Campaign
from protocol.errors import NotAuthenticated
from protocol.notices import Notice
from protocol.parties import Role

FROM_LENDERS = (
    "Your loans, the figures made of them and what was decided with them are your lender's: ask it."
)


def export_all(registry: Registry, pseudonyms: Sequence[str]) -> dict[str, Any]:
    """What the registry holds about this person, for them to take away.

    Raises:
        NotAuthenticated: nobody of these names is enrolled (any more). KeysUnavailable.
    """
    records, _ = read_consents(registry, pseudonyms)
    with reading(registry) as view:
        subjects = _subjects(view, pseudonyms)
        if not subjects:
            raise NotAuthenticated("no such borrower, or forgotten")
        lives = _lives(view, subjects)
        found = {
            "exported_at": view.moment.isoformat(),
            "registry": registry.consortium.name,
            "accounts": [_account(view, subject, lives) for subject in subjects.values()],
            "consents": [record.model_dump(mode="json") for record in records],
            "events": _events(view, subjects),
            "notices": _notices(view, subjects),
            "campaigns": _campaigns(view, subjects),
            "budget": _budget(view, lives),
            "revocations": revocations_of(view, subjects),
            "log_entries": _log_entries(view, subjects),
            "imports": prove_imports(view.session, subjects),
            "kept_answers": _kept_answers(view, subjects),
            "successions": _successions(view, subjects, LANGUAGES[0]),
        }
    return {
        **found,
        "decisions": list_receipts(registry, pseudonyms)[0],
        "uses": read_uses(registry, pseudonyms),
        "requests": [
            read_own_request(registry, pseudonyms, one["request_sha256"])
            for one in list_own_requests(registry, pseudonyms)
        ],
        "incidents": read_my_incidents(registry, pseudonyms),
        "not_here": FROM_LENDERS,
    }


def read_successions(
    registry: Registry, pseudonyms: Sequence[str], language: str
) -> list[dict[str, str]]:
    """Who took over from whoever has to do with this person's data."""
    with reading(registry) as view:
        return _successions(view, _subjects(view, pseudonyms), language)


def _successions(
    view: Transaction, subjects: Mapping[int, Subject], language: str
) -> list[dict[str, str]]:
    """Of their own lenders, and of every party that is no lender."""
    consortium = view.registry.consortium
    others = {party.id for party in consortium.parties if party.role is Role.LENDER}
    others -= {subject.lender for subject in subjects.values()}
    found = successions(consortium, language, None)
    return [one for one in found if one["former"] not in others]


# --- who


class _Lives:
    """Rows of the same person: enrolled at any lender, and tombstones of theirs."""

    def __init__(self) -> None:
        self.enrolled: dict[int, SubjectRow] = {}
        self.erased: dict[int, SubjectRow] = {}


def _lives(view: Transaction, subjects: Mapping[int, Subject]) -> _Lives:
    session, found = view.session, _Lives()
    mine = [session.get_one(SubjectRow, subject_id) for subject_id in subjects]
    names = {row.ledger_pseudonym for row in mine}
    by = Tombstones.of(view)
    known = names | ({by.ledger_name(name) for name in names} if by else set())
    for row in session.scalars(select(SubjectRow).where(SubjectRow.ledger_pseudonym.in_(known))):
        (found.enrolled if row.erased_at is None else found.erased)[row.id] = row
    return found


def _account(view: Transaction, subject: Subject, lives: _Lives) -> dict[str, Any]:
    """One enrolment at one lender."""
    session = view.session
    row = session.get_one(SubjectRow, subject.id)
    key = session.get_one(DataKeyRow, subject.id)
    links = select(LoginLinkRow).where(LoginLinkRow.subject_id == subject.id)
    former = select(FormerNameRow.pseudonym).where(FormerNameRow.subject_id == subject.id)
    return {
        "pii_principal_id": subject.pseudonym,
        "lender": subject.lender,
        "number_on_roll": subject.number,
        "signing_keys": keys_of(view, subject),
        "only_keys_say_yes": only_keys_of(view, subject),
        "sealed_ledger_name": row.ledger_pseudonym,
        "former_names": sorted(session.scalars(former)),
        "data_key": {"name": key.key_id, "group": key.group_id},
        "enrolled_on": _text(row.enrolled_at),
        "came_back_at": _text(row.returned_at),
        "erased_before": [
            _tombstone(view, erased)
            for erased in lives.erased.values()
            if erased.lender == subject.lender
        ],
        "logins": [
            {
                "id": link.id,
                "issuer": link.issuer,
                "subject_hash": link.subject_hash,
                "linked_at": _text(link.linked_at),
            }
            for link in session.scalars(links.order_by(LoginLinkRow.linked_at))
        ],
        "place": _place(view, row),
    }


def _tombstone(view: Transaction, row: SubjectRow) -> dict[str, Any]:
    """What is left of an earlier enrolment that was erased."""
    session = view.session
    stones = select(TombstoneRow.name_mac).where(TombstoneRow.subject_id == row.id)
    holds = select(LegalHoldRow.expires_at).where(LegalHoldRow.subject_id == row.id)
    return {
        "number_on_roll": row.number,
        "erased_on": _text(row.erased_at),
        "hashes_of_names": sorted(session.scalars(stones)),
        "what_was_signed_is_held_until": [_text(at) for at in session.scalars(holds)],
    }


def _place(view: Transaction, row: SubjectRow) -> str:
    """Where this person is counted, in every campaign. Other lenders are not named."""
    held = view.session.execute(
        select(AssignmentRow.subject_id).where(
            AssignmentRow.ledger_pseudonym == row.ledger_pseudonym
        )
    ).one_or_none()
    if held is None:
        return "not drawn yet"
    return "here" if held[0] == row.id else "nowhere" if held[0] is None else "elsewhere"


# --- what happened


def _events(view: Transaction, subjects: Mapping[int, Subject]) -> list[dict[str, Any]]:
    scope_of = view.notices.scope_of
    mine = select(ConsentEventRow).where(ConsentEventRow.subject_id.in_(subjects))
    in_order = (ConsentEventRow.event_time, ConsentEventRow.scope_id, ConsentEventRow.sequence)
    return [
        {
            "purpose": scope_of[row.scope_id][0],
            "recipient": scope_of[row.scope_id][1],
            "sensitivity": row.sensitivity,
            "event_type": row.event.value,
            "event_time": row.event_time.isoformat(),
            "notice": [
                view.notices.notices[row.notice].id,
                view.notices.notices[row.notice].version,
            ],
            "decision_sha256": row.decision_sha256,
        }
        for row in view.session.scalars(mine.order_by(*in_order))
    ]


def _notices(view: Transaction, subjects: Mapping[int, Subject]) -> list[dict[str, Any]]:
    """Word for word what the person was asked, whatever they answered."""
    answered = select(ConsentEventRow.notice).where(ConsentEventRow.subject_id.in_(subjects))
    numbers = sorted(set(view.session.scalars(answered)))
    return [_notice(view.notices.notices[number]) for number in numbers]


def _notice(notice: Notice) -> dict[str, Any]:
    return {
        "id": notice.id,
        "version": notice.version,
        "purpose": notice.purpose,
        "recipients": list(notice.recipients),
        "published_at": _text(notice.published_at),
        "texts": dict(notice.texts),
        "terms": notice.terms.model_dump(mode="json"),
    }


def _log_entries(view: Transaction, subjects: Mapping[int, Subject]) -> list[dict[str, Any]]:
    mine = select(SubjectEntryRow).where(SubjectEntryRow.subject_id.in_(subjects))
    found = []
    for row in view.session.scalars(mine.order_by(SubjectEntryRow.entry_index)):
        entry = view.registry.ledger.log.entry(view.session, row.entry_index)
        leaf = json.loads(entry.leaf)
        body = _readable(subjects[row.subject_id], entry, leaf)
        found.append({"entry_index": row.entry_index, "entry": leaf, "body": body})
    return found


def _kept_answers(view: Transaction, subjects: Mapping[int, Subject]) -> list[dict[str, Any]]:
    """Answers to commands of this person, kept for a day for who asks again."""
    logins = select(LoginLinkRow.subject_hash).where(LoginLinkRow.subject_id.in_(subjects))
    former = select(FormerNameRow.pseudonym).where(FormerNameRow.subject_id.in_(subjects))
    names = [subject.pseudonym for subject in subjects.values()]
    callers = [*names, *view.session.scalars(former), *view.session.scalars(logins)]
    mine = select(IdempotencyRow).where(IdempotencyRow.caller.in_(callers))
    return [
        {"key": row.key, "status": row.status, "answer": row.body, "until": _text(row.expires_at)}
        for row in view.session.scalars(mine.order_by(IdempotencyRow.expires_at))
    ]


# --- campaigns and what they cost


def _campaigns(view: Transaction, subjects: Mapping[int, Subject]) -> list[dict[str, Any]]:
    """In which campaigns the person had a place, and with which data."""
    found = []
    for subject in subjects.values():
        for row, campaign, activated_at in _placed(view, subject.lender, subject.number):
            found.append(
                {
                    "campaign": row.campaign_sha256,
                    "title": campaign.title,
                    "purpose": campaign.purpose,
                    "lender": subject.lender,
                    "active_since": _text(activated_at),
                    "until": _text(campaign.expires_at),
                    "sensitive_data_too": any(
                        _bit(further, subject.number)
                        for kind, further in bitmaps(row.bitmap, row.sensitive).items()
                        if kind != "ordinary"
                    ),
                    "most_it_may_cost": campaign.mechanism.epsilon,
                }
            )
    return sorted(found, key=lambda one: (one["active_since"] or "", one["campaign"]))


def _placed(
    view: Transaction, lender: str, number: int
) -> Iterable[tuple[PlacesRow, Campaign, datetime | None]]:
    """The campaigns in which a number on a lender's roll has a place."""
    rows = view.session.execute(
        select(PlacesRow, CampaignRow.token, CampaignRow.activated_at)
        .join(CampaignRow, CampaignRow.sha256 == PlacesRow.campaign_sha256)
        .where(PlacesRow.lender == lender)
    )
    for row, token, activated_at in rows:
        if _bit(row.bitmap, number):
            yield row, Campaign.claimed(token), activated_at


def _bit(bitmap: bytes, number: int) -> bool:
    return number // 8 < len(bitmap) and bool(bitmap[number // 8] >> number % 8 & 1)


def _budget(view: Transaction, lives: _Lives) -> dict[str, Any]:
    """What all campaigns together have cost this person, at whichever lender, before an erasure
    too, by the registry's own ledger."""
    attempts: dict[tuple[str, str], list[int]] = defaultdict(list)
    for sha256, lender, release in view.session.execute(
        select(CommitmentRow.campaign_sha256, CommitmentRow.lender, CommitmentRow.release)
    ):
        attempts[sha256, lender].append(release)
    charges = [
        charge
        for life in (*lives.enrolled.values(), *lives.erased.values())
        for row, campaign, _ in _placed(view, life.lender, life.number)
        for charge in price(campaign, attempts[row.campaign_sha256, life.lender], view.moment)
    ]
    policy = view.registry.consortium
    return {
        "spent_epsilon": epsilon_of(charges, policy.max_delta) if charges else 0.0,
        "delta": policy.max_delta,
        "most_ever": policy.campaign_epsilon,
        "most_in_a_year": policy.campaign_epsilon_per_year,
    }


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _readable(subject: Subject, entry: Any, leaf: dict[str, Any]) -> Any:
    """An entry's body as JSON, or as base64url where a lender sealed something else; None where no
    key opens it."""
    sealed = SealedBody(entry.body, unb64(leaf["body"]["key_commitment"]))
    try:
        opened = unpad(unseal(subject.data_key, sealed, body_context(leaf["type"])))
    except SealError:
        return None
    try:
        counts, body = opened_counts(leaf, opened)
    except ValueError:
        counts = {}
        body = opened
    try:
        readable = json.loads(body)
    except ValueError:
        readable = {"base64url": b64(body)}
    return {"counts": counts, "body": readable} if counts else readable
