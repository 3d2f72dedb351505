"""What decisions were made by, kept by its hash for as long as the decisions: models, policies, law
tables, releases, exploration keys. Whatever is installed later, each decision is made again with
exactly what it was made with. Beside them the products that loans were made under: what may be
agreed about a loan later, and at what price, is what its own product says.

What a case names is kept before its decision is written. Everything is checked against its hash
when it is read, and so needs no other seal; the keys of explorations, which are secrets, are sealed
under the key of the desk's home.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Mapping, Set
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import insert, select

from credit.features import FeatureSchema
from credit.models import CreditModel
from crypto.errors import TahiniError
from desk.errors import RulesMissing
from desk.lending_rules import NO_MODEL, ReleasedRules
from desk.office import Desk, InHand
from desk.rule_documents import RuleDocument, RuleKind
from desk.score_rules import ScoreRules, Trial
from desk.sealing import AtRest
from desk.storage.database import DeskDatabase
from desk.storage.tables import rules
from lending.cases import Case
from lending.law.features import LawOfDay
from lending.law.rows import Laws
from lending.policy.document import CreditPolicy, PolicyDocument
from lending.policy.pricing import ProductPricing
from lending.policy.release import Release
from lending.score.compiled import LookUp, compiled
from lending.score.glossary import Glossary
from lending.score.scorer import Scorer
from lending.terms.products import Product

AT_HAND = 64
"""So many documents, and so many rules put together of them, are held read and compiled."""
_Model = tuple[LookUp, FeatureSchema, bytes]


def named(case: Case) -> dict[RuleKind, str]:
    """What a case says it is decided by."""
    found: dict[RuleKind, str] = {
        "model": case.model_hash,
        "policy": case.policy_hash,
        "law": case.law_hash,
        "release": case.release_hash,
    }
    if case.model_hash == NO_MODEL:
        del found["model"]
    return found


def keep_rules(desk: Desk, case: Case) -> None:
    """See to it that what a case names is kept, durably, before anything is decided by it. Raises
    RulesMissing: the desk does not have it."""
    keep(desk, set(named(case).values()))


def is_at_hand(desk: Desk, case: Case) -> bool:
    """Whether this process is known to decide by what a case names."""
    return set(named(case).values()) <= desk.kept_rules


def keep(desk: Desk, wanted: Set[str]) -> None:
    """As :func:`keep_rules`, of documents by their hashes."""
    if wanted <= desk.kept_rules:
        return
    documents = {**desk.released.documents(), **desk.lending.documents()}
    if missing := wanted - documents.keys():
        raise RulesMissing(f"the desk does not have what a case names: {min(missing)}")
    desk.write(lambda hand: write_rules(hand, desk.at_rest, documents.values()))
    desk.kept_rules.update(documents)


def write_rules(hand: InHand, at_rest: AtRest, documents: Iterable[RuleDocument]) -> None:
    """Keep those that are not kept yet."""
    found = set(hand.connection.scalars(select(rules.c.sha256)))
    for one in documents:
        if one.sha256 not in found:
            content = at_rest.wrap(one.sha256, one.content) if one.secret else one.content
            row = {"sha256": one.sha256, "kind": one.kind, "content": content}
            hand.connection.execute(insert(rules).values(**row, kept_at=hand.moment))


class NotKept(RulesMissing):
    """What a case names is not kept here, or not so that this release can read it; ``kind`` says
    what."""

    def __init__(self, kind: RuleKind, sha256: str) -> None:
        super().__init__(f"no {kind} with the hash {sha256} is kept here that can be read")
        self.kind = kind


class Rulebook:
    """Reads what was kept."""

    def __init__(self, database: DeskDatabase, at_rest: AtRest) -> None:
        self._database, self._at_rest = database, at_rest
        self._document = lru_cache(AT_HAND)(self._read)
        self._rules = lru_cache(AT_HAND)(self._put_together)
        self._trials = lru_cache(AT_HAND)(self._trial)

    def of(self, case: Case, challenger: str | None = None) -> ReleasedRules:
        """The rules that a case was decided by: with another policy than it names, or with a model
        that was tried beside it. Raises NotKept."""
        tried = challenger if challenger is not None and self.trial(challenger) else None
        by = case.policy_hash if tried or challenger is None else challenger
        named = case.model_hash, by, case.law_hash, case.release_hash
        return self._rules(named, tried, case.now.date())

    def trial(self, challenger: str) -> Trial | None:
        """The model that this challenger is; None of a policy. Raises NotKept: what is kept of it
        cannot be read."""
        return self._trials(challenger)

    def _trial(self, challenger: str) -> Trial | None:
        with self._database.read() as connection:
            kind = connection.scalar(select(rules.c.kind).where(rules.c.sha256 == challenger))
        found: Trial | None = self._document("trial", challenger) if kind == "trial" else None
        return found

    def product(self, sha256: str) -> Product:
        """What a loan was made under. Raises NotKept."""
        found: Product = self._document("product", sha256)
        return found

    def _put_together(
        self, named: tuple[str, str, str, str], challenger: str | None, day: date
    ) -> ReleasedRules:
        model, policy, law, release = named
        trial = None if challenger is None else self.trial(challenger)
        laws: Laws = self._document("law", law)
        released: Release = self._document("release", release)
        return ReleasedRules(
            policies=[self._document("policy", policy)],
            pricing=ProductPricing(released.products, laws),
            model=None if model == NO_MODEL else self._in_use(model, released, (day, laws)),
            tried=None if trial is None else self._scoring(trial, (day, laws)),
            exploration_key=(
                self._document("exploration", released.exploration) if released.exploration else b""
            ),
        )

    def _in_use(self, model: str, released: Release, law: tuple[date, Laws]) -> ScoreRules:
        if released.reference is None:
            raise NotKept("release", released.hash)
        return self._scoring(Trial(model, released.reference, released.families), law)

    def _scoring(self, told: Trial, law: tuple[date, Laws]) -> ScoreRules:
        look_up, schema, file = self._document("model", told.model_sha256)
        # what the law of today forbids it to read says nothing of the day on which it scored
        scorer = Scorer(look_up, told.model_sha256, LawOfDay(schema.jurisdictions, *law))
        glossary = Glossary(told.families, {}, {})
        return ScoreRules(scorer, told.reference, glossary, schema, file)

    def _read(self, kind: RuleKind, sha256: str) -> Any:
        found = rules.c.sha256 == sha256, rules.c.kind == kind
        with self._database.read() as connection:
            content = connection.scalar(select(rules.c.content).where(*found))
        try:
            if kind == "exploration" and content is not None:
                content = self._at_rest.unwrap(sha256, content)
            if content is not None and hashlib.sha256(content).hexdigest() == sha256:
                return _READ[kind](content)
        except (TahiniError, ValueError, KeyError, TypeError) as error:
            raise NotKept(kind, sha256) from error
        raise NotKept(kind, sha256)


def _model(file: bytes) -> _Model:
    with tempfile.TemporaryDirectory(prefix="tahini-desk-") as folder:
        path = Path(folder) / "model.safetensors"
        path.write_bytes(file)
        model = CreditModel.load(path)
    return compiled(model), model.embedding.grid.schema, file


_READ: Mapping[RuleKind, Callable[[bytes], Any]] = {
    "model": _model,
    "policy": lambda content: CreditPolicy(PolicyDocument.model_validate_json(content)),
    "law": lambda content: Laws.of(orjson.loads(content)),
    "release": lambda content: Release.of(orjson.loads(content)),
    "exploration": bytes,
    "product": Product.model_validate_json,
    "trial": Trial.read,
}
