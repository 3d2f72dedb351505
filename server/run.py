"""One campaign, release by release: join, histogram, rounds of training, the averaged model.

The fleet is whoever can carry a message to every node and bring the answers back; Flower in production. Nothing here
sees a single lender's update: contributions are summed as they are, masked.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from consent.documents import Campaign, MaskKey, ReleaseKind, ReleaseRequest, parameters_sha256
from credit.binning import Binning, Embedding, Grid, make_binning
from credit.features import registry_from
from credit.models import CreditModel, build, flat
from crypto.errors import MaskError, SignatureError
from crypto.masks import Words, unmask
from server.errors import CampaignStopped
from server.home import MODEL_FILE, Coordinator, save_binning, save_round
from server.planning import AVERAGED_SHARE, spent_after

Floats = NDArray[np.float64]
Progress = Callable[[dict[str, Any]], None]


class Fleet(Protocol):
    """The nodes of a campaign. Both calls raise CampaignStopped with a node's own words when it refuses."""

    def join(self, campaign_sha256: str) -> Mapping[str, str]:
        """Every node's signed mask key, by lender."""
        ...

    def release(self, token: str, binning_json: str, weights: Floats) -> Mapping[str, Words]:
        """Every node's masked contribution, by lender."""
        ...


def binning_text(binning: Binning) -> str:
    """The binning as it is sent to nodes and kept on disk."""
    return json.dumps(asdict(binning))


@dataclass
class CampaignRun:
    """A campaign under way."""

    coordinator: Coordinator
    campaign: Campaign
    fleet: Fleet
    progress: Progress
    between_rounds: Callable[[int], None]
    """Called after every round with its number; may wait, for instance while an operator holds the campaign."""

    def execute(self) -> CreditModel:
        """Run every release and leave the model file in the campaign's folder."""
        mask_keys = self._join()
        grid = Grid(registry_from(self.campaign.features, f"campaign {self.campaign.id}"))
        embedding = self._histogram(grid, mask_keys)
        weights = flat(build(self.campaign.model, embedding, seed=self.campaign.seed))
        binning_json = binning_text(embedding.binning)
        folder = self.coordinator.folder(self.campaign.sha256)
        rounds = self.campaign.mechanism.rounds
        iterates: list[Floats] = []
        for number in range(1, rounds + 1):
            total = self._release(number, ReleaseKind.TRAIN, mask_keys, binning_json, weights)
            weights = total[:-1] / total[-1]
            save_round(folder, number, weights)
            iterates.append(weights)
            self.progress(
                {
                    "event": "round",
                    "round": number,
                    "rounds": rounds,
                    "epsilon": spent_after(self.campaign.mechanism, number),
                }
            )
            self.between_rounds(number)
        averaged = np.mean(iterates[-max(1, round(AVERAGED_SHARE * rounds)) :], axis=0)
        model = CreditModel(self.campaign.model, embedding, averaged)
        model.save(folder / MODEL_FILE)
        return model

    def _join(self) -> dict[str, str]:
        tokens = dict(self.fleet.join(self.campaign.sha256))
        missing = set(self.campaign.lenders) - set(tokens)
        if missing or len(tokens) != len(self.campaign.lenders):
            raise CampaignStopped(f"the campaign needs every lender; missing: {', '.join(sorted(missing)) or 'none'}")
        for lender, token in tokens.items():
            try:
                MaskKey.verify(token, self.coordinator.consortium.party(lender).key)
            except SignatureError as error:
                raise CampaignStopped(f"{lender}'s mask key is not signed by {lender}: {error}") from error
        self.progress({"event": "joined", "lenders": sorted(tokens)})
        return tokens

    def _histogram(self, grid: Grid, mask_keys: dict[str, str]) -> Embedding:
        mechanism = self.campaign.mechanism
        total = self._release(0, ReleaseKind.HISTOGRAM, mask_keys, "", np.zeros(0))
        noise_std = mechanism.histogram_noise_multiplier * grid.sensitivity * np.sqrt(len(self.campaign.lenders))
        binning = make_binning(grid, total, float(noise_std), mechanism.bins)
        save_binning(self.coordinator.folder(self.campaign.sha256), binning_text(binning))
        self.progress(
            {
                "event": "binned",
                "bins": sum(len(bins.frequency) for bins in binning.features),
                "population": binning.population,
                "epsilon": spent_after(mechanism, 0),
            }
        )
        return Embedding(grid, binning)

    def _release(
        self, number: int, kind: ReleaseKind, mask_keys: dict[str, str], binning_json: str, weights: Floats
    ) -> Floats:
        request = ReleaseRequest(
            campaign_sha256=self.campaign.sha256,
            release=number,
            attempt=1,
            kind=kind,
            parameters_sha256=parameters_sha256(binning_json, np.ascontiguousarray(weights, dtype="<f8").tobytes()),
            mask_keys=mask_keys,
        )
        answers = self.fleet.release(request.sign(self.coordinator.key), binning_json, weights)
        if set(answers) != set(self.campaign.lenders):
            missing = ", ".join(sorted(set(self.campaign.lenders) - set(answers)))
            raise CampaignStopped(f"release {number} lacks the contribution of {missing}; the sum would be noise")
        try:
            return unmask(list(answers.values()))
        except MaskError as error:
            raise CampaignStopped(f"release {number} cannot be summed: {error}") from error
