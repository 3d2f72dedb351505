"""``tahini desk``: run a lender's lending service."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli import desk_loans, desk_monitor, desk_portraits, desk_upkeep
from cli.shared import (
    AsJson,
    Certificate,
    DeskHome,
    Host,
    MetricsHost,
    MetricsPort,
    NewHome,
    Noun,
    Port,
    PrivateKey,
    Workers,
    parsed,
    progress,
    say,
)
from crypto.keys import PublicKey, new_home, replace_file
from ops.named_files import key_of
from ops.settings import SERVE_FILE
from protocol.errors import ConsentError

if TYPE_CHECKING:
    from desk.office import Transactions

app = Noun(
    "Run a lender's lending service: applications, decisions, loans, review.",
    "It runs beside the lender's node, on its own database.",
)
Role = Literal["origination", "servicing", "reviewer", "reader"]


@app.command(
    epilog="Example: `tahini desk init --home desk --node lenders/aspen --risk-key risk.pub "
    "--model 4f1c…`"
)
def init(
    home: NewHome,
    node: Annotated[
        Path, typer.Option(help="The home of the lender's node.", exists=True, file_okay=False)
    ],
    risk_key: Annotated[
        str, typer.Option(help="Who signs credit policies: a public key, or a file with it.")
    ],
    model: Annotated[
        str | None,
        typer.Option(help="Hash of the campaign whose model scores; without one people decide."),
    ] = None,
    challenger: Annotated[
        str | None,
        typer.Option(help="Hash of the campaign whose model is tried in shadow beside it."),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(
            envvar="TAHINI_DESK_DATABASE", help="A postgresql:// URL; an SQLite file without one."
        ),
    ] = None,
    timezone: Annotated[str, typer.Option(help="Whose calendar days count.")] = "Asia/Shanghai",
    four_eyes: Annotated[
        bool, typer.Option("--four-eyes", help="A second person agrees to what a reviewer decides.")
    ] = False,
    reading_seconds: Annotated[
        int, typer.Option(help="How long costs are shown before they can be accepted.", min=0)
    ] = 10,
) -> None:
    """Make a desk's keys and database. Then put products, signed policies and sources.toml into its
    home, and see what is missing with `tahini desk status`."""
    from desk.home import DeskSettings, create_desk

    key = PublicKey.from_text(key_of(risk_key))
    settings = DeskSettings(
        node=node.resolve(),
        risk_key=key.text,
        model=model,
        challenger=challenger,
        timezone=timezone,
        four_eyes=four_eyes,
        reading_seconds=reading_seconds,
    )
    with new_home(home) as made:
        create_desk(made, settings, database)
    typer.echo(
        f"made {home}; go on with products/, policies/, sources.toml and: tahini desk add-caller"
    )


@app.command(epilog="Example: `tahini desk serve --home desk --port 8740 --metrics-port 9740`")
def serve(
    home: DeskHome,
    port: Port = None,
    host: Host = None,
    workers: Workers = None,
    certificate: Certificate = None,
    key: PrivateKey = None,
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = None,
) -> None:
    """Serve until SIGTERM or SIGINT. Options can also stand in `serve.json` or in the environment
    (TAHINI_DESK_PORT …); the port is 8740 otherwise."""
    from desk.home import DeskListening
    from desk.service import serve as served

    listening = DeskListening.read(
        home / SERVE_FILE,
        host=host,
        port=port,
        workers=workers,
        certificate=certificate,
        certificate_key=key,
        metrics_port=metrics_port,
        metrics_host=metrics_host,
    )
    served(home, listening)


@app.command(epilog="Example: `tahini desk status --home desk --json`")
def status(home: DeskHome, as_json: AsJson = False) -> None:
    """What is in force, what waits, and what came of applications; counts only.

    Whatever is not in order in the home is said in one sentence, exit code 1.
    """
    from desk.commands.status import standing
    from desk.home import opened_desk
    from desk.lending_rules import ReleasedRules

    with opened_desk(home) as desk:
        rules = desk.lending
        products = sorted(rules.pricing.products) if isinstance(rules, ReleasedRules) else []
        found = standing(desk, products)
    if as_json:
        say(asdict(found), True)
        return
    told = ", ".join(f"{count} {name}" for name, count in sorted(found.applications.items()))
    typer.echo(f"applications: {told or 'none'}; loans: {found.loans}")
    typer.echo(
        f"{found.reviews_waiting} reviews wait; {found.unlogged} statements wait for the log"
    )
    typer.echo(f"{found.letters_waiting} letters wait, {found.letters_overdue} of them overdue")
    for product, policy in found.policies.items():
        beside = found.challengers.get(product)
        typer.echo(f"{product}: {policy}" + (f", challenged by {beside}" if beside else ""))
    if found.unassessed:
        typer.echo(found.unassessed)
    if found.stopped:
        typer.echo(f"{found.stopped}; nothing is scored, and people decide")
    elif found.good_until:
        typer.echo(f"the model is to be looked at by {found.good_until} (tahini desk monitor)")
    if found.untried:
        typer.echo(f"the challenger scores nobody: {found.untried}")
    if found.challenger_failures:
        typer.echo(f"{found.challenger_failures} times a challenger could say nothing")


@app.command(
    "add-caller", epilog="Example: `tahini desk add-caller --home desk --name li --role reviewer`"
)
def add_caller(
    home: DeskHome,
    name: Annotated[str, typer.Option(help="A system's name, or a staff id: opaque, no name.")],
    role: Annotated[Role, typer.Option(help="What it may do.")],
    as_json: AsJson = False,
) -> None:
    """Let a system or a member of staff call the desk. Its token is printed once, and kept
    nowhere."""
    from desk.callers import CallerRole, DeskCaller
    from desk.callers import add_caller as added

    with _storage(home) as held:
        caller = DeskCaller(name, CallerRole(role))
        token = held.write(lambda hand: added(hand, caller))
    say({"name": name, "role": role, "token": token} if as_json else token, as_json)


@app.command(
    "revoke-caller", epilog="Example: `tahini desk revoke-caller --home desk --name core-banking`"
)
def revoke_caller(
    home: DeskHome, name: Annotated[str, typer.Option(help="Whose token ends.")]
) -> None:
    """End a token; a desk that serves knows within five seconds."""
    from desk.callers import revoke_caller as revoked

    with _storage(home) as held:
        held.write(lambda hand: revoked(hand, name))
    typer.echo(f"{name} may not call any more")


@app.command(epilog="Example: `tahini desk callers --home desk --json`")
def callers(home: DeskHome, as_json: AsJson = False) -> None:
    """Who may call the desk."""
    from desk.callers import all_callers

    with _storage(home) as held, held.reading() as hand:
        found = [
            {
                "name": caller.name,
                "role": caller.role.value,
                "added_at": added.isoformat(),
                "revoked": revoked,
            }
            for caller, added, revoked in all_callers(hand)
        ]
    if as_json:
        say({"callers": found}, True)
        return
    for one in found:
        ended = ", revoked" if one["revoked"] else ""
        typer.echo(f"{one['name']}: {one['role']}, since {one['added_at']}{ended}")


@app.command(epilog="Example: `tahini desk reviews --home desk --json`")
def reviews(home: DeskHome, as_json: AsJson = False) -> None:
    """What waits for a person, the longest waiting first; what it rests on is seen by whoever takes
    it."""
    from desk.api.views import review_view
    from desk.reviewing import OPEN, HeldReview, all_reviews

    with _storage(home) as held, held.reading() as hand:
        rows = hand.connection.execute(all_reviews(*OPEN))
        found = [review_view(HeldReview(row)) for row in rows]
    if as_json:
        say({"reviews": found}, True)
        return
    for one in found:
        by = f" by {one['taken_by']}" if one["taken_by"] else ""
        typer.echo(f"{one['id']}: {one['status']}{by}, since {one['opened_at']}")


@app.command(
    epilog="Example: `tahini desk reference --home desk --data applicants.parquet --cut-off 600`"
)
def reference(
    home: DeskHome,
    data: Annotated[
        Path, typer.Option(help="A sample of applicants, Parquet.", exists=True, dir_okay=False)
    ],
    cut_off: Annotated[int, typer.Option(help="The score from which the policy approves.")],
    width: Annotated[
        int, typer.Option(help="How many points above it are just above it.", min=1)
    ] = 20,
    challenger: Annotated[
        bool, typer.Option("--challenger", help="By the model that is tried in shadow.")
    ] = False,
) -> None:
    """Work out what reasons compare with: the mean points of those just above the cut-off, by this
    desk's model. Counts no consent: take a sample that may be used for it."""
    from zoneinfo import ZoneInfo

    import pandas as pd

    from clients.home import Node
    from desk.home import read_settings
    from desk.released import REFERENCE_FILE, TRIED_FILE, read_scorer, reference_json
    from lending.score.reasons import just_above
    from protocol.schema import now

    settings = read_settings(home)
    which, name = ("challenger", TRIED_FILE) if challenger else ("model", REFERENCE_FILE)
    campaign = getattr(settings, which)
    if campaign is None:
        raise ConsentError(f"{home} has no {which}; name its campaign in desk.json")
    day = now().astimezone(ZoneInfo(settings.timezone)).date()
    scorer, _ = read_scorer(Node.open(settings.node), campaign, day)
    with parsed(data, "Parquet"):
        people = pd.read_parquet(data)
    bins = scorer.bins(people)
    found = just_above((scorer.scored(one) for one in bins.tolist()), cut_off, width)
    replace_file(home / name, reference_json(found, scorer.model_sha256).encode())
    typer.echo(f"wrote {home / name}, of {found.people} people just above {cut_off}")


@app.command(epilog="Example: `tahini desk replay --home desk --processes 2 --json`")
def replay(
    home: DeskHome,
    processes: Annotated[
        int | None, typer.Option(help="How many share the work; one a core if not said.", min=1)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make every stored decision of a machine again, score and all, bit by bit, each by the very
    model, policy, law and products that it names, and what a challenger said beside it. Exit code 1
    if one differs, or could not be made again though nobody had it forgotten."""
    from desk.commands.replay import replay as again
    from desk.commands.replay import replay_beside

    with progress("decisions", None) as bar:
        found = again(home, processes or len(os.sched_getaffinity(0)), bar)
        silent = replay_beside(home)
    if as_json:
        say(asdict(found) | {"silent": asdict(silent)}, True)
    else:
        typer.echo(
            f"{found.same} decisions come out the same, {found.different} differ; "
            f"{found.by_people} are people's, {found.forgotten} forgotten"
        )
        for decision, name in found.differs.items():
            typer.echo(f"{decision} differs: {name}")
        for why, count in sorted(found.not_replayed.items()):
            typer.echo(f"{count} could not be made again: {why}")
        typer.echo(
            f"beside them {silent.same} of challengers come out the same, "
            f"{len(silent.differs)} differ; {silent.not_kept} are of versions that are not kept, "
            f"{silent.unreadable} cannot be read, {silent.forgotten} forgotten"
        )
    if not found.sound or not silent.sound:
        raise typer.Exit(1)


@app.command(
    "export-book",
    epilog="Example: `tahini desk export-book --home desk --features registry.toml --window-days "
    "180 --out book.parquet`",
)
def export_book(
    home: DeskHome,
    features: Annotated[Path, typer.Option(help="The consortium's feature registry.", exists=True)],
    window_days: Annotated[
        int, typer.Option(help="Days after payout within which a loan shows what it is.", min=1)
    ],
    out: Annotated[Path, typer.Option(help="Where to write: .csv or .parquet.")],
    as_of: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="As of the end of which day; yesterday if not."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the loan book that the accounts give, with mature labels: what a node's data.toml
    reads."""
    from datetime import timedelta

    from credit.validation import load_schema
    from desk.commands.export_book import export_book as written
    from desk.home import opened_desk
    from lending.account.default import Definition

    schema = load_schema(features)
    with opened_desk(home) as desk:
        day = desk.now().date() - timedelta(days=1) if as_of is None else as_of.date()
        found = written(desk, schema, Definition(window_days), day, out)
    if as_json:
        say({"out": str(out), "as_of": day.isoformat(), **asdict(found)}, True)
        return
    left = ", ".join(f"{count} {why}" for why, count in sorted(found.left_out.items()))
    typer.echo(f"wrote {out}: {found.rows} loans as of {day}" + (f"; not {left}" if left else ""))


@contextmanager
def _storage(home: Path) -> Iterator[Transactions]:
    """The desk's database alone: for what works while policies, sources or the registry do not."""
    from desk.home import open_database
    from desk.office import Transactions

    database = open_database(home)
    try:
        database.check()
        yield Transactions(database)
    finally:
        database.close()


app.registered_commands += desk_loans.app.registered_commands
app.registered_commands += desk_monitor.app.registered_commands
app.registered_commands += desk_upkeep.app.registered_commands
app.add_typer(desk_portraits.app, name="portraits")
