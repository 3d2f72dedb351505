"""``tahini book``: have a lender's people named, and renamed when the naming keys change."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from cli import book_retention
from cli.shared import AsJson, NodeHome, Noun, opened_node, progress, say
from clients.errors import SourceError
from clients.naming import naming_client
from crypto.keys import sync_folder
from naming.client import BATCH, Names
from naming.keylist import NamingKeys

app = Noun(
    "Have a lender's people named, and renamed later.",
    "A lender's loan book holds no identity numbers; its people have names that nobody can guess.",
)
HEADER = ("pairwise", "ledger")
People = Annotated[
    str,
    typer.Option(
        "--people", help="CSV or Parquet file with the identity numbers; - reads one per line."
    ),
]
Column = Annotated[str | None, typer.Option(help="The column that holds them.")]
Encoding = Annotated[str, typer.Option(help="Of a CSV file: utf-8, gb18030 …")]
Workers = Annotated[int | None, typer.Option(help="Processes; by default cores + 1.", min=1)]


def _identities(people: str, column: str | None, encoding: str) -> list[str]:
    """The identity numbers in their one spelling, one per row; says what was undone.

    Raises:
        SourceError: the file cannot be read, or a row names nobody; without quoting any.
    """
    from clients.data.identities import Identities, identity_numbers_of  # with pandas and pyarrow

    if people == "-":
        values: list[object] = [line.rstrip("\r\n") for line in sys.stdin]
        where = "the input"
    elif column is None:
        raise SourceError("say which column holds the identity numbers: --column NAME")
    else:
        values = identity_numbers_of(Path(people), column, encoding)
        where = f"{people}, column {column!r}"
    found = Identities.of(values)
    if found.refusal:
        raise SourceError(f"{where}: {found.refusal}")
    for remark in found.remarks:
        typer.echo(f"look at: {where}: {remark}", err=True)
    return found.numbers


def _done_before(partial: Path, version: int) -> list[Names]:
    """Whole batches that an interrupted run left behind."""
    if not partial.exists():
        return []
    with partial.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.reader(file) if len(row) == len(HEADER)][1:]
    names = [Names(*row) for row in rows[: len(rows) - len(rows) % BATCH]]
    if any(not name.pairwise.startswith(f"v{version}.") for name in names):
        raise SourceError(f"{partial} holds names of another version; remove it and start again")
    return names


@app.command(
    epilog=(
        "Example: `tahini book name --home lenders/aspen --people people.csv --column id --out "
        "names.csv`"
    )
)
def name(
    home: NodeHome,
    people: People,
    out: Annotated[
        Path, typer.Option(help="Where to write the names: CSV, row by row as in the input.")
    ],
    column: Column = None,
    encoding: Encoding = "utf-8",
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Name people: a pairwise and a ledger name per row. Interrupted, it goes on where it stopped
    when run again."""
    if out.exists():
        raise SourceError(f"{out} exists already; name another file with --out")
    identities = _identities(people, column, encoding)
    partial = out.with_name(f"{out.name}.partial")
    with naming_client(opened_node(home), workers) as naming:
        keys: NamingKeys = naming.keys()
        known = _done_before(partial, keys.current)
        if known and (
            len(known) > len(identities)
            or naming.names(identities[:1], version=keys.current) != known[:1]
        ):
            raise SourceError(
                f"{partial} was left by a run over other people; remove it and start again"
            )
        with progress("people", len(identities)) as bar:
            count = _write(
                partial, known, naming.batches(identities[len(known) :], keys.current), bar
            )
    partial.replace(out)
    sync_folder(out.resolve().parent)
    found = {"people": count, "version": keys.current, "out": str(out), "resumed_at": len(known)}
    say(found if as_json else f"{count:,} rows named in {out}, version {keys.current}", as_json)


def _write(
    partial: Path, known: Sequence[Names], more: Iterator[list[Names]], bar: Callable[..., None]
) -> int:
    """Whole batches, each on the disk before the next is asked for; returns how many rows there
    are."""
    fresh = partial.with_name(f".{partial.name}")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    with fresh.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows((names.pairwise, names.ledger) for names in known)
        file.flush()
        os.fsync(file.fileno())
        fresh.replace(partial)
        count = len(known)
        for batch in more:
            writer.writerows((names.pairwise, names.ledger) for names in batch)
            file.flush()
            os.fsync(file.fileno())
            count += len(batch)
            bar(count)
    return count


@app.command(
    epilog="Example: `tahini book rename --home lenders/aspen --people people.csv --column id "
    "--from 1 --to 2 --out renamings.csv`"
)
def rename(
    home: NodeHome,
    people: People,
    old: Annotated[int, typer.Option("--from", help="The version that the book has now.", min=1)],
    new: Annotated[int, typer.Option("--to", help="The version that it shall have.", min=1)],
    out: Annotated[Path, typer.Option(help="Where to write old and new names, for the registry.")],
    column: Column = None,
    encoding: Encoding = "utf-8",
    register: Annotated[bool, typer.Option(help="Tell the registry, too.")] = True,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Rename the people at the registry, re-key the node's ledger and loan book.

    Stop the node first; run it again if it was interrupted.
    """
    from clients.renaming import register_renamings, rename_people

    if old == new:
        raise SourceError("the old and the new version are the same")
    node = opened_node(home)
    identities = _identities(people, column, encoding)
    with naming_client(node, workers) as naming, progress("people", len(identities)) as bar:
        renamings = naming.renamings(identities, old, new, bar)
    fresh = out.with_name(f".{out.name}")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    with fresh.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("old", "new", "ledger"))
        writer.writerows((r.old, r.new, r.ledger) for r in renamings)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(out)
    registered = register_renamings(node, renamings) if register else 0
    done = rename_people(node, renamings)
    found = {
        "people": len(renamings),
        "registered": registered,
        "ledger": done.ledger,
        "book": done.book,
        "out": str(out),
    }
    say(
        found
        if as_json
        else f"{done.book:,} people in the book have names of version {new}; see {out}",
        as_json,
    )


app.registered_commands += book_retention.app.registered_commands
