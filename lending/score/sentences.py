"""Reasons and counterfactuals in words (``sentences.toml``), from codes: nothing here decides.

Every sentence names the family or feature that it is about and by how much; there is none for
"score too low", which Reg B calls not specific (comment 9(b)(2)).
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from importlib.resources import files

from lending.cases import PrincipalReason
from lending.score.compiled import FeatureTable, LookUp, ScoreError
from lending.score.glossary import Glossary
from lending.score.reasons import Counterfactual

_SAID = tomllib.loads((files("lending.score") / "sentences.toml").read_text(encoding="utf-8"))


def reason_sentence(reason: PrincipalReason, glossary: Glossary, language: str) -> str:
    """Of a reason that the score gives; raises ScoreError for any other, or one of another
    model."""
    words = glossary.words.get(reason.code)
    if reason.kind != "score" or words is None:
        raise ScoreError(f"no words for reason {reason.code!r} of kind {reason.kind!r} are here")
    said = _SAID["left_out" if reason.detail.get("neutral") else "reason"][language]
    return str(said.format(family=words[language], points=reason.points_below))


def counterfactual_sentence(
    found: Counterfactual, look_up: LookUp, glossary: Glossary, language: str
) -> str:
    """With X instead of Y the score would be Z."""
    tables = {table.name: table for table in look_up.tables}
    moves = _SAID["words"][language]["and"].join(
        _SAID["move"][language].format(
            feature=glossary.words[move.feature][language],
            after=bin_words(tables[move.feature], move.to_bin, language, glossary),
            before=bin_words(tables[move.feature], move.from_bin, language, glossary),
        )
        for move in found.moves
    )
    return str(_SAID["counterfactual"][language].format(moves=moves, score=found.score))


def bin_words(table: FeatureTable, at: int, language: str, glossary: Glossary) -> str:
    """What a bin holds: a range with its unit, codes, or nothing known."""
    words = _SAID["words"][language]
    if at == table.missing:
        return str(words["nothing"])
    if table.is_code:
        held = [known for known, one in table.bin_of_code.items() if one == at and known]
        return str(words["or"].join(held))
    forms = _SAID["range"][language]
    unit, said = glossary.unit(table.name, table.feature.unit, language), _range(table, at, forms)
    if not unit or said == forms["any"]:
        return said
    return f"{said} {unit}" if language == "en" else said + unit


def _range(table: FeatureTable, at: int, forms: Mapping[str, str]) -> str:
    """By the bin's edges, and the feature's public range at its ends."""
    low = table.edges[at - 1] if at > 0 else table.feature.low
    high = table.edges[at] if at < len(table.edges) else table.feature.high
    closed = at == len(table.edges)
    if table.feature.kind == "integer":
        low = None if low is None else math.ceil(low)
        high = None if high is None else math.floor(high) if closed else math.ceil(high) - 1
        closed = True
    if low is not None and low == high:
        return _plain(low)
    if low is None and high is None:
        return forms["any"]
    if high is None:
        form = forms["from"]
    elif low is None:
        form = forms["at_most" if closed else "below"]
    else:
        form = forms["whole" if closed else "between"]
    said = {"low": low, "high": high}
    return form.format(**{k: _plain(v) for k, v in said.items() if v is not None})


def _plain(value: float) -> str:
    """Exactly, as people write it."""
    return f"{value:,}".removesuffix(".0")
