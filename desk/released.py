"""What a lender's risk officer released to its desk, read from the desk's home and checked.

``products/*.toml``, ``policies/*.jws`` (signed with the risk officer's key, all that were ever in
force), ``model`` (the hash of the campaign whose model scores; its files are in the node's home),
``families.toml`` and ``reference.json`` (what its reasons compare with), ``challenger.json`` (the
same of a model that is tried beside it), ``law/*.toml`` (rows that the lender adds to the law
tables, such as next month's LPR), ``exploration.key``.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import get_args

from pydantic import ValidationError

from clients.home import Node
from clients.models import (
    MODEL_FILE,
    MODELS_FOLDER,
    KeptModel,
    Verified,
    check,
    check_origin,
)
from credit.bands import require_these
from credit.features import FeatureSchema
from credit.models import CreditModel
from crypto.documents import unverified_payload
from crypto.keys import PublicKey, read_secret
from crypto.sentences import one_sentence
from desk.commands.letters import LETTER_NOTICE
from desk.errors import RulesMissing
from desk.lending_rules import ReleasedRules, feature_law
from desk.score_rules import ScoreRules
from desk.wording import OWN, Wording, Words, read_words
from law.packs import Jurisdiction
from lending.law.features import LawOfDay
from lending.law.rows import LAWS, Laws
from lending.policy.document import CreditPolicy, verified_policy
from lending.policy.pricing import ProductPricing
from lending.score.glossary import Glossary
from lending.score.reasons import MeanPoints
from lending.score.scorer import Scorer
from lending.terms.products import Product, read_product
from protocol.errors import BadSettings

PRODUCTS, POLICIES, LAW = "products", "policies", "law"
FAMILIES_FILE, REFERENCE_FILE, REASONS_FILE = "families.toml", "reference.json", "reasons.toml"
TRIED_FILE = "challenger.json"
"""What the reasons of a model that is tried compare with."""
LETTER_FILE = "letter.toml"
EXPLORATION_FILE, EXPLORATION_SIZE = "exploration.key", 32


def read_rules(
    home: Path,
    node: Node,
    model: str | None,
    risk_key: PublicKey,
    day: date,
) -> ReleasedRules:
    """Everything in ``home``.

    Args:
        model: hash of the campaign whose model scores; without one every case goes to a person.
        risk_key: who signs policies.
        day: the lender's day; products must be lawful on it.

    Raises:
        TahiniError: one sentence that says which file is not in order.
    """
    laws = read_laws(home)
    products = {one.name: one for one in read_products(home, day, laws)}
    policies = tuple(
        read_policy(path, risk_key, laws) for path in sorted((home / POLICIES).glob("*.jws"))
    )
    key = home / EXPLORATION_FILE
    return ReleasedRules(
        policies=policies,
        pricing=ProductPricing(products, laws),
        model=None if model is None else read_score(home, node, model, (day, laws)),
        exploration_key=read_secret(key, EXPLORATION_SIZE) if key.exists() else b"",
    )


def read_laws(home: Path) -> Laws:
    """The law tables of this release and what the lender added. Raises LawTableError."""
    laws = LAWS
    for place in get_args(Jurisdiction):
        path = home / LAW / f"{str(place).lower()}.toml"
        if path.exists():
            laws = laws.with_rows(place, _text(path))
    return laws


def read_products(home: Path, day: date, laws: Laws) -> list[Product]:
    """Raises ProductError."""
    return [
        read_product(_text(path), day, laws) for path in sorted((home / PRODUCTS).glob("*.toml"))
    ]


def read_policy(path: Path, risk_key: PublicKey, laws: Laws) -> CreditPolicy:
    """A signed policy, as it was on its first day; whether it is lawful on another is asked on that
    day. Raises SignatureError, PolicyRefused, TableError."""
    token = _text(path).strip()
    first = date.fromisoformat(str(unverified_payload(token).get("valid_from")))
    return verified_policy(token, risk_key, feature_law(laws), first)


def read_score(
    home: Path, node: Node, campaign: str, of: tuple[date, Laws], tried: bool = False
) -> ScoreRules:
    """The model with what its reasons compare with, recalled or not: what it decided is still to be
    explained (``desk.standing`` says whether it may decide).

    Args:
        tried: in shadow: families are then those of the model in use, but for what this one does
            not read.

    Raises:
        As :func:`read_scorer`, RulesMissing.
    """
    folder = node.home / MODELS_FOLDER / campaign
    verified = check_origin(KeptModel.read(folder), campaign, node.consortium)
    scorer, schema = _scorer(folder, verified, *of)
    families = home / FAMILIES_FILE
    said = tomllib.loads(_text(families)) if families.exists() else None
    return ScoreRules(
        scorer,
        read_reference(home / (TRIED_FILE if tried else REFERENCE_FILE), scorer),
        Glossary.of(schema, said, str(families), others=tried),
        schema,
        (folder / MODEL_FILE).read_bytes(),
        verified.card,
    )


def read_scorer(
    node: Node, campaign: str, day: date, laws: Laws = LAWS
) -> tuple[Scorer, FeatureSchema]:
    """The model in the node's home, after its card, its approvals and its log entry verified; an
    MLP, a model that was recalled, and one that reads what is protected on the day, in a place that
    its schema names, is refused. Raises NodeError, ScoreError, ModelError."""
    folder = node.home / MODELS_FOLDER / campaign
    return _scorer(folder, check(KeptModel.read(folder), campaign, node.consortium), day, laws)


def _scorer(
    folder: Path, verified: Verified, day: date, laws: Laws
) -> tuple[Scorer, FeatureSchema]:
    require_these(map(dict, verified.card.bands))
    model = CreditModel.load(folder / MODEL_FILE)
    schema = model.embedding.grid.schema
    under = LawOfDay(schema.jurisdictions, day, laws)
    return Scorer.of(model, verified.card.model_sha256, under), schema


def reference_json(reference: MeanPoints, model_sha256: str) -> str:
    """What :func:`read_reference` reads."""
    return json.dumps({"model": model_sha256, **asdict(reference)}, indent=2)


def read_wording(home: Path, rules: ReleasedRules) -> Wording:
    """The words of reasons; raises RulesMissing where a policy gives one without words."""
    path = home / REASONS_FILE
    own = read_words(_text(path), str(path)) if path.exists() else {}
    places = {policy.document.jurisdiction for policy in rules.policies}
    if len(places) > 1:
        raise RulesMissing("one desk decides by the law of one place; keep a desk for each")
    model = rules.model
    wording = Wording(
        words={**OWN, **own},
        laws=rules.pricing.laws,
        jurisdiction=next(iter(places), "CN"),
        glossary=None if model is None else model.glossary,
        scorer=None if model is None else model.scorer,
        cut_off=0 if model is None else model.reference.cut_off,
    )
    for policy in rules.policies:
        wording.require(policy)
    return wording


def read_letter_end(
    home: Path, laws: Laws, jurisdiction: Jurisdiction, day: date
) -> dict[str, str]:
    """``letter.toml``: what stands under every letter, ``en`` and ``zh``. Raises RulesMissing: it
    is not there, and the law of the place has every refusal name the lender and who supervises
    it."""
    path = home / LETTER_FILE
    if path.exists():
        try:
            return Words.model_validate(tomllib.loads(_text(path))).model_dump()
        except (tomllib.TOMLDecodeError, ValidationError) as error:
            why = one_sentence(error) if isinstance(error, ValidationError) else str(error)
            raise RulesMissing(f"{path}: {why}") from error
    row = laws.find(jurisdiction, LETTER_NOTICE, day)
    if row is not None:
        raise RulesMissing(
            f"{path} is not there: {row.article} has every refusal name the lender with its "
            "address, and the agency; write both into it, as en and zh"
        )
    return {}


def read_reference(path: Path, scorer: Scorer) -> MeanPoints:
    """The mean points of those just above the cut-off, by this model. Raises RulesMissing."""
    try:
        said = json.loads(_text(path))
        if said.pop("model") != scorer.model_sha256:
            raise RulesMissing(
                f"{path} is of another model; make it anew: tahini desk reference --help"
            )
        return MeanPoints(**said)
    except (BadSettings, ValueError, TypeError, KeyError) as error:
        raise RulesMissing(
            f"{path} does not say what reasons compare with; make it: tahini desk reference --help"
        ) from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(f"cannot read {path}: {getattr(error, 'strerror', error)}") from error
