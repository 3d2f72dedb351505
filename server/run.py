"""One campaign, release by release, until the plan is done.

The fleet is whoever can carry a message to every node and bring the answers back; Flower in
production. Nothing here sees a single lender's update: contributions are summed as they are,
masked, and a sum over fewer lenders than the masks were made for is noise. When a lender drops out,
the release is attempted again among the rest, with fresh masks and fresh noise, as often as the
campaign reserved; every attempt is charged. The sums are kept, and the model is a fold over them
(:mod:`credit.learning`), so a run that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from credit.errors import FeatureError, ModelError
from credit.features import schema_from
from credit.learning import Beginning, Learner
from credit.models import CreditModel
from credit.planning import spent
from credit.questions import Packed
from credit.watcher import Watcher, Yardstick
from crypto.errors import CryptoError
from crypto.keys import replace_file
from crypto.masks import Words, unmask
from privacy.errors import PrivacyError
from protocol import tracing
from protocol.campaigns import Campaign, MaskKey, ReleaseRequest
from protocol.watched import ModelReference
from server.errors import CampaignStopped, CoordinatorError
from server.folders import campaign_in
from server.home import (
    FIGURES_FILE,
    MODEL_FILE,
    Coordinator,
    Progressed,
    load_releases,
    save_release,
)

SAME = 1e-6
"""Apart by this much, two computations of a parameter are one."""
Progress = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Answers:
    """What came back from one attempt: masked contributions, and what the others said instead."""

    contributions: Mapping[str, Words]
    refusals: Mapping[str, str] = field(default_factory=dict)


Fold = Learner | Watcher
"""What becomes of a campaign's releases."""


class Fleet(Protocol):
    """The nodes of a campaign."""

    def join(self, campaign_sha256: str) -> Mapping[str, str]:
        """Every node's signed mask key, by lender; raises CampaignStopped with a node's own words
        when it refuses."""
        ...

    def release(self, token: str, packed: Packed, roster: frozenset[str]) -> Answers:
        """What the lenders of the roster answer to this request."""
        ...


def learner_of(campaign: Campaign, campaigns: Path) -> Learner:
    """A campaign's learning before its first release.

    Args:
        campaigns: the folder of the coordinator's campaigns, where a warm start finds the model
            that it begins with.

    Raises:
        CoordinatorError: that model is not there.
    """
    schema = schema_from(campaign.features, f"campaign {campaign.id}")
    begins = None
    if campaign.begins_with is not None:
        begins = Beginning.of(learned(campaigns, campaign.begins_with))
    return Learner(schema, campaign.model, campaign.mechanism, campaign.seed, begins)


def learned(campaigns: Path, model: ModelReference) -> Learner:
    """How a released model was learnt, from the sums that its campaign released and this
    coordinator kept.

    Raises:
        CoordinatorError: it did not conduct that campaign, or that one released no model, or
            another one.
    """
    folder = campaigns / model.campaign_sha256
    path = folder / MODEL_FILE
    try:
        file = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise CoordinatorError(
            f"{folder} holds no released model: a model is watched, and begun with, by the "
            "coordinator that released it"
        ) from error
    if file != model.model_sha256:
        raise CoordinatorError(f"{path} is not the model that the campaign names")
    campaign = campaign_in(folder)
    learner = learner_of(campaign, campaigns)
    try:
        for kept in load_releases(folder).releases:
            learner.absorb(kept.total, kept.contributors)
        same = campaign.sha256 == folder.name and _alike(learner.model(), CreditModel.load(path))
    except (ModelError, PrivacyError, FeatureError) as error:
        raise CoordinatorError(f"the sums that {folder} keeps make no model: {error}") from error
    if not (same and learner.done):
        raise CoordinatorError(f"the sums that {folder} keeps do not make its model")
    return learner


def _alike(one: CreditModel, other: CreditModel) -> bool:
    """Whether both are one model, computed on two processors perhaps."""
    cuts = (
        [(bins.edges, bins.bin_of_code) for bins in model.embedding.binning.features]
        for model in (one, other)
    )
    return (
        next(cuts) == next(cuts)
        and one.parameters.shape == other.parameters.shape
        and np.allclose(one.parameters, other.parameters, rtol=SAME, atol=SAME)
        and np.allclose(one.calibration, other.calibration, rtol=SAME, atol=SAME)
        and len(one.pairs) == len(other.pairs)
    )


def fold_of(coordinator: Coordinator, campaign: Campaign) -> Fold:
    """What becomes of a campaign's releases, before the first. Raises CoordinatorError."""
    campaigns = coordinator.home / "campaigns"
    if campaign.watched is None:
        return learner_of(campaign, campaigns)
    yardstick = Yardstick.of(learned(campaigns, campaign.watched))
    schema = schema_from(campaign.features, f"campaign {campaign.id}")
    return Watcher(schema, campaign.mechanism, yardstick)


def leave(fold: Fold, folder: Path) -> Path:
    """Write what the releases became into the campaign's folder: a model, or figures."""
    if isinstance(fold, Learner):
        fold.model().save(folder / MODEL_FILE)
        return folder / MODEL_FILE
    replace_file(folder / FIGURES_FILE, json.dumps(fold.figures()).encode())
    return folder / FIGURES_FILE


@dataclass
class CampaignRun:
    """A campaign under way."""

    coordinator: Coordinator
    campaign: Campaign
    fleet: Fleet
    progress: Progress
    between_releases: Callable[[int], None]
    """Called after every release with its number; may wait, for instance while an operator holds
    the campaign."""
    rejected: frozenset[str] = frozenset()
    """Lenders who said no after their yes: they are lost from the beginning."""

    def execute(self) -> Fold:
        """Run every release that has not been run, and leave the model file, or the figures, in the
        campaign's folder.

        Raises:
            CampaignStopped: too few lenders are left, or no attempt; what was released so far is
                kept. CoordinatorError: the model that is to be watched is not here.
        """
        folder = self.coordinator.folder(self.campaign.sha256)
        plan = self.campaign.mechanism.releases
        learner = fold_of(self.coordinator, self.campaign)
        done = load_releases(folder)
        for kept in done.releases:
            learner.absorb(kept.total, kept.contributors)
        lost = set(done.progress.lost) | self.rejected
        attempts = list(done.progress.attempts)
        mask_keys = {} if learner.done else self._join(lost)
        while not learner.done:
            number = learner.released
            total, mask_keys = self._release(learner, mask_keys, attempts)
            learner.absorb(total, len(mask_keys))
            save_release(folder, number, total, sorted(mask_keys))
            self.progress(
                {
                    "event": "release",
                    "release": number,
                    "releases": len(plan),
                    "kind": plan[number].kind,
                    "lenders": sorted(mask_keys),
                    "attempts": attempts[number],
                    "epsilon": spent(self.campaign.mechanism, attempts),
                }
            )
            self.between_releases(number)
        leave(learner, folder)
        return learner

    def _join(self, lost: set[str]) -> dict[str, str]:
        """The mask keys of every lender but those who were lost before the run was interrupted."""
        wanted = set(self.campaign.lenders) - lost
        with tracing.span("join"):
            tokens = {
                name: key
                for name, key in self.fleet.join(self.campaign.sha256).items()
                if name in wanted
            }
        if len(wanted) < self.campaign.mechanism.threshold:
            raise CampaignStopped(
                f"without {', '.join(sorted(lost))} fewer lenders are left than the threshold of "
                f"{self.campaign.mechanism.threshold}"
            )
        if missing := wanted - set(tokens):
            raise CampaignStopped(
                f"the campaign needs every lender; missing: {', '.join(sorted(missing))}"
            )
        for lender, token in tokens.items():
            try:
                MaskKey.verify(token, self.coordinator.consortium.party(lender).key)
            except CryptoError as error:
                raise CampaignStopped(
                    f"{lender}'s mask key is not signed by {lender}: {error}"
                ) from error
        self.progress({"event": "joined", "lenders": sorted(tokens)})
        return tokens

    def _release(
        self, learner: Fold, mask_keys: dict[str, str], attempts: list[int]
    ) -> tuple[NDArray[np.int64], dict[str, str]]:
        """The total of one release, and the mask keys of those who contributed; counts on in
        ``attempts``."""
        number = learner.released
        packed = learner.question().pack()
        folder = self.coordinator.folder(self.campaign.sha256)
        attempts += [0] * (number + 1 - len(attempts))
        while True:
            attempts[number] += 1
            Progressed(
                tuple(attempts), tuple(sorted(set(self.campaign.lenders) - set(mask_keys)))
            ).write(folder)
            request = ReleaseRequest(
                campaign_sha256=self.campaign.sha256,
                release=number,
                attempt=attempts[number],
                kind=self.campaign.mechanism.releases[number].kind,
                parameters_sha256=packed.sha256,
                mask_keys=mask_keys,
            )
            with tracing.span(
                "release", kind=request.kind, release=number, attempt=attempts[number]
            ):
                answers = self.fleet.release(
                    request.sign(self.coordinator.key), packed, frozenset(mask_keys)
                )
            size = learner.task().size
            whole = {
                name: w
                for name, w in answers.contributions.items()
                if name in mask_keys and w.shape == (size,)
            }
            gone = sorted(set(mask_keys) - set(whole))
            if not gone:
                return unmask(list(whole.values())), mask_keys
            said = {
                name: f"{name} sent {w.shape} words, not {size}"
                for name, w in answers.contributions.items()
            }
            said |= answers.refusals
            why = "; ".join(said.get(lender, f"{lender} did not answer") for lender in gone)
            mask_keys = {lender: key for lender, key in mask_keys.items() if lender not in gone}
            self.progress(
                {
                    "event": "lost",
                    "release": number,
                    "attempt": attempts[number],
                    "lenders": gone,
                    "reason": why,
                    "epsilon": spent(self.campaign.mechanism, attempts),
                }
            )
            if len(mask_keys) < self.campaign.mechanism.threshold:
                raise CampaignStopped(
                    f"release {number + 1} lacks the contribution of {', '.join(gone)}, and "
                    f"{len(mask_keys)} lenders are fewer than the campaign's threshold of "
                    f"{self.campaign.mechanism.threshold}: {why}"
                )
