"""Public series and the overlay: formats, refusals, and coefficients against another solver."""

import math
from datetime import date

import numpy as np
import pytest

from watching.economy.overlay import PRIOR, Overlay, TooShort, VintageRate, fit, stress, vintage_rates
from watching.economy.series import (
    PACKAGED,
    PublicSeries,
    imported,
    merged,
    month_name,
    month_number,
    packaged,
    read_series,
)
from watching.errors import WatchError

ABOUT = {
    "key": "made-up",
    "english": "Made up, percent",
    "chinese": "虚构（%）",
    "publisher": "nobody",
    "source": "this test",
    "checked_on": date(2026, 11, 28),
    "verified": True,
    "carries": False,
}
START = month_number("2020-01")


def made(values, key="made-up", **changed):
    months = {month_name(START + at): f"{one:.4f}" for at, one in enumerate(values)}
    return PublicSeries.model_validate({**ABOUT, "key": key, "values": months, **changed})


def wave(count, seed=0):
    """A slow series of no season."""
    return 5 + np.cumsum(np.random.default_rng(seed).normal(0, 0.3, count))


def played(series, slopes, count, age, seed=0, other=0.0, borrowers=3_000):
    """Vintages that follow the series."""
    chance, found = np.random.default_rng(seed), []
    for at in range(count):
        month = START + at
        logit = -3 + other * chance.normal()
        logit += sum(b * (one.mean(month + 1, month + age) - 5) for one, b in zip(series, slopes, strict=True))
        bad = chance.binomial(borrowers, 1 / (1 + math.exp(-logit)))
        found.append(VintageRate(month, borrowers, bad))
    return found


# --- series


def test_what_is_packaged_is_dated_sourced_and_says_that_nobody_verified_it():
    for key in PACKAGED:
        one = packaged(key)
        assert (one.key, one.verified) == (key, False)
        assert one.source.startswith("https://") and one.checked_on
        assert read_series(one.toml(), key) == one
    assert packaged("lpr-1y").at(month_number("2023-07")) == 3.55
    assert packaged("unemployment").at(month_number("2022-04")) == 6.1
    with pytest.raises(WatchError, match="no series is called 'gdp'"):
        packaged("gdp")


def test_a_gap_says_nothing_unless_the_value_carries():
    values = {"2020-01": "1.0", "2020-03": "2.0"}
    gaps = PublicSeries.model_validate({**ABOUT, "values": values})
    holds = PublicSeries.model_validate({**ABOUT, "values": values, "carries": True})
    at = [START - 1, START, START + 1, START + 2, START + 3]
    assert [gaps.at(one) for one in at] == [None, 1.0, None, 2.0, None]
    assert [holds.at(one) for one in at] == [None, 1.0, 1.0, 2.0, None]
    assert (gaps.mean(START, START + 2), holds.mean(START, START + 2)) == (None, pytest.approx(4 / 3))
    assert gaps.mean(START, START) == 1.0


def test_a_table_becomes_a_series():
    found = imported("\ufeffmonth,value\n2020-02,5.3\n2020-01,-0.3\n", ABOUT)
    assert list(found.values.items()) == [("2020-01", "-0.3"), ("2020-02", "5.3")]
    both = merged(made([1.0, 2.0, 3.0]), found)
    assert [both.at(START + one) for one in range(3)] == [-0.3, 5.3, 3.0]
    assert both.verified and not merged(made([1.0], verified=False), found).verified


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("month,value\n2020-13,5.3\n", "no public series"),
        ("month,value\n2020-01,5,3\n", "needs the columns"),
        ("month,value\n2020-01,n/a\n", "no public series"),
        ("month,value\n2020-01,1e5\n", "no public series"),
        ("month,value\n2020-01,5.3\n2020-01,5.4\n", "stands twice"),
        ("month,worth\n2020-01,5.3\n", "it has month, worth"),
        ("month,value\n", "a row for each month"),
        ("", "it has none"),
        ('month,value\n"2020-01,5.3\n', "no CSV"),
        ("month,value\n" + "2020-01,1\n" * 200_000, "larger than"),
    ],
)
def test_a_table_that_is_no_series_is_refused_in_a_sentence(text, why):
    with pytest.raises(WatchError, match=why):
        imported(text, ABOUT)


def test_a_file_that_is_no_series_is_refused_in_a_sentence():
    text = made([1.0, 2.0]).toml()
    for broken, why in (
        ("key = ", r"x\.toml is no TOML"),
        (text.replace("verified = true", "verified = 1"), r"x\.toml is no public series"),
        (text.replace("2020-01", "2020-05"), "the oldest first"),
        (text + 'more = "x"\n', "no public series"),
    ):
        with pytest.raises(WatchError, match=why):
            read_series(broken, "x.toml")


# --- the overlay


def test_a_fit_is_the_ridge_that_it_says():
    """Against least squares with a row for each prior, in the same weights."""
    series = [made(wave(80, 1), "one"), made(wave(80, 2), "two")]
    vintages = played(series, (0.5, -0.2), 60, 6)
    found = fit(vintages, series, 6)
    x = np.array([[each.mean(one.month + 1, one.month + 6) for each in series] for one in vintages])
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    y, errors = np.array([one.logit for one in vintages]).T
    root = np.sqrt(found.stretch * (errors**2 + found.other**2))
    design = np.column_stack([np.ones(60), scaled]) / root[:, None]
    prior = np.array([[0, 1 / PRIOR, 0], [0, 0, 1 / PRIOR]])
    expected = np.linalg.lstsq(np.vstack([design, prior]), np.append(y / root, [0, 0]))[0]
    assert [one.per_point.value for one in found.slopes] == pytest.approx(expected[1:] / x.std(axis=0))
    assert math.log(found.level.value / (1 - found.level.value)) == pytest.approx(expected[0])


def test_slopes_are_within_their_errors_of_the_truth():
    held, between = [], []
    for seed in range(120):
        series = [made(wave(90, seed), "one")]
        found = fit(played(series, (0.4,), 70, 6, seed, other=0.15), series, 6)
        held.append(found.slopes[0].per_point.holds(0.4))
        between.append(found.other)
    assert np.mean(held) > 0.88
    assert np.mean(between) == pytest.approx(0.15, rel=0.2)


def test_a_scenario_moves_the_last_vintages_months():
    series = [made(wave(80, 4), "one")]
    found = fit(played(series, (0.5,), 60, 6), series, 6)
    calm, worse = stress(found, {"one": 0.0}), stress(found, {"one": 1.0})
    assert calm.usual == calm.stressed == worse.usual
    apart = [math.log(one.value / (1 - one.value)) for one in (worse.stressed, worse.usual)]
    assert apart[0] - apart[1] == pytest.approx(found.slopes[0].per_point.value)
    assert calm.beyond == ()
    assert stress(found, {"one": 100.0}).beyond == ("one",)
    assert worse.stressed.low < worse.stressed.value < worse.stressed.high
    with pytest.raises(WatchError, match="no series 'two'"):
        stress(found, {"two": 1.0})


def test_what_does_not_matter_is_not_told():
    told = 0
    for seed in range(40):
        series = [made(wave(80, seed), "one")]
        told += bool(fit(played(series, (0.0,), 60, 6, seed + 1_000), series, 6).tells)
    assert told <= 6
    series = [made(wave(80, 4), "one")]
    assert fit(played(series, (0.5,), 60, 6), series, 6).tells == ("one",)


def test_neighbours_that_err_together_widen_the_errors():
    series, hidden = [made(wave(90, 5), "one")], made(wave(90, 6), "hidden")
    alone = fit(played(series, (0.3,), 70, 6), series, 6)
    swayed = fit(played([*series, hidden], (0.3, 0.4), 70, 6), series, 6)
    assert alone.stretch < 1.5 < swayed.stretch


def test_too_short_is_said_in_words():
    series = [made(wave(40), "one")]
    found = fit(played(series, (0.5,), 15, 6), series, 6)
    assert found == TooShort(
        "15 of 15 vintages are as old as 6 months in months that the series cover; 16 are needed before anything "
        "can be said of 1 series"
    )
    assert isinstance(fit(played(series, (0.5,), 16, 6), series, 6), Overlay)
    still = [made([5.0] * 40, "one")]
    assert fit(played(still, (0.5,), 30, 6), still, 6) == TooShort(
        "one did not change over these vintages: leave it out"
    )
    young = [*played(series, (0.5,), 16, 6), VintageRate(START + 39, 3_000, 10)]
    assert fit(young, series, 6).vintages == 16
    for wrong in (lambda: fit(young, [], 6), lambda: fit(young, series, 0)):
        with pytest.raises(WatchError, match="an overlay needs"):
            wrong()


def test_vintages_come_from_a_table():
    found = vintage_rates("month,borrowers,bad,noise\n2020-02,3000,-4.5,18\n2020-01,3000,60,18\n")
    assert [one.month for one in found] == [START, START + 1]
    assert found[0].logit[0] == pytest.approx(math.log(60.5 / 2940.5))
    assert found[1].logit[1] > 10  # noise has the say
    assert vintage_rates("month,borrowers,bad\n2020-01,3000,60\n")[0].noise == 0.0


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("2020-01,3000,many", "line 2 of the vintages"),
        ("2020-1x,3000,60", "'2020-1x' is no month"),
        ("2020-13,3000,60", "is no month"),
        ("2020-01,3000,3001", "3001 bad of 3000 borrowers is no share"),
        ("2020-01,0,0", "no share"),
        ("2020-01,nan,0", "no share"),
        ("2020-01,3000,60\n2020-01,3000,60", "stands twice"),
        ("2020-01,3000", "needs the columns"),
    ],
)
def test_a_table_that_holds_no_vintages_is_refused(row, why):
    with pytest.raises(WatchError, match=why):
        vintage_rates(f"month,borrowers,bad\n{row}\n")
