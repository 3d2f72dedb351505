"""What a desk of the two years is made from: a home as its lender's risk officer fills it, for a
calendar that runs into years of which nobody has read the law yet."""

from __future__ import annotations

import shutil
import tomllib
from datetime import date
from pathlib import Path

from clients.home import Node
from clients.models import MODELS_FOLDER, KeptModel
from crypto.keys import SigningKey
from demo.lending import CUT_OFF, KEPT, POLICY, TIMEZONE
from demo.result import Scenario
from desk.described import SOURCES_FILE
from desk.home import DeskSettings, create_desk
from desk.released import (
    FAMILIES_FILE,
    LAW,
    POLICIES,
    PRODUCTS,
    REASONS_FILE,
    REFERENCE_FILE,
    read_scorer,
    reference_json,
)
from lending.policy.document import PolicyDocument
from lending.score.reasons import just_above
from protocol.client.lenders import LenderClient
from protocol.schema import now

ASSUMED = """# The one-year loan prime rate of years to come: nobody knows it; here it stays.
[[row]]
key = "lpr-1y"
value = "0.030"
from = 2026-09-20
article = "assumed by the demo for the simulated years"
source = "nobody's word: the last publication that was read, carried on"
verified = false
"""
FOLLOWS = {"version": 2, "valid_from": date(2028, 1, 1), "valid_until": date(2031, 1, 1)}
"""The policy from the day on which the cap of loans of over a month is four times the LPR: the same
tables, for the price is lowered until the cost fits."""


def make_branch(home: Path, scenario: Scenario, node: Node) -> None:
    """A desk's home for the two years, with the model of the scenario's campaign."""
    campaign = scenario.campaign.sha256
    folder = node.home / MODELS_FOLDER / campaign
    if not folder.exists():
        with node.connected(LenderClient) as client:
            KeptModel.fetch(client, campaign).write(folder)
    scorer, _ = read_scorer(node, campaign, now().date())
    risk = SigningKey.generate()
    create_desk(
        home,
        DeskSettings(
            node=node.home.resolve(),
            risk_key=risk.public.text,
            model=campaign,
            timezone=TIMEZONE,
            reading_seconds=0,
        ),
    )
    for name in ("monthly-12.toml", "daily-30.toml"):
        shutil.copy(KEPT / name, home / PRODUCTS / name)
    for name in (SOURCES_FILE, REASONS_FILE, FAMILIES_FILE):
        shutil.copy(KEPT / name, home / name)
    (home / LAW / "cn.toml").write_text(ASSUMED, encoding="utf-8")
    first = PolicyDocument.model_validate(tomllib.loads(POLICY.read_text(encoding="utf-8")))
    for policy in (first, first.model_copy(update=FOLLOWS)):
        path = home / POLICIES / f"{policy.id}-{policy.version}.jws"
        path.write_text(policy.sign(risk), encoding="utf-8")
    sample = scorer.bins(scenario.split.hold_out).tolist()
    reference = just_above((scorer.scored(one) for one in sample), CUT_OFF)
    text = reference_json(reference, scorer.model_sha256)
    (home / REFERENCE_FILE).write_text(text, encoding="utf-8")
