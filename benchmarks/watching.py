"""Watching, measured against a truth that is known: how wrong its figures are, whether their errors
say so, what they cost, and what its alarms are worth.

- ``intake_psi_error``: absolute, median over 40 features, of 100,000 applicants at mu 0.05
- ``vintage_error``: root mean square of the cumulative bad rate at 6 and 12 months of four lenders
  with 10,000 borrowers a year each, in quarterly vintages of 10,000 together, at mu 0.07 for the
  whole curve, against what these borrowers did; ``vintage_coverage``: how often 95 of 100 intervals
  hold the rate that they were drawn from
- ``accountant``: a series' epsilon over that of two other computations
- ``alarms``: runs of 24 months in which one thing changes at month 12 (``benchmarks.watched``); it
  is *named* where a party names it in that month or the next, and nobody names anything else by
  then
- ``quiet``: years in which nothing changes

The noise is the operating system's, so figures differ a little from run to run.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import machine, parser, show
from benchmarks.watched import (
    EXACT,
    LENDERS,
    STD,
    TERM,
    Expectation,
    Planted,
    applicants,
    expectation,
    figures,
    own_counts,
    released,
)
from privacy.accounting import epsilon_of, gaussian_epsilon
from privacy.continual import Series
from privacy.sums import NoisySum
from watching.alarms import Movement
from watching.causes import Cause, Where, of_consortium, of_lender
from watching.cells import IntakeForm, IntakeQuestion
from watching.intake import IntakeReference, people_in, shift
from watching.plan import WatchYear
from watching.vintages import VintageForm, curve

DELTA = 1e-5
A_MONTH = 3_333
MONTHS, ONSET = 24, 12
HAZARDS = np.array([0, 0, 0, 0.006, 0.008, 0.008, 0.007, 0.006, 0.006, 0.005, 0.005, 0.004])
SCENARIOS = {
    "shock": (Planted("shock", ONSET), Cause.CALIBRATION),
    "broken": (Planted("broken", ONSET, (1,)), Cause.DATA_FAULT),
    "policy": (Planted("policy", ONSET, (0,)), Cause.POLICY),
    "population": (Planted("population", ONSET), Cause.POPULATION),
    "growth": (Planted("growth", ONSET), Cause.MATURITY),
}


def intake(people: int, features: int, mu: float, repeat: int) -> dict[str, float]:
    """Made-up features of 5 to 12 bins, a third of which have shifted by a little or by much."""
    chance = np.random.default_rng(11)
    sizes = chance.integers(5, 13, features)
    form = IntakeForm(tuple(IntakeQuestion(f"f{at}", int(one)) for at, one in enumerate(sizes)))
    summed = NoisySum(form.size, form.sensitivity, 1 / mu, LENDERS)
    std = summed.noise_std(LENDERS)
    wrong, naive = [], []
    for _ in range(repeat):
        then = [chance.dirichlet(np.full(one, 5.0)) for one in sizes]
        tilt = np.where(np.arange(features) % 3 == 0, chance.uniform(0.05, 0.5, features), 0.02)
        now = [
            p * np.exp(by * chance.normal(size=len(p))) for p, by in zip(then, tilt, strict=True)
        ]
        answers = [chance.choice(len(q), people, p=q / q.sum()) for q in now]
        counts = form.counted(np.column_stack(answers))
        parts = np.array_split(np.column_stack(answers), LENDERS)
        seen = summed.decode(np.sum([summed.share(form.counted(part)) for part in parts], axis=0))
        whole = people_in(form, seen, std)
        exact, noisy = form.split(counts.astype(np.float64)), form.split(seen)
        for name, p in zip(exact, then, strict=True):
            truth = _psi(exact[name] / people, p)
            found = shift(IntakeReference(tuple(p)), noisy[name], whole, std)
            wrong.append(abs(found.psi - truth) if found else math.inf)
            naive.append(abs(_psi(np.maximum(noisy[name], 1) / whole.value, p) - truth))
    return {
        "intake_noise_std": std,
        "intake_psi_error": float(np.median(wrong)),
        "intake_psi_error_p95": float(np.quantile(wrong, 0.95)),
        "intake_psi_error_without_correction": float(np.median(naive)),
    }


def _psi(q: NDArray[np.float64], p: NDArray[np.float64]) -> float:
    return float(((q - p) * np.log(q / p)).sum())


def vintages(borrowers: int, cohorts: int, mu: float) -> dict[str, float]:
    """So many cohorts at once: each column of the sums is a cohort of its own."""
    one = VintageForm(12, 1, 1 / mu, 1 / 0.03, LENDERS)
    many = VintageForm(12, cohorts, 1 / mu, 1 / 0.03, LENDERS)
    chance = np.random.default_rng(12)
    ends = np.append(HAZARDS, 1 - HAZARDS.sum())
    each = borrowers // LENDERS
    own = [
        chance.multinomial(each, ends, cohorts)[:, :12].T.astype(np.int64) for _ in range(LENDERS)
    ]
    booked = many.booked.decode(
        np.sum([many.booked.share(np.full(cohorts, each)) for _ in own], axis=0)
    )
    series = many.series
    steps = [
        series.release.decode(np.sum([series.share(part[: at + 1]) for part in own], axis=0))
        for at in range(12)
    ]
    truth = np.cumsum(np.sum(own, axis=0), axis=0) / (each * LENDERS)
    wrong: dict[int, list[float]] = {6: [], 12: []}
    covered = []
    for at in range(cohorts):
        found = curve(one, booked[at : at + 1], np.array(steps)[:, at : at + 1], LENDERS)
        for age, listed in wrong.items():
            share = found[age - 1].share
            if share is None:
                raise SystemExit("a vintage of this benchmark drowned")
            listed.append(share.rate.value - float(truth[age - 1, at]))
            covered.append(share.rate.holds(float(HAZARDS[:age].sum())))
    both = {f"error_at_{age}": math.sqrt(np.mean(np.square(v))) for age, v in wrong.items()}
    return {**both, "error": max(both.values()), "coverage": float(np.mean(covered))}


def accountant() -> dict[str, float]:
    """Series of several lengths and noises: ours over the exact figure by another way, and over
    that of dp-accounting, whose grid is pessimistic."""
    from dp_accounting import GaussianDpEvent
    from dp_accounting.pld import PLDAccountant

    over_exact, apart = [], []
    for steps, noise in ((1, 5.0), (6, 10.0), (12, 3.0), (12, 10.0), (24, 20.0)):
        series = Series(steps, 1, noise, 1)
        ours = epsilon_of([series.charge], DELTA)
        spread = series.running_covariance(1)
        lasts = np.array([[float(t >= s) for t in range(steps)] for s in range(steps)])
        mu = max(math.sqrt(one @ np.linalg.solve(spread, one)) for one in lasts)
        over_exact.append(ours / gaussian_epsilon(mu, DELTA) - 1)
        other = PLDAccountant(value_discretization_interval=1e-4)
        for weight in series.weights:
            other.compose(GaussianDpEvent(noise * series.sensitivity * 256 / int(weight)))
        apart.append(abs(ours / other.get_epsilon(DELTA) - 1))
    return {
        "accountant_above_exact_least": min(over_exact),
        "accountant_above_exact_most": max(over_exact),
        "accountant_apart_from_dp_accounting": max(apart),
    }


Told = tuple[int, str, Cause, Where]
"""Month, party, cause, where."""


def watched(expected: Expectation, planted: Planted, months: int, seed: int) -> list[Told]:
    """Everything that everybody is told, month by month."""
    them = applicants(range(-TERM, months), A_MONTH, planted, seed)
    span = range(-TERM, months)
    listed = [[own_counts(them, month, lender) for month in span] for lender in range(LENDERS)]
    own = {(m, k): listed[k][m + TERM] for m in span for k in range(LENDERS)}
    whole = dict(zip(span, released(listed), strict=True))
    rest = {(m, k): whole[m].less(own[m, k]) for m, k in own}
    parties: dict[str, tuple[list[tuple[Movement, ...]], list[tuple[Movement, ...]]]] = {
        str(lender): ([], []) for lender in (*range(LENDERS), "all")
    }
    told: list[Told] = []
    for month in range(months):
        past = range(month - TERM, month + 1)
        parties["all"][0].append(figures(expected, [whole[one] for one in past], STD))
        told += [(month, "all", one.cause, one.where) for one in of_consortium(parties["all"][0])]
        for lender in range(LENDERS):
            mine, theirs = parties[str(lender)]
            mine.append(figures(expected, [own[one, lender] for one in past], EXACT))
            theirs.append(figures(expected, [rest[one, lender] for one in past], STD))
            alarms = of_lender(mine, theirs)
            told += [(month, str(lender), one.cause, one.where) for one in alarms]
    return told


def rightly(told: Told, planted: Planted, cause: Cause) -> bool:
    """Whether it is the cause, and not said of lenders that it is not at."""
    _, party, named, where = told
    unsure = {Where.HERE_AT_LEAST, Where.ELSEWHERE_AT_LEAST}
    if party == "all":
        places = {Where.CONSORTIUM}
    elif len(planted.lenders) == LENDERS:
        places = {Where.EVERYWHERE, *unsure}
    elif int(party) in planted.lenders:
        places = {Where.HERE, Where.HERE_AT_LEAST}
    else:
        places = {Where.ELSEWHERE, Where.ELSEWHERE_AT_LEAST}
    return named is cause and where in places


def alarms(expected: Expectation, runs: int) -> dict[str, Any]:
    """Of each scenario: runs that were named rightly in two months, those in which the consortium's
    own figures did, and what else was said in how many runs."""
    found: dict[str, Any] = {}
    for name, (planted, cause) in SCENARIOS.items():
        named, together, late, other = 0, 0, 0, Counter[str]()
        for run in range(runs):
            told = watched(expected, planted, MONTHS, 1_000 + run)
            soon = [one for one in told if one[0] <= ONSET + 1]
            right = [one for one in soon if one[0] >= ONSET and rightly(one, planted, cause)]
            named += bool(right) and len(right) == len(soon)
            together += any(one[1] == "all" for one in right)
            late += any(rightly(one, planted, cause) for one in told if one[0] >= ONSET)
            other.update({one[2].value for one in told if not rightly(one, planted, cause)})
        found[name] = {
            "named": named,
            "by_the_sums_alone": together,
            "named_at_last": late,
            "also_said_in_24_months": dict(other),
        }
    return found


def quiet(expected: Expectation, years: int) -> dict[str, Any]:
    """Alarms in years without any change: each cause of each party once while it lasts."""
    told = set(watched(expected, Planted(), 12 * years, 77))
    began = [one for one in told if (one[0] - 1, *one[1:]) not in told]
    by = Counter("consortium" if one[1] == "all" else "lenders" for one in began)
    return {
        "years": years,
        "false_alarms_consortium": by["consortium"],
        "false_alarms_four_lenders": by["lenders"],
        "false_alarms_in_5_years": 5 * len({(one[0], one[2]) for one in began}) / years,
    }


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--runs", type=int, default=20, help="of each scenario")
    options.add_argument("--quiet-years", type=int, default=12)
    options.add_argument("--cohorts", type=int, default=2_000)
    options.add_argument("--people", type=int, default=100_000, help="applicants of the intake")
    options.add_argument("--repeat", type=int, default=5, help="of the intake")
    asked = options.parse_args()
    expected = expectation()
    quarter, month = (vintages(size, asked.cohorts, 0.07) for size in (10_000, A_MONTH))
    year = WatchYear()
    report: dict[str, Any] = {
        "machine": machine(),
        **intake(asked.people, 40, 0.05, asked.repeat),
        **{f"vintage_{name}": value for name, value in quarter.items()},
        "vintage_error_of_one_month": month["error"],
        **accountant(),
        "epsilon_of_a_year_of_watching": year.epsilon(DELTA),
        "alarms": alarms(expected, asked.runs),
        "quiet": quiet(expected, asked.quiet_years),
    }
    bars = {
        "intake_psi_error": report["intake_psi_error"] <= 0.001,
        "vintage_error": report["vintage_error"] <= 0.003,
        "vintage_coverage": abs(report["vintage_coverage"] - 0.95) <= 0.02,
        "accountant": report["accountant_above_exact_least"] >= 0
        and report["accountant_above_exact_most"] <= 0.01
        and report["accountant_apart_from_dp_accounting"] <= 0.01,
        **{
            name: 20 * report["alarms"][name]["named"] >= 19 * asked.runs
            for name in ("shock", "broken", "policy")
        },
        "quiet": report["quiet"]["false_alarms_in_5_years"] <= 1,
    }
    show({**report, "bars": bars}, asked.json)
    if not all(bars.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
