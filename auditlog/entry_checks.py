"""Every type of entry that there is: who writes it, what stands in clear, who can read the rest,
and what is checked of it.

One line per type. A type that has no line here fails the audit: what nobody checks proves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from auditlog import campaign_checks as campaigns
from auditlog import filing_checks as filings
from auditlog.authority import AuditState
from auditlog.entries import LEAF_VERSION, day_of
from crypto.errors import CryptoError
from privacy.filter import TOLERANCE
from protocol.assessments import ImpactAssessment
from protocol.errors import AuditFailed
from protocol.evidence import PackScope
from protocol.handovers import Handover
from protocol.incidents import Incident, IncidentClosure
from protocol.notices import Notice
from protocol.parties import Consortium, Role
from protocol.revocations import Acknowledgement
from protocol.samples import SampleRequest
from protocol.schema import Document
from protocol.uses import FIELDS, PORTRAYED, STEPS

Check = Callable[[AuditState, Mapping[str, Any]], None]
Reader = Literal["auditor", "subject", "anybody"]
REGISTRY, LENDER = frozenset({Role.REGISTRY}), frozenset({Role.LENDER})
COORDINATOR, NAMING = frozenset({Role.COORDINATOR}), frozenset({Role.NAMING})
AUDITOR, ANY = frozenset({Role.AUDITOR}), frozenset(Role)
AUTHORS = REGISTRY | LENDER | COORDINATOR
_HASH = re.compile(r"[0-9a-f]{64}")
COMMON = frozenset({"v", "type", "actor", "time", "body"})


def form_alone(know: AuditState, leaf: Mapping[str, Any]) -> None:
    """That its form is kept, which is checked of every entry, is all that can be checked."""


def notice(know: AuditState, leaf: Mapping[str, Any]) -> None:
    if said := know.document(leaf, Notice, leaf["actor"]):
        texts = {language: said.text_sha256(language) for language in said.texts}
        stated = (leaf["notice"], leaf["notice_version"], leaf["texts"])
        know.require(
            stated == (said.id, said.version, texts), "the notice is another than was stated"
        )
        know.notices[know.index] = said


def forgotten(know: AuditState, leaf: Mapping[str, Any]) -> None:
    know.erasures[day_of(leaf)] += 1


def acknowledged(know: AuditState, leaf: Mapping[str, Any]) -> None:
    if said := know.document(leaf, Acknowledgement, leaf["actor"]):
        know.require(said.recipient == leaf["actor"], "the acknowledgement is another lender's")


def counted(know: AuditState, leaf: Mapping[str, Any]) -> None:
    know.counted += leaf["epsilon"]
    within = know.counted <= know.consortium.count_epsilon * (1 + TOLERANCE)
    know.require(within, "counts of people have cost more than the consortium set aside for them")


def sampled(know: AuditState, leaf: Mapping[str, Any]) -> None:
    know.use(leaf)
    know.samples[know.index] = leaf
    if said := know.document(leaf, SampleRequest, leaf["actor"]):
        stated = (leaf["actor"], leaf["campaign"], leaf["nonce"], leaf["people"])
        asked = (said.auditor, said.campaign_sha256, said.nonce_sha256, said.people)
        know.require(stated == asked, "the request for a sample is another than was stated")


def sample_opened(know: AuditState, leaf: Mapping[str, Any]) -> None:
    announced = know.samples.get(leaf["sample"], {}).get("campaign") == leaf["campaign"]
    know.require(announced, "people's consents were opened for a sample that was never announced")
    opening = (leaf["sample"], leaf["lender"])
    know.require(opening not in know.openings, "a sample was opened twice for one lender")
    know.openings.add(opening)
    if said := know.opened(leaf):
        hashes = set(said) == {"opened", "answer"} and all(
            _HASH.fullmatch(str(one)) for one in said.values()
        )
        know.require(hashes, "of an opened sample the log holds more, or less, than two hashes")


def succeeded(know: AuditState, leaf: Mapping[str, Any]) -> None:
    """An auditor took over an archive."""
    know.require(leaf["outgoing"] in know.auditors(), "nobody's archive was taken over")
    know.archives[leaf["actor"]] = leaf["archive"]
    if said := know.document(leaf, Handover, leaf["outgoing"]):
        stated = tuple(leaf[name] for name in ("actor", "archive", "envelopes", "bodies"))
        signed = (said.successor, said.archive_sha256, said.envelopes, said.bodies)
        know.require(stated == signed, "the handover is another than was stated")


def stated_hash(know: AuditState, leaf: Mapping[str, Any], field: str, document: Document) -> None:
    know.require(leaf[field] == document.sha256, f"the {document.typ} is another than was stated")


def request_step(know: AuditState, leaf: Mapping[str, Any]) -> None:
    """A step of a person's request: a salted commitment, and nothing else that could tell whose."""
    salted = isinstance(leaf["request"], str) and _HASH.fullmatch(leaf["request"])
    know.require(bool(salted), "it does not commit to a step of a request")


def assessed(know: AuditState, leaf: Mapping[str, Any]) -> None:
    if said := know.document(leaf, ImpactAssessment, leaf["actor"]):
        stated_hash(know, leaf, "assessment", said)
        know.require(said.author == leaf["actor"], "the assessment is another party's")


def incident_opened(know: AuditState, leaf: Mapping[str, Any]) -> None:
    known = leaf["incident"] in know.closed_incidents or leaf["incident"] in know.incidents
    know.require(not known, "the incident was opened before")
    know.incidents[leaf["incident"]] = leaf["actor"]
    if said := know.document(leaf, Incident, leaf["actor"]):
        stated_hash(know, leaf, "incident", said)
        know.require(said.institution == leaf["actor"], "the incident is another party's")


def incident_closed(know: AuditState, leaf: Mapping[str, Any]) -> None:
    mine = know.incidents.pop(leaf["incident"], None) == leaf["actor"]
    know.require(mine, "the incident that it closes is none of its own that is open")
    know.closed_incidents.add(leaf["incident"])
    if said := know.document(leaf, IncidentClosure, leaf["actor"]):
        stated = (said.incident_sha256, said.institution)
        know.require(
            stated == (leaf["incident"], leaf["actor"]), "the closure is of another incident"
        )


def amended(know: AuditState, leaf: Mapping[str, Any]) -> None:
    """Who parties are in law has changed; roles and keys have not."""
    if said := know.document(leaf, Consortium, leaf["actor"]):
        stated_hash(know, leaf, "document", said)
        for party in said.parties:
            kept = (party.role, party.signing_key, party.recipient_key)
            known = {(p.role, p.signing_key, p.recipient_key) for p in know.known_as(party.id)}
            know.require(kept in known, f"an amendment gives {party.id!r} another role or key")


def exported(know: AuditState, leaf: Mapping[str, Any]) -> None:
    """A part of an evidence pack was about to be made."""
    about = {name: leaf[name] for name in ("export", "campaign") if name in leaf}
    campaign = leaf.get("campaign")
    if campaign is not None:
        told = PackScope.parse(f"campaign:{campaign}").public()
        know.require(about == told, "the scope of an evidence pack is another campaign's")
    if (body := know.opened(leaf)) is not None:
        told = PackScope.parse(str(body["scope"])).public()
        know.require(about == told, "the scope of an evidence pack is another than was stated")


def used(know: AuditState, leaf: Mapping[str, Any]) -> None:
    """A use to score an application or for portraits, if it says so: after the step before it,
    once, by a lender, sealed to the person, with hashes alone in clear."""
    use = leaf.get("use")
    if use is None:
        return
    kind, about = leaf["type"], (leaf["actor"], use["application"])
    know.require(know.has_role(leaf["actor"], LENDER), "only a lender scores applications")
    know.require(set(leaf) - COMMON == {"use"}, "it says more than a use to score may")
    know.require(leaf["body"]["sealed_to"] == ["subject"], "it is not sealed to the person alone")
    least, most = FIELDS[kind] - {"model"}, FIELDS[kind]
    know.require(least <= set(use) <= most, "the use has other fields than its step has")
    hashes = all(isinstance(one, str) and _HASH.fullmatch(one) for one in use.values())
    know.require(hashes, "the use says something that is no hash")
    before = None if kind == PORTRAYED else (None, *STEPS)[STEPS.index(kind)]
    know.require(know.steps.get(about) == before, f"it does not come after {before or 'nothing'}")
    know.steps[about] = kind


def own_key(know: AuditState, leaf: Mapping[str, Any]) -> None:
    mine = leaf["party"] == leaf["actor"] or know.has_role(leaf["actor"], REGISTRY)
    know.require(mine, f"{leaf['actor']!r} changed a key of {leaf['party']!r}")


@dataclass(frozen=True)
class Form:
    """One type of entry.

    ``fields`` stand in clear, all of them; ``also`` may. ``reader`` is among those whom the body is
    sealed to.
    """

    actors: frozenset[Role]
    fields: str = ""
    check: Check = form_alone
    reader: Reader = "auditor"
    also: str = ""

    def kept(self, know: AuditState, leaf: Mapping[str, Any]) -> None:
        """Raises AuditFailed: the entry is not of this form."""
        know.require(leaf["v"] == LEAF_VERSION, "it is of a version that is not known here")
        know.require(
            know.has_role(leaf["actor"], self.actors),
            f"{leaf['actor']!r} wrote a {leaf['type']} entry, which is not its to write",
        )
        clear = set(leaf) - COMMON
        least, most = set(self.fields.split()), set((self.fields + " " + self.also).split())
        know.require(least <= clear <= most, "its skeleton has other fields than its type has")
        sealed_to = set(leaf["body"]["sealed_to"])
        readers = know.auditors() if self.reader == "auditor" else {self.reader}
        know.require(
            self.reader == "anybody" or bool(readers & sealed_to),
            f"it is not sealed to the {self.reader}",
        )


_OWN = Form(AUTHORS, reader="anybody", also="campaign counts hashes sealed")
_OWN_OF_ALL = replace(_OWN, actors=AUTHORS | AUDITOR)
_USE = Form(AUTHORS, "", used, "anybody", "campaign counts hashes sealed use")
_REQUEST = Form(REGISTRY, "request", request_step, reader="subject")
_COMMITTED = (
    "campaign authorisation_id release attempt kind root noise_multiplier sampling_rate steps"
)
FORMS: Mapping[str, Form] = {
    "notice.published": Form(REGISTRY, "notice notice_version texts", notice),
    "subjects.enrolled": Form(LENDER),
    "subjects.renamed": Form(LENDER, also="root"),
    "subject.forgotten": Form(REGISTRY, "key", forgotten),
    "key.added": Form(REGISTRY, reader="subject"),
    "key.ended": Form(REGISTRY, reader="subject"),
    "key.demanded": Form(REGISTRY, reader="subject"),
    "key.waived": Form(REGISTRY, reader="subject"),
    "login.linked": Form(REGISTRY, reader="subject"),
    "login.unlinked": Form(REGISTRY, reader="subject"),
    "hold.opened": Form(REGISTRY),
    "retention.applied": Form(REGISTRY),
    "retention.reviewed": Form(REGISTRY),
    "consent.decided": Form(REGISTRY, "decision", reader="subject"),
    "consents.imported": Form(LENDER, "root"),
    "revocations.acknowledged": Form(LENDER, "", acknowledged),
    "consent.state-served": Form(REGISTRY, "lender state", campaigns.state_served),
    "campaign.proposed": Form(COORDINATOR, "campaign epsilon delta", campaigns.proposed),
    "campaign.approved": Form(LENDER, "campaign", campaigns.approved),
    "campaign.rejected": Form(LENDER, "campaign", campaigns.rejected),
    "campaign.activated": Form(REGISTRY, "campaign", campaigns.activated),
    "use.authorised": Form(REGISTRY, "campaign lender authorisation", campaigns.authorised),
    "roster.committed": Form(LENDER, _COMMITTED, campaigns.committed),
    "model.released": Form(COORDINATOR, "campaign model_card", campaigns.released),
    "population.counted": Form(COORDINATOR, "epsilon", counted),
    "request.received": _REQUEST,
    "request.marked": _REQUEST,
    "request.answered": _REQUEST,
    "request.closed": _REQUEST,
    "assessment.recorded": Form(ANY, "assessment", assessed),
    "incident.opened": Form(ANY - AUDITOR, "incident", incident_opened),
    "incident.notified": Form(REGISTRY, reader="subject"),
    "incident.closed": Form(ANY - AUDITOR, "incident", incident_closed),
    "consortium.amended": Form(REGISTRY, "document", amended),
    "model.recalled": Form(COORDINATOR | LENDER, "campaign model_card", filings.recalled),
    "recall.acknowledged": Form(LENDER, "campaign model_card", filings.recall_acknowledged),
    "audit.reported": Form(AUDITOR, "report", filings.reported),
    "audit.remedied": Form(ANY - AUDITOR, "report", filings.remedied),
    "evidence.sampled": Form(AUDITOR, "campaign nonce people", sampled),
    "evidence.opened": Form(AUDITOR, "campaign lender sample", sample_opened),
    "evidence.exported": Form(ANY, "export", exported, also="campaign"),
    "auditor.succeeded": Form(AUDITOR, "outgoing archive envelopes bodies", succeeded),
    "party.key_added": Form(ANY, "party key", own_key),
    "party.key_revoked": Form(ANY, "party key", own_key),
    # what a party logs of its own (consent.commands.append_entries)
    "use.read": _USE,
    "use.scored": _USE,
    "use.explained": _USE,
    "use.portrayed": _USE,
    "use.corrected": _OWN,
    "use.exported": _OWN,
    "use.deleted": _OWN,
    "use.refused": _OWN,
    "system.started": _OWN,
    "system.stopped": _OWN,
    "system.changed": _OWN_OF_ALL,
    "review.made": _OWN,
    "evidence.read": _OWN_OF_ALL,
    "names.evaluated": Form(NAMING, "names", reader="anybody", also="counts hashes sealed"),
    "names.keys": Form(NAMING, "", reader="anybody", also="counts hashes sealed"),
}


def check_entry(know: AuditState, index: int, leaf: Mapping[str, Any]) -> None:
    """Take the next leaf.

    Raises:
        AuditFailed: it is of no type that is known here, not of its type's form, or what its type
            is checked for does not hold.
    """
    know.index = index
    know.require(day_of(leaf) >= know.latest, "time runs backwards")
    know.latest = day_of(leaf)
    know.by_type[leaf["type"]] += 1
    form = FORMS.get(leaf["type"])
    if form is None:
        raise AuditFailed(
            f"entry {index}: nothing here checks entries of the type {leaf['type']!r}; this build "
            "does not know it, and cannot say that the log is in order"
        )
    try:
        form.kept(know, leaf)
        form.check(know, leaf)
    except (CryptoError, KeyError, ValueError, TypeError) as error:
        raise AuditFailed(f"entry {index}, {leaf['type']}: {error}") from error
