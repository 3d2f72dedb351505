"""Samples of a house's campaign, step by step; lenders and auditors that are not honest."""

from __future__ import annotations

import json
import secrets
from dataclasses import replace
from hashlib import sha256

import numpy as np

from auditlog.audit import verify_log
from auditlog.sample_draws import draws, judged
from clients.consents import HeldSnapshot, Usable
from clients.gate import Gate
from clients.sampling import open_sample, verified_draw
from consent.auditing import NOTICE_RULES
from crypto.sealing import unpad, unseal_from
from protocol.samples import EVIDENCE_CONTEXT, OPENED_CONTEXT, OpenedSample, SampleRequest
from protocol.schema import now


class Sampling:
    """One sample of a house's campaign, step by step."""

    def __init__(self, house, people: int = 300) -> None:
        self.house, self.founded = house, house.founded
        self.client = house.founded.auditor(house.url)
        house.clients.append(self.client)
        self.nonce = secrets.token_bytes(32).hex()
        self.index = self.announce(people)
        self.verify()
        self.draws = draws(self.audit, house.campaign.sha256, self.index, self.nonce)

    def verify(self) -> None:
        """The log as it stands now."""
        self.house.registry.ledger.catch_up()
        self.audit = verify_log(self.client, self.client.checkpoint_note(), self.founded.auditor_recipient)

    def announce(self, people: int, **changes) -> int:
        asked = SampleRequest(
            campaign_sha256=self.house.campaign.sha256,
            auditor="auditor",
            people=people,
            nonce_sha256=sha256(bytes.fromhex(self.nonce)).hexdigest(),
            requested_at=now(),
        )
        return self.client.announce_sample(asked, self.founded.auditor_key)

    def token(self, lender: str) -> str:
        return self.draws[lender].sign(self.founded.auditor_key)

    def opened(self, lender: str) -> tuple[str, OpenedSample]:
        node = self.house.node(lender)
        draw = verified_draw(node, self.house.client(lender), self.token(lender))
        sealed = open_sample(node, draw)
        token = unpad(unseal_from(self.founded.auditor_recipient, sealed, OPENED_CONTEXT)).decode()
        return token, OpenedSample.verify(token, node.key.public)

    def evidence(self, token: str) -> dict:
        sealed = self.client.open_evidence(self.index, token)
        return json.loads(unpad(unseal_from(self.founded.auditor_recipient, sealed, EVIDENCE_CONTEXT)))

    def verdicts(self, without: str = ""):
        told = {lender: self.opened(lender) for lender in self.draws if lender != without}
        evidence = {lender: self.evidence(token) for lender, (token, _) in told.items()}
        return judged(
            self.audit, self.draws, {name: sample for name, (_, sample) in told.items()}, evidence, NOTICE_RULES
        )


def smuggled(house, monkeypatch, lender: str = "cedar") -> str:
    """A gate that lets one refuser through, at one lender; its pseudonym."""
    bad = next(p.pseudonym for p in house.borrowers[lender] if p.answer == "refuses")
    honest = HeldSnapshot.usable

    def usable(self, places, needs):
        found = honest(self, places, needs)
        return with_one_more(found, bad) if bad in self.names else found

    monkeypatch.setattr(HeldSnapshot, "usable", usable)
    monkeypatch.setattr("clients.gate.Draw.audience_of", lambda *_: audience(house))
    return bad


def with_one_more(found: Usable, name: str) -> Usable:
    return replace(found, members=[*found.members, name], which=np.append(found.which, found.which[:1]))


def audience(house):
    return house.campaign.mechanism.releases[0].audience


def resigned(opened: OpenedSample, change) -> OpenedSample:
    """The sample with every cell of its first roster as ``change`` makes it."""
    told = opened.model_dump()
    told["rosters"][0]["cells"] = [change(cell) for cell in told["rosters"][0]["cells"]]
    return OpenedSample.model_validate(told)


def judged_alone(sampling, opened, evidence):
    told = ({"cedar": sampling.draws["cedar"]}, {"cedar": opened}, {"cedar": evidence})
    return judged(sampling.audit, *told, NOTICE_RULES)


def changed(draw, **fields):
    return type(draw).model_validate({**draw.model_dump(), **fields})


def invented(house, monkeypatch, name: str, lender: str = "cedar") -> None:
    """A gate that puts somebody into every roster of one lender who is nobody's borrower."""
    honest = Gate._reserve
    monkeypatch.setattr("clients.gate.Draw.audience_of", lambda *_: audience(house))

    def reserve(self, use, draw, consenting):
        return honest(self, use, draw, consenting | {name} if use.lender == lender else consenting)

    monkeypatch.setattr(Gate, "_reserve", reserve)
