"""A released model as a lender keeps it: ``models/<campaign>/`` in the node's home, with all that
it rests on.

Whoever handed it over is not believed. :func:`check` needs the folder and the pinned consortium
document, and nothing
else: it works without a network, years later.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from clients.errors import NodeError
from crypto.errors import CryptoError
from crypto.keys import replace_file
from crypto.notes import Checkpoint, InclusionProof
from protocol.campaigns import Approval, Campaign
from protocol.cards import ModelCard
from protocol.client.lenders import LenderClient
from protocol.errors import RegistryUnavailable
from protocol.parties import Consortium, Role
from protocol.recalls import ModelRecall, verified_recall

MODELS_FOLDER = "models"
MODEL_FILE, CARD_FILE, CAMPAIGN_FILE = "model.safetensors", "model-card.jws", "campaign.jws"
FIGURES_FILE = "figures.json"
"""In the place of a model, of a campaign that watched one."""
APPROVALS_FILE, LEAF_FILE, PROOF_FILE = "approvals.json", "entry.json", "entry.tlog-proof"
RECALLS_FILE = "recalls.json"


@dataclass(frozen=True)
class KeptModel:
    """A model's file and what shows whose it is; unverified until :func:`check` has seen it."""

    model: bytes
    card: str
    campaign: str
    approvals: tuple[str, ...]
    leaf: bytes
    proof: str
    recalls: tuple[str, ...] = ()

    @classmethod
    def fetch(cls, client: LenderClient, campaign_sha256: str) -> KeptModel:
        """What the registry has of a campaign's model.

        Raises:
            RegistryUnavailable: it does not answer, or not in the form it should. ConsentError: it
                has none.
        """
        held = client.get(f"/v1/campaigns/{campaign_sha256}/model").json()
        try:
            card, campaign, approvals = held["card"], held["campaign"], held["approvals"]
            index = int(held["entry_index"])
            recalls = tuple(held.get("recalls", ()))
            texts = (card, campaign, *approvals, *recalls)
        except (KeyError, TypeError, ValueError) as error:
            raise RegistryUnavailable(
                "the consent registry's answer about a model cannot be read"
            ) from error
        if not all(isinstance(text, str) for text in texts):
            raise RegistryUnavailable("the consent registry's answer about a model cannot be read")
        leaf, proof = client.proved_leaf(index, wait=True)
        model = client.get(f"/v1/campaigns/{campaign_sha256}/model/file").content
        return cls(model, card, campaign, tuple(approvals), leaf, proof.text, recalls)

    @classmethod
    def read(cls, folder: Path) -> KeptModel:
        """What was kept in ``folder``; raises NodeError."""
        try:
            approvals = tuple(
                map(str, json.loads((folder / APPROVALS_FILE).read_text(encoding="utf-8")))
            )
            card, campaign, proof = (
                (folder / name).read_text(encoding="utf-8")
                for name in (CARD_FILE, CAMPAIGN_FILE, PROOF_FILE)
            )
            model, leaf = released_file(folder).read_bytes(), (folder / LEAF_FILE).read_bytes()
            return cls(model, card, campaign, approvals, leaf, proof, _kept_recalls(folder))
        except (OSError, ValueError, TypeError) as error:
            raise NodeError(
                f"{folder} does not hold a whole model; fetch it again: tahini model fetch"
            ) from error

    def write(self, folder: Path) -> None:
        """Keep everything, each file whole or not at all; the model, or the figures, last."""
        watches = ModelCard.claimed(self.card).watched is not None
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(folder / CARD_FILE, self.card.encode())
        replace_file(folder / CAMPAIGN_FILE, self.campaign.encode())
        replace_file(folder / APPROVALS_FILE, json.dumps(self.approvals).encode())
        keep_recalls(folder, self.recalls)
        replace_file(folder / LEAF_FILE, self.leaf)
        replace_file(folder / PROOF_FILE, self.proof.encode())
        replace_file(folder / (FIGURES_FILE if watches else MODEL_FILE), self.model)


def keep_recalls(folder: Path, tokens: Sequence[str]) -> None:
    """Keep recalls beside the card that they are of; those of another card are left out, and none
    that was kept is let go, whatever a registry says later.

    Raises:
        NodeError: they cannot be kept, or what is kept cannot be read.
    """
    try:
        card = ModelCard.claimed((folder / CARD_FILE).read_text(encoding="utf-8")).sha256
        known = _kept_recalls(folder)
        whole = dict.fromkeys((*known, *tokens))
        mine = [one for one in whole if ModelRecall.claimed(one).card_sha256 == card]
        if mine != list(known) or not (folder / RECALLS_FILE).exists():
            replace_file(folder / RECALLS_FILE, json.dumps(mine).encode())
    except (OSError, ValueError, TypeError, CryptoError) as error:
        raise NodeError(f"{folder / RECALLS_FILE}: {type(error).__name__}: {error}") from error


def released_file(folder: Path) -> Path:
    """The model that was kept in a folder, or the figures that watched one."""
    figures = folder / FIGURES_FILE
    return figures if figures.exists() else folder / MODEL_FILE


def _kept_recalls(folder: Path) -> tuple[str, ...]:
    """None in a folder of before version 0.7.0. Raises OSError, ValueError."""
    path = folder / RECALLS_FILE
    return tuple(map(str, json.loads(path.read_text("utf-8")))) if path.exists() else ()


@dataclass(frozen=True)
class Verified:
    """What was verified of a model."""

    card: ModelCard
    campaign: Campaign
    entry_index: int
    head: Checkpoint
    """The log's head that the card's entry was proved under."""
    recalls: tuple[ModelRecall, ...] = ()


def check(kept: KeptModel, campaign_sha256: str, consortium: Consortium) -> Verified:
    """A model that can be used: :func:`check_origin` holds, and nobody recalled it.

    Raises:
        NodeError: one sentence that says what does not hold, or who recalled it and why.
    """
    verified = check_origin(kept, campaign_sha256, consortium)
    for recall in verified.recalls:
        raise NodeError(recall.told)
    return verified


def check_origin(kept: KeptModel, campaign_sha256: str, consortium: Consortium) -> Verified:
    """The model is the one that the campaign's coordinator signed and logged, and every lender had
    approved it; and by whom it was recalled.

    Raises:
        NodeError: one sentence that says which of these does not hold.
    """
    coordinator = consortium.one(Role.COORDINATOR)
    try:
        campaign = Campaign.verify(kept.campaign, coordinator.key)
        card = ModelCard.verify(kept.card, coordinator.key)
        proof = InclusionProof.parse(kept.proof)
        head = proof.verify(kept.leaf, consortium.policy)
        leaf = json.loads(kept.leaf)
        for lender, approval in zip(sorted(campaign.lenders), kept.approvals, strict=True):
            signed = Approval.verify(approval, consortium.party(lender).key)
            if (signed.lender, signed.campaign_sha256) != (lender, campaign.sha256):
                raise NodeError(
                    f"the approval of {lender} is another lender's, or of another campaign"
                )
        recalls = [verified_recall(one, consortium, campaign, card) for one in kept.recalls]
    except CryptoError as error:
        raise NodeError(f"the model does not verify: {error}") from error
    except ValueError as error:
        raise NodeError(
            "the model does not verify: there is not one approval for each lender"
        ) from error
    for holds, what in _rules(kept, campaign_sha256, campaign, card, leaf, coordinator.id):
        if not holds:
            raise NodeError(f"the model does not verify: {what}")
    return Verified(card, campaign, proof.index, head, tuple(recalls))


def _rules(
    kept: KeptModel,
    campaign_sha256: str,
    campaign: Campaign,
    card: ModelCard,
    leaf: object,
    coordinator: str,
) -> Iterator[tuple[bool, str]]:
    """Each with what is wrong where it does not hold."""
    file = hashlib.sha256(kept.model).hexdigest()
    yield (
        hmac.compare_digest(file, card.model_sha256),
        "the file is not the one that its card names",
    )
    of = (campaign.sha256, card.campaign_sha256)
    yield (
        of == (campaign_sha256, campaign_sha256),
        "the campaign or the card is of another campaign",
    )
    logged = {
        "type": "model.released",
        "actor": coordinator,
        "campaign": campaign_sha256,
        "model_card": card.sha256,
    }
    stated = isinstance(leaf, dict) and {name: leaf.get(name) for name in logged} == logged
    yield stated, "the log entry is about another card"
    names = tuple(str(feature["name"]) for feature in campaign.features["features"])
    yield (
        (card.model, card.features) == (campaign.model, names),
        "the card names another kind of model or features",
    )
    yield card.watched == campaign.watched, "the card watches another model, or other days"
    yield card.begins_with == campaign.begins_with, "the card begins with another model"
    about = (card.purpose, card.legal_basis)
    yield (
        about == (campaign.purpose, campaign.legal_basis),
        "the card names another purpose or legal basis",
    )
    mechanism = campaign.mechanism
    cost = (card.epsilon, card.delta, card.releases, card.mechanism)
    planned = (
        mechanism.epsilon,
        mechanism.delta,
        len(mechanism.releases),
        mechanism.model_dump(mode="json"),
    )
    yield cost == planned, "the card states another cost than the campaign that was approved"
    among = (
        set(card.lenders) <= set(campaign.lenders) and len(set(card.lenders)) >= mechanism.threshold
    )
    yield among, "the card names lenders that were not in the campaign, or too few"
