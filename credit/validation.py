"""What people hand in, checked before anything is done with it: a schema's file, a whole table.

A node needs neither: campaigns bring its schema, and rows come through its own source.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import pandas as pd

from credit.errors import FeatureError
from credit.features import FeatureSchema, date_columns, schema_from
from credit.values import UNREADABLE_DATE, code, codes, moments, numbers


def load_schema(path: Path) -> FeatureSchema:
    """Read a schema from a TOML file."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise FeatureError(f"cannot read the feature registry {path}: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise FeatureError(f"the feature registry {path} is not TOML: {error}") from error
    return schema_from(data, str(path))


def check_table(table: pd.DataFrame, schema: FeatureSchema, where: str) -> None:
    """The table has every declared column, only declared categories, numbers where numbers belong,
    a binary target.

    Raises:
        FeatureError: one sentence naming the first column that does not fit; never a value that
            belongs to a person, except a category code, which is public by declaration.
    """
    for name in (schema.target, *schema.names):
        if name not in table.columns:
            raise FeatureError(
                f"{where}: column {name!r} is missing; the columns are "
                f"{', '.join(map(str, table.columns))}"
            )
    for name in date_columns(schema):
        if name not in table.columns:
            raise FeatureError(f"{where}: the date column {name!r} is missing")
        if (moments(table[name]) == UNREADABLE_DATE).any():
            raise FeatureError(
                f"{where}: the date column {name!r} holds something that is not a date"
            )
    labels = table[schema.target]
    if labels.isna().any() or not set(labels.unique()) <= {0, 1} or labels.nunique() != 2:
        raise FeatureError(
            f"{where}: the target {schema.target!r} must hold 0 (good) and 1 (bad), both, and "
            "nothing else"
        )
    for feature in schema.features:
        column = table[feature.name]
        if feature.kind == "category":
            known = {code(value) for value in feature.values} | {None}
            if rows := sum(one not in known for one in codes(column)):
                raise FeatureError(
                    f"{where}: column {feature.name!r} holds an unknown category in {rows} rows; "
                    f"the registry knows {', '.join(feature.values)}"
                )
        elif rows := int(numbers(column).unreadable.sum()):
            raise FeatureError(
                f"{where}: column {feature.name!r} is declared a {feature.kind} but holds "
                f"something else in {rows} rows"
            )
