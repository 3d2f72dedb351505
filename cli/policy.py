"""``tahini policy``: credit policies, checked, compared, tried, signed, to GoRules and back."""

from __future__ import annotations

import csv
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from cli.shared import AsJson, Noun, parsed, say
from crypto.documents import unverified_payload
from crypto.keys import PublicKey, load_signing_key
from lending.cases import Value
from lending.law.features import objection
from lending.law.rows import LAWS
from lending.policy.conditions import DeclaredFact, TableError, written
from lending.policy.document import (
    CreditPolicy,
    PolicyDocument,
    PolicyRefused,
    policy_from,
    unlawful,
    verified_policy,
)
from lending.policy.prices import unfair_price

if TYPE_CHECKING:
    from lending.policy.differences import Effect
    from lending.policy.trying import Tried

app = Noun(
    "Credit policies: from a score to a decision.",
    "A policy is a file of decision tables, docs/policy.md; demo/policy.toml is a complete one. It "
    "is checked whenever it is read: a gap, an overlap or a row that never counts is told with a "
    "point where it happens. It is engineering, not legal advice.",
)
RulesFile = Annotated[
    Path,
    typer.Argument(help="A .toml or .json file, or a signed .jws.", exists=True, dir_okay=False),
]
On = Annotated[
    datetime | None,
    typer.Option(help="The day of whose law is asked; today if left out.", formats=["%Y-%m-%d"]),
]
Out = Annotated[Path, typer.Option("--out", help="A new file.")]


def day_of(on: datetime | None) -> date:
    return date.today() if on is None else on.date()


def rules_in(path: Path) -> dict[str, Any]:
    """What a file of a policy or a portrait holds; of a signed one without asking who signed."""
    kinds = {".json": "JSON", ".jws": "signed document"}
    with parsed(path, kinds.get(path.suffix, "TOML")):
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix == ".jws":
            return unverified_payload(text.strip())
        found = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    if not isinstance(found, dict):
        raise PolicyRefused(f"{path} holds no rules")
    return found


def _read(path: Path, day: date) -> CreditPolicy:
    try:
        return policy_from(rules_in(path), objection, day)
    except (TableError, PolicyRefused) as error:
        raise PolicyRefused(f"{path}: {error}") from error


def _new(path: Path, text: str) -> None:
    if path.exists():
        raise PolicyRefused(f"{path} exists already; choose another name")
    path.write_text(text, encoding="utf-8")


@app.command(epilog="Example: `tahini policy check demo/policy.toml --on 2027-01-01`")
def check(
    file: RulesFile,
    on: On = None,
    signed_by: Annotated[
        str | None, typer.Option(help="The public key that a signed policy must verify under.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say whether a policy can be used: complete, without contradictions, lawful on the day and in
    force. Exit code 1 if not."""
    day = day_of(on)
    policy = _read(file, day)
    if signed_by is not None:
        token = file.read_text(encoding="utf-8").strip()
        policy = verified_policy(token, PublicKey.from_text(signed_by), objection, day)
    document = policy.document
    last = date.fromordinal(document.valid_until.toordinal() - 1)
    if unfair := unfair_price(document, {}, day, LAWS):
        raise PolicyRefused(unfair)
    later = unlawful(document, objection, last) or unfair_price(document, {}, last, LAWS)
    idle = policy.out_of_force(day)
    if as_json:
        tables = {
            name: {"hit": table.hit, "rows": len(table.rows), "reads": [a.fact for a in table.axes]}
            for name, table in policy.tables.items()
        }
        head = {"id": document.id, "version": document.version, "sha256": policy.hash}
        say({**head, "tables": tables, "not_in_force": idle, "unlawful_later": later}, as_json)
    else:
        _show_tables(policy)
        say(f"policy {document.id!r} version {document.version}: {policy.hash}", as_json)
        say(f"in force from {document.valid_from} until {document.valid_until}", as_json)
        if later:
            say(f"on {last} it may no longer be used: {later}", as_json)
    if idle:
        raise PolicyRefused(idle)


def _show_tables(policy: CreditPolicy) -> None:
    table = Table("table", "counts", "rows", "reads")
    for name, one in policy.tables.items():
        reads = ", ".join(axis.fact for axis in one.axes)
        table.add_row(name, one.hit, str(len(one.rows)), reads)
    Console().print(table)


@app.command(epilog="Example: `tahini policy diff old.toml new.toml --data applicants.csv`")
def diff(
    before: RulesFile,
    after: RulesFile,
    data: Annotated[
        Path | None,
        typer.Option(help="People, .csv, .jsonl or .parquet.", exists=True, dir_okay=False),
    ] = None,
    on: On = None,
    as_json: AsJson = False,
) -> None:
    """Say what one policy changes against another, row by row, and with people how many get another
    outcome, limit or price by the tables alone."""
    from lending.policy.differences import changed_fields, changed_rows, effect
    from lending.policy.trying import readable_facts

    one, other = _read(before, day_of(on)), _read(after, day_of(on))
    fields, rows = changed_fields(one.document, other.document), changed_rows(one, other)
    found = None
    if data is not None:
        facts = readable_facts(one) | readable_facts(other)
        found = effect(one, other, _known(data, facts))
    if as_json:
        changes = {"fields": list(map(asdict, fields)), "rows": list(map(asdict, rows))}
        say({**changes, "effect": None if found is None else _effect_json(found)}, as_json)
        return
    if not fields and not rows:
        say("they say the same", as_json)
    if fields:
        table = Table("field", "before", "after")
        for field in fields:
            table.add_row(field.field, _short(field.before), _short(field.after))
        Console().print(table)
    if rows:
        table = Table("table", "row", "", "before", "after")
        for row in rows:
            table.add_row(row.table, row.row, row.kind, row.before, row.after)
        Console().print(table)
    if found is not None:
        _show_effect(found)


def _short(value: Any) -> str:
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else written(value)


def _effect_json(found: Effect) -> dict[str, Any]:
    moves = [
        {"before": before, "after": after, "people": count}
        for (before, after), count in sorted(found.outcomes.items())
    ]
    return {
        "people": found.people,
        "changed": found.changed,
        "outcomes": moves,
        "limits": dict(found.limits),
        "rates": dict(found.rates),
    }


def _show_effect(found: Effect) -> None:
    outcomes = ("approve", "review", "decline")
    table = Table("before \\ after", *outcomes, title=f"{found.people} people, by the tables alone")
    for before in outcomes:
        counts = [found.outcomes.get((before, after), 0) for after in outcomes]
        table.add_row(before, *map(str, counts))
    Console().print(table)
    say(f"{found.changed} of {found.people} get another outcome", False)
    for what, counted in (("limit", found.limits), ("rate", found.rates)):
        say(f"{what}: {counted.get('higher', 0)} higher, {counted.get('lower', 0)} lower", False)


def _known(path: Path, facts: Mapping[str, DeclaredFact]) -> Iterator[dict[str, Value]]:
    from lending.policy.trying import facts_from

    for number, row in enumerate(_people(path), 1):
        try:
            yield facts_from(row, facts)
        except PolicyRefused as error:
            raise PolicyRefused(f"{path}, person {number}: {error}") from error


def _people(path: Path) -> Iterator[Mapping[str, Any]]:
    """The rows of a file, one at a time."""
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        with parsed(path, "Parquet"):
            for batch in pq.ParquetFile(path).iter_batches():
                yield from batch.to_pylist()
    elif path.suffix in {".jsonl", ".csv"}:
        kind = path.suffix.removeprefix(".").upper()
        with parsed(path, kind), path.open(encoding="utf-8-sig", newline="") as lines:
            yield from csv.DictReader(lines) if kind == "CSV" else _objects(path, lines)
    else:
        raise PolicyRefused(f"{path}: people stand in a .csv, .jsonl or .parquet file")


def _objects(path: Path, lines: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    for number, line in enumerate(lines, 1):
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise PolicyRefused(f"{path}, line {number} is not JSON") from error
        if not isinstance(found, dict):
            raise PolicyRefused(f"{path}, line {number} is no object of facts")
        yield found


@app.command(
    "try", epilog="Example: `tahini policy try demo/policy.toml --facts somebody.json --json`"
)
def try_(
    file: RulesFile,
    facts: Annotated[
        Path,
        typer.Option(
            help="A .json or .toml file of facts by name; what is left out or null is not known.",
            exists=True,
            dir_okay=False,
        ),
    ],
    on: On = None,
    as_json: AsJson = False,
) -> None:
    """Ask the tables of a policy about one person, and say of every row whether it held and why.

    Limit and rate are the tables' own: no price list, account or cap is asked here.
    """
    from lending.policy.trying import facts_from, readable_facts, try_tables

    policy = _read(file, day_of(on))
    given, known = rules_in(facts), readable_facts(policy)
    if strange := [name for name in given if name not in known]:
        raise PolicyRefused(f"{facts}: {strange[0]!r} is no fact of this policy")
    values = facts_from(given, known)
    tried = try_tables(policy, values)
    if as_json:
        say(_tried_json(tried), as_json)
        return
    seen = values if tried.tier is None else {**values, "tier": tried.tier}
    table = Table("table", "row", "holds", "because of")
    for name, looked in tried.looked.items():
        for step in looked.steps:
            table.add_row(name, step.row, HOLDS[step.held], _because(step.read, seen))
    Console().print(table)
    say(f"outcome: {tried.outcome}", as_json)
    if tried.missing:
        say(f"not known, and it depends on it: {', '.join(tried.missing)}", as_json)
    for what, value in (("limit, fen", tried.limit), ("rate, ppm a day", tried.rate)):
        if value is not None:
            say(f"{what}: {value}", as_json)


HOLDS = {True: "yes", False: "no", None: "not known"}


def _because(read: tuple[str, ...], known: Mapping[str, Value]) -> str:
    return ", ".join(f"{name} = {written(known[name])}" if name in known else name for name in read)


def _tried_json(tried: Tried) -> dict[str, Any]:
    tables = {
        name: [{"row": step.row, "held": step.held, "read": step.read} for step in looked.steps]
        for name, looked in tried.looked.items()
    }
    head = {"outcome": tried.outcome, "missing": tried.missing}
    return {**head, "tier": tried.tier, "limit": tried.limit, "rate": tried.rate, "tables": tables}


@app.command(epilog="Example: `tahini policy sign policy.toml --key risk.key --out policy.jws`")
def sign(
    file: RulesFile,
    key: Annotated[Path, typer.Option(help="A signing key.", exists=True, dir_okay=False)],
    out: Out,
    as_json: AsJson = False,
) -> None:
    """Check a policy on its first and on its last day, and sign it."""
    document = _read(file, day_of(None)).document
    last = date.fromordinal(document.valid_until.toordinal() - 1)
    for day in (document.valid_from, last):
        _read(file, day)
    signer = load_signing_key(key)
    _new(out, document.sign(signer) + "\n")
    policy = CreditPolicy(document)
    if as_json:
        say({"sha256": policy.hash, "signed_by": signer.public.text}, as_json)
    else:
        say(f"signed policy {document.id!r} version {document.version}: {policy.hash}", as_json)


class Format(StrEnum):
    """Of another tool."""

    JDM = "jdm"


Other = Annotated[Format, typer.Option("--format", help="GoRules' JSON Decision Model.")]


@app.command("export", epilog="Example: `tahini policy export demo/policy.toml --out policy.json`")
def export(file: RulesFile, out: Out, form: Other = Format.JDM, as_json: AsJson = False) -> None:
    """Write the tables of a policy for GoRules' editor."""
    from lending.policy.jdm import to_jdm

    policy = _read(file, day_of(None))
    _new(out, json.dumps(to_jdm(policy), indent=2, ensure_ascii=False) + "\n")
    if as_json:
        say({"format": form.value, "tables": list(policy.tables)}, as_json)
    else:
        say(f"wrote {len(policy.tables)} tables to {out}", as_json)


@app.command(
    "import",
    epilog="Example: `tahini policy import edited.json --into policy.toml --out new-policy.toml`",
)
def import_(
    file: Annotated[Path, typer.Argument(help="A .json file.", exists=True, dir_okay=False)],
    into: Annotated[
        Path,
        typer.Option(
            help="The policy whose tables are replaced: it has what the other format does not.",
            exists=True,
            dir_okay=False,
        ),
    ],
    out: Out,
    form: Other = Format.JDM,
    as_json: AsJson = False,
) -> None:
    """Read tables from GoRules' editor into a policy, and check what comes of it."""
    import tomli_w

    from lending.policy.jdm import from_jdm

    day = day_of(None)
    base = _read(into, day)
    try:
        document: PolicyDocument = from_jdm(rules_in(file), base.document)
        made = policy_from(document.payload(), objection, day)
    except (TableError, PolicyRefused) as error:
        raise PolicyRefused(f"{file}: {error}") from error
    _new(out, tomli_w.dumps(document.payload()))
    if as_json:
        say({"format": form.value, "sha256": made.hash}, as_json)
    else:
        say(f"wrote policy {document.id!r} to {out}: {made.hash}", as_json)
