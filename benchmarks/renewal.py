"""The next model: what a warm start saves, and what a year of watching takes from a training.

    python -m benchmarks.renewal --json
    python -m benchmarks.renewal --tables balanced rare --seeds 0 1 2

Tables and lenders are those of ``benchmarks.models``. Of each table a fifth is tested on. The
*earlier* half of the rest made the model that is at work, the *later* half makes the next: anew,
anew with as many steps as a warm start has, and warm. Two changes, of later people and of those
tested: ``drifted``, every other one above the median of the first number is missing; ``turned``,
the first number is mirrored, so that what was good is bad. All at epsilon 1 and delta 1e-5.
``warm_gain`` is AUC of the warm model minus that of the one made anew, paired by seed, with the
standard error of its mean. ``told_too_good`` is the AUC that a warm campaign states minus the true
one, where *everybody* in it was trained on in the earlier one too; ``chain_told_too_good`` the same
at the fourth such campaign of a chain.

``watching_takes`` is AUC at epsilon 1 minus AUC at what a year of watching leaves of it
(``watching.plan``), trained on both halves, over all tables and seeds, with its standard error.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.models import BUDGET, LENDERS, lenders_of, tables
from benchmarks.report import machine, parser, show
from credit.learning import Beginning, Learner
from credit.metrics import auc
from credit.planning import Training, plan_mechanism
from credit.simulation import simulate
from demo.loans import Loans
from privacy.charges import Budget
from watching.plan import WatchYear

WARM_BAR, WATCHING_BAR = 0.0, 0.002
HELD_OUT = 0.1
SUMMED = (
    "warm_gain",
    "drifted_warm_gain",
    "turned_warm_gain",
    "told_too_good",
    "chain_told_too_good",
    "watching_takes",
)
Runs = dict[str, list[float]]


def train(
    loans: Loans,
    table: pd.DataFrame,
    seed: int,
    training: Training,
    begins: Beginning | None = None,
    budget: Budget = BUDGET,
) -> Learner:
    """A scorecard; each lender's first people are held out where the plan says so."""
    plan = plan_mechanism(budget, training)
    parts = lenders_of(table, np.random.default_rng(seed), LENDERS)
    cuts = [round(training.hold_out * len(part)) for part in parts]
    kept = [part.iloc[at:] for at, part in zip(cuts, parts, strict=True)]
    aside = [part.iloc[:at] for at, part in zip(cuts, parts, strict=True)]
    return simulate(Learner(loans.schema, "scorecard", plan, seed, begins), kept, aside)


def drifted(loans: Loans, table: pd.DataFrame) -> pd.DataFrame:
    """Without every other person above the median of the first number."""
    name = next(one.name for one in loans.schema.features if one.kind != "category")
    above = (table[name] > table[name].median()).to_numpy()
    return pd.DataFrame(table[~(above & (np.cumsum(above) % 2 == 0))])


def turned(loans: Loans, table: pd.DataFrame) -> pd.DataFrame:
    """With the first number mirrored."""
    name = next(one.name for one in loans.schema.features if one.kind != "category")
    low, high = loans.table[name].quantile([0.01, 0.99])
    return table.assign(**{name: low + high - table[name].clip(low, high)})


def one_seed(loans: Loans, seed: int, into: Runs) -> None:
    order = np.random.default_rng(seed).permutation(len(loans.table))
    held = len(order) // 5
    test, rest = loans.table.iloc[order[:held]], loans.table.iloc[order[held:]]
    earlier, later = rest.iloc[: len(rest) // 2], rest.iloc[len(rest) // 2 :]
    cold = Training("scorecard", LENDERS, collusion_bound=0)
    warm = replace(cold, warm=True)
    steps = sum(one.kind == "gradient" for one in plan_mechanism(BUDGET, warm).releases)

    def ranked(learner: Learner, people: pd.DataFrame) -> float:
        labels = people[loans.schema.target].to_numpy(dtype=np.int64)
        return auc(labels, learner.model().probability(people))

    begins = Beginning.of(train(loans, earlier, seed, cold))
    changed = {
        "": (later, test),
        "drifted_": (drifted(loans, later), drifted(loans, test)),
        "turned_": (turned(loans, later), turned(loans, test)),
    }
    for name, (now, people) in changed.items():
        anew = ranked(train(loans, now, seed, cold), people)
        short = ranked(train(loans, now, seed, replace(cold, steps=steps)), people)
        begun = ranked(train(loans, now, seed, warm, begins), people)
        into.setdefault(f"{name}anew_auc", []).append(anew)
        into.setdefault(f"{name}anew_with_fewer_auc", []).append(short)
        into.setdefault(f"{name}warm_auc", []).append(begun)
        into.setdefault(f"{name}warm_gain", []).append(begun - anew)
    link = begins
    for told_of in ("", None, None, "chain_"):
        again = train(loans, earlier, seed, replace(warm, hold_out=HELD_OUT), link)
        link = Beginning.of(again)
        if told_of is not None and again.evaluation is not None and again.evaluation.segments:
            told = again.evaluation.segments[0].auc.value
            into.setdefault(f"{told_of}told_too_good", []).append(told - ranked(again, test))
    whole = ranked(train(loans, rest, seed, cold), test)
    into.setdefault("watching_takes", []).append(
        whole - ranked(train(loans, rest, seed, cold, budget=left_by_watching(BUDGET)), test)
    )


def left_by_watching(budget: Budget) -> Budget:
    """What a year of watching leaves of it."""
    return Budget(WatchYear().left_for_training(budget), budget.delta)


def mean_and_error(values: Sequence[float]) -> dict[str, float]:
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return {"mean": statistics.mean(values), "error": error}


def renewal(names: list[str] | None, seeds: Sequence[int]) -> dict[str, Any]:
    """The report of this benchmark, without the machine."""
    found: dict[str, Any] = {}
    gains: Runs = {}
    for name, loans in tables(names).items():
        runs: Runs = {}
        for seed in seeds:
            one_seed(loans, seed, runs)
        found[name] = {key: mean_and_error(values) for key, values in runs.items()}
        for key in SUMMED:
            gains.setdefault(key, []).extend(runs.get(key, []))
    cold = Training("scorecard", LENDERS, collusion_bound=0)
    plans = [plan_mechanism(BUDGET, one) for one in (cold, replace(cold, warm=True))]
    return {
        "seeds": list(seeds),
        "releases_anew": len(plans[0].releases),
        "releases_warm": len(plans[1].releases),
        "epsilon_of_a_year_of_watching": WatchYear().epsilon(BUDGET.delta),
        "epsilon_left_for_training": left_by_watching(BUDGET).epsilon,
        "tables": found,
        **{key: mean_and_error(values) for key, values in gains.items()},
    }


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--tables", nargs="+", help="of benchmarks.models; all by default")
    options.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    asked = options.parse_args()
    report = {"machine": machine(), **renewal(asked.tables, asked.seeds)}
    bars = {
        "warm_start": report["warm_gain"]["mean"] >= WARM_BAR
        and 2 * report["releases_warm"] <= report["releases_anew"],
        "watching_takes": report["watching_takes"]["mean"] <= WATCHING_BAR,
    }
    show({**report, "bars": bars}, asked.json)
    if not all(bars.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
