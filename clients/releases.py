"""What leaves a node: one noisy, masked, fixed-point vector per release.

- *histogram* (release 0): the histogram over all grid cells with Gaussian noise;
- *train* (releases 1 to T): the lender's model after local DP-SGD from the shared one, times its weight,
  and the weight.

A lender's weight is a power of its *noisy* head count, so that no exact count leaks through it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from numpy.typing import NDArray
from torch import nn

from clients.errors import GateClosed, NodeError
from clients.gate import Batch, Gate
from clients.node import Node
from consent.documents import Campaign, MaskKey, ReleaseKind, ReleaseRequest, Role, parameters_sha256
from consent.schema import now
from credit.binning import Embedding, Grid
from credit.errors import ModelError
from credit.features import registry_from
from credit.models import binning_from, build, clip_norm, flat, learning_rate
from crypto.documents import document_hash
from crypto.errors import SignatureError
from crypto.keys import b64, unb64
from crypto.masks import Masks, Words, encode
from privacy.charges import Charge
from privacy.dpsgd import DpSgd, train
from privacy.noise import noisy_sum

Floats = NDArray[np.float64]
WEIGHT_POWER = 1.5
"""Lenders count by the noisy number of their people to this power: local noise falls with the square of the count, so
larger lenders deserve slightly more than their share."""
TYPICAL_POPULATION = 1000.0
LARGEST_WEIGHT = 1e4
"""Beyond this no honest model goes; larger weights could make arithmetic on a row overflow, and an overflow speaks."""


def join(node: Node, campaign_sha256: str) -> str:
    """This node's signed mask key for a campaign that its operator approved."""
    campaign, _ = node.campaign(campaign_sha256)
    fresh = X25519PrivateKey.generate().private_bytes_raw()
    private = X25519PrivateKey.from_private_bytes(node.store.mask_key(campaign.sha256, fresh))
    public = b64(private.public_key().public_bytes_raw())
    return MaskKey(campaign_sha256=campaign.sha256, lender=node.lender, public=public).sign(node.key)


@dataclass(frozen=True)
class Peers:
    """The other lenders' mask keys, each verified against its lender's identity."""

    keys: Mapping[str, X25519PublicKey]

    @classmethod
    def of(cls, node: Node, campaign: Campaign, tokens: Mapping[str, str]) -> Peers:
        """Raises GateClosed or SignatureError unless exactly the campaign's lenders are here, each with its own key."""
        if set(tokens) != set(campaign.lenders):
            raise GateClosed(f"{node.lender}: the roster of mask keys is not the campaign's list of lenders")
        keys: dict[str, X25519PublicKey] = {}
        for lender, token in tokens.items():
            signed = MaskKey.verify(token, node.consortium.party(lender).key)
            if signed.lender != lender or signed.campaign_sha256 != campaign.sha256:
                raise SignatureError(f"the mask key under {lender!r} is another lender's or another campaign's")
            keys[lender] = X25519PublicKey.from_public_bytes(unb64(signed.public))
        if len({key.public_bytes_raw() for key in keys.values()}) != len(keys):
            raise SignatureError("two lenders state the same mask key")
        return cls({lender: key for lender, key in keys.items() if lender != node.lender})


def charge_of(campaign: Campaign, release: int) -> Charge:
    """What one release costs each person in it."""
    _, noise_multiplier, sampling_rate, steps = campaign.planned_charge(release)
    return Charge(noise_multiplier, sampling_rate, steps)


def _histogram(node: Node, campaign: Campaign, batch: Batch) -> Floats:
    grid = Grid(batch.registry)
    labels = batch.table[batch.registry.target].to_numpy(dtype=np.int64)
    exact = grid.histogram(grid.cells(batch.table), labels)
    noisy = noisy_sum(exact, grid.sensitivity, campaign.mechanism.histogram_noise_multiplier)
    node.store.remember_population(campaign.sha256, grid.population(noisy))
    return noisy


@dataclass(frozen=True)
class Training:
    """A training release whose parameters were found sound before any row was read."""

    model: nn.Module
    embedding: Embedding
    settings: DpSgd
    population: float

    @classmethod
    def of(cls, node: Node, campaign: Campaign, binning_json: str, weights: Floats) -> Training:
        """Raises ModelError, FeatureError or NodeError; none of them depends on data."""
        try:
            parsed = json.loads(binning_json)
        except (ValueError, RecursionError) as error:
            raise ModelError("the binning is not JSON") from error
        registry = registry_from(campaign.features, f"campaign {campaign.id}")
        embedding = Embedding(Grid(registry), binning_from(parsed))
        if weights.ndim != 1 or not (np.abs(weights) <= LARGEST_WEIGHT).all():
            raise ModelError(f"the shared model has weights beyond {LARGEST_WEIGHT:g}")
        mechanism = campaign.mechanism
        steps = mechanism.rounds * mechanism.local_steps
        rate = learning_rate(
            campaign.model, embedding.binning, mechanism.noise_multiplier, steps, len(campaign.lenders)
        )
        settings = DpSgd(
            clip_norm=mechanism.clip_norm,
            noise_multiplier=mechanism.noise_multiplier,
            sampling_rate=mechanism.sampling_rate,
            steps=mechanism.local_steps,
            learning_rate=rate,
        )
        return cls(
            build(campaign.model, embedding, weights), embedding, settings, node.store.population(campaign.sha256)
        )

    def run(self, batch: Batch) -> Floats:
        """The locally trained model times this lender's weight, and the weight."""
        torch.set_num_threads(1)
        rows = torch.from_numpy(self.embedding.rows(self.embedding.grid.cells(batch.table)))
        labels = torch.from_numpy(batch.table[batch.registry.target].to_numpy(dtype=np.float32))
        train(self.model, rows, labels, self.settings, self.population)
        weight = (self.population / TYPICAL_POPULATION) ** WEIGHT_POWER
        return np.append(weight * flat(self.model), weight)


def release(node: Node, request_token: str, binning_json: str, weights: Floats) -> Words:
    """Answer one release request of the coordinator.

    Args:
        request_token: the coordinator's signed ReleaseRequest.
        binning_json: the shared binning ('' for the histogram release).
        weights: the shared model's flat parameters (empty for the histogram release).

    Returns:
        masked fixed-point words; alone uniformly random, in the sum over all lenders exact.

    Raises:
        SignatureError: the request, a mask key or the parameters are not what was signed.
        ModelError, FeatureError: the parameters are not sound. All of this before a row is read; afterwards nothing
            here depends on a row's values but the answer itself.
        GateClosed, NodeError, ConsentError: see :meth:`clients.gate.Gate.open`.
    """
    request = ReleaseRequest.verify(request_token, node.consortium.one(Role.COORDINATOR).key)
    campaign, approval = node.campaign(request.campaign_sha256)
    if (
        parameters_sha256(binning_json, np.ascontiguousarray(weights, dtype="<f8").tobytes())
        != request.parameters_sha256
    ):
        raise SignatureError("the parameters are not those the coordinator signed")
    peers = Peers.of(node, campaign, request.mask_keys)
    if campaign.mechanism.clip_norm != clip_norm(campaign.model, len(campaign.features["features"])):
        raise NodeError(f"{node.lender}: the campaign's clip norm does not belong to its model")
    private = X25519PrivateKey.from_private_bytes(node.store.mask_key(campaign.sha256))
    about = {
        "campaign": campaign.sha256,
        "release": request.release,
        "attempt": request.attempt,
        "roster": document_hash(dict(request.mask_keys)),
        "parameters": request.parameters_sha256,
    }
    masks = Masks.of(node.lender, private, peers.keys, about)
    training = None if request.kind is ReleaseKind.HISTOGRAM else Training.of(node, campaign, binning_json, weights)
    client = node.registry()
    try:
        batch = Gate(node, campaign, approval, client).open(request, charge_of(campaign, request.release))
    finally:
        client.close()
    values = training.run(batch) if training else _histogram(node, campaign, batch)
    masked = masks.apply(encode(values, len(campaign.lenders)))
    node.store.settle(batch.number, now())
    return masked
