"""``tahini desk portraits``: named groups of a lender's own customers, checked, signed, applied."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from cli.policy import On, RulesFile, day_of, rules_in
from cli.shared import AsJson, DeskHome, Noun, say
from lending.law.features import objection
from lending.policy.conditions import TableError
from lending.portraits import (
    Portrait,
    PortraitDocument,
    PortraitRefused,
    portrait_from,
    unlawful_portrait,
)

if TYPE_CHECKING:
    from desk.commands.placed import PortraitShown

app = Noun(
    "Portraits (画像): named groups of your own customers, by rule, each for one purpose.",
    "A portrait is a file, docs/portraits.md: who is in it, what is done with them (a word, a "
    "talk, a person's look; never a price or a limit), and the day on which it ends unless it is "
    "looked at again. People see which ones they are in, and object with one tap.",
)


def _read(path: Path, day: date) -> Portrait:
    try:
        return portrait_from(rules_in(path), objection, day)
    except (TableError, PortraitRefused) as error:
        raise PortraitRefused(f"{path}: {error}") from error


@app.command(epilog="Example: `tahini desk portraits check due-soon.toml --on 2027-01-01`")
def check(file: RulesFile, on: On = None, as_json: AsJson = False) -> None:
    """Say whether a portrait can be used: no row without effect, not everybody in it, lawful on the
    day and in its time. Exit code 1 if not. That some people are in no row is no fault."""
    day = day_of(on)
    portrait = _read(file, day)
    said = portrait.document
    last = date.fromordinal(said.review_on.toordinal() - 1)
    later, idle = unlawful_portrait(said, objection, last), portrait.idle(day)
    told: dict[str, Any] = {
        "id": said.id,
        "version": said.version,
        "sha256": portrait.hash,
        "action": said.action,
        "reads": sorted(said.facts),
        "consents": sorted(said.categories),
        "not_in_use": idle,
        "unlawful_later": later,
    }
    if as_json:
        say(told, True)
    else:
        typer.echo(f"portrait {said.id!r} version {said.version}: {portrait.hash}")
        typer.echo(
            f"{said.action}, from {said.valid_from}, until {last} unless it is looked at again"
        )
        typer.echo(f"reads {', '.join(told['reads'])}; needs consents to portraits from data on")
        typer.echo(f"  {', '.join(told['consents'])}")
        if later:
            typer.echo(f"on {last} it may no longer be used: {later}")
    if idle:
        raise PortraitRefused(idle)


@app.command(epilog="Example: `tahini desk portraits add due-soon.toml --home desk`")
def add(file: RulesFile, home: DeskHome, as_json: AsJson = False) -> None:
    """Check a portrait, sign it with the lender's key and put it into the desk's home. A desk that
    is served reads it when it starts again."""
    from clients.home import Node
    from desk.home import opened_desk, read_settings
    from desk.portraying import keep_portrait

    node = Node.open(read_settings(home).node)
    with opened_desk(home) as desk:
        portrait = _read(file, desk.now().date())
        document: PortraitDocument = portrait.document
        path = keep_portrait(home, desk, document, node.key)
    told = {"portrait": document.id, "version": document.version, "sha256": portrait.hash}
    say(told if as_json else f"signed {path}; start the desk again", as_json)


@app.command("list", epilog="Example: `tahini desk portraits list --home desk --json`")
def listed(home: DeskHome, as_json: AsJson = False) -> None:
    """Show every portrait: what is done, how many people are in it now, when it is looked at again,
    and why it is not in use where it is not."""
    from desk.commands.placed import all_portraits
    from desk.home import opened_desk

    with opened_desk(home) as desk:
        found = all_portraits(desk)
    if as_json:
        say({"items": [_told(one) for one in found]}, True)
        return
    table = Table("portrait", Column("action", no_wrap=True), "people", "objected", "review on")
    for one in found:
        said = one.portrait.document
        action = said.action if said.product is None else f"{said.action} of {said.product}"
        table.add_row(
            f"{said.id} {said.version}",
            action,
            str(one.people),
            str(one.objections),
            said.review_on.isoformat(),
        )
    Console().print(table)
    for one in found:
        if one.idle:
            typer.echo(one.idle)


def _told(one: PortraitShown) -> dict[str, Any]:
    said = one.portrait.document
    return {
        "portrait": said.id,
        "version": said.version,
        "action": said.action,
        "product": said.product,
        "people": one.people,
        "objections": one.objections,
        "review_on": said.review_on.isoformat(),
        "owner": said.owner,
        "idle": one.idle,
    }


@app.command(epilog="Example: `tahini desk portraits run --home desk --json`")
def run(home: DeskHome, as_json: AsJson = False) -> None:
    """Place every customer anew: consents to portraits are asked, each reading is stated in the
    log, then the lender's own tables and accounts are read. Run it every day; whoever took back
    their consent or objected is out at once, whether this runs or not."""
    from desk.commands.portray import portray
    from desk.home import opened_desk

    with opened_desk(home) as desk:
        found = portray(desk)
    said = (
        f"{found.people} customers, {found.read} of them read, {found.placed} places in portraits; "
        f"{found.refused} may not be read after all"
    )
    say(asdict(found) if as_json else said, as_json)
