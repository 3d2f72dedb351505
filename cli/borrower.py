"""``tahini borrower``: play a borrower of a workspace of ``tahini up``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.shared import AsJson, Noun, say
from demo.errors import DemoError

if TYPE_CHECKING:
    import httpx

    from demo.borrowing import Player

app = Noun("Play a borrower of a workspace.")
Language = Annotated[str, typer.Option("--language", help="In which language, as zh or en.")]


@dataclass(frozen=True)
class _Playing:
    name: str | None
    workspace: Path
    lender: str | None


@app.callback(
    epilog=(
        "Example: `tahini borrower --as lin notices --language zh`, then `give`, `withdraw`; "
        "`tahini receipt verify` checks what was kept"
    )
)
def borrower(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Option("--as", help="Whom to play; the same name is the same person.")
    ] = None,
    workspace: Annotated[Path, typer.Option(help="The workspace of tahini up.")] = Path(
        "workspace/up"
    ),
    lender: Annotated[
        str | None, typer.Option(help="Whose customer to be, when the name is new.")
    ] = None,
) -> None:
    """Be somebody who is asked: read the notice, answer it, take the answer back, keep the
    receipts.

    The login is the workspace's own development issuer's; the lender vouches for it the first time.
    """
    context.obj = _Playing(name, workspace, lender)


def _player(context: typer.Context) -> Player:
    from demo.borrowing import Player

    asked = context.find_object(_Playing)
    if asked is None or asked.name is None:
        raise DemoError("say whom you play: tahini borrower --as NAME …")
    return Player(asked.workspace, asked.name, asked.lender)


@contextmanager
def _playing(context: typer.Context) -> Iterator[tuple[Player, httpx.Client]]:
    player = _player(context)
    http = player.http()
    try:
        yield player, http
    finally:
        http.close()


@app.command(epilog="Example: `tahini borrower --as lin notices --language zh`")
def notices(context: typer.Context, language: Language = "en", as_json: AsJson = False) -> None:
    """Read what I am asked, word for word, and what I have not answered yet."""
    with _playing(context) as (player, http):
        found = player.notices(http, language)
    if as_json:
        say(found, as_json)
        return
    for notice in found:
        typer.echo(
            f"{notice['id']}, version {notice['version']} "
            f"({notice['language']}):\n\n{notice['text']}\n"
        )
        for lender in notice["recipients"]:
            open_ = lender in notice["unanswered"] and "you have not answered yet"
            again = (
                lender in notice["to_reconfirm"] and "it has changed: your answer must be confirmed"
            )
            typer.echo(f"  {lender}: {open_ or again or 'answered'}")


@app.command(epilog="Example: `tahini borrower --as lin consents`")
def consents(context: typer.Context, as_json: AsJson = False) -> None:
    """See where I stand."""
    from demo.borrowing import answered

    with _playing(context) as (_, http):
        found = answered(http.get("/v1/me/consents"))["items"]
    if as_json:
        say(found, as_json)
        return
    for record in found:
        about, event = record["pii_processing"], record["event"]
        typer.echo(
            f"  {about['pii_controllers'][0]}, {about['sensitivity']}: {event['event_state']}"
        )
    if not found:
        typer.echo("  nothing is on record: you have not answered anything")


def _told(
    player: Player, http: httpx.Client, recorded: list[dict[str, Any]], as_json: bool
) -> None:
    kept = player.keep_receipts(http, recorded)
    if as_json:
        say({"recorded": recorded, "receipts": [str(path) for path in kept]}, as_json)
        return
    for one, path in zip(recorded, kept, strict=True):
        typer.echo(
            f"recorded: {', '.join(f'{what} {state}' for what, state in one['states'].items())}; "
            f"receipt {path}"
        )


@app.command(epilog="Example: `tahini borrower --as lin give --sensitive`")
def give(
    context: typer.Context,
    sensitive: Annotated[
        bool, typer.Option("--sensitive", help="Income and similar data, too.")
    ] = False,
    refuse: Annotated[bool, typer.Option("--refuse", help="Say no instead.")] = False,
    language: Language = "en",
    as_json: AsJson = False,
) -> None:
    """Say yes to what I am asked (or no), and keep the receipts."""
    kinds = ["ordinary", "sensitive"] if sensitive else ["ordinary"]
    with _playing(context) as (player, http):
        _told(
            player,
            http,
            player.decide(http, "refuse" if refuse else "give", kinds, language),
            as_json,
        )


@app.command(epilog="Example: `tahini borrower --as lin withdraw`")
def withdraw(context: typer.Context, as_json: AsJson = False) -> None:
    """Take back everything that I gave; in force when this returns."""
    with _playing(context) as (player, http):
        recorded = player.withdraw(http)
        if not recorded and not as_json:
            typer.echo("nothing was given, so nothing was taken back")
            return
        _told(player, http, recorded, as_json)
