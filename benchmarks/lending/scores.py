"""Scoring: look-ups against the model and SQL against look-ups on a million random people, what one
score costs, and beside it ``optbinning``'s scorecard scoring the same people.

``score_mismatches`` counts people for whom a look-up differs from the model, or the SQL expression
from the look-up, in DuckDB and in PostgreSQL, for a scorecard and a GAM. Times are CPU times of one
thread: the median of several batches, and the best.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from functools import partial
from importlib.util import find_spec
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import psycopg
from numpy.typing import NDArray

from benchmarks.postgresql import empty_database
from credit.boosting import candidates
from credit.cutting import make_binning
from credit.embedding import Embedding
from credit.features import FeatureSchema, schema_from
from credit.grid import Grid
from credit.kinds import Kind
from credit.models import KNOTS, CreditModel
from credit.scaling import score
from lending import Scorer
from lending.law.features import LawOfDay
from lending.score.reasons import Direction, just_above, nearest, reasons
from lending.score.sql import score_sql

UNDER = LawOfDay(("CN",), date(2026, 11, 28))
NUMBERS, CATEGORIES = 24, 6
CODES = ("1", "2", "3", "4", "5")
CHUNK = 100_000
BATCHES, IN_A_BATCH = 40, 200
FITTED_ON = 5_000
PEOPLE = 1_000_000
BARS = {"score_mismatches": 0}
Scores = NDArray[np.int64]


def features() -> FeatureSchema:
    common = {"category": "bureau", "source": "made", "relevance": "made for a benchmark"}
    numbers = [{"name": f"n{at}", "kind": "number", **common} for at in range(NUMBERS)]
    codes = [
        {"name": f"c{at}", "kind": "category", "values": list(CODES), **common}
        for at in range(CATEGORIES)
    ]
    return schema_from(
        {"name": "b", "target": "bad", "features": numbers + codes, "outcomes_since": "2025-01-01"},
        "benchmark",
    )


def people(count: int, seed: int) -> pd.DataFrame:
    """A tenth of each column is missing; some codes are undeclared."""
    generator = np.random.default_rng(seed)
    table: dict[str, Any] = {}
    for at in range(NUMBERS):
        gone = generator.random(count) < 0.1
        table[f"n{at}"] = np.where(gone, np.nan, generator.lognormal(3, 1 + at / 6, count))
    for at in range(CATEGORIES):
        drawn = generator.choice([*CODES, "6"], count).astype(object)
        drawn[generator.random(count) < 0.1] = None
        table[f"c{at}"] = drawn
    return pd.DataFrame(table)


def made(kind: Kind, seed: int = 0) -> CreditModel:
    """A model with random weights on bins of random people."""
    generator, table = np.random.default_rng(seed), people(20_000, 1)
    labels = (generator.random(len(table)) < 0.1).astype(np.int64)
    grid = Grid(features())
    histogram = grid.histogram(table, labels).astype(np.float64)
    embedding = Embedding(grid, make_binning(grid, histogram, 5.0, 10))
    weights = generator.normal(size=embedding.width) * 0.25
    weights[-1] -= 2.0
    calibration = tuple((KNOTS * 0.9 + 0.01 * KNOTS**2 - 0.2).tolist())
    pairs = candidates(embedding, weights, 1.0) if kind == "gam" else ()
    drawn = [
        replace(one, effects=tuple((generator.normal(size=len(one.effects)) * 0.1).tolist()))
        for one in pairs
    ]
    return CreditModel(kind, embedding, weights, calibration, tuple(drawn))


def in_duckdb(expression: str, table: pd.DataFrame) -> Scores:
    with duckdb.connect() as connection:
        connection.register("people", table.assign(id=range(len(table))))
        query = f"SELECT {expression} AS score FROM people ORDER BY id"
        return np.asarray(connection.execute(query).fetchnumpy()["score"])


def in_postgresql(connection: psycopg.Connection, expression: str, table: pd.DataFrame) -> Scores:
    columns = [
        f"{name} {'double precision' if name[0] == 'n' else 'text'}" for name in table.columns
    ]
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS people")
        cursor.execute(f"CREATE UNLOGGED TABLE people (id serial, {', '.join(columns)})")
        with cursor.copy(f"COPY people ({', '.join(table.columns)}) FROM STDIN") as copy:
            for row in table.itertuples(index=False):
                copy.write_row(row)
        cursor.execute(f"SELECT {expression} AS score FROM people ORDER BY id")
        return np.array([one for (one,) in cursor.fetchall()])


def timed(act: Callable[[], Any]) -> tuple[Any, float]:
    """What it gives, and its CPU seconds."""
    begun = time.process_time()
    return act(), time.process_time() - begun


def _all(acts: list[Callable[[], Any]]) -> None:
    for act in acts:
        act()


def microseconds(acts: Iterator[Callable[[], Any]]) -> tuple[float, float]:
    """CPU time of one of many: the median of batches and the best batch."""
    batches = []
    for _ in range(BATCHES):
        some = [next(acts) for _ in range(IN_A_BATCH)]
        _, seconds = timed(partial(_all, some))
        batches.append(seconds / IN_A_BATCH * 1e6)
    return statistics.median(batches), min(batches)


def _by_model(model: CreditModel, table: pd.DataFrame) -> Scores:
    return score(model.probability(table))


def compare(kind: Kind, count: int, url: str) -> dict[str, float]:
    """Mismatches of one kind of model, and how many people a second each way scores."""
    model = made(kind)
    scorer = Scorer.of(model, "0" * 64, UNDER)
    expression = score_sql(scorer.look_up)
    mismatches, done = 0, 0
    spent = dict.fromkeys(("model", "look_ups"), 0.0)
    with psycopg.connect(url) as connection:
        while done < count:
            table = people(min(CHUNK, count - done), 100 + done)
            expected, seconds = timed(partial(_by_model, model, table))
            spent["model"] += seconds
            shown, seconds = timed(partial(scorer.scores, table))
            spent["look_ups"] += seconds
            found = (
                shown,
                in_duckdb(expression, table),
                in_postgresql(connection, expression, table),
            )
            mismatches += int((found[0] != expected).sum())
            mismatches += sum(int((one != shown).sum()) for one in found[1:])
            done += len(table)
    rates = {f"{kind}_{name}_per_s": count / seconds for name, seconds in spent.items()}
    return {f"{kind}_mismatches": mismatches, **rates}


def one_by_one() -> dict[str, float]:
    """A scorecard's score, reasons and counterfactual of one person, in plain Python."""
    scorer = Scorer.of(made("scorecard"), "0" * 64, UNDER)
    rows: list[dict[str, Any]] = people(2_000, 5).to_dict("records")  # type: ignore[assignment]
    sample = [scorer.score(row) for row in rows]
    cut_off = int(np.median([one.score for one in sample]))
    mean = just_above(sample, cut_off)
    families = {f"n{at}": f"family {at // 3}" for at in range(NUMBERS)}
    changeable: dict[str, Direction] = {f"n{at}": "any" for at in range(0, NUMBERS, 2)}
    below = [row for row, one in zip(rows, sample, strict=True) if one.score < cut_off]

    def cycle(things: list[Any]) -> Iterator[Any]:
        while True:
            yield from things

    found: dict[str, float] = {}
    found["score_us"], found["score_best_us"] = microseconds(
        partial(scorer.score, row) for row in cycle(rows)
    )
    found["reasons_us"], found["reasons_best_us"] = microseconds(
        partial(reasons, one, mean, families) for one in cycle(sample)
    )
    spent = []
    for row in below[:200]:
        bins = scorer.look_up.bins(row, frozenset())
        _, seconds = timed(partial(nearest, scorer.look_up, bins, changeable, cut_off))
        spent.append(seconds * 1e3)
    found["counterfactual_ms"], found["counterfactual_worst_ms"] = (
        statistics.median(spent),
        max(spent),
    )
    return found


def optbinnings(count: int) -> dict[str, float]:
    """The yardstick: a scorecard of ``optbinning`` on the same features, the same people."""
    from optbinning import BinningProcess
    from optbinning import Scorecard as Yardstick
    from sklearn.linear_model import LogisticRegression

    table = people(FITTED_ON, 1)
    risk = np.nan_to_num(np.log(table["n0"].to_numpy()), nan=3.0) - 5
    labels = (np.random.default_rng(0).random(len(table)) < 1 / (1 + np.exp(-risk))).astype(int)
    codes = [f"c{at}" for at in range(CATEGORIES)]
    binning = BinningProcess(list(table.columns), categorical_variables=codes)
    scaling = {"pdo": 60, "odds": 15, "scorecard_points": 650}
    card = Yardstick(
        binning,
        LogisticRegression(max_iter=1000),
        scaling_method="pdo_odds",
        scaling_method_params=scaling,
    )
    card.fit(table, labels)
    asked = people(min(count, CHUNK), 100)
    _, seconds = timed(lambda: card.score(asked))
    one = asked.head(1)
    _, alone = timed(lambda: [card.score(one) for _ in range(20)])
    return {"optbinning_per_s": len(asked) / seconds, "optbinning_score_us": alone / 20 * 1e6}


def measure(seed: int, scale: float) -> dict[str, float]:
    """Every figure of this module, by name; ``optbinning`` beside it where it is installed (the
    extra ``yardsticks``). People are drawn by their number; ``seed`` draws nobody."""
    count = max(1000, round(PEOPLE * scale))
    with empty_database(None) as url:
        found = compare("scorecard", count, url) | compare("gam", count, url)
    mismatches = sum(value for name, value in found.items() if name.endswith("_mismatches"))
    figures = {"score_mismatches": mismatches, **found, **one_by_one()}
    if find_spec("optbinning") is None:
        print("optbinning is not installed (pip install -e '.[yardsticks]')", file=sys.stderr)
        return figures
    return figures | optbinnings(count)
