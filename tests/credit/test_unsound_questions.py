"""Questions that a lender refuses before it reads a row: of another kind or model, or made to reveal or to break."""

import math
from dataclasses import replace

import numpy as np
import pytest
from support.questions import EDGES, LARGEST_ENTRY

from credit.binning import Binning
from credit.errors import FeatureError, ModelError
from credit.evaluation import MOST_GROUPS
from credit.left_out import LARGEST_INFLUENCE
from credit.tasks import task_of
from privacy.mechanism import ReleaseKind


def weights(change):
    return lambda q: replace(q, weights=change(q.weights))


def whitening(change):
    return lambda q: replace(q, whitening=change(q.whitening))


def put(value, place=0):
    def change(array):
        altered = array.copy()
        altered.flat[place] = value
        return altered

    return change


def of_pair(change):
    """A question with its first pair changed."""
    return lambda q: replace(q, pairs=(change(q.pairs[0]), *q.pairs[1:]))


NUMBERS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf, "too large": 1.001e4, "too small": -1.001e4}
BAD_WEIGHTS = {
    **{f"weight {name}": weights(put(value, -1)) for name, value in NUMBERS.items()},
    "a weight too few": weights(lambda w: w[:-1]),
    "a weight too many": weights(lambda w: np.append(w, 0)),
    "no weights": weights(lambda w: w[:0]),
    "weights in a row": weights(lambda w: w[None]),
}
BAD_BINNING = {
    "no binning": lambda q: replace(q, binning=None),
    "a feature too few": lambda q: replace(q, binning=replace(q.binning, features=q.binning.features[1:])),
    "no features": lambda q: replace(q, binning=Binning((), 100.0, 0.1)),
    "no base rate": lambda q: replace(q, binning=replace(q.binning, base_rate=0.0)),
    "no population": lambda q: replace(q, binning=replace(q.binning, population=math.nan)),
}
BAD_WHITENING = {
    **{f"whitening {name}": whitening(put(value, 7)) for name, value in NUMBERS.items()},
    "a row too few": whitening(lambda w: w[:-1]),
    "a row too many": whitening(lambda w: np.vstack([w, w[:1]])),
    "a column too few": whitening(lambda w: w[:, :-1]),
    "too many columns": lambda q: replace(
        q, whitening=np.hstack([q.whitening, q.whitening[:, :1]]), weights=np.append(q.weights, 0)
    ),
    "no columns": lambda q: replace(q, whitening=q.whitening[:, :0], weights=q.weights[:0]),
    "flat": whitening(lambda w: w[0]),
    "deep": whitening(lambda w: w[None]),
    "a number": whitening(lambda w: np.float64(1.0).reshape(())),
}
BAD_PAIRS = {
    "no pairs": lambda q: replace(q, pairs=()),
    "too many": lambda q: replace(q, pairs=q.pairs * 10),
    "with itself": of_pair(lambda p: replace(p, second=p.first, second_levels=p.first_levels)),
    "no such feature": of_pair(lambda p: replace(p, first=5)),
    "counted from the end": of_pair(lambda p: replace(p, first=-1)),
    "a bin too few": of_pair(lambda p: replace(p, first_levels=p.first_levels[1:])),
    "a level below": of_pair(lambda p: replace(p, first_levels=(-1, *p.first_levels[1:]))),
    "a level beyond": of_pair(lambda p: replace(p, first_levels=(600, *p.first_levels[1:]))),
    "an effect too few": of_pair(lambda p: replace(p, effects=p.effects[1:])),
    "an effect too large": of_pair(lambda p: replace(p, effects=(9.0, *p.effects[1:]))),
    "an effect not a number": of_pair(lambda p: replace(p, effects=(math.nan, *p.effects[1:]))),
}
BAD_CALIBRATION = {
    "a knot too few": lambda q: replace(q, calibration=q.calibration[:-1]),
    "no knots": lambda q: replace(q, calibration=()),
    "falls": lambda q: replace(q, calibration=q.calibration[::-1]),
    "level": lambda q: replace(q, calibration=(*q.calibration[:-1], q.calibration[-2])),
    "not a number": lambda q: replace(q, calibration=(*q.calibration[:-1], math.nan)),
    "infinite": lambda q: replace(q, calibration=(*q.calibration[:-1], math.inf)),
}
WRONG_EDGES = {
    "none": np.zeros(0), "falling": EDGES[::-1], "level": np.array([0.0, 0.0]), "in two rows": EDGES[None],
    "not a number": np.array([0.0, math.nan]), "infinite": np.array([0.0, math.inf]),
    "too many": np.arange(float(MOST_GROUPS)),
}  # fmt: skip
BAD_EDGES = {f"edges {name}": lambda q, edges=edges: replace(q, edges=edges) for name, edges in WRONG_EDGES.items()}
BAD_FINER = {f"finer {name}": lambda q, edges=edges: replace(q, finer=edges) for name, edges in WRONG_EDGES.items()}
BAD_INFLUENCE = {
    "no influence": lambda q: replace(q, influence=np.zeros(0)),
    "no matrix": lambda q: replace(q, whitening=np.zeros((0, 0))),
    "a row too few": lambda q: replace(q, whitening=q.whitening[:-1]),
    "negative": lambda q: replace(q, influence=-q.influence),
    "too large": lambda q: replace(q, influence=q.influence + 2 * LARGEST_INFLUENCE),
    "not a number": lambda q: replace(q, influence=q.influence * math.nan),
    "a matrix not of numbers": lambda q: replace(q, whitening=q.whitening * math.nan),
}
BAD_RATE = {
    f"rate {value}": lambda q, value=value: replace(q, learning_rate=value)
    for value in (0.0, -1.0, math.nan, math.inf, 2 * LARGEST_ENTRY)
}
REFUSED = {
    ReleaseKind.GRAM: BAD_BINNING,
    ReleaseKind.GRADIENT: BAD_BINNING | BAD_WEIGHTS | BAD_WHITENING,
    ReleaseKind.TRAIN: BAD_BINNING | BAD_WEIGHTS | BAD_WHITENING | BAD_RATE,
    ReleaseKind.PAIRS: BAD_BINNING | BAD_WEIGHTS | BAD_PAIRS,
    ReleaseKind.CALIBRATION: BAD_BINNING | BAD_WEIGHTS | BAD_CALIBRATION | BAD_EDGES | BAD_FINER | BAD_INFLUENCE,
    ReleaseKind.EVALUATION: BAD_BINNING | BAD_WEIGHTS | BAD_CALIBRATION | BAD_EDGES,
}


@pytest.mark.parametrize(("kind", "how"), [(kind, how) for kind, ways in REFUSED.items() for how in ways])
def test_an_unsound_question_is_refused_before_any_row_is_read(market, asked, kind, how):
    model = "gam" if kind is ReleaseKind.PAIRS else "scorecard"
    plan, question = market.plan(kind), asked(kind, model)
    task_of(market.schema, model, plan, 1, question, 1000.0)
    with pytest.raises((ModelError, FeatureError)):
        task_of(market.schema, model, plan, 1, REFUSED[kind][how](question), 1000.0)


@pytest.mark.parametrize("kind", [ReleaseKind.PAIRS, ReleaseKind.CALIBRATION, ReleaseKind.EVALUATION])
@pytest.mark.parametrize("model", ["scorecard", "mlp"])
def test_pairs_belong_to_a_gam_alone(market, asked, kind, model):
    question = replace(asked(kind, model), pairs=asked(kind, "gam").pairs)
    with pytest.raises(ModelError, match="pairs of features"):
        task_of(market.schema, model, market.plan(kind), 1, question)


@pytest.mark.parametrize("kind", [k for k in ReleaseKind if k is not ReleaseKind.HISTOGRAM])
def test_a_question_of_another_kind_is_refused(market, asked, kind):
    other = ReleaseKind.GRAM if kind is not ReleaseKind.GRAM else ReleaseKind.CALIBRATION
    plan = market.plan(kind)
    last = len(plan.releases) - 1
    with pytest.raises(ModelError, match=f"release {last} is a {kind}, not a {other}"):
        task_of(market.schema, "scorecard", plan, last, asked(other), 1000.0)


def test_the_weights_of_another_model_are_refused(market, asked):
    for kind in (ReleaseKind.GRADIENT, ReleaseKind.CALIBRATION):
        with pytest.raises(ModelError, match="weights"):
            task_of(market.schema, "mlp", market.plan(kind), 1, asked(kind, "scorecard"))


def test_a_lender_without_a_released_population_does_not_train(market, asked):
    with pytest.raises(ModelError, match="took part in the histogram"):
        task_of(market.schema, "scorecard", market.plan(ReleaseKind.TRAIN), 1, asked(ReleaseKind.TRAIN), None)
