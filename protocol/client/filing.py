"""Documents that institutions file at the registry beside campaigns, and read there: impact
assessments, incidents, reports of audits, recalls of models.

Not part of what a node loads: its operator's commands read them, its gate goes by the campaign.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import httpx

from crypto.errors import CryptoError, SignatureError
from crypto.keys import SigningKey
from protocol.assessments import ImpactAssessment
from protocol.audits import AuditRemedy, ComplianceReport
from protocol.campaigns import Campaign
from protocol.cards import ModelCard
from protocol.client.institutions import InstitutionClient
from protocol.errors import ConsentError, RegistryUnavailable
from protocol.incidents import Incident, IncidentClosure
from protocol.parties import Role
from protocol.recalls import (
    ModelRecall,
    RecallAcknowledgement,
    verified_acknowledgement,
    verified_recall,
)


def record_assessment(client: InstitutionClient, token: str) -> str:
    """Record a signed assessment; returns its hash."""
    answer = client._send("POST", "/v1/assessments", {"token": token})
    return client._checked(lambda: str(answer.json()["sha256"]))


def fetch_assessment(client: InstitutionClient, sha256: str) -> tuple[ImpactAssessment, str]:
    """The assessment with this hash, verified against its author's key, and its token.

    Raises:
        RegistryUnavailable: the answer does not verify, or is another one than was asked for.
    """
    answer = client._send("GET", f"/v1/assessments/{sha256}")
    token = client._checked(lambda: str(answer.json()["token"]))
    author = client._checked(
        lambda: client.consortium.party(ImpactAssessment.claimed(token).author)
    )
    found = client._checked(lambda: ImpactAssessment.verify(token, author.key))
    if found.sha256 != sha256:
        raise RegistryUnavailable(
            "the consent registry answered with another assessment than was asked for"
        )
    return found, token


def list_assessments(client: InstitutionClient) -> list[dict[str, Any]]:
    """What stands in the registry's list, oldest first."""
    return all_pages(client, "/v1/assessments")


@dataclass(frozen=True)
class HeldIncident:
    """An incident as the registry holds it, every signature checked."""

    incident: Incident
    closure: IncidentClosure | None
    told: int
    """How many people."""


def report_incident(
    client: InstitutionClient, token: str, affected: Sequence[str]
) -> dict[str, int]:
    """Report a signed incident to at most ``MAX_TOLD`` people; returns how many were told, and how
    many are unreachable."""
    body = {"token": token, "affected": list(affected)}
    answer = client._send("POST", "/v1/incidents", body)
    return client._checked(
        lambda: {name: int(answer.json()[name]) for name in ("told", "unreachable")}
    )


def close_incident(client: InstitutionClient, sha256: str, token: str) -> None:
    client._send("POST", f"/v1/incidents/{sha256}/closure", {"token": token})


def list_incidents(client: InstitutionClient) -> list[dict[str, Any]]:
    """What the caller may see of the registry's list, oldest first."""
    return all_pages(client, "/v1/incidents")


def fetch_incident(client: InstitutionClient, sha256: str) -> HeldIncident:
    """The incident with this hash. Raises RegistryUnavailable: the answer does not verify."""
    answer = client._send("GET", f"/v1/incidents/{sha256}")
    found = client._checked(lambda: _held(client, answer.json()))
    if found.incident.sha256 != sha256:
        raise RegistryUnavailable(
            "the consent registry answered with another incident than was asked for"
        )
    return found


def _held(client: InstitutionClient, said: Mapping[str, Any]) -> HeldIncident:
    token, closed = str(said["token"]), said["closure"]
    key = client.consortium.party(Incident.claimed(token).institution).key
    incident = Incident.verify(token, key)
    closure = None if closed is None else IncidentClosure.verify(str(closed), key)
    if closure is not None and closure.incident_sha256 != incident.sha256:
        raise SignatureError("the closure is of another incident")
    return HeldIncident(incident, closure, int(said["told"]))


def all_pages(client: InstitutionClient, target: str) -> list[dict[str, Any]]:
    """The items of every page of a list."""
    found: list[dict[str, Any]] = []
    following: str | None = ""
    while following is not None:
        answer = client._send("GET", f"{target}{following and f'?cursor={following}'}")
        page, following = client._checked(partial(_page, answer))
        found += page
    return found


def _page(answer: httpx.Response) -> tuple[list[dict[str, Any]], str | None]:
    said = answer.json()
    items = [dict(item) for item in said["items"]]
    return items, None if said["next"] is None else str(said["next"])


def released_card(client: InstitutionClient, campaign_sha256: str) -> ModelCard:
    """The card of the model that a campaign released last, verified."""
    answer = client._send("GET", f"/v1/campaigns/{campaign_sha256}/model")
    key = client.consortium.one(Role.COORDINATOR).key
    return client._checked(lambda: ModelCard.verify(str(answer.json()["card"]), key))


def recall_model(client: InstitutionClient, recall: ModelRecall, key: SigningKey) -> int:
    """Recall a model; returns the index of its entry."""
    target = f"/v1/campaigns/{recall.campaign_sha256}/model/recalls"
    answer = client._send("POST", target, {"token": recall.sign(key)})
    return client._checked(lambda: int(answer.json()["entry_index"]))


@dataclass(frozen=True)
class HeldRecalls:
    """What was said about one card, as far as its signature holds; ``tokens`` are the recalls as
    they were signed, ``unsound`` how many others the registry handed out."""

    recalls: tuple[ModelRecall, ...] = ()
    acknowledgements: tuple[RecallAcknowledgement, ...] = ()
    tokens: tuple[str, ...] = ()
    unsound: int = 0


def recalls_of(client: InstitutionClient, campaign: Campaign, card: ModelCard) -> HeldRecalls:
    """Recalls of a released model, and which lenders use it no more; those of other cards of the
    campaign are left out. A registry can neither stop a model by itself, nor say for a lender that
    it stopped, nor hide a recall behind something that does not verify.

    Raises:
        RegistryUnavailable: it does not answer, or not in the form that it should.
    """
    answer = client._send("GET", f"/v1/campaigns/{campaign.sha256}/model/recalls")
    told, heard = client._checked(
        lambda: [[str(one) for one in answer.json()[n]] for n in ("recalls", "acknowledgements")]
    )
    about = client.consortium, campaign, card
    recalls, unsound = _sound(told, ModelRecall, lambda token: verified_recall(token, *about), card)
    acknowledged, unsound_too = _sound(
        heard, RecallAcknowledgement, lambda token: verified_acknowledgement(token, *about), card
    )
    return HeldRecalls(
        tuple(recalls.values()),
        tuple(acknowledged.values()),
        tuple(recalls),
        unsound + unsound_too,
    )


AboutRecall = TypeVar("AboutRecall", ModelRecall, RecallAcknowledgement)


def _sound(
    tokens: Sequence[str],
    kind: type[AboutRecall],
    verified: Callable[[str], AboutRecall],
    card: ModelCard,
) -> tuple[dict[str, AboutRecall], int]:
    """Those of this card that verify, by their token, and how many do not."""
    found: dict[str, AboutRecall] = {}
    unsound = 0
    for token in tokens:
        try:
            if kind.claimed(token).card_sha256 == card.sha256:
                found[token] = verified(token)
        except (CryptoError, ConsentError):
            unsound += 1
    return found, unsound


def acknowledge_recall(
    client: InstitutionClient, said: RecallAcknowledgement, key: SigningKey
) -> int:
    """Say that a lender uses a recalled model no more; returns the index of the entry."""
    target = f"/v1/campaigns/{said.campaign_sha256}/model/recalls/acknowledgements"
    answer = client._send("POST", target, {"token": said.sign(key)})
    return client._checked(lambda: int(answer.json()["entry_index"]))


@dataclass(frozen=True)
class HeldAudit:
    """A report as the registry holds it, every signature checked."""

    report: ComplianceReport
    remedies: tuple[AuditRemedy, ...]


def report_audit(client: InstitutionClient, report: ComplianceReport, key: SigningKey) -> str:
    """Record the report of a compliance audit; returns its hash."""
    answer = client._send("POST", "/v1/audits", {"token": report.sign(key)})
    return client._checked(lambda: str(answer.json()["sha256"]))


def remedy_finding(client: InstitutionClient, remedy: AuditRemedy, key: SigningKey) -> None:
    target = f"/v1/audits/{remedy.report_sha256}/remedies"
    client._send("POST", target, {"token": remedy.sign(key)})


def list_audits(client: InstitutionClient) -> list[dict[str, Any]]:
    """Reports that the caller may see, oldest first."""
    return all_pages(client, "/v1/audits")


def audits_due(client: InstitutionClient) -> list[dict[str, Any]]:
    answer = client._send("GET", "/v1/audits/due")
    return client._checked(lambda: [dict(one) for one in answer.json()])


def fetch_audit(client: InstitutionClient, sha256: str) -> HeldAudit:
    """The report with this hash. Raises RegistryUnavailable: the answer does not verify."""
    answer = client._send("GET", f"/v1/audits/{sha256}")
    found = client._checked(lambda: _held_audit(client, answer.json()))
    if found.report.sha256 != sha256:
        raise RegistryUnavailable(
            "the consent registry answered with another report than was asked for"
        )
    return found


def _held_audit(client: InstitutionClient, told: Mapping[str, Any]) -> HeldAudit:
    token = str(told["token"])
    auditor = client.consortium.party(ComplianceReport.claimed(token).auditor)
    report = ComplianceReport.verify(token, auditor.key)
    remedies = []
    for signed in told["remedies"]:
        party = client.consortium.party(AuditRemedy.claimed(str(signed)).party)
        remedy = AuditRemedy.verify(str(signed), party.key)
        if remedy.report_sha256 != report.sha256:
            raise SignatureError("a remedy is of another report")
        remedies.append(remedy)
    return HeldAudit(report, tuple(remedies))
