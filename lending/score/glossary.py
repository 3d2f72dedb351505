"""What a lender's file says beside a model: which features belong together, what they are called,
and what a person can change.

    [families.repayment]
    features = ["late", "times_late"]
    en = "late repayments"
    zh = "逾期还款"

    [features.late]
    en = "late repayments"
    zh = "逾期还款次数"
    unit_en = "times"
    unit_zh = "次"

    [changeable]
    late = "down"

Correlated features, and the columns of one thing, belong in one family, so that it is one reason. A
feature in no family is one of its own. A feature is called as ``features`` says, else as its
schema describes it, whose language is nobody's promise; a unit that has no Chinese is left out of a
Chinese sentence.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from credit.features import FeatureSchema
from crypto.sentences import one_sentence
from law.vocabulary import LANGUAGES
from lending.score.compiled import ScoreError
from lending.score.reasons import Direction


class Family(BaseModel):
    """Features that are one reason, and their name for people."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    features: tuple[str, ...] = Field(min_length=1)
    en: str = Field(min_length=2)
    zh: str = Field(min_length=1)


class FeatureWords(BaseModel):
    """What a feature is called to people, and its unit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    en: str = Field(min_length=2)
    zh: str = Field(min_length=1)
    unit_en: str = ""
    unit_zh: str = ""


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    families: dict[str, Family] = {}
    features: dict[str, FeatureWords] = {}
    changeable: dict[str, Direction] = {}

    def of_those(self, names: Collection[str]) -> _Data:
        """But for other features, and families of others alone."""
        families = {
            code: one.model_copy(update={"features": mine})
            for code, one in self.families.items()
            if (mine := tuple(name for name in one.features if name in names))
        }
        changeable = {name: way for name, way in self.changeable.items() if name in names}
        features = {name: one for name, one in self.features.items() if name in names}
        return _Data(families=families, features=features, changeable=changeable)


@dataclass(frozen=True, slots=True)
class Glossary:
    """``families`` of features by feature, ``words`` of families and features by language."""

    families: Mapping[str, str]
    words: Mapping[str, Mapping[str, str]]
    changeable: Mapping[str, Direction]
    units: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def unit(self, feature: str, stated: str | None, language: str) -> str:
        """Of a feature; ``stated`` in its schema, in whatever language that is: not in Chinese."""
        if feature in self.units:
            return self.units[feature][language]
        return stated or "" if language == "en" else ""

    @classmethod
    def of(
        cls,
        schema: FeatureSchema,
        data: Any = None,
        where: str = "the families",
        others: bool = False,
    ) -> Glossary:
        """What is said of a model's features.

        Args:
            others: it may name features that another model reads; they are left out.

        Raises:
            ScoreError: it names a feature that the model does not read, or one twice.
        """
        try:
            said = _Data.model_validate({} if data is None else data)
        except ValidationError as error:
            raise ScoreError(f"{where}: {one_sentence(error)}") from error
        if others:
            said = said.of_those(schema.names)
        families: dict[str, str] = {}
        words = {
            one.name: dict.fromkeys(LANGUAGES, one.description or one.name)
            for one in schema.features
        }
        words |= {name: {"en": one.en, "zh": one.zh} for name, one in said.features.items()}
        units = {
            name: {"en": one.unit_en, "zh": one.unit_zh} for name, one in said.features.items()
        }
        for code, family in said.families.items():
            for feature in family.features:
                if feature in families:
                    raise ScoreError(f"{where}: feature {feature!r} is in two families")
                families[feature] = code
            words[code] = {"en": family.en, "zh": family.zh}
        for feature in (*families, *said.features, *said.changeable):
            if feature not in schema.names:
                raise ScoreError(
                    f"{where}: the model reads no feature {feature!r}; it reads "
                    f"{', '.join(schema.names)}"
                )
        for code in said.families:
            if code in schema.names and families.get(code) != code:
                raise ScoreError(f"{where}: family {code!r} has the name of a feature outside it")
        return cls(families, words, said.changeable, units)
