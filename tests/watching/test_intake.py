"""Stability of noisy counts: bias, errors and the null distribution, by simulation with fixed seeds."""

import math

import numpy as np
import pytest
from scipy.stats import chi2

from lending.portfolio.monitoring import BinCounts, stability
from watching.cells import IntakeForm, IntakeQuestion
from watching.errors import WatchError
from watching.intake import IntakeReference, joined, null_of, people_in, shift
from watching.segments import AGE_BANDS, THIN_FILES, age_level, apart
from watching.shares import Noisy

P = np.array([0.05, 0.2, 0.3, 0.25, 0.15, 0.05])
Q = np.array([0.08, 0.24, 0.3, 0.22, 0.12, 0.04])
N, STD = 50_000, 400.0
REFERENCE = IntakeReference(tuple(P), 200_000)


def psi(q, p):
    return float(((q - p) * np.log(q / p)).sum())


def seen(shares, runs, seed, n=N, std=STD):
    chance = np.random.default_rng(seed)
    counts = chance.multinomial(n, shares, runs)
    return counts, [shift(REFERENCE, one, Noisy(n), std) for one in counts + chance.normal(0, std, counts.shape)]


def test_the_noise_adds_nothing_in_the_mean_and_its_deviation_is_told():
    counts, found = seen(Q, 1_500, 1)
    wrong = np.array([one.psi - psi(each / N, P) for one, each in zip(found, counts, strict=True)])
    told = np.array([one.noise for one in found])
    naive_bias = STD**2 / N**2 * (1 / Q + P / Q**2).sum() / 2
    assert naive_bias > 10 * wrong.std() / math.sqrt(len(wrong))  # so the test could see it
    assert abs(wrong.mean()) < 4 * wrong.std() / math.sqrt(len(wrong))
    assert told.mean() == pytest.approx(wrong.std(), rel=0.1)


def test_the_error_with_chance_is_that_of_the_index_of_who_might_have_come():
    _, found = seen(Q, 1_500, 2)
    values = np.array([one.psi for one in found])
    told = np.array([one.error for one in found])
    reference = np.var([psi(Q, np.random.default_rng(i).multinomial(200_000, P) / 200_000) for i in range(2_000)])
    assert math.sqrt(values.var() + reference) == pytest.approx(told.mean(), rel=0.1)


def test_without_change_the_index_is_distributed_as_is_told():
    chance = np.random.default_rng(3)
    values, p_values, found = [], [], None
    for _ in range(2_000):
        reference = IntakeReference(tuple(chance.multinomial(200_000, P) / 200_000), 200_000)
        counts = chance.multinomial(N, P) + chance.normal(0, STD, len(P))
        found = shift(reference, counts, Noisy(N), STD)
        values.append(found.psi)
        p_values.append(found.p_value)
    assert np.mean(values) == pytest.approx(found.null_mean, abs=4 * np.std(values) / math.sqrt(2_000))
    assert np.mean(np.array(values) > found.null_99) == pytest.approx(0.01, abs=0.005)
    for level in (0.5, 0.1, 0.01):
        assert np.mean(np.array(p_values) < level) == pytest.approx(
            level, abs=4 * math.sqrt(level * (1 - level) / 2_000) + 0.1 * level
        )


def test_three_moments_are_exact_where_there_is_no_noise():
    mean, tail, p_value = null_of(P, np.zeros(6), 0.001, 0.012)
    assert (mean, tail) == (pytest.approx(5 * 0.001), pytest.approx(chi2.ppf(0.99, 5) * 0.001))
    assert p_value == pytest.approx(chi2.sf(12, 5))


def test_a_lenders_own_counts_say_what_its_own_monitoring_says():
    """One definition: without noise the figure is that of lending.portfolio.monitoring."""
    then, now = (1_000, 4_000, 6_000, 5_000, 1_500, 1_000), (300, 900, 1_100, 900, 500, 200)
    own = stability(BinCounts(then), BinCounts(now))
    found = shift(
        IntakeReference(tuple(np.array(then) / sum(then)), sum(then)), np.array(now, float), Noisy(sum(now)), 0.0
    )
    for name in ("psi", "null_mean", "null_99", "p_value"):
        assert getattr(found, name) == pytest.approx(getattr(own, name), rel=1e-9)


def test_what_drowns_does_not_speak_and_what_is_hidden_is_not_told():
    few = shift(REFERENCE, 700 * P, Noisy(700), 80.0)
    assert few.cells < 2 or not few.speaks
    assert shift(REFERENCE, 100 * P, Noisy(100, 60.0), 80.0) is None
    assert shift(REFERENCE, N * P, Noisy(N), STD).speaks


def test_an_answer_that_everybody_suddenly_gives_is_named():
    broken = np.append(0.5 * P[:-1], 1 - 0.5 * P[:-1].sum())
    found = shift(REFERENCE, N * broken, Noisy(N), STD)
    assert found.largest == 5
    assert abs(found.apart) < 0.1 * found.psi
    assert shift(REFERENCE, N * Q, Noisy(N), STD).apart > 0.4 * psi(Q, P)
    assert found.change.value == pytest.approx(broken[5] - 0.05, abs=1e-9)
    vanished = np.array([0.35, 0.2, 0.0, 0.25, 0.15, 0.05])
    assert shift(REFERENCE, N * vanished, Noisy(N), STD).at_least


def test_cells_that_expect_too_few_join_their_neighbours():
    assert joined(np.array([1.0, 9.0, 3.0, 8.0, 2.0]), 10.0) == [[0, 1], [2, 3, 4]]
    assert joined(np.array([1.0, 2.0]), 10.0) == [[0, 1]]
    assert joined(np.array([20.0, 20.0]), 10.0) == [[0], [1]]


def test_everybody_is_counted_by_every_question():
    form = IntakeForm((IntakeQuestion("a", 4), IntakeQuestion("b", 10), IntakeQuestion("c", 3)))
    chance = np.random.default_rng(5)
    answers = np.column_stack([chance.integers(0, one.cells, 9_000) for one in form.questions])
    counts = form.counted(answers)
    found = [people_in(form, counts + chance.normal(0, 50, len(counts)), 50.0) for _ in range(2_000)]
    assert np.mean([one.value for one in found]) == pytest.approx(9_000, abs=5)
    assert np.std([one.value for one in found]) == pytest.approx(found[0].std, rel=0.1)


def test_segments_speak_where_there_are_enough():
    references = {"thin": IntakeReference((0.4, 0.3, 0.3)), "thick": IntakeReference((0.2, 0.3, 0.5))}
    assert THIN_FILES.question(3).cells == 7
    found = apart(THIN_FILES, references, np.array([30.0, 40, 20, 6_000, 9_000, 15_000, 3]), 50.0)
    assert found["thin"] is None
    assert abs(found["thick"].psi) < 0.002
    with pytest.raises(WatchError, match="levels of file"):
        apart(THIN_FILES, references, np.zeros(8), 50.0)
    with pytest.raises(WatchError, match="levels of file"):
        apart(THIN_FILES, {"thin": references["thin"]}, np.zeros(7), 50.0)
    assert [age_level(one) for one in (17, 18, 24, 25, 59, 60, 99)] == [-1, 0, 0, 1, 3, 4, 4]
    assert len(AGE_BANDS.levels) == 5


def test_other_cells_and_shares_that_are_none_are_refused():
    with pytest.raises(WatchError, match="model's own bins"):
        shift(REFERENCE, np.zeros(5), Noisy(100), 1.0)
    for shares in ((1.0,), (0.5, 0.6), (1.5, -0.5)):
        with pytest.raises(WatchError, match="sum to 1"):
            IntakeReference(shares)
