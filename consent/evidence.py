"""The registry's part of an evidence pack: the log's proofs, what was signed, and counts.

Nobody is in it. Counts of consents are by lender, purpose, consent, notice and state, and one of
fewer than ten people is left out (:data:`FEWEST`). What the registry does not know exactly it tells
as it knows it: when an acknowledgement was logged is a day.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, select, true
from sqlalchemy.orm import InstrumentedAttribute

from auditlog.entries import day_of
from consent.arrangement import arrangement, in_words
from consent.commands.record_audits import audits_due
from consent.commands.revocations import overdue
from consent.evidence_log import LogExtract, extract
from consent.notice_changes import further
from consent.notice_rules import Draft, lint
from consent.registry import Registry
from consent.retention import rules
from consent.storage.erasure_tables import ReviewRow
from consent.storage.filing_tables import (
    AssessmentRow,
    AuditRemedyRow,
    AuditReportRow,
    IncidentClosureRow,
    IncidentRow,
    ModelRecallRow,
    RecallAcknowledgementRow,
)
from consent.storage.request_tables import RightsRequestRow
from consent.storage.tables import (
    AcknowledgementRow,
    ApprovalRow,
    AuthorisationRow,
    CampaignRow,
    ConsentRow,
    ModelRow,
    NoticeRow,
    RejectionRow,
    RevocationRow,
    SubjectRow,
)
from consent.transaction import Transaction, reading
from law.vocabulary import LANGUAGES
from protocol.audits import ComplianceReport
from protocol.campaigns import Campaign
from protocol.cards import ModelCard
from protocol.coverage import exceeds
from protocol.errors import NotFound
from protocol.evidence import PackScope, percentiles
from protocol.incidents import Incident
from protocol.notices import Notice
from protocol.parties import Party
from protocol.parts import PartWriter
from protocol.rights import RequestStatus
from protocol.states import ConsentStatus

FEWEST = 10
"""People in a count of consents that is told."""


def check_scope(registry: Registry, scope: PackScope) -> None:
    """Raises NotFound: no such campaign or lender."""
    with reading(registry) as view:
        if scope.campaign and view.session.get(CampaignRow, scope.campaign) is None:
            raise NotFound(f"there is no campaign {scope.campaign[:12]}…")
    if scope.lender and scope.lender not in {one.id for one in registry.consortium.lenders}:
        raise NotFound(f"{scope.lender!r} is no lender of this consortium")


def collect(
    registry: Registry, scope: PackScope, made: int, part: PartWriter, since: str | None = None
) -> LogExtract:
    """Put everything into the part, as one transaction sees it.

    Args:
        made: the entry of the log that says that the part is made.
        since: a checkpoint; that the log extends it is proved as well.
    """
    with reading(registry) as view:
        log = extract(registry.ledger.log, view.session, scope, made, part, since)
        _parties(registry, part)
        told = _Told(view, scope, log.last.size, [])
        for sha256 in sorted(log.campaigns):
            # an institution's own entries may name what was never proposed
            if view.session.get(CampaignRow, sha256) is not None:
                told.campaigns.append(told.add_campaign(part, sha256))
        told.add_notices(part)
        part.add_json("consents/states.json", told.states())
        withdrawn = {lender.id: told.withdrawals(lender) for lender in told.lenders}
        part.add_json("consents/withdrawals.json", withdrawn)
        part.add_json("requests/statistics.json", told.requests())
        told.add_incidents(part)
        told.add_audits(part)
        if scope.days is not None:
            told.add_assessments(part)
        told.add_retention(part)
        part.add_json("erasures/counts.json", told.erased())
    return log


def _parties(registry: Registry, part: PartWriter) -> None:
    part.add("parties/consortium.jws", registry.consortium_token.encode())
    for language in LANGUAGES:
        text = in_words(arrangement(registry.consortium, language), language)
        part.add(f"parties/arrangement.{language}.txt", text.encode())
    for path in sorted(registry.home.glob("consortium-*.jws")):
        part.add(f"parties/earlier/{path.name}", path.read_bytes())


@dataclass
class _Told:
    """What the registry tells of one scope."""

    view: Transaction
    scope: PackScope
    size: int
    """How many entries of the log are in the part."""
    campaigns: list[Campaign]

    @property
    def lenders(self) -> list[Party]:
        """Whom the scope is about."""
        everybody = self.view.registry.consortium.lenders
        if self.scope.lender is not None:
            return [one for one in everybody if one.id == self.scope.lender]
        if self.scope.campaign is not None:
            return [one for one in everybody if one.id in self.campaigns[0].lenders]
        return list(everybody)

    def within(self, column: InstrumentedAttribute[Any]) -> ColumnElement[bool]:
        """In the period, if the scope has one."""
        if self.scope.days is None:
            return true()
        first, last = (datetime.fromisoformat(day).replace(tzinfo=UTC) for day in self.scope.days)
        return and_(column >= first, column < last + timedelta(days=1))

    # --- what was signed

    def add_campaign(self, part: PartWriter, sha256: str) -> Campaign:
        session, folder = self.view.session, f"campaigns/{sha256}"
        row = session.get_one(CampaignRow, sha256)
        campaign = Campaign.claimed(row.token)
        part.add(f"{folder}/campaign.jws", row.token.encode())
        assessment = session.get(AssessmentRow, campaign.assessment_sha256 or "")
        if assessment is not None:
            part.add(f"{folder}/assessment.jws", assessment.token.encode())
        for kind, table in (("approvals", ApprovalRow), ("rejections", RejectionRow)):
            rows = select(table.lender, table.token).where(table.campaign_sha256 == sha256)
            for lender, token in session.execute(rows.order_by(table.lender)):
                part.add(f"{folder}/{kind}/{lender}.jws", token.encode())
        for model in session.scalars(
            select(ModelRow)
            .where(ModelRow.campaign_sha256 == sha256, ModelRow.entry_index < self.size)
            .order_by(ModelRow.entry_index)
        ):
            card = ModelCard.claimed(model.card).sha256
            part.add(f"{folder}/cards/{card}.jws", model.card.encode())
            of_card = (
                ("recalls", ModelRecallRow, ModelRecallRow.party),
                ("heard", RecallAcknowledgementRow, RecallAcknowledgementRow.lender),
            )
            for kind, signed, by in of_card:
                mine = signed.card_sha256 == card, signed.entry_index < self.size
                said = select(by, signed.token).where(*mine).order_by(signed.entry_index)
                for party, token in session.execute(said):
                    part.add(f"{folder}/{kind}/{card}.{party}.jws", token.encode())
        issued = select(AuthorisationRow).where(AuthorisationRow.campaign_sha256 == sha256)
        rows_of = session.scalars(issued.order_by(AuthorisationRow.expires_at, AuthorisationRow.id))
        part.add_json(
            f"{folder}/authorisations.json",
            [
                {"id": one.id, "lender": one.lender, "expires_at": one.expires_at.isoformat()}
                for one in rows_of
            ],
        )
        part.add_json(f"{folder}/coverage.json", self._coverage(campaign))
        return campaign

    def _coverage(self, campaign: Campaign) -> dict[str, Any]:
        """Whether each lender's live notice says what the campaign does; "" if it does."""
        found = {}
        needs = campaign.needs(self.view.registry.consortium)
        for lender in campaign.lenders:
            notice = self.view.notices.live(campaign.purpose, lender)
            beyond = "no notice asks for it" if notice is None else exceeds(needs, notice.terms)
            named = None if notice is None else {"id": notice.id, "version": notice.version}
            found[lender] = {"notice": named, "beyond": beyond or ""}
        return found

    def add_notices(self, part: PartWriter) -> None:
        """Every notice: the log does not tell of which purpose one is, so that only all of them
        are all of a purpose's. What keeps each from being published today, and what it adds to the
        version before."""
        registry, review, before = self.view.registry, {}, dict[str, Notice]()
        tokens = dict(self.view.session.execute(select(NoticeRow.number, NoticeRow.token)).all())
        for number, notice in self.view.notices.notices.items():
            name = f"{notice.id}-{notice.version}"
            earlier = before.get(notice.id)
            review[name] = {
                "adds": [] if earlier is None else list(further(earlier, notice)),
                "lint": [
                    {"rule": one.rule, "reason": one.reason, "article": one.article}
                    for one in lint(Draft(notice, registry.consortium))
                ],
            }
            before[notice.id] = notice
            part.add(f"notices/{name}.jws", tokens[number].encode())
        part.add_json("notices/review.json", review)

    # --- counts

    def states(self) -> dict[str, Any]:
        """How many consents are in which state. An expired one is told as such."""
        notices = self.view.notices
        over = and_(
            ConsentRow.state == ConsentStatus.GIVEN, ConsentRow.expiry_time <= self.view.moment
        )
        expired = case((over, 1), else_=0).label("over_now")
        cell = (
            ConsentRow.scope_id,
            ConsentRow.sensitivity,
            ConsentRow.notice,
            ConsentRow.state,
            expired,
        )
        named = {lender.id for lender in self.lenders}
        purposes = (
            {campaign.purpose for campaign in self.campaigns} if self.scope.campaign else None
        )
        cells, left_out = [], 0
        counted = select(*cell, func.count()).group_by(*cell).order_by(*cell)
        for scope, kind, notice, state, over_now, people in self.view.session.execute(counted):
            purpose, lender = notices.scope_of[scope]
            if lender not in named or (purposes is not None and purpose not in purposes):
                continue
            if people < FEWEST:
                left_out += 1
                continue
            said = notices.notices[notice]
            cells.append(
                {
                    "lender": lender,
                    "purpose": purpose,
                    "consent": kind,
                    "notice": f"{said.id}-{said.version}",
                    "state": ConsentStatus.EXPIRED.value if over_now else state.value,
                    "people": people,
                }
            )
        return {"cells": cells, "fewest_told": FEWEST, "cells_left_out": left_out}

    def withdrawals(self, lender: Party) -> dict[str, Any]:
        """Withdrawals and what else a lender must act on: how many, and after how many days each
        acknowledgement was logged."""
        session, log = self.view.session, self.view.registry.ledger.log
        acknowledged = session.execute(
            select(AcknowledgementRow.number, AcknowledgementRow.entry_index)
            .where(AcknowledgementRow.recipient == lender.id)
            .order_by(AcknowledgementRow.number)
        ).all()
        numbers = [number for number, _ in acknowledged]
        entries = log.entries_at(session, [index for _, index in acknowledged])
        days = [_day(entries[index].leaf) for _, index in acknowledged]
        waited, late, open_now = Counter[int](), 0, 0
        allowed = timedelta(minutes=self.view.registry.consortium.revocation_minutes)
        told = select(RevocationRow.number, RevocationRow.recorded_at).where(
            RevocationRow.recipient == lender.id, self.within(RevocationRow.recorded_at)
        )
        for number, recorded_at in session.execute(told.order_by(RevocationRow.number)):
            at = bisect_left(numbers, number)
            if at == len(numbers):
                open_now += 1
                continue
            waited[max((days[at] - recorded_at.date()).days, 0)] += 1
            late += days[at] > (recorded_at + allowed).date()
        behind = overdue(self.view, lender)
        return {
            "acknowledged_after_days": {str(day): count for day, count in sorted(waited.items())},
            **percentiles(waited),
            "acknowledged_a_day_too_late": late,
            "not_acknowledged_yet": open_now,
            "overdue_since": None if behind is None else behind.recorded_at.date().isoformat(),
        }

    def requests(self) -> list[dict[str, Any]]:
        """Requests of people by lender and kind; nothing of what they say."""
        row, moment = RightsRequestRow, self.view.moment
        names = [lender.id for lender in self.lenders]
        counted = select(
            row.lender,
            row.kind,
            func.count(),
            func.count(row.answered_at),
            func.sum(case((row.answered_at >= row.due_at, 1), else_=0)),
            func.sum(case((row.answered_at.is_(None) & (row.due_at <= moment), 1), else_=0)),
            func.sum(case((row.status == RequestStatus.REFUSED, 1), else_=0)),
            func.count(row.closed_at),
        )
        counted = counted.where(row.lender.in_(names), self.within(row.received_at))
        grouped = counted.group_by(row.lender, row.kind).order_by(row.lender, row.kind)
        said = ("received", "answered", "answered_late", "overdue", "refused_now", "closed")
        return [
            {"lender": lender, "kind": kind.value, **dict(zip(said, map(int, counts), strict=True))}
            for lender, kind, *counts in self.view.session.execute(grouped)
        ]

    def add_incidents(self, part: PartWriter) -> None:
        """Incidents that were reported in the period, as the institutions signed them, and how each
        was closed; of a campaign, which no incident names, all of them."""
        session, told = self.view.session, []
        shown = select(IncidentRow).where(IncidentRow.entry_index < self.size)
        rows = session.scalars(shown.order_by(IncidentRow.entry_index)).all()
        log = self.view.registry.ledger.log
        entries = log.entries_at(session, [row.entry_index for row in rows])
        for row in rows:
            incident, leaf = Incident.claimed(row.token), json.loads(entries[row.entry_index].leaf)
            if not (self.scope.campaign or self.scope.wants(leaf)):
                continue
            closure = session.get(IncidentClosureRow, row.sha256)
            if closure is not None and closure.entry_index >= self.size:
                closure = None
            part.add(f"incidents/{row.sha256}.jws", row.token.encode())
            if closure is not None:
                part.add(f"incidents/{row.sha256}.closed.jws", closure.token.encode())
            told.append(
                {
                    "incident": row.sha256,
                    "grade": incident.grade.value,
                    "closed": closure is not None,
                }
            )
        part.add_json("incidents/index.json", told)

    def add_audits(self, part: PartWriter) -> None:
        """Reports of compliance audits whose period touches the scope's, with what was done about
        each finding."""
        session = self.view.session
        reports = select(AuditReportRow).where(AuditReportRow.entry_index < self.size)
        for row in session.scalars(reports.order_by(AuditReportRow.entry_index)):
            report = ComplianceReport.claimed(row.token)
            first, last = self.scope.days or ("", "9999")
            touches = first <= report.last.isoformat() and report.first.isoformat() <= last
            if not touches or not {lender.id for lender in self.lenders} & {*report.about}:
                continue
            part.add(f"audits/{row.sha256}.jws", row.token.encode())
            mine = select(AuditRemedyRow).where(
                AuditRemedyRow.report_sha256 == row.sha256,
                AuditRemedyRow.entry_index < self.size,
            )
            for one in session.scalars(mine.order_by(AuditRemedyRow.entry_index)):
                part.add(f"audits/{row.sha256}.{one.finding}.remedy.jws", one.token.encode())
        part.add_json("audits/due.json", audits_due(self.view.registry))

    def add_assessments(self, part: PartWriter) -> None:
        """Every impact assessment, whether a campaign names it or not."""
        shown = select(AssessmentRow).where(AssessmentRow.entry_index < self.size)
        for row in self.view.session.scalars(shown.order_by(AssessmentRow.entry_index)):
            part.add(f"assessments/{row.sha256}.jws", row.token.encode())

    def add_retention(self, part: PartWriter) -> None:
        """What is kept for how long and by which law, and where each yearly review stands in the
        log."""
        shown = select(ReviewRow).where(ReviewRow.entry_index < self.size)
        reviews = self.view.session.scalars(shown.order_by(ReviewRow.day))
        kept = [one.model_dump(mode="json", exclude_defaults=True) for one in rules()]
        done = [{"day": one.day.isoformat(), "entry_index": one.entry_index} for one in reviews]
        part.add_json("retention/rules.json", kept)
        part.add_json("retention/reviews.json", done)

    def erased(self) -> dict[str, Any]:
        """Places on rolls of erased people: the log shows how many subjects were erased in all."""
        names = [lender.id for lender in self.lenders]
        erased = SubjectRow.erased_at
        asked = select(func.count()).where(erased.is_not(None), SubjectRow.lender.in_(names))
        if self.scope.days is not None:
            asked = asked.where(self.within(erased))
        found = self.view.session.scalar(asked)
        told = found if found is not None and found >= FEWEST else None
        return {"places_on_rolls_of_erased_people": told, "fewest_told": FEWEST}


def _day(leaf: bytes) -> date:
    return date.fromisoformat(day_of(json.loads(leaf)))
