"""A real desk in a house: its node, its registry, a released model, a signed policy, products, sources in a file.

Scores of a model that was trained with noise on sixty people are what they are: the policy's cut-off is put at the
score of the best of a few profiles.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
from fastapi.testclient import TestClient
from support.house import Ground, House
from support.world import features

from clients.models import MODELS_FOLDER, KeptModel
from credit.binning import Binning, FeatureBins
from credit.embedding import Embedding
from credit.grid import Grid
from credit.models import UNCALIBRATED, CreditModel
from credit.scaling import LOWEST
from crypto.keys import PublicKey, SigningKey
from demo.borrowers import DemoBorrower
from demo.scoring_notice import make_scoring_notice
from desk.api.app import create_app
from desk.callers import CallerRole, DeskCaller, add_caller
from desk.described import SOURCES_FILE
from desk.home import DeskSettings, create_desk, open_desk, read_settings
from desk.lending_rules import ReleasedRules, feature_law
from desk.office import Desk
from desk.released import (
    POLICIES,
    PRODUCTS,
    REASONS_FILE,
    REFERENCE_FILE,
    read_policy,
    read_reference,
    read_scorer,
    reference_json,
)
from desk.score_rules import ScoreRules
from law.categories import DataCategory
from lending.law.features import LawOfDay
from lending.law.rows import LAWS
from lending.policy.document import policy_from
from lending.policy.pricing import ProductPricing
from lending.score.glossary import Glossary
from lending.score.reasons import just_above
from lending.score.scorer import Scorer
from lending.terms.products import read_product
from protocol.notices import Notice
from protocol.schema import now

POLICY_FILE = Path(__file__).resolve().parents[2] / "demo" / "policy.toml"
CATEGORIES = (DataCategory.BUREAU, DataCategory.INCOME, DataCategory.IDENTITY)
PRODUCT = """
name = "{name}"
en = "Small loan"
zh = "小额贷"
kind = "{kind}"
jurisdiction = "CN"
lender_kind = "microloan"
use = "consumption"
dues = "{dues}"
terms = [{terms}]
amounts = {{ least = 10000, most = 20000000, step = 100 }}
rates = {{ least = 0, most = 2000 }}
grace_days = 3
extension = {{ times = 1, days = 30 }}

[[fees]]
code = "penalty"
en = "For what is overdue"
zh = "逾期罚息"
payee = "lender"
method = "of-overdue-a-day"
value = 300
when = "late"
"""
SOURCES = """
[sources.book]
kind = "file"
category = "repayment"
path = "facts.parquet"
key = "pseudonym"
columns = { late = "late" }
deadline_ms = 5000

[sources.bureau]
kind = "file"
category = "bureau"
path = "facts.parquet"
key = "pseudonym"
deadline_ms = 5000
[sources.bureau.columns]
grade = "grade"
has_file = "has_file"
arrears_days = "arrears_days"
open_loans = "open_loans"
applications_7d = "applications_7d"
monthly_obligations = "monthly_obligations"

[sources.payroll]
kind = "file"
category = "income"
path = "facts.parquet"
key = "pseudonym"
columns = { income = "income", monthly_income = "monthly_income" }
deadline_ms = 5000

[sources.register]
kind = "file"
category = "identity"
path = "facts.parquet"
key = "pseudonym"
columns = { identity_verified = "identity_verified" }
deadline_ms = 5000
"""
USUAL: dict[str, Any] = {
    "identity_verified": True, "has_file": True, "arrears_days": 0, "open_loans": 2, "applications_7d": 1,
    "monthly_income": 1_000_000, "monthly_obligations": 100_000,
}  # fmt: skip
PROFILES = [
    {"late": late, "income": income, "grade": grade} for late in (0, 6) for income in (800.0, 9000.0) for grade in "abc"
]
CODES = (
    "identity-not-verified", "in-arrears", "too-many-loans", "purpose-not-allowed", "close-to-the-cut-off",
    "score-below-the-cut-off", "many-applications", "large-first-loan", "payments-heavy-for-income",
    "payments-too-heavy-for-income",
)  # fmt: skip


@dataclass
class LendingHouse:
    """A house with a lender's desk."""

    house: House
    home: Path
    notice: Notice
    desk: Desk
    http: TestClient
    best: Mapping[str, Any]
    worst: Mapping[str, Any]
    risk: SigningKey
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def people(self) -> list[DemoBorrower]:
        """Of the lender, who gave everything."""
        return [one for one in self.house.borrowers["aspen"] if one.answer == "gives" and one.sensitive]

    def knows(self, person: DemoBorrower, **facts: Any) -> None:
        """What the sources know of somebody: usual facts, but for these."""
        path = self.home / "facts.parquet"
        row = {"pseudonym": person.pseudonym, **USUAL, **self.best, **facts}
        held = pd.read_parquet(path) if path.exists() else pd.DataFrame()
        kept = held[held["pseudonym"] != person.pseudonym] if len(held) else held
        pd.concat([kept, pd.DataFrame([row])]).to_parquet(path)

    def call(self, who: str, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        if who not in self.tokens:
            role = CallerRole(who.partition(".")[0])
            self.tokens[who] = self.desk.write(lambda hand: add_caller(hand, DeskCaller(who, role)))
            self.http.app.state.callers._until = 0.0  # type: ignore[attr-defined]
        sent = {"Authorization": f"Bearer {self.tokens[who]}"} | headers
        return self.http.request(method, path, json=body, headers=sent)

    def asks(self, person: DemoBorrower, **more: Any) -> httpx.Response:
        body = {
            "pseudonym": person.pseudonym, "product": "daily-30", "amount": 300_000, "term_days": 30,
            "purpose": "shopping", **more,
        }  # fmt: skip
        return self.call("origination", "POST", "/v1/applications", body)


def released_policy(cut_off: int, **changes: Any) -> dict[str, Any]:
    """The demo's policy with another cut-off."""
    found = tomllib.loads(POLICY_FILE.read_text(encoding="utf-8")) | changes
    found["tables"]["tiers"]["rows"] = [
        {"id": "a", "when": {"score": f">= {cut_off}"}, "then": {"outcome": "approve", "tier": "a"}},
        {"id": "below", "when": {"score": f"< {cut_off}"},
         "then": {"outcome": "decline", "reason": "score-below-the-cut-off"}},
    ]  # fmt: skip
    for table, tiers in (("limits", ("a", "x")), ("pricing", ("a",))):
        rows = found["tables"][table]["rows"]
        found["tables"][table]["rows"] = [
            row for row in rows if row["when"].get("tier") in {*tiers, "not x", None} or "x" in row["when"]["tier"]
        ]
    for row in found["tables"]["pricing"]["rows"]:
        if row["id"] == "c":
            row["when"] = {"tier": "x"}
    return found


def write_home(home: Path, risk: SigningKey, scorer: Scorer) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Policy, products, sources, words and what reasons compare with; returns the best and worst profile."""
    scored = [(scorer.score(profile).score, at) for at, profile in enumerate(PROFILES)]
    best, worst = PROFILES[max(scored)[1]], PROFILES[min(scored)[1]]
    cut_off = max(scored)[0]
    # noise may leave nobody above the lowest score, below which no policy can decline anybody
    asked = max(cut_off, LOWEST + 1)
    policy = policy_from(released_policy(asked, most_neutral=0), feature_law(LAWS), home_day())
    (home / POLICIES / "first.jws").write_text(policy.document.sign(risk), encoding="utf-8")
    for name, kind, dues, terms in (("daily-30", "bullet", "once", "30"), ("monthly-12", "annuity", "monthly", "360")):
        text = PRODUCT.format(name=name, kind=kind, dues=dues, terms=terms)
        (home / PRODUCTS / f"{name}.toml").write_text(text, encoding="utf-8")
    (home / SOURCES_FILE).write_text(SOURCES, encoding="utf-8")
    words = "".join(f'[reason.{code}]\nen = "Because {code}."\nzh = "因为 {code}。"\n' for code in CODES)
    (home / REASONS_FILE).write_text(words, encoding="utf-8")
    reference = just_above([scorer.score(profile) for profile in PROFILES], cut_off)
    (home / REFERENCE_FILE).write_text(reference_json(reference, scorer.model_sha256), encoding="utf-8")
    return best, worst


def clear(folder: Path, tilt: float = 0.1) -> tuple[Scorer, bytes]:
    """A model made by hand that tells people apart, where one that sixty noisy people taught does not, and its file;
    another for another ``tilt``."""
    bins = (
        FeatureBins((1.0, 4.0), (), (0.6, 0.2, 0.1, 0.1)),
        FeatureBins((2000.0,), (), (0.4, 0.5, 0.1)),
        FeatureBins((), (0, 1, 2, 2), (0.4, 0.3, 0.2, 0.1)),
    )
    embedding = Embedding(Grid(features()), Binning(bins, 1000.0, 0.1))
    weights = np.linspace(-1.2, tilt, embedding.width)
    CreditModel("scorecard", embedding, weights, UNCALIBRATED).save(folder / "clear.safetensors")
    file = (folder / "clear.safetensors").read_bytes()
    model = CreditModel.load(folder / "clear.safetensors")
    return Scorer.of(model, hashlib.sha256(file).hexdigest(), LawOfDay(("CN",), now().date())), file


def released(folder: Path, tilt: float = 0.1) -> ReleasedRules:
    """The demo's policy and products, and a model made by hand."""
    scorer, file = clear(folder, tilt)
    cut_off = max(scorer.score(profile).score for profile in PROFILES)
    reference = just_above([scorer.score(profile) for profile in PROFILES], cut_off)
    found = [
        read_product((POLICY_FILE.parent / "desk_home" / f"{name}.toml").read_text(encoding="utf-8"), home_day())
        for name in ("daily-30", "monthly-12")
    ]
    policy = policy_from(released_policy(cut_off), feature_law(LAWS), home_day())
    score = ScoreRules(scorer, reference, Glossary.of(features()), features(), file)
    return ReleasedRules([policy], ProductPricing({one.name: one for one in found}), score, os.urandom(32))


def instead(desk: Desk, home: Path, scorer: Scorer, file: bytes) -> Desk:
    """The desk with this scorer, and the policies that are in its home now."""
    with_policies(desk, home)
    rules = desk.lending
    assert isinstance(rules, ReleasedRules) and rules.model is not None
    reference = read_reference(home / REFERENCE_FILE, scorer)
    score = replace(rules.model, scorer=scorer, file=file, reference=reference)
    desk.lending = replace(rules, model=score)
    desk.wording = replace(desk.wording, scorer=scorer, cut_off=score.reference.cut_off)
    return desk


def with_policies(desk: Desk, home: Path) -> None:
    """The desk decides by the policies that are in its home now."""
    rules = desk.lending
    assert isinstance(rules, ReleasedRules)
    policies = [read_policy(path, PublicKey(_key(home)), LAWS) for path in (home / POLICIES).glob("*.jws")]
    desk.lending = replace(rules, policies=policies)


def _key(home: Path) -> bytes:
    return PublicKey.from_text(read_settings(home).risk_key).raw


def home_day() -> Any:
    return now().date()


@contextmanager
def lending_house(ground: Ground, root: Path, **settings: Any) -> Iterator[LendingHouse]:
    """Everybody who gives is asked about scoring, too, and gives."""
    with ground.copy(root / "house").opened() as house, lending_in(house, root, **settings) as opened:
        yield opened


@contextmanager
def lending_in(house: House, root: Path, **settings: Any) -> Iterator[LendingHouse]:
    """A desk in a house that is open."""
    assert house.campaign is not None
    sha256 = house.campaign.sha256
    node = house.node()
    KeptModel.fetch(house.client(), sha256).write(node.home / MODELS_FOLDER / sha256)
    notice = make_scoring_notice(house.founded.consortium, ["aspen"], CATEGORIES)
    operator = house.founded.operator(house.url)
    operator.publish_notice(notice, house.founded.registry_key)
    operator.close()
    tokens = [one.first_answer(notice) for one in house.borrowers["aspen"] if one.answer != "silent"]
    house.anyone().decide(tokens)
    home, risk = root / "desk", SigningKey.generate()
    said = {"reading_seconds": 0} | settings
    create_desk(home, DeskSettings(node=node.home, risk_key=risk.public.text, model=sha256, **said))
    real, _ = read_scorer(node, sha256, now().date())
    write_home(home, risk, real)
    desk = open_desk(home, house.clock)  # everything of the model verifies
    scorer, file = clear(root)
    best, worst = write_home(home, risk, scorer)
    desk = instead(desk, home, scorer, file)
    kept = (home / REFERENCE_FILE).read_text(encoding="utf-8")  # so that the home opens again
    (home / REFERENCE_FILE).write_text(kept.replace(scorer.model_sha256, real.model_sha256), encoding="utf-8")
    http = TestClient(create_app(desk), raise_server_exceptions=False)
    try:
        with http:
            yield LendingHouse(house, home, notice, desk, http, best, worst, risk)
    finally:
        desk.close()
