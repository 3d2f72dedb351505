"""Bands of the score as data (``bands.toml``), and what each means as a probability of default.

The bounds 350, 550, 600, 650, 700 and 950 are those of 芝麻分. Odds follow from the scale alone
(:mod:`credit.scaling`): 650 points are 15 good to 1 bad, 60 points double the odds.
"""

from __future__ import annotations

import math
import tomllib
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from credit.errors import ModelError
from credit.scaling import FACTOR, HIGHEST, LOWEST, OFFSET
from crypto.sentences import one_sentence

PD_DIGITS = 4


class Band(BaseModel):
    """Scores from ``least`` up to the next band's; words for people in each language."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str
    least: int
    en: str
    zh: str


@dataclass(frozen=True, slots=True)
class Bands:
    """From the lowest to the highest; they cover 350 to 950 and do not overlap."""

    bands: tuple[Band, ...]
    starts: tuple[int, ...]

    @classmethod
    def of(cls, data: Sequence[Any]) -> Bands:
        """Raises ModelError: they do not begin at 350, do not rise, or name one twice."""
        try:
            bands = tuple(map(Band.model_validate, data))
        except ValidationError as error:
            raise ModelError(f"not a band of scores: {one_sentence(error)}") from error
        starts = tuple(band.least for band in bands)
        rise = list(starts) == sorted({*starts}) and max(starts, default=0) < HIGHEST
        if not (rise and starts and starts[0] == LOWEST):
            raise ModelError(
                f"bands begin at {LOWEST} and rise to less than {HIGHEST}, not at {list(starts)}"
            )
        if len({band.code for band in bands}) != len(bands):
            raise ModelError("two bands have the same code")
        return cls(bands, starts)

    def band(self, score: int) -> Band:
        """The band of a score of 350 to 950."""
        return self.bands[bisect_right(self.starts, score) - 1]

    def table(self) -> list[dict[str, Any]]:
        """For a model card: each band's scores, and the probability of bad at its two ends."""
        ends = (*(start - 1 for start in self.starts[1:]), HIGHEST)
        return [
            {
                "band": band.code,
                "least": band.least,
                "most": end,
                "pd_at_least": round(probability_of_bad(band.least), PD_DIGITS),
                "pd_at_most": round(probability_of_bad(end), PD_DIGITS),
            }
            for band, end in zip(self.bands, ends, strict=True)
        ]


def probability_of_bad(score: float) -> float:
    """What a score means: the inverse of :func:`credit.scaling.score`, within the scale.

    >>> round(probability_of_bad(650), 4)
    0.0625
    """
    return 1 / (1 + math.exp((score - OFFSET) / FACTOR))


BANDS = Bands.of(
    tomllib.loads((files("credit") / "bands.toml").read_text(encoding="utf-8"))["bands"]
)


def require_these(told: Iterable[Mapping[str, Any]]) -> None:
    """Raises ModelError: a card states other bands, and a score would mean something else here.
    Cards of before version 0.7 state none."""
    stated = list(told)
    if stated and stated != BANDS.table():
        raise ModelError(
            "the model's card states other bands of the score than this version of Tahini has; "
            "install the version that released it, or train anew"
        )
