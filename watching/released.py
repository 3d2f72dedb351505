"""Released figures as files: what a campaign that watches a model left, and what one lender put in.
Pure.

The first is made by ``credit.watcher.Watcher.figures``: counts with the standard deviation of their
noise, and what they are compared with; segments and features stand in the order of the sum. The
second is exact, and kept by the lender's own node (``clients.own_counts``).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, islice
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from crypto.sentences import one_sentence
from watching.errors import WatchError

Finite = Annotated[float, Field(ge=-1e15, le=1e15, allow_inf_nan=False)]
"""Far beyond any count of people, and far from where sums of squares end."""
Row = Annotated[tuple[Finite, ...], Field(min_length=2, max_length=600)]
Chance = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Deviation = Annotated[float, Field(ge=0, le=1e15, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ReleasedGroups(_Part):
    """Everybody by group of scores, the safest first: ``counts`` of declined and approved, or of
    good and bad."""

    edges: Annotated[tuple[Finite, ...], Field(min_length=1, max_length=63)]
    counts: tuple[Row, Row]
    noise: Deviation
    expected: Row
    probability: Annotated[tuple[Chance, ...], Field(min_length=2, max_length=600)]


class ReleasedAnswers(_Part):
    """One feature by bin, 'missing' last."""

    counts: Row
    expected: Row


class ReleasedReference(_Part):
    people: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    bad_rate: Annotated[float, Field(ge=0, le=1)]


class IntakeFigures(_Part):
    kind: Literal["intake"]
    groups: ReleasedGroups
    reference: ReleasedReference
    noise: Deviation
    segments: dict[str, Row]
    features: Annotated[dict[str, ReleasedAnswers], Field(min_length=1)]


class ReleasedFigure(_Part):
    value: Finite
    error: Deviation


class ReleasedQuality(_Part):
    """Of one segment (``credit.quality.SegmentQuality``)."""

    name: str
    people: ReleasedFigure
    bad_rate: ReleasedFigure
    auc: ReleasedFigure
    ks: ReleasedFigure
    ece: ReleasedFigure
    observed_to_expected: ReleasedFigure


class ReleasedEvaluation(_Part):
    """``credit.quality.ModelEvaluation``."""

    segments: tuple[ReleasedQuality, ...]
    untold: tuple[str, ...]
    psi_score: ReleasedFigure | None
    psi_features: dict[str, ReleasedFigure]
    untold_features: tuple[str, ...]
    held_out: ReleasedFigure
    left_out: Finite | None
    contradicted: bool


class OutcomeFigures(_Part):
    kind: Literal["outcomes"]
    groups: ReleasedGroups
    reference: ReleasedReference
    evaluation: ReleasedEvaluation | None


ReleasedFigures = Annotated[IntakeFigures | OutcomeFigures, Field(discriminator="kind")]
_ANY: TypeAdapter[ReleasedFigures] = TypeAdapter(ReleasedFigures)


def figures_from(data: bytes | str, where: str) -> IntakeFigures | OutcomeFigures:
    """What a figures file says; raises WatchError with one sentence."""
    try:
        return _ANY.validate_json(data)
    except ValidationError as error:
        raise WatchError(f"{where} holds no released figures: {one_sentence(error)}") from error


def told_apart(figures: IntakeFigures, own: Sequence[int]) -> tuple[IntakeFigures, IntakeFigures]:
    """A lender's own figures, without noise, and those of all others together, with all of it.

    Args:
        own: the exact counts that the lender put into the sum, in its order: groups by decision,
            groups by segment, bins by feature.

    Raises:
        WatchError: they are counts of another campaign.
    """
    rows = [*figures.groups.counts, *figures.segments.values()]
    rows += [one.counts for one in figures.features.values()]
    whole = list(chain.from_iterable(rows))
    if len(own) != len(whole):
        raise WatchError("this lender's own counts are of another campaign than the figures")
    others = [one - mine for one, mine in zip(whole, own, strict=True)]
    return _filled(figures, own, noisy=False), _filled(figures, others, noisy=True)


def _filled(figures: IntakeFigures, counts: Sequence[float], noisy: bool) -> IntakeFigures:
    """The same figures of other counts."""
    left = iter(counts)

    def taken(like: Row) -> Row:
        return tuple(islice(left, len(like)))

    first, second = (taken(one) for one in figures.groups.counts)
    segments = {name: taken(one) for name, one in figures.segments.items()}
    features = {
        name: one.model_copy(update={"counts": taken(one.counts)})
        for name, one in figures.features.items()
    }
    noise = {"noise": figures.groups.noise if noisy else 0.0}
    groups = figures.groups.model_copy(update={"counts": (first, second), **noise})
    update = {"groups": groups, "segments": segments, "features": features}
    return figures.model_copy(update={**update, "noise": figures.noise if noisy else 0.0})
