"""``tahini borrowers``: enrol a lender's people at the registry, by the names that
``tahini book name`` made."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Annotated

import typer

from cli.shared import AsJson, NodeHome, Noun, opened_node, progress, say
from protocol.errors import ConsentError

app = Noun("Enrol a lender's borrowers at the consent registry, by pseudonym alone.")
NAMES = ("pairwise", "ledger")
KEY = "public_key"
BATCH = 1000


def read_names(path: Path) -> tuple[list[dict[str, str]], int]:
    """The people in a file of names, each once, and how many rows repeat one.

    Raises:
        ConsentError: the file cannot be read, lacks a column, or a row holds something else than
            names; it names the row of the file, never what stands there.
    """
    from pydantic import ValidationError

    from protocol.enrolment import Enrolment

    people: dict[str, dict[str, str]] = {}
    ledgers: dict[str, str] = {}
    repeated = 0
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, strict=True)
            if missing := [name for name in NAMES if name not in (rows.fieldnames or ())]:
                raise ConsentError(
                    f"{path} has no column {missing[0]!r}; make it with: tahini book name --out "
                    f"{path.name}"
                )
            for row in rows:
                said = {
                    "pseudonym": row["pairwise"],
                    "ledger_pseudonym": row["ledger"],
                    "public_key": row.get(KEY),
                }
                try:
                    person = Enrolment.model_validate(
                        {**said, "public_key": said["public_key"] or ""}
                    ).model_dump()
                except ValidationError as error:
                    column = {"pseudonym": "pairwise", "ledger_pseudonym": "ledger"}
                    field = str(error.errors()[0]["loc"][0])
                    raise ConsentError(
                        f"{path}, line {rows.line_num}: the column {column.get(field, field)!r} "
                        "does not hold a name as tahini book name makes it"
                    ) from error
                name, ledger = person["pseudonym"], person["ledger_pseudonym"]
                if people.get(name, person) != person or ledgers.get(ledger, name) != name:
                    raise ConsentError(
                        f"{path}, line {rows.line_num}: this person stands above with another name"
                    )
                repeated += name in people
                people[name], ledgers[ledger] = person, name
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a CSV file in UTF-8"
        raise ConsentError(f"cannot read {path}: {reason}") from error
    if not people:
        raise ConsentError(f"{path} names nobody")
    return list(people.values()), repeated


@app.command(
    epilog=(
        "Example: `tahini borrowers enrol names.csv --home lenders/aspen`, names.csv from `tahini "
        "book name`"
    )
)
def enrol(
    file: Annotated[
        Path,
        typer.Argument(help="CSV with the columns pairwise and ledger; public_key if they sign."),
    ],
    home: NodeHome,
    as_json: AsJson = False,
) -> None:
    """Enrol the people in a file of names; who is enrolled already is left as they are, so it can
    be run again."""
    from protocol.client.lenders import LenderClient
    from protocol.enrolment import Enrolment

    people, repeated = read_names(file)
    with opened_node(home).connected(LenderClient) as client:
        known = set(client.whole_roll())
        new = [Enrolment(**person) for person in people if person["pseudonym"] not in known]
        with progress("people", len(new)) as done:
            for start in range(0, len(new), BATCH):
                client.enrol(new[start : start + BATCH])
                done(min(start + BATCH, len(new)))
    found = {
        "enrolled": len(new),
        "enrolled_before": len(people) - len(new),
        "repeated_rows": repeated,
    }
    told = f"{len(new):,} people enrolled"
    told += f", {found['enrolled_before']:,} were before" if found["enrolled_before"] else ""
    told += f"; {repeated:,} rows repeat a person" if repeated else ""
    say(found if as_json else told, as_json)
