"""What the coordinator, lenders and the naming service handed in for an evidence pack, against what
the registry's part shows: none of their campaigns, attempts and rosters is left out, and none is
another."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from auditlog.pack_log import naming, require
from auditlog.pack_registry import RegistryPart
from auditlog.packs import PackPart, json_in
from crypto.documents import document_hash, verify_document
from protocol.bom import bill_of_materials
from protocol.campaigns import Approval, Campaign
from protocol.cards import ModelCard
from protocol.instructions import instructions
from protocol.parties import Role
from protocol.sight import SightStatement

NEAR = timedelta(days=1)
"""By how much the day of a signature and of its entry in the log may differ, as the registry takes
them: one that is signed before midnight can be logged after it."""


def _told_by(known: RegistryPart, other: PackPart) -> list[str]:
    """The campaigns that this part must tell of, and those that it does."""
    return [
        one
        for one in known.campaigns
        if known.scope.campaign is not None
        or (other.folder / "campaigns" / one).is_dir()
        or _must_tell(known, other, one)
    ]


def _must_tell(known: RegistryPart, other: PackPart, sha256: str) -> bool:
    """Of a period the coordinator tells of the campaigns that ran in it, a lender of those that it
    approved in it; on which day that was, the log says."""
    if known.scope.days is None:
        return False
    first, last = map(date.fromisoformat, known.scope.days)
    campaign = known.know.uses[sha256].campaign
    if campaign is None or known.scope.lender not in (None, *campaign.lenders):
        return False
    if known.consortium.party(other.maker).role is Role.COORDINATOR:
        proposed = known.logged_on("campaign.proposed", sha256, other.maker)
        if proposed is None:
            return False
        begins = _day(campaign.created_at.date(), proposed)
        return begins <= last and max(begins, campaign.expires_at.date()) >= first
    signed = known.part.folder / f"campaigns/{sha256}/approvals/{other.maker}.jws"
    logged = known.logged_on("campaign.approved", sha256, other.maker)
    if logged is None:
        return False
    approval = Approval.claimed(signed.read_text(encoding="utf-8"))
    return first <= _day(approval.approved_at.date(), logged) <= last


def _day(signed: date, logged: date) -> date:
    """The day of a signature: whoever signs can write any day, so that the log's counts, unless
    they are neighbours."""
    return signed if abs(signed - logged) <= NEAR else logged


def agrees_with_coordinator(known: RegistryPart, other: PackPart) -> str:
    key = known.consortium.party(other.maker).key
    for sha256 in _told_by(known, other):
        folder, below = other.folder, f"{other.maker}/campaigns/{sha256}"
        with naming(f"{below}/campaign.jws"):
            token = (folder / f"campaigns/{sha256}/campaign.jws").read_text(encoding="utf-8")
            campaign = Campaign.verify(token, key)
            require(campaign.sha256 == sha256, "it is another campaign")
        with naming(f"{below}/who-sees-what.jws"):
            token = (folder / f"campaigns/{sha256}/who-sees-what.jws").read_text(encoding="utf-8")
            made_under = known.knows(other)
            SightStatement.verify(token, key).require_true(campaign, made_under)
        with naming(f"{below}/releases.json"):
            told = json_in(folder, f"campaigns/{sha256}/releases.json")
            _attempts(known, sha256, told)
            named = {*told["lost"], *(one for release in told["lenders"] for one in release)}
            most = max(len(told["attempts"]), len(told["lenders"]))
            possible = named <= {*campaign.lenders} and most <= len(campaign.mechanism.releases)
            require(possible, "it tells of lenders or releases that the campaign does not have")
        cards, path = (
            known.know.uses[sha256].cards,
            folder / f"campaigns/{sha256}/model-card.jws",
        )
        require(path.exists() or not cards, f"{below}/model-card.jws: the log shows a card")
        if not path.exists():
            continue
        with naming(f"{below}/model-card.jws"):
            card = ModelCard.verify(path.read_text(encoding="utf-8"), key)
            require(card.sha256 in cards, "the log shows no release of this card")
        truths: dict[str, Any] = {"evaluation.json": card.evaluation or {}}
        if card.watched is None:
            truths["bom.cdx.json"] = bill_of_materials(card)
        for name, truth in truths.items():
            held = json_in(folder, f"campaigns/{sha256}/{name}")
            require(held == truth, f"{below}/{name}: it is not what the model card says")
        if card.watched is not None:
            none = not (folder / f"campaigns/{sha256}/bom.cdx.json").exists()
            require(none, f"{below}/bom.cdx.json: figures are no model, and have no such bill")
            counted = (folder / f"campaigns/{sha256}/figures.json").read_bytes()
            same = hashlib.sha256(counted).hexdigest() == card.model_sha256
            require(same, f"{below}/figures.json: it is not the file that the card names")
        for path in folder.glob(f"campaigns/{sha256}/instructions.*.md"):
            with naming(f"{below}/{path.name}"):
                told = instructions(card, path.name.split(".")[1])
                same = path.read_text(encoding="utf-8") == told
                require(same, "it is not what the model card says")
    return "the coordinator's campaigns, releases and cards are those of the log"


def agrees_with_naming(known: RegistryPart, other: PackPart) -> str:
    """The keys that the naming service answers with are those that it logged last, before everybody
    (``naming.keylist``)."""
    file = f"{other.maker}/names/keys.jws"
    with naming(file):
        token = (other.folder / "names/keys.jws").read_text(encoding="utf-8")
        keys = verify_document(token, "tahini-naming-keys", known.consortium.party(other.maker).key)
        logged = [
            leaf["hashes"]["document"]
            for leaf in known.log.leaves.values()
            if (leaf["type"], leaf["actor"]) == ("names.keys", other.maker)
        ]
        require(logged[-1:] == [document_hash(keys)], "the log shows another list of naming keys")
    return "the naming service's keys are those that it logged"


def _attempts(known: RegistryPart, sha256: str, told: Mapping[str, Any]) -> None:
    """The coordinator asked at least as often as lenders committed."""
    for leaf in known.log.leaves.values():
        if leaf["type"] == "roster.committed" and leaf["campaign"] == sha256:
            asked = told["attempts"][leaf["release"] :][:1]
            require(
                bool(asked) and asked[0] >= leaf["attempt"],
                f"it lists fewer attempts at release {leaf['release']} than the log",
            )


def agrees_with_lender(known: RegistryPart, other: PackPart) -> str:
    key = known.consortium.party(other.maker).key
    for sha256 in _told_by(known, other):
        if other.maker not in known.know.uses[sha256].approved:
            continue
        mine = known.part.folder / f"campaigns/{sha256}/approvals/{other.maker}.jws"
        below = f"{other.maker}/campaigns/{sha256}"
        with naming(f"{below}/approval.jws"):
            path = other.folder / f"campaigns/{sha256}/approval.jws"
            token = path.read_text(encoding="utf-8")
            approval = Approval.verify(token, key)
            same = approval.sha256 == Approval.verify(mine.read_text("utf-8"), key).sha256
            require(same, "it is another approval than the registry holds")
        with naming(f"{below}/campaign.jws"):
            path = other.folder / f"campaigns/{sha256}/campaign.jws"
            copied = Campaign.claimed(path.read_text(encoding="utf-8"))
            require(copied.sha256 == sha256, "it is another campaign")
            coordinator = known.consortium.party(copied.coordinator).key
            Campaign.verify(path.read_text(encoding="utf-8"), coordinator)
        told = json_in(other.folder, f"campaigns/{sha256}/rosters.json")
        with naming(f"{below}/rosters.json"):
            listed = {(one["release"], one["attempt"]) for one in told}
            logged = {
                (leaf["release"], leaf["attempt"])
                for leaf in known.log.leaves.values()
                if leaf["type"] == "roster.committed"
                and (leaf["campaign"], leaf["actor"]) == (sha256, other.maker)
            }
            require(logged <= listed, "it leaves out a roster that the log shows")
            require(len(listed) == len(told), "it lists a roster twice")
            last = len(copied.mechanism.releases)
            require(all(at < last for at, _ in listed), "it lists a release that was not planned")
    return f"{other.maker!r} signed and used what the log shows"
