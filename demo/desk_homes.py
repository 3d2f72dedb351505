"""A desk's home as its lender's risk officer fills it: products, a signed policy, sources, words,
and the model of a campaign."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path
from typing import Any

from clients.home import Node
from clients.models import MODELS_FOLDER, KeptModel
from crypto.keys import SigningKey
from demo.result import Scenario
from desk.described import SOURCES_FILE
from desk.home import DeskSettings, create_desk
from desk.released import (
    FAMILIES_FILE,
    POLICIES,
    PRODUCTS,
    REASONS_FILE,
    REFERENCE_FILE,
    read_scorer,
    reference_json,
)
from lending.policy.document import PolicyDocument
from lending.score.reasons import just_above
from lending.score.scorer import Scorer
from protocol.client.lenders import LenderClient
from protocol.schema import now

KEPT = Path(__file__).with_name("desk_home")
"""Products, sources and words of the demo's desk."""
POLICY = Path(__file__).with_name("policy.toml")
CUT_OFF = 600
TIMEZONE = "Asia/Shanghai"


def released_scorer(scenario: Scenario, node: Node) -> Scorer:
    """The model of the scenario's campaign, which the node holds from then on."""
    campaign = scenario.campaign.sha256
    folder = node.home / MODELS_FOLDER / campaign
    if not folder.exists():
        with node.connected(LenderClient) as client:
            KeptModel.fetch(client, campaign).write(folder)
    scorer, _ = read_scorer(node, campaign, now().date())
    return scorer


def fill_home(home: Path, scenario: Scenario, node: Node, *follows: dict[str, Any]) -> None:
    """A new desk with the model of the scenario's campaign, and the demo's policy.

    Args:
        follows: of each policy that is in force after it, what is another.
    """
    scorer = released_scorer(scenario, node)
    # nobody reads here
    furnish(home, node, *follows, model=scenario.campaign.sha256, reading_seconds=0)
    # of people who belong to nobody in the consortium
    sample = scorer.bins(scenario.split.hold_out).tolist()
    reference = just_above((scorer.scored(one) for one in sample), CUT_OFF)
    text = reference_json(reference, scorer.model_sha256)
    (home / REFERENCE_FILE).write_text(text, encoding="utf-8")


def furnish(home: Path, node: Node, *follows: dict[str, Any], **settings: Any) -> None:
    """A new desk of the demo's products, sources, words and policy, signed by a key of a risk
    officer whom nobody needs again.

    Args:
        settings: of the desk (:class:`desk.home.DeskSettings`); without a ``model`` people decide.
    """
    risk = SigningKey.generate()
    told = {"node": node.home.resolve(), "risk_key": risk.public.text, "timezone": TIMEZONE}
    create_desk(home, DeskSettings.model_validate({**told, **settings}))
    for name in ("monthly-12.toml", "daily-30.toml"):
        shutil.copy(KEPT / name, home / PRODUCTS / name)
    for name in (SOURCES_FILE, REASONS_FILE, FAMILIES_FILE):
        shutil.copy(KEPT / name, home / name)
    first = PolicyDocument.model_validate(tomllib.loads(POLICY.read_text(encoding="utf-8")))
    for policy in (first, *(first.model_copy(update=one) for one in follows)):
        path = home / POLICIES / f"{policy.id}-{policy.version}.jws"
        path.write_text(policy.sign(risk), encoding="utf-8")
