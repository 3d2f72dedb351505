"""The reference of the feature schema, written from the models that check it:
``python -m credit.reference``."""

from __future__ import annotations

from typing import Any

from credit.features import (
    ADVERSE_RECORD_DAYS,
    FORBIDDEN,
    Feature,
    FeatureSchema,
)
from law.categories import SENSITIVE_CATEGORIES, DataCategory

MEANINGS = {
    "name": "column of the loan book (or the name that `data.toml` maps to one)",
    "kind": "what its values are",
    "category": "what kind of fact about a person it is; see below",
    "description": "in words, for whoever approves a campaign",
    "unit": "of the values, in words",
    "low": "lower end of the public range; values below are clamped to it",
    "high": "upper end of the public range; values above are clamped to it",
    "values": "the codes of a `category`, in order; public",
    "sensitivity": "`sensitive` needs a consent of its own",
    "retention_days": "older facts count as missing",
    "adverse": "an adverse record, which the law keeps for five years at most",
    "dated_by": (
        "date column that says when the fact was recorded; without a date it counts as stale"
    ),
    "target": "column of the outcome: 1 for bad, 0 for good",
    "features": "a list of features, at least one: `[[features]]` each",
    "outcome_dated_by": "date column that says when the outcome was recorded",
}
OWN = 'of its own: `sensitivity = "sensitive"`'
REGISTRY_NAME = "what the registry is called in reports"


def _type(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """A field's type in words, out of its JSON schema."""
    if "$ref" in schema:
        return _type(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in schema:
        return " or ".join(
            _type(one, definitions) for one in schema["anyOf"] if one.get("type") != "null"
        )
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        inner = schema["items"]
        return "list of features" if "$ref" in inner else f"list of {_type(inner, definitions)}"
    words = {
        "string": "text",
        "number": "number",
        "integer": "whole number",
        "boolean": "true or false",
    }
    limits = {"minimum": "at least", "exclusiveMinimum": "above"}
    told = [f"{limits[key]} {schema[key]}" for key in limits if key in schema]
    told += [f"{schema['maxLength']} characters at most"] if "maxLength" in schema else []
    return ", ".join([words[schema["type"]], *told])


def _table(model: type[Feature] | type[FeatureSchema], meanings: dict[str, str]) -> list[str]:
    schema = model.model_json_schema()
    required = set(schema.get("required", ()))
    definitions = schema.get("$defs", {})
    rows = ["| field | type | if left out | meaning |", "| --- | --- | --- | --- |"]
    for name, field in schema["properties"].items():
        default = "must be given" if name in required else _default(field)
        rows.append(
            f"| `{name}` | {_type(field, definitions)} | {default} | {meanings.get(name, '')} |"
        )
    return rows


def _default(field: dict[str, Any]) -> str:
    value = field.get("default")
    return (
        "nothing"
        if value in (None, "", [], ())
        else f"`{str(value).lower() if value is False else value}`"
    )


def reference() -> str:
    """The page, in Markdown."""
    lines = [
        "# The feature registry",
        "",
        (
            "A TOML file that says of every column that a model may see what it is; part of the "
            "campaign that lenders"
        ),
        (
            "approve. `tahini node check-data` compares a lender's rows with it; `demo/loans.toml` "
            "is an example. Made by"
        ),
        (
            "`python -m credit.reference > docs/features.md` from the models that check the file "
            "(`credit/features.py`)."
        ),
        "",
        "```toml",
        'name = "loans"',
        'target = "bad"',
        "",
        "[[features]]",
        'name = "times_late"',
        'kind = "integer"',
        'category = "repayment"',
        "low = 0",
        "high = 100",
        "",
        "[[features]]",
        'name = "income"',
        'kind = "number"',
        'category = "income"',
        'sensitivity = "sensitive"',
        "```",
        "",
        "## The file",
        "",
        *_table(FeatureSchema, {**MEANINGS, "name": REGISTRY_NAME}),
        "",
        "## A feature",
        "",
        *_table(Feature, MEANINGS),
        "",
        "## Categories",
        "",
        "| category | consent |",
        "| --- | --- |",
        *(
            f"| `{kind.value}` | {OWN if kind in SENSITIVE_CATEGORIES else 'ordinary'} |"
            for kind in DataCategory
        ),
        "",
        "## What is refused",
        "",
        (
            f"- Features about {', '.join(FORBIDDEN)}: credit-reporting law forbids them. They are "
            "recognised by name,"
        ),
        "  description and unit, in English and Chinese.",
        (
            "- A sensitive category that is not declared sensitive; a `category` without values, "
            "or values without it; an"
        ),
        (
            f"  empty range; an adverse record with `retention_days` above {ADVERSE_RECORD_DAYS}; "
            "any other field."
        ),
        (
            "- A name declared twice, the target among the features, a date column that is "
            "something else too."
        ),
        "",
        "A refusal names the feature by its name: `features.toml: feature 'income', kind: …`.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(reference(), end="")  # noqa: T201 - the page is what this prints
