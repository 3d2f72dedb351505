"""A decision in words, Chinese and English: its reasons, and the letter that its person is given.

Nothing here decides. Of a reason of the score the words are the glossary's, of a rule those of
``words.toml`` or the lender's ``reasons.toml``, of a person their own. Words that somebody would be
told and that are not there stop the desk from opening, not the letter from going out.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from credit.bands import BANDS
from crypto.sentences import one_sentence
from desk.errors import RulesMissing
from law.categories import DataCategory
from law.packs import Jurisdiction
from law.vocabulary import words as kind_words
from lending.cases import PrincipalReason, Scored
from lending.law.rows import Laws
from lending.money import shown
from lending.policy.document import CreditPolicy
from lending.score.glossary import Glossary
from lending.score.reasons import nearest
from lending.score.scorer import Scorer
from lending.score.sentences import counterfactual_sentence, reason_sentence

Tongue = Literal["zh", "en"]
TONGUES: tuple[Tongue, ...] = ("zh", "en")
REVIEWER = "reviewer"
"""The code of a reason that a person wrote."""
_SAID = tomllib.loads((files("desk") / "words.toml").read_text(encoding="utf-8"))
OWN: Mapping[str, Mapping[str, str]] = _SAID["reason"]
"""Of the codes that ``lending`` gives by itself."""


class Words(BaseModel):
    """One reason, in both languages."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    en: str = Field(min_length=3, max_length=400)
    zh: str = Field(min_length=2, max_length=400)


class ReasonsFile(BaseModel):
    """``reasons.toml``: ``[reason.some-code]`` with ``en`` and ``zh``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: dict[str, Words] = {}


def read_words(text: str, where: str) -> dict[str, dict[str, str]]:
    """The lender's words. Raises RulesMissing."""
    try:
        said = ReasonsFile.model_validate(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        why = one_sentence(error) if isinstance(error, ValidationError) else str(error)
        raise RulesMissing(f"{where}: {why}") from error
    return {code: words.model_dump() for code, words in said.reason.items()}


def lapse_sentence(amount: int, day: date, tongue: Tongue) -> str:
    """What a borrower is told whose accepted loan was not paid out in time."""
    return str(_SAID["lapse"][tongue]).format(amount=shown(amount), day=day)


def codes_of(policy: CreditPolicy) -> Iterator[str]:
    """Every reason that the rows of a policy give."""
    for table in policy.document.tables.values():
        for row in table.rows:
            if "reason" in row.then:
                yield str(row.then["reason"])


@dataclass(frozen=True)
class Told:
    """What a letter is about."""

    application: Mapping[str, Any]
    """``id``, ``received``, ``product``, ``amount``, ``days``."""
    outcome: str
    by_machine: bool
    day: date
    offer: tuple[int, int] | None
    """Amount and term."""
    scored: Scored | None
    reasons: tuple[PrincipalReason, ...]
    used: frozenset[DataCategory]
    """Kinds of data that facts which were used are made of."""
    refused: frozenset[DataCategory]
    """Kinds that the person did not agree to, and somebody would have been asked about."""
    outdated: frozenset[DataCategory]
    """Kinds of which something is older than the person agreed to."""
    entry_index: int


@dataclass(frozen=True)
class Wording:
    """The words of one desk.

    Args:
        words: of rules, by code and language. cut_off: what a counterfactual reaches.
    """

    words: Mapping[str, Mapping[str, str]]
    laws: Laws
    jurisdiction: Jurisdiction
    glossary: Glossary | None = None
    scorer: Scorer | None = None
    cut_off: int = 0

    def require(self, policy: CreditPolicy) -> None:
        """Raises RulesMissing: a row's reason has no words."""
        for code in codes_of(policy):
            if code not in self.words:
                raise RulesMissing(
                    f"policy {policy.document.id!r} gives the reason {code!r}, for which "
                    "reasons.toml has no words; add them in en and zh"
                )

    def sentence(self, reason: PrincipalReason, tongue: Tongue) -> str:
        """Raises ScoreError, RulesMissing where there are no words."""
        if reason.kind == "score" and self.glossary is not None:
            return reason_sentence(reason, self.glossary, tongue)
        if reason.code == REVIEWER:
            return str(reason.detail["text"])
        words = self.words.get(reason.code)
        if words is None:
            raise RulesMissing(f"there are no words for the reason {reason.code!r}")
        return words[tongue]

    def what_if(self, scored: Scored, tongue: Tongue) -> str | None:
        """With what instead the score would reach the cut-off; None where nothing that a person can
        change does it."""
        if self.scorer is None or self.glossary is None:
            return None
        look_up = self.scorer.look_up
        bins = [one.bin for one in scored.points]
        found = nearest(look_up, bins, self.glossary.changeable, self.cut_off)
        return (
            None
            if found is None
            else counterfactual_sentence(found, look_up, self.glossary, tongue)
        )

    def letter(self, told: Told, tongue: Tongue) -> str:
        """The letter, a paragraph a line."""
        return "\n".join(self._lines(told, tongue)) + "\n"

    def _lines(self, told: Told, tongue: Tongue) -> Iterator[str]:
        def said(key: str, **values: object) -> str:
            return str(_SAID["letter"][key][tongue]).format(**values)

        asked = {**told.application, "amount": shown(told.application["amount"])}
        yield said("title")
        yield said("application", **asked)
        offer = told.offer or (0, 0)
        yield said(told.outcome, amount=shown(offer[0]), days=offer[1])
        by = "machine" if told.by_machine else "person"
        yield said("passed_on" if told.outcome == "review" else by, day=told.day)
        if told.reasons:
            yield said("reasons")
        for reason in told.reasons:
            yield f"- {self.sentence(reason, tongue)}"
        if told.scored is not None:
            band = getattr(BANDS.band(told.scored.score), tongue)
            yield said("score", day=told.day, score=told.scored.score, band=band)
            by_score = any(reason.kind == "score" for reason in told.reasons)
            if by_score and (other := self.what_if(told.scored, tongue)) is not None:
                yield said("what_if", sentence=other)
        for key, kinds in (("used", told.used), ("refused", told.refused), ("old", told.outdated)):
            if kinds:
                called = [kind_words(kind, tongue) for kind in sorted(kinds)]
                yield said(key, kinds=_SAID["letter"]["between"][tongue].join(called))
        yield said("contest")
        row = self.laws.find(self.jurisdiction, "objection.days", told.day)
        if row is not None:
            yield said("objection", days=row.value)
        yield said("log", index=told.entry_index)
