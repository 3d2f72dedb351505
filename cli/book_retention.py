"""``tahini book retain``: what a lender's rows may not hold any more is deleted, or shown to be
gone."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

from cli.shared import AsJson, NodeHome, Noun, opened_node, say
from cli.staff import As, acting, tell
from clients.erasures import ORDERS, obey
from clients.home import Node
from crypto.keys import replace_file
from protocol.client.lenders import LenderClient
from protocol.errors import BadSettings, ConsentError
from protocol.revocations import Revocation
from protocol.schema import now

if TYPE_CHECKING:
    from clients.data.retaining import Over

BOOK_ORDERS = "book"
DELETED = "use.deleted"
LAW = ("征信业管理条例 16", "征信业务管理办法 20", "PIPL 47")
app = Noun("Keep no longer in a loan book than the law allows.")


def book_orders(node: Node) -> Path:
    """Where the node puts whom it is ordered to erase from the lender's rows: as long as an order
    stands there, none of them is acknowledged (``clients.erasures``)."""
    folder = node.home / ORDERS / BOOK_ORDERS
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


@app.command(
    epilog="Example: `tahini book retain --home lenders/aspen --features registry.toml --json`; "
    "exit code 1 while something is there that has to go"
)
def retain(
    home: NodeHome,
    features: Annotated[
        Path, typer.Option("--features", help="The consortium's feature registry, TOML.")
    ],
    keep: Annotated[
        str | None,
        typer.Option(
            help="Rows of erased people stay, for this reason in law (a contract that runs); it "
            "is logged."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what has to go, and change nothing.")
    ] = False,
    staff: As = None,
    as_json: AsJson = False,
) -> None:
    """Delete from the lender's rows whom the registry ordered erased, and adverse records that
    ended longer ago than the law allows (five years). Run it every day.

    Files are written anew; in a database its owner deletes, and this says whether it is done. What
    is to be deleted is logged before, and looked for again after.
    """
    from clients.data.book import open_source
    from clients.data.files import FileReader
    from clients.data.retaining import BookKeeping
    from credit.validation import load_schema

    if keep is not None and len(keep.strip()) < 10:
        raise ConsentError("say in --keep which law or contract has the rows of erased people kept")
    node, schema, today = opened_node(home), load_schema(features), now().date()
    source, orders = open_source(node.home), book_orders(node)
    with node.connected(LenderClient) as client:
        operator = acting(staff, client.consortium)
        if not dry_run:
            obey(node, client, client.revocations())
        waiting = {path: _order(path) for path in sorted(orders.iterdir()) if path.stat().st_size}
        erased = frozenset(one.pii_principal_id for one in waiting.values())
        found = BookKeeping(source, schema, today, erased).look()
        stays = 0 if keep is None else found.erased
        mine = isinstance(source.reader, FileReader)
        left = found.total - stays
        told = _said(found, len(waiting), keep if stays else None)
        if not dry_run and (mine or not left):
            if left or waiting:
                told["entry_index"] = tell(client, DELETED, _body(told, operator))
            if left:
                BookKeeping(source, schema, today, frozenset() if keep else erased).delete()
                left = 0
            for path in waiting:
                replace_file(path, b"")
            told["acknowledged"] = obey(node, client, client.revocations())
    told["left"] = left
    say(told if as_json else _words(found, left, mine), as_json)
    if left:
        raise typer.Exit(1)


def _order(path: Path) -> Revocation:
    try:
        return Revocation.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise BadSettings(f"{path} is no order to erase somebody; nothing was deleted") from error


def _said(found: Over, orders: int, kept: str | None) -> dict[str, Any]:
    """By count: nobody is named."""
    told = {**asdict(found), "records": dict(found.records), "orders": orders}
    return told | ({"kept_because": kept} if kept else {})


def _body(told: dict[str, Any], operator: str | None) -> dict[str, Any]:
    about = {"of": "loan book", "law": list(LAW)}
    return {**about, **told, **({"operator": operator} if operator else {})}


def _words(found: Over, left: int, mine: bool) -> str:
    gone = (
        f"{found.rows:,} rows: {found.erased:,} of erased people, {found.outcomes:,} with a bad "
        f"outcome and {sum(found.records.values()):,} adverse values whose five years are over"
    )
    doubt = f"; {found.undated:,} say no day on which they ended, and stay" if found.undated else ""
    if not left:
        return f"{gone}{doubt}; nothing of it is there any more"
    where = "" if mine else "; the rows are in a database: delete them there, then run this again"
    return f"{gone}{doubt}; {left:,} still there{where}"
