"""How good the models are beside their references, epsilon 1 and delta 1e-5 with every release
charged.

    python -m benchmarks.models                     # Taiwan, bloan and four made up, five seeds
    python -m benchmarks.models --json --seeds 0 1 --tables bloan rare
    python -m benchmarks.models --models scorecard --ablate   # the table in docs/model.md
    python -m benchmarks.models --data loans.parquet --target bad
    python -m benchmarks.models --models scorecard --hold-out 0.1   # and what a campaign says of it

Five unequal lenders and an exact hold-out of a fifth, drawn anew for each seed. The references are
fitted on the pooled training rows in the same run, without privacy: logistic regression on ten
quantile bins, and LightGBM as it comes. All gaps are AUC of the reference minus AUC of the model:
negative means better than the reference. ``auc_se`` is the standard error that a campaign would
state of its AUC, noise and sampling together, with 1,500 held out of 15,000 people of whom 7% are
bad; with ``--hold-out`` the campaign holds people out of its own, and ``auc_told``, ``auc_error``
and ``base_rate_missed`` (in stated errors, from the whole table's) say how it fared. Releases are
those of :mod:`credit.simulation`, with noise from the operating system, so runs differ in the
fourth digit.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args
from unittest import mock

import lightgbm
import numpy as np
import pandas as pd
import torch

from benchmarks.report import machine, mean_and_deviation, parser, show
from benchmarks.tables import TABLES, made
from credit import descent
from credit.features import FeatureSchema
from credit.foresight import foreseen
from credit.kinds import Kind
from credit.learning import Learner
from credit.metrics import auc, ece
from credit.planning import Training, plan_mechanism
from credit.simulation import simulate
from demo.loans import Loans, default_loans, read_loans, shares
from demo.references import pooled_probability
from privacy.accounting import epsilon_of
from privacy.charges import Budget

LENDERS = 5
BUDGET = Budget(1.0, 1e-5)
MODELS = ("scorecard", "gam", "mlp", "half", "local")
ABLATIONS: dict[str, dict[str, Any]] = {
    "as planned": {},
    "clip at the root mean square": {"CLIP_REACH": 1.0},
    "clip at twice that": {"CLIP_REACH": 2.0},
    "least ridge": {"FLOORS": (0.5,)},
    "ridge of 2": {"FLOORS": (2.0,)},
    "whole descent averaged": {"AVERAGED_SHARE": 1.0},
    "last iterate": {"AVERAGED_SHARE": 0.0},
}
"""What :mod:`credit.descent` would do with other constants."""
TAIWAN = Path(__file__).resolve().parents[2] / "shared" / "data" / "taiwan.parquet"


def boosted(train: pd.DataFrame, test: pd.DataFrame, schema: FeatureSchema) -> np.ndarray:
    """LightGBM with its default settings."""

    def inputs(table: pd.DataFrame) -> pd.DataFrame:
        columns = {
            f.name: pd.Categorical(table[f.name].astype(str), categories=f.values)
            if f.kind == "category"
            else table[f.name].astype(float)
            for f in schema.features
        }
        return pd.DataFrame(columns)

    model = lightgbm.LGBMClassifier(verbose=-1, n_jobs=1, random_state=0)
    model.fit(inputs(train), train[schema.target])
    return np.asarray(model.predict_proba(inputs(test)))[:, 1]


def lenders_of(train: pd.DataFrame, rng: np.random.Generator, lenders: int) -> list[pd.DataFrame]:
    order = rng.permutation(len(train))
    cuts = (np.cumsum(shares(lenders))[:-1] * len(train)).astype(int)
    return [train.iloc[part].reset_index(drop=True) for part in np.split(order, cuts)]


def training_of(name: str, lenders: int) -> Training:
    """``half``: half of the lenders may collude. ``local``: each adds noise of its own."""
    match name:
        case "half":
            return Training("scorecard", lenders, collusion_bound=lenders // 2)
        case "local":
            return Training("scorecard", lenders, kind="local")
        case _:
            kind = next(one for one in get_args(Kind) if one == name)
            return Training(kind, lenders, collusion_bound=0)


def told(learner: Learner, name: str, bad: float) -> dict[str, float]:
    """What a campaign says of its own model; nothing where it cannot tell."""
    if learner.evaluation is None or not learner.evaluation.segments:
        return {}
    one = learner.evaluation.segments[0]
    return {
        f"{name}_auc_told": one.auc.value,
        f"{name}_auc_error": one.auc.error,
        f"{name}_ece_told": one.ece.value,
        f"{name}_base_rate_missed": (one.bad_rate.value - bad) / one.bad_rate.error,
    }


def auc_error(schema: FeatureSchema, lenders: int) -> float:
    """Of a scorecard with 1,500 held out, 7% bad; see above."""
    training = Training("scorecard", lenders, collusion_bound=0, hold_out=0.1)
    plan = plan_mechanism(BUDGET, training)
    found = foreseen(("scorecard", schema), plan, lenders, 15_000, 0.07)
    if found is None or found.everybody is None:
        raise ValueError("nothing would be known of 15,000 people")
    return found.everybody.auc.error


def one_seed(
    loans: Loans, seed: int, lenders: int, which: list[str], hold_out: float = 0.0
) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(loans.table))
    held = len(order) // 5
    test = loans.table.iloc[order[:held]]
    train = loans.table.iloc[order[held:]]
    schema = loans.schema
    labels = test[schema.target].to_numpy(dtype=np.int64)
    tables = lenders_of(train, rng, lenders)
    figures = {
        "logistic_regression_auc": auc(labels, pooled_probability(train, test, schema)),
        "lightgbm_auc": auc(labels, boosted(train, test, schema)),
        "auc_se": auc_error(schema, lenders),
    }
    for name in which:
        training = training_of(name, lenders)
        training = replace(training, hold_out=hold_out)
        plan = plan_mechanism(BUDGET, training)
        started = time.monotonic()
        cuts = [round(hold_out * len(table)) for table in tables]
        kept = [table.iloc[at:] for at, table in zip(cuts, tables, strict=True)]
        aside = [table.iloc[:at] for at, table in zip(cuts, tables, strict=True)]
        learner = simulate(Learner(schema, training.model, plan, seed), kept, aside)
        predicted = learner.model().probability(test)
        figures |= {
            f"{name}_auc": auc(labels, predicted),
            f"{name}_ece": ece(labels, predicted),
            f"{name}_releases": len(plan.releases),
            f"{name}_epsilon": epsilon_of(plan.charges(), plan.delta),
            f"{name}_s": time.monotonic() - started,
        } | told(learner, name, float(loans.table[schema.target].mean()))
    return figures | gaps(figures, which)


def gaps(figures: dict[str, float], which: list[str]) -> dict[str, float]:
    """Distances to the references; ``best`` is the best *kind* of distributed model, chosen over
    all seeds below."""
    logistic = figures["logistic_regression_auc"]
    linear = [name for name in which if name in ("scorecard", "local", "half")]
    found = {f"{name}_gap": logistic - figures[f"{name}_auc"] for name in linear}
    boosting = figures["lightgbm_auc"]
    return found | {f"{name}_gap_to_lightgbm": boosting - figures[f"{name}_auc"] for name in which}


def summarise(runs: list[dict[str, float]], which: list[str]) -> dict[str, dict[str, float]]:
    named = {name: None for run in runs for name in run}
    summary = {
        name: mean_and_deviation([run[name] for run in runs if name in run]) for name in named
    }
    candidates = [name for name in which if name in ("scorecard", "gam", "mlp")]
    if candidates:
        best = min(candidates, key=lambda name: summary[f"{name}_gap_to_lightgbm"]["mean"])
        summary["best_gap"] = summary[f"{best}_gap_to_lightgbm"]
        summary["ece"] = summary[f"{candidates[0]}_ece"]
        summary["releases"] = summary[f"{candidates[0]}_releases"]
    return summary


def tables(names: list[str] | None) -> dict[str, Loans]:
    """The public tables that are here, and those made up."""
    found = {}
    for name in names or ["taiwan", "bloan", *TABLES]:
        if name == "bloan":
            found[name] = default_loans()
        elif name in TABLES:
            found[name] = made(name)
        elif names or TAIWAN.exists():
            found[name] = read_loans(TAIWAN, "target", None, None)
    return found


@contextmanager
def _with(constants: dict[str, Any]) -> Iterator[None]:
    with ExitStack() as patched:
        for constant, value in constants.items():
            patched.enter_context(mock.patch.object(descent, constant, value))
        yield


def ablate(sets: dict[str, Loans], seeds: list[int], lenders: int) -> None:
    """Print the scorecard's distance to pooled logistic regression for each of ``ABLATIONS``."""
    print(" | ".join(["", *sets]))
    for label, constants in ABLATIONS.items():
        cells = []
        for loans in sets.values():
            with _with(constants):
                runs = [one_seed(loans, seed, lenders, ["scorecard"]) for seed in seeds]
            found = mean_and_deviation([run["scorecard_gap"] for run in runs])
            cells.append(f"{found['mean']:.4f} +- {found['std']:.4f}")
        print(" | ".join([label, *cells]), flush=True)


def main() -> None:
    options = parser(__doc__)
    option = options.add_argument
    option("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    option("--tables", nargs="+", choices=("taiwan", "bloan", *TABLES), help="all by default")
    option("--ablate", action="store_true", help="with other constants too, the scorecard alone")
    option("--data", type=Path, help="a .parquet or .csv table instead")
    option("--target", default="target", help="its column of 0 (good) and 1 (bad)")
    option("--hold-out", type=float, default=0.0, help="share that the campaign holds out")
    option("--lenders", type=int, default=LENDERS)
    option("--models", nargs="+", default=[*MODELS], choices=MODELS)
    chosen = options.parse_args()
    torch.set_num_threads(1)
    sets = (
        {chosen.data.stem: read_loans(chosen.data, chosen.target, None, None)}
        if chosen.data
        else tables(chosen.tables)
    )
    if chosen.ablate:
        ablate(sets, chosen.seeds, chosen.lenders)
        return
    results: dict[str, dict[str, Any]] = {}
    for name, loans in sets.items():
        runs = []
        for seed in chosen.seeds:
            runs.append(one_seed(loans, seed, chosen.lenders, chosen.models, chosen.hold_out))
            print(f"{name} seed {seed}", file=sys.stderr, flush=True)
        results[name] = {"runs": runs, **summarise(runs, chosen.models)}
    about = {"machine": machine(), "seeds": chosen.seeds, "lenders": chosen.lenders}
    if chosen.json:
        show(about | results, as_json=True)
        return
    show({**about, "epsilon": BUDGET.epsilon, "delta": BUDGET.delta}, as_json=False)
    for name, summary in results.items():
        print(name)
        for figure, value in summary.items():
            if figure != "runs":
                print(f"  {figure:28}{value['mean']:>10.4f} +- {value['std']:.4f}")


if __name__ == "__main__":
    main()
