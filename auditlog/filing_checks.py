"""What is checked of entries about documents that are filed beside campaigns: recalls of models
and that lenders heard of them, reports of audits, remedies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auditlog.authority import AuditState
from protocol.audits import AuditRemedy, ComplianceReport
from protocol.recalls import ModelRecall, RecallAcknowledgement


def recalled(know: AuditState, leaf: Mapping[str, Any]) -> None:
    """A model that was released, by who has a part in it."""
    use = know.use(leaf)
    know.require(leaf["model_card"] in use.cards, "a model was recalled that was never released")
    use.recalled.add(leaf["model_card"])
    if said := know.document(leaf, ModelRecall, leaf["actor"]):
        stated = (leaf["actor"], leaf["campaign"], leaf["model_card"])
        signed = (said.party, said.campaign_sha256, said.card_sha256)
        know.require(stated == signed, "the recall is another than was stated")
    if use.campaign is not None:
        parts = {use.campaign.coordinator, *use.campaign.lenders}
        know.require(leaf["actor"] in parts, "who recalled the model has no part in it")


def recall_acknowledged(know: AuditState, leaf: Mapping[str, Any]) -> None:
    """Of a model that was recalled, by a lender of its campaign."""
    use = know.use(leaf)
    recalled = leaf["model_card"] in use.recalled
    know.require(recalled, "a recall was acknowledged of a model that nobody recalled")
    if said := know.document(leaf, RecallAcknowledgement, leaf["actor"]):
        stated = (leaf["actor"], leaf["campaign"], leaf["model_card"])
        signed = (said.lender, said.campaign_sha256, said.card_sha256)
        know.require(stated == signed, "the acknowledgement of a recall is another than was stated")
    if use.campaign is not None:
        part = leaf["actor"] in use.campaign.lenders
        know.require(part, "who acknowledged the recall has no part in the model")


def reported(know: AuditState, leaf: Mapping[str, Any]) -> None:
    know.require(leaf["report"] not in know.reports, "the audit was reported before")
    know.reports.add(leaf["report"])
    if said := know.document(leaf, ComplianceReport, leaf["actor"]):
        stated, signed = (leaf["report"], leaf["actor"]), (said.sha256, said.auditor)
        know.require(stated == signed, "the report of an audit is another than was stated")


def remedied(know: AuditState, leaf: Mapping[str, Any]) -> None:
    known = leaf["report"] in know.reports
    know.require(known, "a finding was remedied of an audit that was never reported")
    if said := know.document(leaf, AuditRemedy, leaf["actor"]):
        stated, signed = (leaf["report"], leaf["actor"]), (said.report_sha256, said.party)
        know.require(stated == signed, "the remedy is another than was stated")
