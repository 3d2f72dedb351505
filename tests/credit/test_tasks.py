"""What lenders answer: exact contributions within their sensitivity, noise as stated, unsound questions refused."""

import math
import threading
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.questions import EDGES, FINER

import credit.contributions
import privacy.sums
from credit.errors import ModelError
from credit.evaluation import GROUP_WEIGHT, broad, count_cells, count_scores
from credit.models import flat, network
from credit.tasks import TYPICAL_POPULATION, WEIGHT_POWER, task_of
from privacy.errors import PrivacyError
from privacy.mechanism import ReleaseKind
from privacy.moments import OFF_DIAGONAL, second_moments

COLUMNS = ["late", "balance", "inquiries", "housing", "age", "bad"]
KINDS = ("scorecard", "gam", "mlp")
SUMS = tuple(kind for kind in ReleaseKind if kind is not ReleaseKind.TRAIN)
CASES = [
    (kind, model)
    for kind in SUMS
    for model in KINDS
    if (model == "gam" if kind is ReleaseKind.PAIRS else model == "scorecard" or kind is not ReleaseKind.GRAM)
]

number = st.one_of(
    st.none(), st.floats(), st.sampled_from([0.0, -0.0, 25.0, 1e9, -1e300, 1.7e308, math.inf, -math.inf])
)
code = st.sampled_from(["own", "rent", "free", "castle", "", "nan", None])
anybody = st.tuples(number, number, number, code, number, st.integers(0, 1))
"""A row, sound or not."""

NOBODY_SENDS = [
    (math.nan, math.nan, math.nan, None, math.nan, 1),
    (math.inf, -math.inf, math.inf, "castle", -math.inf, 0),
    (1.7e308, -1.7e308, -1e300, "", 1e300, 1),
    (-5.0, 0.0, 1e9, "nan", 17.999, 0),
    (0.0, 1e-300, 0.5, "own", 25.0, 1),
    (60.0, 1e3, 3.0, "rent", 199.0, 0),
]


def table_of(rows):
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.astype({name: float for name in COLUMNS if name not in ("housing", "bad")} | {"bad": int})


@pytest.fixture(scope="session")
def task(market, asked):
    """The task of a release of one kind, asked as above."""

    def of(kind, model=None, noise=1.0, bound=1, population=1000.0, **how):
        model = model or ("gam" if kind is ReleaseKind.PAIRS else "scorecard")
        plan = market.plan(*([] if kind is ReleaseKind.HISTOGRAM else [kind]), noise=noise, bound=bound)
        last = len(plan.releases) - 1
        return task_of(market.schema, model, plan, last, asked(kind, model, **how), population)

    return of


def norm(task, steps):
    """In the unit that the sensitivity is stated in."""
    return float(np.linalg.norm(steps.astype(np.float64))) * task.shape[2]


@pytest.mark.parametrize(("kind", "model"), CASES)
@settings(max_examples=30)
@given(rows=st.lists(anybody, max_size=5), somebody=anybody, place=st.integers(0, 5), wild=st.booleans())
def test_one_person_changes_a_contribution_by_the_stated_sensitivity_at_most(
    task, kind, model, rows, somebody, place, wild
):
    this = task(kind, model, wild=wild)
    with_them = this.exact(table_of([*rows[:place], somebody, *rows[place:]]))
    change = with_them - this.exact(table_of(rows))
    assert with_them.dtype == np.int64
    assert with_them.shape == (this.shape[0],)
    assert norm(this, change) <= this.shape[1]


@pytest.mark.parametrize(("kind", "model"), CASES)
@settings(max_examples=10)
@given(cuts=st.lists(st.integers(0, 310), max_size=4))
def test_how_people_are_cut_into_tables_changes_no_bit_of_a_contribution(market, task, kind, model, cuts):
    this, crowd = task(kind, model), pd.concat([market.people(300), table_of(NOBODY_SENDS)], ignore_index=True)
    edges = [0, *sorted(cuts), len(crowd)]
    tables = (crowd.iloc[first:last] for first, last in pairwise(edges))
    with pytest.MonkeyPatch.context() as patch:
        noises = []
        patch.setattr(privacy.sums, "discrete_gaussian", lambda size, scale: noises.append((size, scale)) or 7)
        whole = this.contribution(crowd, 4)
        assert (this.contribution(tables, 4) == whole).all()
    form = this.form(4)
    assert noises == [(form.size, form.scale)] * 2, "one noise share, however many tables"
    assert (whole == form.on_grid(this.exact(crowd)) + 7).all()


@pytest.mark.parametrize("where", ["reading", "counting"])
def test_what_goes_wrong_meanwhile_ends_the_sum_and_lets_go_of_the_source(market, task, monkeypatch, where):
    this, crowd, closed, before = task(ReleaseKind.GRADIENT), market.people(10), [], threading.active_count()

    def tables():
        try:
            for _ in range(5):
                yield crowd
            yield from [crowd] * (1 / 0 if where == "reading" else 50)
        finally:
            closed.append(True)

    if where == "counting":
        monkeypatch.setattr(type(this), "count", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        this.total(tables())
    assert closed == [True]
    assert threading.active_count() == before


def test_a_sum_over_no_table_at_all_is_that_over_nobody(market, task):
    this = task(ReleaseKind.HISTOGRAM)
    assert (this.total([]) == this.exact(market.people(0))).all()


def test_more_people_than_a_sum_has_room_for_are_refused_by_their_number_alone(market, task, monkeypatch):
    this, crowd = task(ReleaseKind.GRADIENT), market.people(10)
    monkeypatch.setattr(credit.contributions, "MOST_PEOPLE", 25)
    this.total([crowd, crowd])
    with pytest.raises(PrivacyError, match="room"):
        this.total([crowd, crowd, crowd])


def test_a_lender_that_trains_alone_sees_the_same_people_from_many_tables(market, task, monkeypatch):
    this, crowd, seen = task(ReleaseKind.TRAIN), market.people(100), []
    monkeypatch.setattr("privacy.dpsgd.train", lambda net, rows, labels, *_: seen.append((rows, labels)))
    this.contribution(crowd, 3)
    this.contribution(iter([crowd.head(1), crowd.iloc[1:60], crowd.tail(40)]), 3)
    this.contribution([], 3)
    (rows, labels), (rows_again, labels_again), (nobody, _) = seen
    assert torch.equal(rows, rows_again) and torch.equal(labels, labels_again)
    assert nobody.shape == (0, rows.shape[1])


@pytest.mark.parametrize(("kind", "model"), CASES)
def test_rows_that_nobody_should_send_stay_within_the_sensitivity_among_ordinary_people(market, task, kind, model):
    this, crowd = task(kind, model), market.people(300)
    everybody = pd.concat([crowd, table_of(NOBODY_SENDS)], ignore_index=True)
    whole = this.exact(everybody)
    for row in [0, 1, 299, *range(300, len(everybody))]:
        without = this.exact(everybody.drop(index=row))
        assert norm(this, whole - without) <= this.shape[1]


@pytest.mark.parametrize(("kind", "model"), CASES)
def test_somebody_reaches_the_stated_sensitivity(market, task, kind, model):
    """So the noise is not drawn for people who do not exist, and the test above could fail."""
    this = task(kind, model, wild=kind is ReleaseKind.GRADIENT)
    people = market.people(60)
    people.loc[0, ["late", "balance", "inquiries", "age"]] = 40, 700.0, 30, 60  # at every level that there is
    reached = max(norm(this, this.exact(people.iloc[[i]])) for i in range(len(people)))
    assert reached > 0.97 * this.shape[1]


@pytest.mark.parametrize(("kind", "model"), CASES)
@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 16, 33])
def test_what_a_person_adds_does_not_depend_on_who_else_is_there(market, task, kind, model, size):
    """Or the removal of one would change what the others add, beyond any sensitivity."""
    this, people = task(kind, model), market.people(40, seed=3)
    first, rest = people.iloc[:size], people.iloc[size:]
    assert (this.exact(people) == this.exact(first) + this.exact(rest)).all()
    assert (this.exact(people) == this.exact(people.sample(frac=1, random_state=size))).all()


@pytest.mark.parametrize("model", KINDS)
@pytest.mark.parametrize("kind", [ReleaseKind.CALIBRATION, ReleaseKind.EVALUATION])
def test_a_calibration_with_an_edge_under_a_crowd_does_not_amplify_one_person(market, asked, kind, model):
    """A coordinator chooses weights and calibration; people alike stand on one logit, however many they are."""
    plan = market.plan(kind)
    crowd = pd.concat([market.people(1)] * 33, ignore_index=True)
    for seed in range(3):
        question = asked(kind, model, seed=seed)
        plain = task_of(market.schema, model, plan, 1, question)
        seen = {x for n in range(1, 34) for x in plain.scored.raw_logit(crowd.iloc[:n]).tolist()}
        middle = (min(seen) + max(seen)) / 2
        # Everybody's logit is now as near an edge as rounding allows.
        moved = replace(question, edges=np.array([middle]))
        this = task_of(market.schema, model, plan, 1, moved)
        counts = [this.exact(crowd.iloc[:n]) for n in range(34)]
        worst = max(norm(this, after - before) for before, after in pairwise(counts))
        assert worst <= this.shape[1]


@pytest.mark.parametrize(("kind", "model"), CASES)
@pytest.mark.parametrize(("noise", "bound"), [(0.3, 0), (1.0, 1), (30.0, 2)])
def test_the_sum_of_contributions_is_the_exact_sum_and_noise_of_the_stated_size(
    market, task, kind, model, noise, bound
):
    this, lenders = task(kind, model, noise=noise, bound=bound), 4
    tables = [market.people(n, seed=n) for n in (50, 80, 1, 30)]
    exact = sum(this.exact(table) for table in tables) * this.shape[2]
    scale = 2.0 if kind is ReleaseKind.GRADIENT else 1.0  # its clip norm
    errors = []
    while sum(map(len, errors)) < 1000:
        total = np.sum([this.contribution(table, lenders) for table in tables], axis=0)
        errors.append(this.decode(total, lenders) - exact * scale)
    stated, found = this.noise_std(lenders), np.concatenate(errors)
    assert found.std() == pytest.approx(stated, rel=5 / math.sqrt(2 * len(found)))
    assert abs(found.mean()) < 5 * stated / math.sqrt(len(found))
    # The shares of those who do not collude reach the target by themselves.
    assert stated * math.sqrt((lenders - bound) / lenders) >= noise * this.shape[1] * scale * (1 - 1e-9)


@pytest.mark.parametrize("kind", SUMS)
def test_under_a_local_mechanism_every_contribution_carries_the_whole_noise(market, task, kind):
    this = task(kind, bound=0, noise=2.0)
    local = market.plan(ReleaseKind.TRAIN).model_copy(update={"collusion_bound": 3})
    alone = replace(this, mechanism=local)
    assert alone.form(5).honest == 1
    assert alone.noise_std(5) >= math.sqrt(5) * this.noise_std(1) * (1 - 1e-9)


def test_the_histogram_is_the_grids(market, task):
    this, table = task(ReleaseKind.HISTOGRAM), market.people(70)
    good, bad = this.grid.totals(this.exact(table).astype(float))
    assert (round(good), round(bad)) == (int((table.bad == 0).sum()), int(table.bad.sum()))


def test_second_moments_are_those_of_the_rows(market, task):
    this, table = task(ReleaseKind.GRAM), market.people(400)
    rows = this.embedding.rows(this.embedding.bins(table)).astype(float)
    rows *= np.minimum(1, this.clip / np.linalg.norm(rows, axis=1))[:, None]
    found = second_moments(this.exact(table) * this.shape[2], this.embedding.width)
    assert found == pytest.approx(rows.T @ rows, abs=400 * 2e-3)
    assert 0.5 < OFF_DIAGONAL < 1


@pytest.mark.parametrize("model", KINDS)
@pytest.mark.parametrize("directions", [None, 5])
def test_gradients_are_those_of_the_network_in_its_coordinates(market, asked, model, directions):
    plan = market.plan(ReleaseKind.GRADIENT).model_copy(update={"clip_norm": 64.0})  # cuts nobody
    question = asked(ReleaseKind.GRADIENT, model, directions=directions)
    this = task_of(market.schema, model, plan, 1, question)
    table = market.people(200)
    net = network(model, question.whitening.shape[1], question.weights, this.offset)
    plain = torch.from_numpy(this.embedding.rows(this.embedding.bins(table)))
    logits = net(plain @ torch.from_numpy(question.whitening).float())
    torch.nn.BCEWithLogitsLoss(reduction="sum")(
        logits, torch.tensor(table.bad.to_numpy(), dtype=torch.float32)
    ).backward()
    expected = torch.cat([p.grad.reshape(-1) for p in net.parameters()]).numpy()
    found = this.exact(table) * this.shape[2] * 64
    # Deltas are cut to a 2^-18th of the clip norm for each person.
    assert found == pytest.approx(expected, abs=200 * 64 * 2**-17)
    assert np.corrcoef(found, expected)[0, 1] > 0.9999


def test_the_offset_is_the_released_base_rates(task, embedding):
    base = embedding.binning.base_rate
    assert task(ReleaseKind.GRADIENT).offset == pytest.approx(math.log(base / (1 - base)))


def test_an_evaluation_counts_everybody_by_group_of_scores_then_segments_and_then_broad_bins(market, task):
    this, table = task(ReleaseKind.EVALUATION), market.people(500)
    everybody, segment = this.segments.weights
    size = 2 * (len(EDGES) + 1)
    scores, others, bins = np.split(this.exact(table), [size, size * (1 + this.segments.count)])
    logits, labels = this.scored.raw_logit(table), table.bad.to_numpy()
    assert (scores == everybody * count_scores(logits, labels, EDGES)).all()
    by_segment = others.reshape(this.segments.count, -1).sum(axis=1)
    assert by_segment.tolist() == [segment * int(rows.sum()) for rows in this.segments.rows(table)]
    assert bins.sum() == 5 * 500
    found = this.scored.embedding.bins(table)
    first = broad(this.scored.embedding.binning.features[0])[found[:, 0]]
    assert bins[: first.max() + 1].tolist() == np.bincount(first).tolist()


def test_of_a_gam_scores_are_counted_as_they_are(market, task):
    this, table = task(ReleaseKind.CALIBRATION, "gam"), market.people(200)
    logits, labels = this.scored.raw_logit(table), table.bad.to_numpy()
    groups, cells = np.split(this.exact(table), [2 * (len(EDGES) + 1)])
    assert (groups == GROUP_WEIGHT * count_scores(logits, labels, EDGES)).all()
    assert (cells == count_cells(logits, FINER)).all()


def test_of_a_scorecard_everybody_is_scored_without_themselves(market, task):
    """Away from their own outcome: a bad person counts as safer than the model says, a good one as riskier."""
    this, table = task(ReleaseKind.CALIBRATION), market.people(300)
    logits, labels = this.scored.raw_logit(table), table.bad.to_numpy()
    rows = this.scored.embedding.projected(this.scored.embedding.bins(table), this.influence.matrix)
    without = this.influence.without(rows, logits, labels)
    assert (without[labels == 1] < logits[labels == 1]).all() and (without[labels == 0] > logits[labels == 0]).all()
    counted = np.concatenate([GROUP_WEIGHT * count_scores(without, labels, EDGES), count_cells(without, FINER)])
    assert (this.exact(table) == counted).all()


@pytest.mark.parametrize("model", KINDS)
def test_a_lender_trains_with_exactly_what_the_plan_charges(market, asked, monkeypatch, model):
    plan = market.plan(ReleaseKind.TRAIN)
    planned = plan.releases[1].model_copy(update={"noise_multiplier": 1.7, "sampling_rate": 0.25, "steps": 4})
    plan = plan.model_copy(update={"releases": (plan.releases[0], planned)})
    seen = []
    monkeypatch.setattr("privacy.dpsgd.train", lambda *args: seen.append(args))
    question = asked(ReleaseKind.TRAIN, model, directions=6)
    this = task_of(market.schema, model, plan, 1, question, 700.0)
    total = this.contribution(market.people(40), 3)
    net, rows, labels, chosen, population = seen[0]
    assert chosen.charge == planned.charge
    assert (chosen.clip_norm, chosen.learning_rate, population) == (plan.clip_norm, 0.5, 700.0)
    assert rows.shape == (40, 6)
    assert labels.tolist() == market.people(40).bad.tolist()
    assert this.decode(total, 3) == pytest.approx(flat(net), abs=1e-6)  # untouched by a training that does nothing
    assert flat(net) == pytest.approx(question.weights, abs=1e-6)


def test_lenders_models_are_averaged_by_the_power_of_their_noisy_populations(market, asked, monkeypatch):
    monkeypatch.setattr("privacy.dpsgd.train", lambda net, *_: [p.data.add_(_[-1] / 1000) for p in net.parameters()])
    plan, question = market.plan(ReleaseKind.TRAIN), asked(ReleaseKind.TRAIN, directions=6)
    populations = [500.0, 2000.0]
    tasks = [task_of(market.schema, "scorecard", plan, 1, question, p) for p in populations]
    total = np.sum([this.contribution(market.people(9), 2) for this in tasks], axis=0)
    weights = np.array([(p / TYPICAL_POPULATION) ** WEIGHT_POWER for p in populations])
    moved = (weights * np.array(populations) / 1000).sum() / weights.sum()
    assert tasks[0].decode(total, 2) == pytest.approx(question.weights + moved, abs=1e-5)


def test_a_local_step_with_little_noise_follows_the_gradient(market, asked):
    plan = market.plan(ReleaseKind.TRAIN, noise=0.1)
    question = asked(ReleaseKind.TRAIN)
    table, population = market.people(3000), 3000.0
    this = task_of(market.schema, "scorecard", plan, 1, question, population)
    together = market.plan(ReleaseKind.GRADIENT)
    other = task_of(market.schema, "scorecard", together, 1, replace(question, kind=ReleaseKind.GRADIENT))
    descent = -0.5 * other.exact(table) * other.shape[2] * together.clip_norm / population
    moved = this.decode(this.contribution(table, 1), 1) - question.weights
    assert moved == pytest.approx(descent, abs=6 * 0.5 * 0.1 * plan.clip_norm / population + 1e-5)
    assert np.abs(descent).max() > 0.01


def test_models_without_weight_are_refused(task):
    this = task(ReleaseKind.TRAIN)
    for total in (np.zeros(this.weights.size + 1, dtype=np.int64), -np.ones(this.weights.size + 1, dtype=np.int64)):
        with pytest.raises(ModelError, match="do not add up"):
            this.decode(total, 2)


@pytest.mark.parametrize("kind", SUMS)
def test_a_total_of_another_release_is_not_decoded(task, kind):
    this = task(kind)
    with pytest.raises(PrivacyError):
        this.decode(np.zeros(this.shape[0] + 1, dtype=np.int64), 2)
