"""The reference of the feature schema, written from the models that check it:
``python -m credit.reference``."""

from __future__ import annotations

from datetime import date
from typing import Any

from credit.features import Feature, FeatureSchema
from law.categories import DataCategory, consent_for
from law.packs import PACKS, Pack

MEANINGS = {
    "name": "column of the loan book (or the name that `data.toml` maps to one)",
    "kind": "what its values are",
    "category": "what kind of fact about a person it is; see below",
    "derived_from": (
        "categories that it was computed from besides: payments / income is of `income` too, and "
        "needs its consent"
    ),
    "source": "column or system where its values stand at the lender, before renaming",
    "relevance": (
        "one sentence: what it has to do with repaying credit (征信业务管理办法 29), for whoever "
        "approves a campaign"
    ),
    "description": "in words, for whoever approves a campaign",
    "unit": "of the values, in words",
    "low": "lower end of the public range; values below are clamped to it",
    "high": "upper end of the public range; values above are clamped to it",
    "values": "the codes of a `category`, in order; public",
    "sensitivity": "`sensitive` needs a consent of its own",
    "retention_days": "older facts count as missing; of an adverse record, counted from its end",
    "adverse": "a record of bad behaviour, which the law lets be used for some years after its end",
    "dated_by": (
        "date column that says when the fact was recorded; without a date it counts as stale"
    ),
    "ended_by": (
        "of an adverse record, which must have one: date column that says when the behaviour "
        "ended, or, while it goes on, when it was last seen to; without a date a value is missing"
    ),
    "clean": (
        "of an adverse record that is a number: the value that tells of no bad behaviour, as 0 "
        "times late. It needs no date, and a forgotten value becomes it; without it, missing"
    ),
    "direction": (
        "of a number: `up` where the risk of bad rises with the value, `down` where it falls; a "
        "scorecard's points then never go the other way"
    ),
    "target": "column of the outcome: 1 for bad, 0 for good",
    "features": "a list of features, at least one: `[[features]]` each",
    "jurisdictions": "whose law is kept, the strictest of all; see below",
    "outcome_dated_by": "date column that says when the outcome was recorded",
    "outcome_ended_by": "date column that says when a bad outcome ended; without a date it is gone",
    "outcomes_since": "instead of `outcome_ended_by`: the day before which no bad outcome ended",
}
REGISTRY_NAME = "what the registry is called in reports"


EXAMPLE = """\
name = "loans"
target = "bad"
outcome_ended_by = "settled_on"

[[features]]
name = "times_late"
kind = "integer"
category = "repayment"
source = "core.loans.dpd_count"
relevance = "Who paid late before pays late again more often."
low = 0
high = 100
adverse = true
ended_by = "late_until"
clean = 0

[[features]]
name = "income"
kind = "number"
category = "income"
sensitivity = "sensitive"
source = "application.monthly_income"
relevance = "What instalments are paid from."

[[features]]
name = "burden"
kind = "number"
category = "bureau"
derived_from = ["income"]
source = "application.instalments / application.monthly_income"
relevance = "The share of income that other debts take first."
"""


def _consent(kind: DataCategory) -> str:
    """The consent that a category needs, and by which articles."""
    articles = [name for pack in PACKS.values() for name, of in pack.consent.items() if kind in of]
    return ", ".join([f"`{consent_for(kind)}`", *articles])


def _forbidden(kind: DataCategory) -> str:
    found = ((pack.jurisdiction, pack.article_against(kind)) for pack in PACKS.values())
    return "; ".join(f"{where}: {article}" for where, article in found if article)


def _about(pack: Pack) -> list[str]:
    kept = pack.parameter("adverse-years", date.max)
    years = f"{kept.value} years ({kept.source})" if kept else "no number of years"
    laws = ", ".join(f"[{name}]({url})" for name, url in pack.laws.items())
    return [
        f"- **{pack.jurisdiction}**, checked on {pack.checked_on}: {laws}.",
        f"  Adverse records: {years}.",
    ]


def _type_of(reference: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    return dict(definitions[reference["$ref"].rpartition("/")[2]])


def _type(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """A field's type in words, out of its JSON schema."""
    if "$ref" in schema:
        return _type(_type_of(schema, definitions), definitions)
    if "anyOf" in schema:
        return " or ".join(
            _type(one, definitions) for one in schema["anyOf"] if one.get("type") != "null"
        )
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        inner = schema["items"]
        features = "$ref" in inner and "properties" in _type_of(inner, definitions)
        kind = "features" if features else "categories" if "$ref" in inner else None
        return f"list of {kind or _type(inner, definitions)}"
    if schema.get("format") == "date":
        return "date"
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
    if isinstance(value, list):
        value = ", ".join(value)
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
        *EXAMPLE.splitlines(),
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
        'A `category` that is not ordinary must be declared `sensitivity = "sensitive"`.',
        "",
        "| category | consent | forbidden |",
        "| --- | --- | --- |",
        *(f"| `{kind}` | {_consent(kind)} | {_forbidden(kind)} |" for kind in DataCategory),
        "",
        "## Jurisdictions",
        "",
        (
            "Tables in `law/`, which a node's code hash covers. Engineering, not legal advice: "
            "have counsel read them."
        ),
        "",
        *(line for pack in PACKS.values() for line in _about(pack)),
        "",
        "## What is refused",
        "",
        (
            "- A feature of a forbidden category, or computed from one, in any of the schema's "
            "jurisdictions. Names,"
        ),
        (
            "  descriptions, units and sources are read besides (and the columns that a lender's "
            "`data.toml` maps), in"
        ),
        (
            "  English, Chinese and pinyin, by `law/words.toml`: a second net, which recognises "
            "the obvious names only; the"
        ),
        (
            "  lender declares, the auditor checks. What they say of a sensitive category that is "
            "not declared is refused too."
        ),
        (
            "- A sensitive category that is not declared sensitive; a `category` without values, "
            "or values without it; an"
        ),
        (
            "  empty range; an adverse record without `ended_by`, or kept longer than the law "
            "allows; any other field."
        ),
        (
            "- A name declared twice, the target among the features, a date column that is "
            "something else too; outcomes"
        ),
        "  without `outcome_ended_by` or `outcomes_since`.",
        "",
        "A refusal names the feature by its name: `features.toml: feature 'income', kind: …`.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(reference(), end="")  # noqa: T201 - the page is what this prints
