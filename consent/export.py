"""The record of processing activities for a period, from what the log and the registry hold.

GDPR Art. 30(1) asks a controller for: who it is, purposes, categories of data subjects and data,
recipients, transfers, time limits, security measures. PIPL Art. 55 and 56 ask for a record of what
is processed, why, with what risk and which safeguards, kept for three years; the assessments that
they ask for are documents of their own (:mod:`protocol.assessments`). Everything here is
counted or quoted; nothing is filled in that the registry does not know, and what it cannot know is
listed under ``to_be_added``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import jinja2
from sqlalchemy import select

from consent.registry import Registry
from consent.storage.tables import CampaignRow, NoticeRow
from crypto.notes import Checkpoint, open_checkpoint
from protocol.campaigns import Campaign
from protocol.errors import Conflict
from protocol.legal import AgreementKind, LawRole, LegalIdentity, LegalTerms
from protocol.notices import Notice
from protocol.parties import Consortium, Party

SECURITY = (
    (
        "Raw data stay with the lender; what leaves is differentially private and masked (secure "
        "aggregation)."
    ),
    (
        "Every use is authorised for minutes and logged before it happens; without the entry no "
        "row is read."
    ),
    (
        "Log bodies are sealed: AES-256-GCM under one key per borrower, or HPKE with ML-KEM-768 "
        "and X25519."
    ),
    (
        "Erasure takes names, key and history out of the database and destroys the borrower's data "
        "key, for backups too; lenders are ordered to erase; the log's proofs stay valid."
    ),
    "History is a Merkle tree with signed heads, cosigned by the witnesses that the policy names.",
)
TO_BE_ADDED = (
    "each lender's own retention periods for its loan books",
    "what a party does with personal data outside the consortium",
)
_RIGHTS = {
    "consent.decided": "decisions recorded",
    "consents.imported": "imports of decisions that lenders collected",
    "revocations.acknowledged": "acknowledgements of revocations by lenders",
    "subject.forgotten": "borrowers erased, one for each lender of a person",
}


@dataclass
class _Counts:
    """What the period's skeletons say."""

    entries: int = 0
    by_type: Counter[str] = field(default_factory=Counter)
    by_actor: Counter[str] = field(default_factory=Counter)
    by_campaign: dict[str, Counter[str]] = field(default_factory=dict)
    own: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    """Entries of the parties' own types, by (type, actor)."""

    def add(self, leaf: dict[str, Any], registry_types: frozenset[str]) -> None:
        self.entries += 1
        self.by_type[leaf["type"]] += 1
        self.by_actor[leaf["actor"]] += 1
        if campaign := leaf.get("campaign"):
            self.by_campaign.setdefault(campaign, Counter())[leaf["type"]] += 1
        if leaf["type"] not in registry_types:
            row = self.own.setdefault(
                (leaf["type"], leaf["actor"]),
                {"entries": 0, "first": leaf["time"], "last": "", "recipients": set()},
            )
            row["entries"], row["last"] = row["entries"] + 1, leaf["time"]
            row["recipients"].update(leaf["body"]["sealed_to"])


REGISTRY_TYPES = frozenset(
    {
        "notice.published",
        "subjects.enrolled",
        "subjects.renamed",
        "consent.decided",
        "consents.imported",
        "revocations.acknowledged",
        "population.counted",
        "subject.forgotten",
        "hold.opened",
        "retention.applied",
        "retention.reviewed",
        "campaign.proposed",
        "campaign.approved",
        "campaign.rejected",
        "campaign.activated",
        "use.authorised",
        "roster.committed",
        "model.released",
        "assessment.recorded",
        "incident.opened",
        "incident.notified",
        "incident.closed",
        "consortium.amended",
    }
)


@dataclass(frozen=True)
class RecordSources:
    """What a record is made from: the log, and the signed documents that it rests on."""

    consortium: Consortium
    head: Checkpoint
    leaves: Iterable[bytes]
    """All of them, as they stand under the head."""
    notices: Sequence[Notice]
    campaigns: Mapping[str, Campaign]
    """By hash."""
    made_at: datetime


def _within(leaves: Iterable[bytes], start: date, end: date) -> Iterator[dict[str, Any]]:
    first = start.isoformat()
    beyond = (end + timedelta(days=1)).isoformat()
    for leaf in leaves:
        fields: dict[str, Any] = json.loads(leaf)
        if first <= fields["time"] < beyond:
            yield fields


def processing_record(registry: Registry, start: date, end: date) -> dict[str, Any]:
    """The record for ``start`` to ``end``, both included, out of a registry.

    Raises:
        Conflict: the period is empty. NotFound: the log has published nothing yet.
    """
    log = registry.ledger.log
    with registry.ledger.read() as session:
        head = open_checkpoint(log.checkpoint(session), log.verifier)
        key = registry.me.key
        notices = [Notice.verify(row.token, key) for row in session.scalars(select(NoticeRow))]
        tokens = {row.sha256: row.token for row in session.scalars(select(CampaignRow))}
        campaigns = {name: Campaign.claimed(token) for name, token in tokens.items()}
        sources = RecordSources(
            registry.consortium,
            head,
            log.leaves(session, 0, log.size(session)),
            notices,
            campaigns,
            registry.clock(),
        )
        return record_of(sources, start, end)


def record_of(sources: RecordSources, start: date, end: date) -> dict[str, Any]:
    """The record for ``start`` to ``end``, both included, ready for JSON.

    Raises:
        Conflict: the period is empty.
    """
    if end < start:
        raise Conflict(f"the period ends ({end}) before it starts ({start})")
    counts, consortium, head = _Counts(), sources.consortium, sources.head
    for leaf in _within(sources.leaves, start, end):
        counts.add(leaf, REGISTRY_TYPES)
    parties = [_party(party) for party in consortium.parties]
    return {
        "record": "Record of processing activities",
        "law": ["GDPR (EU) 2016/679 Art. 30(1)", "PIPL Art. 56 (in part)"],
        "period": {"from": start.isoformat(), "to": end.isoformat()},
        "made_at": sources.made_at.isoformat().replace("+00:00", "Z"),
        "consortium": consortium.name,
        "jurisdiction": LegalTerms.of(consortium).jurisdiction or "none is claimed",
        "parties": parties,
        "controllers": [
            party["id"] for party in parties if HANDLERS & set(party["roles_in_law"].values())
        ],
        "log": {
            "origin": head.origin,
            "entries": head.size,
            "root": head.root.hex(),
            "witnesses": [witness.name for witness in consortium.policy.witnesses],
        },
        "activities": [
            _consent_activity(counts, sources.notices),
            *(
                _campaign_activity(name, c, counts)
                for name, c in sources.campaigns.items()
                if name in counts.by_campaign
            ),
            *(_own_activity(kind, actor, row) for (kind, actor), row in sorted(counts.own.items())),
        ],
        "entries": {
            "in_period": counts.entries,
            "by_type": dict(sorted(counts.by_type.items())),
            "by_actor": dict(sorted(counts.by_actor.items())),
        },
        "rights": {said: counts.by_type[kind] for kind, said in _RIGHTS.items()},
        "security_measures": list(SECURITY),
        "to_be_added": [*_not_stated(parties), *TO_BE_ADDED],
    }


HANDLERS = {LawRole.HANDLER.value, LawRole.JOINT_HANDLER.value}


def _party(party: Party) -> dict[str, Any]:
    """A party as it states itself in law; what it does not state is None (GDPR 30(1)(a), (2)(a)).

    Raises:
        Malformed: its statement cannot be read.
    """
    identity = LegalIdentity.of(party)
    told = identity.model_dump(mode="json")
    transfers = [a for a in told["agreements"] if a["kind"] == AgreementKind.TRANSFER]
    return {
        "id": party.id,
        "name": party.name,
        "role": party.role.value,
        "roles_in_law": {one.purpose: one.role.value for one in identity.roles},
        "contact": told["contact"],
        "officer": told["officer"],
        "country": identity.country,
        "licence": told["licence"],
        "agreements": told["agreements"],
        "transfers": transfers,
        "succeeded_by": identity.succeeded_by,
    }


def _not_stated(parties: list[dict[str, Any]]) -> list[str]:
    """What parties have left out that the record asks for."""
    asked = {
        "roles_in_law": "the role in law (handler, joint handler, processor)",
        "contact": "contact details",
        "officer": "the officer for personal information, or that none is needed",
        "country": "the country",
    }
    return [
        f"{what} of {', '.join(missing)}"
        for name, what in asked.items()
        if (missing := [one["id"] for one in parties if not one[name]])
    ]


def _consent_activity(counts: _Counts, notices: Sequence[Notice]) -> dict[str, Any]:
    kinds = ("notice.published", "subjects.enrolled", "consent.decided", "subject.forgotten")
    return {
        "activity": "Keeping consents: notices, decisions, receipts, erasure",
        "purposes": sorted({notice.purpose for notice in notices}),
        "legal_basis": (
            "GDPR Art. 6(1)(c) with Art. 7(1) (to demonstrate consent); PIPL Art. 14 to 16"
        ),
        "data_subjects": ["borrowers of the lenders"],
        "data_categories": ["pseudonyms", "consent decisions", "signing keys of borrowers"],
        "recipients": sorted({recipient for notice in notices for recipient in notice.recipients}),
        "retention": (
            "consents, decisions and keys until the borrower is erased; then keyed hashes of names "
            "while budgets are counted, and what was signed for three years, readable by registry "
            "and auditor together only; the log's skeletons for good (consent/retention.toml)"
        ),
        "entries": {kind: counts.by_type[kind] for kind in kinds if counts.by_type[kind]},
    }


def _campaign_activity(name: str, campaign: Campaign, counts: _Counts) -> dict[str, Any]:
    features = campaign.features["features"]
    mechanism = campaign.mechanism
    what = "Joint training" if campaign.watched is None else "Joint watching"
    return {
        "activity": f"{what} of a credit model: {campaign.title}",
        "campaign": name,
        "purposes": [campaign.purpose],
        "legal_basis": campaign.legal_basis,
        "data_subjects": ["borrowers who gave consent for this purpose and recipient"],
        "data_categories": sorted({f["category"] for f in features}),
        "sensitive_features": sorted(
            f["name"] for f in features if f.get("sensitivity") == "sensitive"
        ),
        "recipients": sorted(campaign.lenders),
        "impact_assessment": campaign.assessment_sha256 or "none: of a version before 0.7.0",
        "retention": (
            "no copy is made; what is released keeps the bounded influence stated under risk"
        ),
        "risk": (
            f"differential privacy: epsilon {mechanism.epsilon:g} at delta {mechanism.delta:g} per "
            "person, in all"
        ),
        "entries": dict(sorted(counts.by_campaign[name].items())),
    }


def _own_activity(kind: str, actor: str, row: dict[str, Any]) -> dict[str, Any]:
    return {
        "activity": f"{kind} by {actor}",
        "recipients": sorted(row["recipients"]),
        "first": row["first"],
        "last": row["last"],
        "entries": {kind: row["entries"]},
    }


def html_page(record: dict[str, Any]) -> str:
    """The record as one page without outside parts."""
    folder = Path(__file__).parent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template("export.html").render(record=record)


def parse_day(text: str) -> date:
    """``2026-11-22``; raises Conflict."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError as error:
        raise Conflict(f"{text!r} is not a day; write it as 2026-11-22") from error
