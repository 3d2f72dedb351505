"""Real loan tables, split by person into lenders of unequal size and a hold-out.

The hold-out is set aside before the consortium exists: no lender ever has those rows.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import ValidationError

from clients.data.book import PSEUDONYM
from clients.data.columns import NoRow, OddQuotes
from clients.data.description import FileDescription
from clients.data.files import FileReader
from clients.data.profiling import look_at
from credit.features import FeatureSchema, date_columns
from credit.schema_inference import describe, read_as
from credit.validation import check_table, load_schema
from credit.values import codes, numbers
from crypto.sentences import one_sentence
from demo.errors import DemoError
from protocol.schema import now

IDENTITY = "identity_number"
HOLD_OUT = 0.2
SIZE_STEP, NEWCOMER = 0.1, 0.12
"""Lenders shrink by this much of the largest; the last is a newcomer with this share of the
largest."""
SHARED = 0.05
"""Share of borrowers who hold an account at a second lender too."""
SHOWN_KEYS = 3
WITHIN_DAYS = 700
MIN_ROWS_PER_LENDER = 20
NAMES = ("aspen", "birch", "cedar", "dogwood", "elm", "fir", "ginkgo", "hazel", "ivy", "juniper")

DEFAULT_ABOUT = (
    "bloan.csv from the PyPI package bbbrisk 1.0.2 (MIT licence): 20,000 loans, a lightly "
    "perturbed sample of the "
    "public Kaggle table 'Give Me Some Credit' with a random city letter added. is_bad = 1 means "
    "90 days late within two years. When that ended is made up: the table has no dates."
)


@dataclass(frozen=True)
class Loans:
    """A table to run on, and what it is."""

    table: pd.DataFrame
    schema: FeatureSchema
    partition: str | None
    about: str
    left_out: dict[str, str]
    remarks: tuple[str, ...] = ()
    """What whoever brought the table should look at before believing a model of it."""


@dataclass(frozen=True)
class Split:
    """Who has which rows. Every table carries the identity column."""

    lenders: dict[str, pd.DataFrame]
    train: pd.DataFrame
    hold_out: pd.DataFrame
    people: int
    at_several: int
    remarks: tuple[str, ...] = ()
    """What to look at: lenders whose own loans all ended alike."""


def default_loans() -> Loans:
    """The packaged loans, without importing the package (it loads much that is not needed)."""
    spec = find_spec("bbbrisk")
    if spec is None or not spec.submodule_search_locations:
        raise DemoError(
            "the package bbbrisk, which ships the demo's loans, is not installed; run: make demo"
        )
    path = Path(next(iter(spec.submodule_search_locations))) / "datasets" / "bloan.csv"
    schema = load_schema(Path(__file__).with_name("loans.toml"))
    return Loans(
        _dated(pd.read_csv(path)),
        schema,
        "city",
        DEFAULT_ABOUT,
        {"city": "the key by which lenders are formed"},
    )


def _dated(table: pd.DataFrame) -> pd.DataFrame:
    """With the days on which late payments and defaults ended, which the table does not have: made
    up, some day of the two years that it counts. Where there was none there is no day."""
    rng, today = np.random.default_rng(0), np.datetime64(now().date(), "us")
    late = (table[["due30", "due60", "due90"]] > 0).any(axis=1)
    ended = {}
    for column, had in {"late_ended": late, "bad_ended": table["is_bad"] == 1}.items():
        days = rng.integers(1, WITHIN_DAYS, len(table)).astype("timedelta64[D]")
        ended[column] = np.where(had, today - days, np.datetime64("NaT", "us"))
    return table.assign(**ended)


@dataclass(frozen=True)
class CsvForm:
    """How a CSV file is written; it is not guessed from its rows."""

    delimiter: str = ","
    encoding: str = "utf-8"


def _table(path: Path, form: CsvForm) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """As a node reads it: of a CSV file every value is text, and a line that is no row is left out
    and told. Raises SourceError, DemoError."""
    kind: Literal["csv", "parquet"] = "csv" if path.suffix == ".csv" else "parquet"
    said = {"kind": kind, "path": path.name, "person": IDENTITY, **asdict(form)}
    try:
        described = FileDescription.model_validate(said)
    except ValidationError as error:
        raise DemoError(f"{path}: {one_sentence(error)}") from error
    reader = FileReader(path.parent, path.name, kind, described.delimiter, described.encoding)
    left_out: list[NoRow] = []

    def told(found: NoRow | OddQuotes) -> None:
        if isinstance(found, NoRow):
            left_out.append(found)

    names = reader.columns()
    batches = list(reader.batches(names, told))
    table = pd.concat(batches, ignore_index=True) if batches else pd.DataFrame(columns=list(names))
    if not left_out:
        return table, ()
    why = left_out[0].why.replace("in data.toml", "(here: --encoding)")
    first = f"the first is line {left_out[0].line}: {why}"
    if table.empty:
        raise DemoError(f"{path} has no row; {first}")
    return table, (f"{len(left_out):,} lines are no rows and left out; {first}",)


def _as_declared(table: pd.DataFrame, schema: FeatureSchema) -> pd.DataFrame:
    """Numbers where all of a column are, codes; what does not fit stays for the check to find."""
    read: dict[str, Any] = {}
    of_numbers = [one.name for one in schema.features if one.kind != "category"]
    for name in (schema.target, *of_numbers):
        if name in table.columns and not (found := numbers(table[name])).unreadable.any():
            read[name] = found.values
    for one in schema.features:
        if one.kind == "category" and one.name in table.columns:
            read[one.name] = codes(table[one.name])
    return table.assign(**read)


def read_loans(
    path: Path,
    target: str,
    partition: str | None,
    registry_path: Path | None,
    form: CsvForm = CsvForm(),
) -> Loans:
    """A user's table. Without a registry file, one is written from the table's schema.

    Raises:
        DemoError, FeatureError, SourceError: one sentence naming file and column.
    """
    if path.suffix not in {".parquet", ".csv"} or not path.is_file():
        raise DemoError(f"{path}: expected an existing .parquet or .csv file")
    table, no_rows = _table(path, form)
    for name in (IDENTITY, PSEUDONYM):
        if name in table.columns:
            raise DemoError(f"{path}: the column name {name!r} is reserved; rename the column")
    if not table.columns.is_unique:
        twice = table.columns[table.columns.duplicated()][0]
        raise DemoError(f"{path}: two columns are named {twice!r}")
    if partition is not None and partition not in table.columns:
        raise DemoError(
            f"{path}: the partition column {partition!r} is missing; the columns are "
            f"{', '.join(table.columns)}"
        )
    left_out: dict[str, str] = {}
    remarks: tuple[str, ...] = ()
    if registry_path:
        schema = load_schema(registry_path)
        if schema.target != target:
            raise DemoError(
                f"{registry_path} declares the target {schema.target!r}, not {target!r}"
            )
        table = _as_declared(table, schema)
    else:
        since = date(now().year - 1, 1, 1)
        schema, left_out, remarks = describe(table, target, path.stem, since)
        table = read_as(schema, table)
    check_table(table, schema, str(path))
    about = f"{path.name}: {len(table):,} rows, target {target!r}"
    found = (*no_rows, *remarks, *look_at(table, schema))
    return Loans(table, schema, partition, about, left_out, found)


def identity_numbers(count: int, rng: np.random.Generator) -> list[str]:
    """Fictional 18-digit identity numbers with valid check digits; region codes 99xxxx are assigned
    to nobody."""
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    days = np.datetime64("1950-01-01") + rng.integers(0, 20_000, count)
    numbers = []
    for i, day in enumerate(days):
        body = f"99{i // 1000:04d}{str(day).replace('-', '')}{i % 1000:03d}"
        check = "10X98765432"[sum(int(d) * w for d, w in zip(body, weights, strict=True)) % 11]
        numbers.append(body + check)
    return numbers


def shares(lenders: int) -> list[float]:
    """Unequal shares of the borrowers: established lenders, each a little smaller, and one
    newcomer."""
    sizes = [1 - SIZE_STEP * i for i in range(lenders - 1)] + [NEWCOMER]
    return [size / sum(sizes) for size in sizes]


def _assign(
    table: pd.DataFrame, partition: str | None, lenders: int, rng: np.random.Generator
) -> np.ndarray:
    """A lender number for each row: by groups of the key where there is one, else at random."""
    targets = shares(lenders)
    if partition is None:
        return rng.permutation(np.repeat(np.arange(lenders), _counts(len(table), targets)))
    keys = table[partition].astype(str).fillna("")
    sizes = keys.value_counts()
    if len(sizes) < lenders:
        raise DemoError(
            f"the partition column {partition!r} has {len(sizes)} distinct values, too few for "
            f"{lenders} lenders"
        )
    room = np.array(targets) * len(table)
    home: dict[str, int] = {}
    for position, (key, size) in enumerate(sizes.items()):
        number = position if position < lenders else int(np.argmax(room))
        home[str(key)] = number
        room[number] -= size
    return keys.map(home).to_numpy()


def _counts(total: int, targets: list[float]) -> list[int]:
    counts = [int(total * share) for share in targets]
    counts[0] += total - sum(counts)
    return counts


def _too_few(loans: Loans) -> str:
    bad = int(loans.table[loans.schema.target].sum())
    rarer, count = ("bad", bad) if 2 * bad <= len(loans.table) else ("good", len(loans.table) - bad)
    return f"the table has too few {rarer} borrowers ({count:,} of {len(loans.table):,})"


def split(loans: Loans, lenders: int, seed: int) -> Split:
    """Hold-out first, then lenders, then second accounts. ``seed`` fixes all of it.

    Raises:
        DemoError: a lender would have too few rows, or only good or only bad borrowers.
    """
    if not 2 <= lenders <= len(NAMES):
        raise DemoError(f"a consortium has 2 to {len(NAMES)} lenders, not {lenders}")
    rng = np.random.default_rng(seed)
    columns = [loans.schema.target, *loans.schema.names, *date_columns(loans.schema)]
    everyone = loans.table.assign(**{IDENTITY: identity_numbers(len(loans.table), rng)})
    good_and_bad = [np.flatnonzero(loans.table[loans.schema.target] == label) for label in (0, 1)]
    test = np.concatenate(
        [rng.permutation(rows)[: round(HOLD_OUT * len(rows))] for rows in good_and_bad]
    )
    in_test = np.zeros(len(everyone), dtype=bool)
    in_test[test] = True
    train = everyone[~in_test].reset_index(drop=True)
    hold_out = everyone[in_test].reset_index(drop=True)
    if hold_out[loans.schema.target].nunique() < 2:
        raise DemoError(f"{_too_few(loans)} to set a hold-out aside; bring more loans")
    number = _assign(train, loans.partition, lenders, rng)
    second = rng.permutation(len(train))[: round(SHARED * len(train))]
    elsewhere = (number[second] + rng.integers(1, lenders, len(second))) % lenders
    books: dict[str, pd.DataFrame] = {}
    remarks: list[str] = []
    for i, name in enumerate(NAMES[:lenders]):
        rows = np.r_[np.flatnonzero(number == i), second[elsewhere == i]]
        book = train[[IDENTITY, *columns]].take(rows).reset_index(drop=True)
        if len(book) < MIN_ROWS_PER_LENDER:
            raise DemoError(
                f"lender {name!r} would have {len(book)} loans; every lender needs at least "
                f"{MIN_ROWS_PER_LENDER}"
            )
        if book[loans.schema.target].nunique() < 2:
            remedy = "bring more loans, or choose fewer lenders"
            if loans.partition is not None:
                remedy += f" or another partition than {loans.partition!r}"
            whose = _whose(name, loans.partition, train[number == i])
            raise DemoError(
                f"{_too_few(loans)} for {lenders} lenders: {whose} would have none; {remedy}"
            )
        books[name] = book
        remarks += _all_alike(name, loans, train[number == i])
    return Split(books, train[columns], hold_out[columns], len(train), len(second), tuple(remarks))


def _whose(lender: str, partition: str | None, own: pd.DataFrame) -> str:
    """A lender, with the values of the partition that it has."""
    if partition is None:
        return repr(lender)
    keys = sorted(own[partition].astype(str).fillna("").unique())
    more = ", …" if len(keys) > SHOWN_KEYS else ""
    return f"{lender!r} ({partition} {', '.join(repr(key) for key in keys[:SHOWN_KEYS])}{more})"


def _all_alike(lender: str, loans: Loans, own: pd.DataFrame) -> list[str]:
    """Said of a lender whose own borrowers all turned out good, or all bad: alone it learns
    nothing."""
    outcomes = own[loans.schema.target]
    if outcomes.nunique() > 1:
        return []
    missing = "good" if outcomes.iloc[0] else "bad"
    whose = _whose(lender, loans.partition, own)
    return [
        (
            f"{whose} has no {missing} borrower among its own {len(own):,}; only second accounts "
            "of others bring it any"
        )
    ]
