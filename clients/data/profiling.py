"""Whether a lender's data can be used: counts over all of its rows, for the lender's own operator.

Beside the gate this is the only place that opens a source. What it finds is numbers of rows and
figures over many of them; no value of anybody's is kept or said, not even the largest.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clients.data.book import open_applicants, open_source
from clients.data.columns import Told, nobody
from clients.data.description import Column
from clients.data.findings import (
    FeatureFound,
    Found,
    LinesThatAreNoRows,
    date_sentence,
    outcome_sentence,
    unknown_sentence,
    unreadable_sentence,
)
from clients.data.mapped import MappedSource
from clients.data.members import Members
from clients.data.people import NO_OUTCOME, Labels, Part, Source, labels_of, survey
from clients.data.separation import Ranks, separation
from clients.data.sql import SqlReader
from credit.features import Feature, FeatureSchema, date_columns, forget
from credit.grid import FeatureCells
from credit.remarks import indistinct_values
from credit.schema_inference import GUESSED
from credit.values import UNREADABLE_DATE
from protocol.schema import now

LEAKING_AUC = 0.9
"""No honest feature of a credit model separates good from bad so well alone."""
MISSING_AUC = 0.65
"""Of whether a value is there: 30 of 100 more are missing among the bad than among the good, or the
other way round."""
MAX_UNREADABLE = 0.01
"""Share of the rows beyond which dates that cannot be read, or lines that are no rows, make data
unusable."""
RARE = 0.01
"""Bad for each good, below which a model's level of risk is mostly noise."""
PAIRWISE = re.compile(r"v[1-9][0-9]*\.[A-Za-z0-9_-]{43}")
_OUTCOME = (
    r"defaulted|default|charged? ?offs?|writ(?:e|ten) "
    r"?offs?|npl|collections?|recover(?:y|ies|ed)|bankrupt\w*"
)
_MOMENT = r"date|dates|day|days|month|year|time|on|at|dt|ts|since|until"
_AFTERWARDS = re.compile(
    rf"\b(?:(?:{_OUTCOME}|bad|outcome|closed?|closing|closure|settled?|settlement|last "
    rf"pay(?:ment)?)\b.*\b(?:{_MOMENT})"
    rf"|(?:{_MOMENT})\b.*\b(?:{_OUTCOME}|outcome|closing|closure|settlement)"
    r"|recoveries|charged? ?offs?|writ(?:e|ten) ?offs?)\b"
)
"""Names of what is only known once the outcome is."""
Progress = Callable[[str, int], None]


@dataclass
class _Tally:
    """What is counted of one feature."""

    feature: Feature
    counts: NDArray[np.int64] = field(init=False)
    """(3, cells): among the good, the bad, and rows without an outcome."""
    on_grid: NDArray[np.int64] = field(init=False)
    ranks: Ranks = field(default_factory=Ranks)
    least: float = np.inf
    most: float = -np.inf
    out_of_range: int = 0
    unreadable: int = 0

    def __post_init__(self) -> None:
        self.cells = FeatureCells(self.feature)
        self.on_grid = np.zeros(self.cells.coordinates, dtype=np.int64)
        self.counts = np.zeros((3, self.cells.size), dtype=np.int64)

    def add(self, column: pd.Series, outcome: Labels, unreadable: int) -> None:
        self.unreadable += unreadable
        self.on_grid += self.cells.counts(column)
        if self.feature.kind != "category":
            read = column.to_numpy(dtype=np.float64)
            ranked = ~np.isnan(read) & (outcome != NO_OUTCOME)
            self.ranks.add(read[ranked], outcome[ranked])
            there = read[~np.isnan(read)]
            low, high = self.feature.low, self.feature.high
            beyond = np.isinf(there)
            beyond |= (there < low) if low is not None else False
            beyond |= (there > high) if high is not None else False
            self.out_of_range += int(beyond.sum())
            if len(there):
                self.least, self.most = min(self.least, there.min()), max(self.most, there.max())
        places = outcome.astype(np.int64) * self.cells.size + self.cells.of(column)
        self.counts += np.bincount(places, minlength=self.counts.size).reshape(self.counts.shape)

    def found(self, source: Column) -> FeatureFound:
        good, bad = self.counts[0], self.counts[1]
        there = self.counts.sum(axis=0)[:-1]
        category = self.feature.kind == "category"
        constant = bool(np.count_nonzero(there) <= 1 if category else not self.least < self.most)
        auc = separation(good[:-1], bad[:-1], ordered=False) if category else self.ranks.auc
        whether = [np.array([side[:-1].sum(), side[-1]]) for side in (good, bad)]
        missing_auc = separation(whether[0], whether[1], ordered=True)
        missing = int(self.counts[:, -1].sum()) - self.unreadable
        suspect = _suspect(self.feature, source, auc, missing_auc)
        hidden = indistinct_values(self.feature, self.on_grid) or ""
        return FeatureFound(
            self.feature.name,
            missing,
            self.unreadable,
            self.out_of_range,
            int(there[-1]) if category else 0,
            constant,
            auc,
            missing_auc,
            suspect,
            hidden,
        )


def _suspect(feature: Feature, source: Column, auc: float | None, missing_auc: float | None) -> str:
    if auc is not None and auc > LEAKING_AUC:
        return f"separates good from bad alone (AUC {auc:.3f})"
    if missing_auc is not None and missing_auc > MISSING_AUC:
        return f"that it is missing says how it ended (AUC {missing_auc:.3f})"
    for name in (feature.name, source.column):
        words = re.sub(r"(?<=[a-z])(?=[A-Z])|[\W_]+", " ", name).lower()
        if _AFTERWARDS.search(words):
            return f"the name {name!r} is of something known only afterwards"
    return ""


def look_at(table: pd.DataFrame, schema: FeatureSchema) -> list[str]:
    """What an operator should look at in a table whose columns are the schema's: features that may
    know the outcome, an outcome that is rare or may be the wrong way round."""
    outcome = labels_of(table[schema.target])
    good, bad = int((outcome == 0).sum()), int((outcome == 1).sum())
    found = []
    for feature in schema.features:
        tally = _Tally(feature)
        tally.add(table[feature.name], outcome, 0)
        found.append(tally.found(Column(column=feature.name)))
    return [
        *_about_outcomes(good, bad),
        *(f"{one.name}: {one.suspect}" for one in found if one.suspect),
    ]


def _about_outcomes(good: int, bad: int) -> list[str]:
    total = good + bad
    return [
        *_said(
            bad > good,
            f"{bad:,} of {total:,} outcomes are bad; is 1 bad and 0 good, and not the other way "
            "round?",
        ),
        *_said(
            0 < bad < RARE * good,
            f"only {bad:,} of {total:,} outcomes are bad: the level of risk is uncertain",
        ),
    ]


def people_in(home: Path) -> int:
    """How many people the node's source has; raises SourceError, NodeError."""
    return len(open_source(home).people())


def applicants_in(home: Path) -> int:
    """How many people its ``applicants.toml`` describes; raises SourceError, NodeError."""
    return len(open_applicants(home).people())


def check(home: Path, schema: FeatureSchema, progress: Progress = lambda _, __: None) -> Found:
    """Look through all rows of a node's source, three times, a bounded number in memory.

    Args:
        progress: is told what is done and how many rows of it so far.

    Raises:
        SourceError: the rows cannot be read, or the description does not fit them or the schema.
    """
    source = open_source(home)
    no_rows, people = LinesThatAreNoRows(), _People()
    for part in _told(source.parts((), None, told=no_rows.add), "people", progress):
        people.add(part)
    rows = people.rows
    held = survey(_Telling(source, progress), Members(list(people.places)), schema)
    tallies = [_Tally(feature) for feature in schema.features]
    dates = dict.fromkeys(date_columns(schema), 0)
    if source.description.latest_by is not None:
        dates = {source.description.latest_by.column: people.unreadable_dates} | dates
    names = [schema.target, *schema.names, *date_columns(schema)]
    stale = _Stale(schema)
    for part in _told(source.parts(names, schema), "features", progress):
        stale.add(part.table)
        outcome = labels_of(part.table[schema.target])
        for tally in tallies:
            tally.add(part.table[tally.feature.name], outcome, part.unreadable[tally.feature.name])
        for name in date_columns(schema):
            dates[name] += part.unreadable[name]
    features = tuple(
        t.found(source.description.columns.get(t.feature.name, Column(column=t.feature.name)))
        for t in tallies
    )
    ambiguous = int((held.times > 1).sum())
    good, bad, unsound = np.bincount(held.outcome[held.times == 1], minlength=3).tolist()
    many = MAX_UNREADABLE * (rows + no_rows.count)
    errors = [
        *_said(not rows, "there are no rows"),
        *_said(people.nameless, f"{people.nameless:,} rows do not say whose they are"),
        *_said(
            people.strangers,
            f"{people.strangers:,} people do not have a pairwise name; have them named: tahini "
            "book name",
        ),
        *_said(
            ambiguous and not source.dated,
            f"{ambiguous:,} people have several rows; say latest_by in data.toml",
        ),
        *_said(
            ambiguous and source.dated,
            f"{ambiguous:,} people have several rows at their latest date",
        ),
        *_said(unsound, outcome_sentence(unsound, schema.target, source.description.columns)),
        *_said(rows and not (good and bad), "the outcome must be 0 (good) and 1 (bad), both"),
        *_said(no_rows.count > many, no_rows.sentence),
    ]
    for one in features:
        column = source.description.columns.get(one.name, Column(column=one.name)).column
        errors += _said(one.unreadable, unreadable_sentence(one, schema[one.name]))
        errors += [unknown_sentence(one, schema[one.name], column)] if one.unknown else []
    errors += [date_sentence(name, count) for name, count in dates.items() if count > many]
    warnings = [
        *_said(0 < no_rows.count <= many, no_rows.sentence),
        *_said(no_rows.odd, no_rows.about_quotes),
        *(date_sentence(name, count) for name, count in dates.items() if 0 < count <= many),
        *_about_outcomes(good, bad),
        *stale.sentences(),
        *_said(guessed := _guessed(schema), guessed),
        *_warnings(source, features, rows),
    ]
    return Found(
        source.where,
        rows,
        no_rows.count,
        len(people.places),
        int((held.rows > 1).sum()),
        good,
        bad,
        features,
        dates,
        tuple(errors),
        tuple(warnings),
    )


def _guessed(schema: FeatureSchema) -> str:
    """What is said of reasons that a program wrote."""
    names = [one.name for one in schema.features if one.relevance.startswith(GUESSED)]
    if not names:
        return ""
    return (
        f"reasons were guessed, of {', '.join(names)}: write what each has to do with repaying "
        "credit, or leave it out"
    )


@dataclass
class _Stale:
    """What retention takes away if rows are used today."""

    schema: FeatureSchema
    outcomes: int = 0
    values: Counter[str] = field(default_factory=Counter)

    def add(self, table: pd.DataFrame) -> None:
        kept = forget(table, self.schema, now().date())
        self.outcomes += len(table) - len(kept)
        for name in self.schema.names:
            before = table[name].reindex(kept.index)
            self.values[name] += int((before.notna() & (before != kept[name])).sum())

    def sentences(self) -> Iterator[str]:
        if self.outcomes:
            yield (
                f"{self.outcomes:,} bad outcomes ended longer ago than the law lets them be used, "
                "or do not say when; their rows are left out"
            )
        for name, count in self.values.items():
            if count:
                yield f"{name}: {count:,} values are stale or have no date and are not used"


@dataclass
class _People:
    """Whose the rows are."""

    places: dict[str, int] = field(default_factory=dict)
    rows: int = 0
    nameless: int = 0
    strangers: int = 0
    unreadable_dates: int = 0

    def add(self, part: Part) -> None:
        self.rows += len(part.names)
        self.unreadable_dates += int((part.when == UNREADABLE_DATE).sum())
        for name in part.names:
            if name is None:
                self.nameless += 1
            elif self.places.setdefault(name, len(self.places)) == len(
                self.places
            ) - 1 and not PAIRWISE.fullmatch(name):
                self.strangers += 1


def _warnings(source: MappedSource, features: Sequence[FeatureFound], rows: int) -> Iterator[str]:
    for one in features:
        if one.suspect:
            yield f"{one.name}: {one.suspect}"
        if rows and one.missing == rows:
            yield f"{one.name}: there is no value at all"
        elif rows and one.constant and not (one.unreadable or one.unknown):
            yield f"{one.name}: every value is the same"
        elif one.indistinct:
            yield one.indistinct
        if one.out_of_range:
            yield (
                f"{one.name}: {one.out_of_range:,} values are out of range and count as the "
                "nearest one within"
            )
    if not isinstance(source.reader, SqlReader):
        return
    if source.reader.may_write():
        yield "the database lets this role write to the table; give the node one that can only read"
    if made := source.reader.made_by():
        yield (
            f"the rows are made by a {made}: where an expression in it (a cast, a division, a "
            "date) fails on one person's row, nobody's row is read, and others see that; take "
            "plain columns of plain tables and let "
            "Tahini convert them (scale, values, missing and format in data.toml)"
        )


def _said(count: object, sentence: str) -> list[str]:
    return [sentence] if count else []


def _told(parts: Iterator[Part], what: str, progress: Progress) -> Iterator[Part]:
    done = 0
    for part in parts:
        yield part
        done += len(part.when)
        progress(what, done)


@dataclass(frozen=True)
class _Telling(Source):
    """A source that says how far it was read."""

    source: Source
    progress: Progress

    @property
    def where(self) -> str:
        return self.source.where

    @property
    def dated(self) -> bool:
        return self.source.dated

    def parts(
        self,
        columns: Sequence[str],
        schema: FeatureSchema | None,
        members: Members | None = None,
        told: Told = nobody,
    ) -> Iterator[Part]:
        return _told(self.source.parts(columns, schema, members, told), "outcomes", self.progress)
