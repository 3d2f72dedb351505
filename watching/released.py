"""Released figures as files: what a campaign that watches a model left, and what one lender put in.
Pure.

The first is made by ``credit.watcher.Watcher.figures``: counts with the standard deviation of their
noise, and what they are compared with. The second is exact, and kept by the lender's own node.
"""

from __future__ import annotations

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


class OwnIntake(_Part):
    """What one lender put into an intake: exact counts, as its node kept them."""

    groups: tuple[Row, Row]
    segments: dict[str, Row]
    features: Annotated[dict[str, Row], Field(min_length=1)]


ReleasedFigures = Annotated[IntakeFigures | OutcomeFigures, Field(discriminator="kind")]
_ANY: TypeAdapter[ReleasedFigures] = TypeAdapter(ReleasedFigures)


def figures_from(data: bytes | str, where: str) -> IntakeFigures | OutcomeFigures:
    """What a figures file says; raises WatchError with one sentence."""
    try:
        return _ANY.validate_json(data)
    except ValidationError as error:
        raise WatchError(f"{where} holds no released figures: {one_sentence(error)}") from error


def own_from(data: bytes | str, where: str) -> OwnIntake:
    """What a node kept; raises WatchError with one sentence."""
    try:
        return OwnIntake.model_validate_json(data)
    except ValidationError as error:
        raise WatchError(f"{where} holds no counts of ours: {one_sentence(error)}") from error


def told_apart(figures: IntakeFigures, own: OwnIntake) -> tuple[IntakeFigures, IntakeFigures]:
    """A lender's own figures, without noise, and those of all others together, with all of it.

    Raises:
        WatchError: they are counts of another campaign.
    """
    shape = [len(one) for one in (*figures.groups.counts, *figures.segments.values())]
    mine = [len(one) for one in (*own.groups, *(own.segments.get(n, ()) for n in figures.segments))]
    answers = {name: len(one.counts) for name, one in figures.features.items()}
    if shape != mine or answers != {name: len(one) for name, one in own.features.items()}:
        raise WatchError("this lender's own counts are of another campaign than the figures")

    def less(whole: Row, part: Row) -> Row:
        return tuple(one - two for one, two in zip(whole, part, strict=True))

    def made(
        groups: tuple[Row, Row], segments: dict[str, Row], features: dict[str, Row], noisy: bool
    ) -> IntakeFigures:
        counted = figures.groups.model_copy(
            update={"counts": groups, "noise": figures.groups.noise if noisy else 0.0}
        )
        answered = {
            name: one.model_copy(update={"counts": features[name]})
            for name, one in figures.features.items()
        }
        update = {"groups": counted, "segments": segments, "features": answered}
        return figures.model_copy(update=update | {"noise": figures.noise if noisy else 0.0})

    whole = figures.groups.counts
    others = made(
        (less(whole[0], own.groups[0]), less(whole[1], own.groups[1])),
        {name: less(one, own.segments[name]) for name, one in figures.segments.items()},
        {name: less(one.counts, own.features[name]) for name, one in figures.features.items()},
        noisy=True,
    )
    return made(own.groups, dict(own.segments), dict(own.features), noisy=False), others
