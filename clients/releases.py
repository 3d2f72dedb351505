"""What leaves a node: one masked vector of whole numbers per release attempt.

What is asked of the rows is :mod:`credit.tasks`, who may be asked is :mod:`clients.gate`, and what
makes the answer mean nothing alone is :mod:`crypto.masks`. Everything is verified before the first
row is read; afterwards nothing depends on a row but the answer itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from clients.errors import GateClosed
from clients.gate import Batch, Gate
from clients.home import OWN_COUNTS_FOLDER, Node
from credit.contributions import Task
from credit.features import schema_from
from credit.questions import Packed, Question
from credit.tasks import HistogramTask, task_of
from credit.watched import IntakeTask
from crypto.documents import document_hash
from crypto.errors import SignatureError
from crypto.keys import b64, replace_file, unb64
from crypto.masks import Masks, Words
from privacy.charges import Charge
from privacy.mechanism import ReleaseKind
from privacy.sums import Steps
from protocol import tracing
from protocol.campaigns import Approval, Campaign, MaskKey, ReleaseRequest
from protocol.parties import Role
from protocol.schema import now


def join(node: Node, campaign_sha256: str) -> str:
    """This node's signed mask key for a campaign that its operator approved."""
    campaign, _ = node.campaign(campaign_sha256)
    fresh = X25519PrivateKey.generate().private_bytes_raw()
    private = X25519PrivateKey.from_private_bytes(node.store.mask_key(campaign.sha256, fresh))
    public = b64(private.public_key().public_bytes_raw())
    return MaskKey(campaign_sha256=campaign.sha256, lender=node.lender, public=public).sign(
        node.key
    )


@dataclass(frozen=True)
class Peers:
    """The other lenders of one attempt and their mask keys, each verified against its lender's
    identity."""

    keys: Mapping[str, X25519PublicKey]

    @classmethod
    def of(cls, node: Node, campaign: Campaign, tokens: Mapping[str, str]) -> Peers:
        """The roster of an attempt: this lender and enough others of the campaign, each with its
        own key.

        Raises:
            GateClosed: strangers, too few lenders, or not this one. SignatureError: a key is not
                its lender's.
        """
        if not set(tokens) <= set(campaign.lenders) or node.lender not in tokens:
            raise GateClosed(
                f"{node.lender}: the roster of mask keys is not of the campaign's lenders and this "
                "one"
            )
        if len(tokens) < campaign.mechanism.threshold:
            raise GateClosed(
                f"{node.lender}: {len(tokens)} lenders are too few to hide among; the campaign "
                f"says at least {campaign.mechanism.threshold}"
            )
        keys: dict[str, X25519PublicKey] = {}
        for lender, token in tokens.items():
            signed = MaskKey.verify(token, node.consortium.party(lender).key)
            if signed.lender != lender or signed.campaign_sha256 != campaign.sha256:
                raise SignatureError(
                    f"the mask key under {lender!r} is another lender's or another campaign's"
                )
            keys[lender] = X25519PublicKey.from_public_bytes(unb64(signed.public))
        if len({key.public_bytes_raw() for key in keys.values()}) != len(keys):
            raise SignatureError("two lenders state the same mask key")
        own = X25519PrivateKey.from_private_bytes(node.store.mask_key(campaign.sha256)).public_key()
        if keys.pop(node.lender).public_bytes_raw() != own.public_bytes_raw():
            raise SignatureError("the mask key under this lender's name is not the one it made")
        return cls(keys)


@dataclass(frozen=True)
class VerifiedRequest:
    """One release request of the coordinator with all that answers it, verified before a row is
    read."""

    campaign: Campaign
    approval: Approval
    request: ReleaseRequest
    charge: Charge
    masks: Masks
    task: Task

    @classmethod
    def of(cls, node: Node, request_token: str, packed: Packed) -> VerifiedRequest:
        """Raises as :func:`release` says."""
        request = ReleaseRequest.verify(request_token, node.consortium.one(Role.COORDINATOR).key)
        campaign, approval = node.campaign(request.campaign_sha256)
        if packed.sha256 != request.parameters_sha256:
            raise SignatureError("the parameters are not those the coordinator signed")
        planned = campaign.planned(request.release)
        if planned is None:
            raise GateClosed(f"{node.lender}: the campaign has no release {request.release}")
        masks = _masks(node, campaign, request)
        task = _task(node, campaign, request, packed)
        # a sum whose noise cannot be drawn is refused here, before it is charged
        task.noise_std(len(request.mask_keys))
        return cls(campaign, approval, request, planned.charge, masks, task)

    @property
    def contributors(self) -> int:
        return len(self.request.mask_keys)


def _masks(node: Node, campaign: Campaign, request: ReleaseRequest) -> Masks:
    peers = Peers.of(node, campaign, request.mask_keys)
    private = X25519PrivateKey.from_private_bytes(node.store.mask_key(campaign.sha256))
    about = {
        "campaign": campaign.sha256,
        "release": request.release,
        "attempt": request.attempt,
        "roster": document_hash(dict(request.mask_keys)),
        "parameters": request.parameters_sha256,
    }
    return Masks.of(node.lender, private, peers.keys, about)


def _task(node: Node, campaign: Campaign, request: ReleaseRequest, packed: Packed) -> Task:
    release = campaign.mechanism.releases[request.release]
    trains = release.kind is ReleaseKind.TRAIN
    population = node.store.population(campaign.sha256) if trains else None
    schema = schema_from(campaign.features, f"campaign {campaign.id}")
    question = Question.unpack(request.kind, packed)
    return task_of(
        schema, campaign.model, campaign.mechanism, request.release, question, population
    )


def release(node: Node, request_token: str, packed: Packed, patience_s: float = 0.0) -> Words:
    """Answer one release request of the coordinator.

    Args:
        request_token: the coordinator's signed ReleaseRequest.
        packed: the question that it asks, by hash.
        patience_s: how long to wait for a registry that is not there.

    Returns:
        masked words; alone uniformly random, in the sum over all lenders of the attempt exact.

    Raises:
        SignatureError: the request, a mask key or the parameters are not what was signed.
        ModelError, FeatureError: the parameters are not sound. All of this before a row is read;
            afterwards nothing here depends on a row's values but the answer itself.
        GateClosed, NodeError, ConsentError: see :meth:`clients.gate.Gate.open`.
    """
    asked = VerifiedRequest.of(node, request_token, packed)
    batch = _admitted(node, asked, patience_s)

    # contribution = mask(share(exact(admitted(chunks)))); the share is the exact sums and a part of
    # the noise
    request = asked.request
    with tracing.span(
        "contribution", kind=request.kind, release=request.release, attempt=request.attempt
    ):
        share = _share(node, asked, batch)
    contribution = asked.masks.apply(share.view(np.uint64))

    _remember_population(node, asked, share)
    node.store.settle(batch.number, now())
    return contribution


def _share(node: Node, asked: VerifiedRequest, batch: Batch) -> Steps:
    """This lender's part of the noisy sum. What watches a model is kept as it was counted, for this
    lender's own eyes."""
    task = asked.task
    if not isinstance(task, IntakeTask):
        return task.contribution(batch.tables, asked.contributors)
    exact = task.total(batch.tables)
    folder = node.home / OWN_COUNTS_FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    # of one length whatever was counted: what a full disk refuses depends on no row
    kept = np.asarray(exact, "<i8").tobytes()
    replace_file(folder / f"{asked.campaign.sha256}.counts", kept)
    return task.form(asked.contributors).share(exact)


def _admitted(node: Node, asked: VerifiedRequest, patience_s: float) -> Batch:
    """The rows that the gate lets through."""
    request = asked.request
    with (
        node.registry(patience_s) as consents,
        tracing.span("gate", release=request.release, attempt=request.attempt),
    ):
        return Gate(node, asked.campaign, asked.approval, consents).open(request, asked.charge)


def _remember_population(node: Node, asked: VerifiedRequest, share: Steps) -> None:
    """Under a local mechanism a histogram carries the whole noise by itself, so its total is
    private already."""
    task, campaign = asked.task, asked.campaign
    if isinstance(task, HistogramTask) and campaign.mechanism.kind == "local":
        released = task.decode(share, asked.contributors)
        node.store.remember_population(campaign.sha256, task.grid.population(released))
