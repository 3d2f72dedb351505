"""Law packs: what each jurisdiction forbids, asks and lets be kept for how long, with articles.

The tables are TOML beside this module (``cn.toml``, ``eu.toml``, ``us.toml``), so that counsel can
read and correct them; a node's code hash covers them (``fleet.code``). ``words.toml`` is the second
net: names that give a category away, for a feature that declares another. It recognises the obvious
ones only; the lender declares, the auditor checks.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Collection, Iterator
from datetime import date
from importlib.resources import files
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from law.categories import SENSITIVE_CATEGORIES, DataCategory

Jurisdiction = Literal["CN", "EU", "US"]
"""ISO 3166 code; ``EU`` for the Union."""


class Parameter(BaseModel):
    """A figure that a law sets, for as long as it does: from ``since``, before ``until``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    value: int | str
    """A whole number, or a decimal as text: never a double."""
    since: date = Field(alias="from")
    until: date | None = None
    source: str


class Bar(BaseModel):
    """Kinds of data that a law bars, for as long as it does: from ``since``, before ``until``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bar: Literal["forbidden", "protected"]
    key: str
    kinds: tuple[DataCategory, ...]
    since: date = Field(alias="from")
    until: date | None = None
    article: str
    source: str
    verified: bool


class Pack(BaseModel):
    """The law of one jurisdiction, as far as it is enforced here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    jurisdiction: Jurisdiction
    checked_on: date
    laws: dict[str, str]
    barred: tuple[Bar, ...]
    consent: dict[str, tuple[DataCategory, ...]]
    parameters: tuple[Parameter, ...] = ()

    def article_against(self, category: DataCategory) -> str | None:
        """The article that bars it, now or from a day that is set."""
        bars = (one for one in self.barred if one.until is None and category in one.kinds)
        return next((one.article for one in bars), None)

    def parameter(self, key: str, day: date) -> Parameter | None:
        """The figure that is in force on ``day``."""
        return next(
            (
                one
                for one in self.parameters
                if one.key == key and one.since <= day and (one.until is None or day < one.until)
            ),
            None,
        )


def _table(name: str) -> dict[str, Any]:
    return tomllib.loads((files("law") / f"{name}.toml").read_text(encoding="utf-8"))


PACKS = {
    one.jurisdiction: one
    for one in (Pack.model_validate(_table(name.lower())) for name in get_args(Jurisdiction))
}


def _pattern(words: str) -> re.Pattern[str]:
    """Of texts as :func:`_plain` leaves them."""
    found = []
    for word in words.split():
        apart = r"(?<![a-z]){}(?![a-z])" if word.isascii() else "{}"
        whole = r"\A{}\Z" if word.startswith("=") else apart
        said = word.removeprefix("=")
        letters = said.replace("*", "[a-z]*").replace("_", " ?")
        found.append(whole.format(letters if word.isascii() else " ?".join(said)))
    return re.compile("|".join(found))


_WORDS = {DataCategory(name): _pattern(words) for name, words in _table("words").items()}


def _plain(text: str) -> str:
    """In lower case, with a blank for whatever is no letter or digit and between a name's words."""
    seen = unicodedata.normalize("NFKC", text)
    seen = "".join(one for one in seen if unicodedata.category(one) != "Cf")
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[\W_]+", " ", seen)
    return re.sub(r" +", " ", apart).strip().lower()


def spoken_of(*texts: str) -> Iterator[DataCategory]:
    """The categories that these names or descriptions give away."""
    plain = [_plain(text) for text in texts]
    for category, pattern in _WORDS.items():
        if any(pattern.search(text) for text in plain):
            yield category


def objection(
    jurisdictions: Collection[Jurisdiction], declared: Collection[DataCategory], *texts: str
) -> str | None:
    """Why a fact of these categories, so named and described, cannot be used in all of these
    jurisdictions: the rest of a sentence that begins with the fact. None if it can."""
    spoken = dict.fromkeys(spoken_of(*texts))
    for category in (*sorted(declared), *spoken):
        for jurisdiction in jurisdictions:
            if article := PACKS[jurisdiction].article_against(category):
                return f"is about {category}, which the law forbids ({jurisdiction}: {article})"
    for category in spoken:
        if category in SENSITIVE_CATEGORIES and category not in declared:
            return f"speaks of {category}, which is neither its category nor in derived_from"
    return None


def adverse_days(jurisdictions: Collection[Jurisdiction], day: date) -> int | None:
    """For how many days after its end an adverse record may be used, by the strictest of these laws
    as of ``day``; None if none of them says."""
    found = (PACKS[one].parameter("adverse-years", day) for one in jurisdictions)
    years = [int(one.value) for one in found if one is not None]
    return min(years) * 365 + 1 if years else None
