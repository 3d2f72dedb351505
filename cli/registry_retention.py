"""``tahini registry retain`` and ``release-hold``: what is deleted in time, and what is held for a
court until then."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cli.shared import AsJson, Noun, RegistryHome, opened_registry, say
from crypto.keys import write_secret
from protocol.errors import Conflict

app = Noun("Keep no longer than the law allows.")


@app.command(epilog="Example: `tahini registry retain --home workspace/registry --dry-run`")
def retain(
    home: RegistryHome,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what is due, and delete nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Delete what has been kept long enough, by consent/retention.toml; a registry that serves does
    so every hour."""
    from consent.commands.end_of_term import erase_outlived, outlived
    from consent.retention import apply_retention, due_now, table_of
    from consent.transaction import reading

    with opened_registry(home) as registry:
        done = due_now(registry) if dry_run else apply_retention(registry)
        with reading(registry) as view:
            people = len(outlived(view)) if dry_run else 0
        people = people if dry_run else erase_outlived(registry)
        registry.ledger.sequencer.settle()
    if as_json:
        say({**done.body(), "people": people}, True)
        return
    for table, count, law in table_of(done):
        say(f"{table}: {count:,} {'due' if dry_run else 'deleted'} ({law})", False)
    say(
        f"people kept as long as their notice says: {people} {'due' if dry_run else 'erased'}",
        False,
    )
    if done.reviewed:
        say(f"the yearly review {'is due' if dry_run else 'was logged'}", False)


@app.command(
    epilog="Example: `tahini registry release-hold v1.… --home workspace/registry "
    "--reason 'court X, order 12/2027' --out held.json`"
)
def release_hold(
    pseudonym: Annotated[str, typer.Argument(help="A name that the erased person had.")],
    home: RegistryHome,
    reason: Annotated[str, typer.Option(help="By whose order; logged, sealed to the auditor.")],
    out: Annotated[Path, typer.Option(help="A new file, for the auditor.")],
    as_json: AsJson = False,
) -> None:
    """Take the registry's layer off what an erased person had signed; only the auditor opens the
    rest, with `tahini log open-hold`."""
    from consent.commands.hold_evidence import release_holds

    if out.exists():
        raise Conflict(f"{out} exists already")
    with opened_registry(home) as registry:
        found = release_holds(registry, pseudonym, reason)
        registry.ledger.sequencer.settle()
    lines = "\n".join(one.model_dump_json() for one in found)
    write_secret(out, f"{lines}\n".encode())
    say({"released": len(found)} if as_json else f"{len(found)} released into {out}", as_json)


@app.command(
    epilog="Example: `tahini registry catalogue --home workspace/registry --json`; exit "
    "code 1 if the yearly review is due"
)
def catalogue(home: RegistryHome, as_json: AsJson = False) -> None:
    """List every item of data, of tables, files and features: whether it is about a person, how
    sensitive it is, whence it comes, where it lies."""
    from consent.catalogue import items, review_due
    from consent.commands.read_campaigns import open_campaigns
    from consent.retention import reviewed_on

    with opened_registry(home) as registry:
        found, due = items(open_campaigns(registry)), review_due(registry.clock().date())
    if as_json:
        reviewed = {"reviewed_on": reviewed_on().isoformat(), "due": due and due.isoformat()}
        say({**reviewed, "items": [asdict(one) for one in found]}, True)
    else:
        for one in found:
            say(f"{one.level:<8} {one.item}  ({one.system}; from {one.source}) {one.what}", False)
        say(f"looked through on {reviewed_on()}" + (f"; DUE since {due}" if due else ""), False)
    if due is not None:
        raise typer.Exit(1)
