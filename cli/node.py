"""``tahini node``: run a lender's node."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.book_retention import book_orders
from cli.legal_form import LegalFile, legal_of
from cli.shared import AsJson, MetricsHost, MetricsPort, NewHome, NodeHome, Noun, progress, say
from clients.home import CA_FILE, KEY_FILE, Node, NodeSettings, create_home, join
from crypto.keys import (
    RecipientKey,
    load_signing_key,
    new_home,
    replace_file,
    save_recipient_key,
)
from fleet.keys import create_fleet_key, fleet_key_text
from ops.named_files import text_of
from protocol.client.rights import RECIPIENT_KEY_FILE
from protocol.errors import ConsentError
from protocol.parties import Membership, Party, Role

if TYPE_CHECKING:
    from clients.data.findings import FeatureFound, Found

app = Noun(
    "Run a lender's node.",
    "It trains on the lender's own rows, for campaigns that the lender's operator signed.",
)
MEMBERSHIP_FILE = "membership.jws"
Features = Annotated[
    Path, typer.Option("--features", help="The consortium's feature registry, TOML.")
]


@app.command(epilog="Example: `tahini node init --home aspen --id aspen --name 'Aspen Finance'`")
def init(
    home: NewHome,
    party: Annotated[str, typer.Option("--id", help="The lender's id in the consortium.")],
    name: Annotated[str, typer.Option(help="The lender's name.")],
    legal: LegalFile = None,
) -> None:
    """Make a node's keys and ledger, and the signed statement of its keys for whoever founds the
    consortium."""
    with new_home(home) as made:
        key, recipient = create_home(made), RecipientKey.generate()
        save_recipient_key(made / RECIPIENT_KEY_FILE, recipient)
        stated = Party(
            id=party,
            name=name,
            role=Role.LENDER,
            signing_key=key.public.text,
            recipient_key=recipient.public.text,
            fleet_key=create_fleet_key(made),
            legal=legal_of(legal),
        )
        (made / MEMBERSHIP_FILE).write_text(Membership(party=stated).sign(key), encoding="utf-8")
    typer.echo(
        f"made {home}; give {home / MEMBERSHIP_FILE} to whoever founds the consortium; it is public"
    )


@app.command(
    "join",
    epilog="Example: `tahini node join --home aspen --consortium consortium.jws --registry "
    "https://registry.example --registry-key KEY --superlink coordinator.example:9443 --ca ca.crt`",
)
def join_(
    home: NodeHome,
    consortium: Annotated[
        Path, typer.Option(help="The consortium document that the registry signed.", exists=True)
    ],
    registry: Annotated[str, typer.Option(help="The registry's URL.")],
    registry_key: Annotated[
        str, typer.Option(help="The registry's public key, from a source you trust.")
    ],
    lender: Annotated[
        str | None, typer.Option("--id", help="This lender's id, if the document has several.")
    ] = None,
    superlink: Annotated[
        str | None, typer.Option(help="The coordinator's fleet interface, host:port.")
    ] = None,
    ca: Annotated[
        Path | None, typer.Option(help="The certificate authority to believe.", exists=True)
    ] = None,
    naming: Annotated[str | None, typer.Option(help="The naming service's URL.")] = None,
) -> None:
    """Pin the consortium, and where registry and coordinator are."""
    key = load_signing_key(home / KEY_FILE)
    token = text_of(consortium)
    from crypto.keys import PublicKey
    from protocol.parties import Consortium

    members = Consortium.verify(token, PublicKey.from_text(registry_key)).lenders
    me = next(
        (party.id for party in members if party.key == key.public and lender in (None, party.id)),
        None,
    )
    if me is None:
        raise ConsentError(f"no lender in {consortium} has the key of {home}")
    settings = NodeSettings(
        lender=me,
        registry_url=registry,
        registry_key=registry_key,
        naming_url=naming,
        superlink=superlink,
    )
    join(home, settings, token)
    if ca is not None:
        shutil.copyfile(ca, home / CA_FILE)
    typer.echo(f"{home} is {me!r} of consortium {Consortium.claimed(token).name!r}")


@app.command(epilog="Example: `tahini node serve --home aspen`")
def serve(
    home: NodeHome,
    superlink: Annotated[
        str | None, typer.Option(help="The coordinator's fleet interface, host:port.")
    ] = None,
    registry: Annotated[str | None, typer.Option(help="The registry's URL.")] = None,
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = None,
) -> None:
    """Take part in campaigns until SIGTERM or SIGINT. Reaches out to registry and coordinator;
    nothing reaches in.

    An option goes before the environment (TAHINI_NODE_SUPERLINK and so on), and that before
    `node.json`.
    """
    from clients.app import HOME_VARIABLE
    from clients.service import NodeService

    NodeSettings.override(
        superlink=superlink,
        registry_url=registry,
        metrics_port=metrics_port,
        metrics_host=metrics_host,
    )
    node = Node.open(home)
    NodeService(node).check()
    book_orders(node)
    os.environ[HOME_VARIABLE] = str(home.resolve())
    # A process of its own, in which nothing of the command line is loaded: what forks tasks is code
    # that the operator signed. It is found by the same arguments.
    service = [sys.executable, "-P", "-m", "clients.service", *sys.argv[1:]]
    os.execv(sys.executable, service)  # noqa: S606 - our own interpreter and module


@app.command(
    epilog="Example: `tahini node status --home aspen --json`; exit code 3 while no service runs"
)
def status(home: NodeHome, as_json: AsJson = False) -> None:
    """Whether the node's service runs, which campaigns it may answer, and what it has answered."""
    from clients.service import running, signed_bundles

    opened = Node.open(home)
    fleet_key_text(home)
    lines = opened.store.ledger()
    found = {
        "lender": opened.lender,
        "running": running(home),
        "bundles": sorted(signed_bundles(opened)),
        "releases": len(lines),
        "unsettled": sum(line.settled_at is None for line in lines),
    }
    if as_json:
        say(found, as_json)
    else:
        state = "serves" if found["running"] else "does not run"
        bundles = len(found["bundles"])  # type: ignore[arg-type]
        typer.echo(
            f"{opened.lender} {state}; {bundles} signed bundles are in force; "
            f"{found['releases']} release attempts in the ledger, {found['unsettled']} of them not "
            "settled"
        )
    if not found["running"]:
        raise typer.Exit(3)


@app.command(
    "check-data",
    epilog=(
        "Example: `tahini node check-data --home lenders/aspen --features registry.toml`, or with "
        "`--json`"
    ),
)
def check_data(home: NodeHome, features: Features, as_json: AsJson = False) -> None:
    """Count what is in a lender's rows and what is wrong with them; nobody's values are shown.

    Exit code 1 when the data cannot be used. It reads all rows three times, a bounded number at a
    time.
    """
    from clients.data.profiling import check
    from credit.validation import load_schema

    registry = load_schema(features)
    with progress("rows", None) as bar:
        found = check(home, registry, lambda _, rows: bar(rows))
    if as_json:
        say({"usable": not found.errors, **asdict(found)}, True)
    else:
        _show(found)
    if found.errors:
        raise typer.Exit(1)


def _show(found: Found) -> None:
    console = Console()
    console.print(
        f"{found.where}: {found.rows:,} rows of {found.people:,} people, {found.repeated:,} of "
        f"whom have several; {found.good:,} good and {found.bad:,} bad in the rows that count",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    table = Table(
        "feature",
        "missing",
        "unreadable",
        "out of range",
        "unknown",
        "AUC",
        "missing AUC",
        "suspect",
    )
    for one in found.features:
        table.add_row(*(escape(cell) for cell in _cells(one, found.rows)))
    console.print(table)
    for kind, sentences in (("look at", found.warnings), ("cannot be used", found.errors)):
        for sentence in sentences:
            console.print(f"{kind}: {sentence}", highlight=False, markup=False, soft_wrap=True)


def _cells(one: FeatureFound, rows: int) -> tuple[str, ...]:
    def shown(count: int) -> str:
        return f"{count:,}" if count else "-"

    def area(value: float | None) -> str:
        return "-" if value is None else f"{value:.3f}"

    missing = f"{one.missing / rows:.1%}" if rows else "-"
    return (
        one.name,
        missing,
        shown(one.unreadable),
        shown(one.out_of_range),
        shown(one.unknown),
        area(one.auc),
        area(one.missing_auc),
        "yes" if one.suspect else "constant" if one.constant else "",
    )


@app.command(
    epilog="Example: `tahini node sample --home aspen --draw aspen.draw.jws --out aspen.opened`"
)
def sample(
    home: NodeHome,
    draw: Annotated[Path, typer.Option(help="The auditor's draw.", exists=True, dir_okay=False)],
    out: Annotated[Path, typer.Option(help="Where to write what only the auditor can read.")],
) -> None:
    """Open the cells of rosters that an auditor's sample drew to the auditor: everybody in them,
    nobody else.

    One to two people stand in a cell on average. Refused unless the log shows that nobody chose
    them.
    """
    from clients.sampling import open_sample, verified_draw
    from protocol.client.lenders import LenderClient

    node = Node.open(home)
    with node.connected(LenderClient) as client:
        asked = verified_draw(node, client, text_of(draw, "the draw").strip())
    out.write_bytes(open_sample(node, asked))
    drawn = sum(len(roster.cells) for roster in asked.rosters)
    typer.echo(
        f"opened {drawn} cells of {len(asked.rosters)} rosters, sealed to the auditor, in {out}"
    )


@app.command(epilog="Example: `tahini node rotate-fleet-key --home aspen`")
def rotate_fleet_key(home: NodeHome) -> None:
    """Make a new key for the SuperLink, and a new statement; valid once the registry has signed a
    new roster."""
    opened = Node.open(home)
    me = opened.consortium.party(opened.lender).model_copy(
        update={"fleet_key": create_fleet_key(home)}
    )
    replace_file(home / MEMBERSHIP_FILE, Membership(party=me).sign(opened.key).encode())
    typer.echo(
        f"made a new {home / MEMBERSHIP_FILE}; until the new roster is signed the coordinator "
        "refuses this node"
    )


@app.command(
    epilog="Example: `tahini node prove --home aspen --person v1.… --since 2026-11-27 --out p.jws`"
)
def prove(
    home: NodeHome,
    person: Annotated[str, typer.Option(help="The borrower's pseudonym, present or former.")],
    out: Annotated[Path, typer.Option(help="Where to write the proofs, one a line.")],
    campaign: Annotated[
        str, typer.Option(help="Only campaigns whose hashes begin so; all of them if left out.")
    ] = "",
    since: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="Only releases from then on, UTC."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Prove to one borrower in which releases their data were, and in which not.

    Hand the file to that borrower alone, sealed, with the answer to their request; they check it
    with `tahini receipt verify`. The first time in a roster of millions takes a minute.
    """
    from clients.proving import prove as made
    from clients.proving import prover_of
    from protocol.client.lenders import LenderClient

    node = Node.open(home)
    moment = "" if since is None else since.replace(tzinfo=UTC).isoformat()
    with (
        progress("blocks of the ledger", None) as bar,
        prover_of(node, bar) as prover,
        node.connected(LenderClient) as client,
    ):
        releases = prover.releases(campaign, moment)
        found = made(node, client, prover, person, releases)
    replace_file(out, "".join(f"{token}\n" for token in found.tokens).encode())
    told = {
        "out": str(out),
        "releases": len(releases),
        "proofs": len(found.tokens),
        "never_committed": [
            {"campaign": one.campaign, "release": one.release, "attempt": one.attempt}
            for one in found.never_committed
        ],
    }
    if as_json:
        say(told, as_json)
        return
    never = len(found.never_committed)
    typer.echo(
        f"wrote {out}: {len(found.tokens)} proofs for {len(releases)} release attempts"
        + (
            f"; {never} of these never came to the log, and no row was read for them"
            if never
            else ""
        )
    )
