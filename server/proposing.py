"""From what a coordinator asks for to a campaign that lenders can approve: every refusal names the
option that it is about. Command and page call the same."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from credit.planning import STEPS, WARM_STEPS, Training, plan_mechanism
from crypto.keys import replace_file
from privacy.charges import Budget
from privacy.mechanism import LEAST_HONEST, Mechanism, ReleaseKind
from protocol.beginnings import unlike
from protocol.campaigns import Campaign
from protocol.parties import Consortium
from protocol.schema import now
from protocol.terms import TRAINING_PURPOSE
from protocol.watched import ModelReference
from server.assessments import assessed
from server.desired_state import BUNDLE_FILE, Stage, write_state
from server.errors import BadOption
from server.folders import CAMPAIGN_FILE
from server.home import Coordinator

DEFAULTS: dict[str, Any] = {
    "model": "scorecard",
    "mechanism": "distributed",
    "epsilon": 1.0,
    "delta": 1e-5,
    "hold_out": 0.1,
    "hours": 72.0,
    "seed": 0,
}
MAX_STEPS = 900
"""Of a descent: a plan has at most a thousand releases, and more steps than this only add noise."""
MAX_SPARE, MAX_HOLD_OUT, MIN_HOURS, MAX_HOURS = 100, 0.5, 0.1, 24 * 90.0
MAX_SEED = 2**53 - 1
"""Larger whole numbers do not survive canonical JSON."""
DESCENT = (ReleaseKind.GRADIENT, ReleaseKind.TRAIN)
SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


@dataclass(frozen=True)
class Asked:
    """What a campaign is to be. ``None`` means: as in the campaign that it is like, else by
    default."""

    name: str
    title: str
    lenders: tuple[str, ...]
    features: Mapping[str, Any]
    chosen: Mapping[str, Any]
    """model, mechanism, epsilon, delta, hold_out, hours, seed; steps, collusion_bound,
    spare_attempts or None."""
    consortium_sha256: str
    """The document that the coordinator pinned."""
    begins_with: ModelReference | None = None
    """The model of a warm start."""

    @classmethod
    def of(
        cls,
        given: Mapping[str, Any],
        features: Mapping[str, Any] | None,
        like: Campaign | None,
        consortium: Consortium,
        begun: tuple[Campaign, ModelReference] | None = None,
    ) -> Asked:
        """Raises BadOption with the first option that is missing or wrong.

        Args:
            begun: the campaign whose model a warm start begins with, and that model; whether to is
                never taken from ``like``.
        """
        if like is not None and like.watched is not None:
            raise BadOption("like", "no-training", "watches a model: tahini watch propose")
        chosen = {
            **DEFAULTS,
            **(as_before(like) if like else {}),
            **{k: v for k, v in given.items() if v is not None},
        }
        if begun is not None:
            chosen["steps"] = given.get("steps")  # as many as a warm start needs
        everybody = [party.id for party in consortium.lenders]
        before = list(like.lenders) if like else everybody
        lenders = (
            listed("lenders", chosen["lenders"], everybody)
            if chosen.get("lenders")
            else tuple(before)
        )
        without = listed("without", chosen["without"], lenders) if chosen.get("without") else ()
        lenders = tuple(lender for lender in lenders if lender not in without)
        if len(lenders) < LEAST_HONEST:
            raise BadOption(
                "without" if without else "lenders",
                "too-few-lenders",
                f"leaves {len(lenders)} lenders; a campaign needs {LEAST_HONEST} at least",
            )
        name = chosen.get("name") or (next_id(like.id) if like else None)
        title = chosen.get("title") or (like.title if like else None)
        features = features or (like.features if like else None)
        if not (name and title and features):
            option = "id" if not name else "features" if title else "title"
            raise BadOption(
                option, "missing", "is missing; --like HASH takes it from an earlier campaign"
            )
        if not SLUG.fullmatch(name):
            better = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63] or "spring-model"
            raise BadOption(
                "id",
                "not-an-id",
                f"is lower-case letters, digits and hyphens, 63 at most: {better!r}, not "
                f"{name[:80]!r}",
            )
        for option, most in (("epsilon", consortium.max_epsilon), ("delta", consortium.max_delta)):
            if chosen[option] > most:
                raise BadOption(
                    option,
                    "too-much",
                    f"{chosen[option]:g} is more than the consortium allows ({most:g})",
                )
        asked = cls(name, title, lenders, features, chosen, consortium.sha256, begun and begun[1])
        asked._check_collusion()
        if begun is not None:
            noise = chosen["mechanism"]
            if wrong := unlike(begun[0], chosen["model"], noise, asked.features, lenders):
                raise BadOption("warm-start", wrong.code, wrong.sentence)
        return asked

    def _check_collusion(self) -> None:
        bound = self.chosen.get("collusion_bound")
        honest = len(self.lenders) - (bound or 0)
        if (
            bound is not None
            and self.chosen["mechanism"] == "distributed"
            and honest < LEAST_HONEST
        ):
            raise BadOption(
                "collusion-bound",
                "too-few-honest",
                f"{bound} leaves {max(honest, 0)} of {len(self.lenders)} lenders "
                f"who do not collude; a sum needs {LEAST_HONEST} of them",
            )

    def mechanism(self) -> Mechanism:
        """What it costs a person and what that pays for. Raises PrivacyError: the budget is too
        small for so many releases."""
        chosen = self.chosen
        return plan_mechanism(
            Budget(chosen["epsilon"], chosen["delta"]),
            Training(
                chosen["model"],
                len(self.lenders),
                chosen["mechanism"],
                chosen.get("steps"),
                chosen.get("collusion_bound"),
                chosen.get("spare_attempts"),
                chosen["hold_out"],
                warm=self.begins_with is not None,
            ),
        )

    def campaign(
        self, coordinator: str, code_sha256: str, bundle_sha256: str, moment: datetime
    ) -> Campaign:
        """The campaign itself. Raises PrivacyError: the budget is too small for so many
        releases."""
        chosen = self.chosen
        return Campaign(
            id=self.name,
            title=self.title,
            coordinator=coordinator,
            lenders=self.lenders,
            consortium_sha256=self.consortium_sha256,
            purpose=TRAINING_PURPOSE,
            model=chosen["model"],
            features=dict(self.features),
            mechanism=self.mechanism(),
            begins_with=self.begins_with,
            code_sha256=code_sha256,
            bundle_sha256=bundle_sha256,
            seed=chosen["seed"],
            created_at=moment,
            expires_at=moment + timedelta(hours=chosen["hours"]),
        )


def listed(option: str, text: str, known: Sequence[str]) -> tuple[str, ...]:
    """The ids in a list with commas; spaces around them mean nothing. Raises BadOption."""
    names = [name.strip() for name in text.split(",")]
    if "" in names:
        raise BadOption(option, "empty-name", f"has an empty name in {text!r}")
    for name in names:
        if names.count(name) > 1:
            raise BadOption(option, "twice", f"names {name!r} twice")
        if name not in known:
            raise BadOption(
                option, "unknown-lender", f"names {name!r}, who is none of {', '.join(known)}"
            )
    return tuple(names)


def next_id(before: str) -> str:
    """``spring`` becomes ``spring-2``, that ``spring-3``."""
    stem, _, number = before.rpartition("-")
    number = str(int(number) + 1) if stem and number.isdecimal() else "2"
    stem = stem if stem and before[len(stem) + 1 :].isdecimal() else before
    return f"{stem[: 62 - len(number)]}-{number}"


def as_before(like: Campaign) -> dict[str, Any]:
    """The options that make a campaign like this one; collusion bound and spare attempts follow
    from who is left, and steps from the model where they did."""
    plan = like.mechanism
    steps = sum(release.kind in DESCENT for release in plan.releases)
    usual = STEPS if like.begins_with is None else WARM_STEPS
    return {
        "model": like.model,
        "mechanism": plan.kind,
        "epsilon": plan.epsilon,
        "delta": plan.delta,
        "steps": None if steps == usual[like.model] else steps,
        "hold_out": plan.hold_out,
        "hours": (like.expires_at - like.created_at).total_seconds() / 3600,
        "seed": like.seed,
    }


class DropoutRisk(StrEnum):
    """What happens when one lender drops out during a release, where it does not just go on."""

    STOPS_FOR_GOOD = "stops-for-good"
    """Enough would be left, but no attempt is spare."""
    WAITS = "waits"
    """Too few would be left: it goes on when that lender is back."""
    WAITS_IN_VAIN = "waits-in-vain"
    """Too few would be left, and no attempt is spare."""


def dropout_risk(lenders: int, plan: Mechanism) -> DropoutRisk | None:
    """What losing one of so many lenders would do; None where the campaign goes on without it."""
    if lenders - 1 >= plan.threshold:
        return None if plan.spare_attempts else DropoutRisk.STOPS_FOR_GOOD
    return DropoutRisk.WAITS if plan.spare_attempts else DropoutRisk.WAITS_IN_VAIN


def warning(campaign: Campaign) -> str:
    """What a coordinator should know before anybody approves; empty where a lender may be lost."""
    lenders, plan = len(campaign.lenders), campaign.mechanism
    risk = dropout_risk(lenders, plan)
    if risk is None:
        return ""
    if risk is DropoutRisk.STOPS_FOR_GOOD:
        return (
            "no attempt is spare: a lender that drops out during a release stops the campaign for "
            "good"
        )
    again = (
        (
            "it goes on when that lender is back, with tahini campaign resume "
            f"({plan.spare_attempts} spare attempts)"
        )
        if risk is DropoutRisk.WAITS
        else "and no attempt is spare, so for good"
    )
    return (
        f"a release needs {plan.threshold} of {lenders} lenders, {plan.collusion_bound} of whom "
        f"may collude: one that drops out stops the campaign; {again}"
    )


class Proposable(Protocol):
    """What a campaign is to be, found sound."""

    def campaign(
        self, coordinator: str, code_sha256: str, bundle_sha256: str, moment: datetime
    ) -> Campaign: ...


def propose(coordinator: Coordinator, asked: Proposable, assessment: str | None = None) -> Campaign:
    """Sign a campaign and the bundle that will run, hand it to the registry, and keep both.

    Args:
        assessment: the beginning of an impact assessment's hash; None is the newest that covers it.

    Raises:
        CoordinatorError: no assessment covers it, or the model that it is to begin with is not kept
            here as it was released. PrivacyError: no plan. ConsentError: the registry
            refuses it or is not there; nothing is kept then.
    """
    from fleet.bundle import build_bundle, bundle_sha256  # with Flower, which only this needs
    from fleet.code import installed_code

    bundle = build_bundle()
    planned = asked.campaign(coordinator.id, installed_code(), bundle_sha256(bundle), now())
    campaign = assessed(coordinator, planned, assessment, now())
    if campaign.begins_with is not None:
        from server.run import learner_of  # with torch: the model is here, and is the one named

        learner_of(campaign, coordinator.home / "campaigns")
    token = campaign.sign(coordinator.key)
    with coordinator.registry() as client:
        client.propose(token)
    folder = coordinator.folder(campaign.sha256)
    replace_file(folder / BUNDLE_FILE, bundle)
    replace_file(folder / CAMPAIGN_FILE, token.encode())
    write_state(folder, Stage.PROPOSED)
    return campaign
