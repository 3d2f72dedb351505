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
_WHY_OPEN = {
    "unanswered": "you have not answered yet",
    "changed": "it has changed: your answer must be confirmed",
    "expired": "your yes has ended by its time",
}


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
        for one in notice["questions"]:
            state = _WHY_OPEN.get(one["open"], one["state"])
            typer.echo(f"  {one['recipient']}, {one['sensitivity']}: {state}")


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
        bool, typer.Option("--sensitive", help="Whatever is asked apart, too: income and the like.")
    ] = False,
    refuse: Annotated[bool, typer.Option("--refuse", help="Say no instead.")] = False,
    language: Language = "en",
    as_json: AsJson = False,
) -> None:
    """Say yes to what I am asked (or no), and keep the receipts."""
    with _playing(context) as (player, http):
        _told(
            player,
            http,
            player.decide(http, "refuse" if refuse else "give", sensitive, language),
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


@app.command(
    epilog="Example: `tahini borrower --as lin request object --feature late --text 'Not my loan.'`"
)
def request(
    context: typer.Context,
    kind: Annotated[str, typer.Argument(help="access, correct, object, explain, erase …")],
    feature: Annotated[
        list[str] | None, typer.Option(help="What it is about; may be given again.")
    ] = None,
    text: Annotated[str, typer.Option(help="What I have to say.")] = "",
    to: Annotated[str | None, typer.Option(help="Of a transfer: to whom.")] = None,
    campaign: Annotated[str | None, typer.Option(help="Of a proof: which campaign.")] = None,
    release: Annotated[int, typer.Option(help="Of a proof: which release of it.", min=0)] = 0,
    language: Language = "en",
    as_json: AsJson = False,
) -> None:
    """Ask my lender for something that is my right; an objection takes effect at once."""
    from demo.requesting import ask

    about = None if campaign is None else {"campaign_sha256": campaign, "release": release}
    content = {
        "kind": kind,
        "features": feature or [],
        "text": text,
        "transfer_to": to,
        "about": about,
        "language": language,
    }
    with _playing(context) as (player, http):
        done = ask(player, http, content)
    told = (
        f"asked {done['request_sha256'][:12]}; an answer is due by {done['due_at'][:10]} "
        f"({done['law']}); receipt {done['receipt']}"
    )
    say(done if as_json else told, as_json)


@app.command("requests", epilog="Example: `tahini borrower --as lin requests`, `requests 3f2a`")
def requests_(
    context: typer.Context,
    sha256: Annotated[
        str | None, typer.Argument(help="One of them, by its hash or the beginning of it.")
    ] = None,
    close: Annotated[bool, typer.Option("--close", help="End it; a mark ends with it.")] = False,
    as_json: AsJson = False,
) -> None:
    """What I asked, and what my lender answered: the answers are verified and kept."""
    from demo.borrowing import answered
    from demo.requesting import read

    with _playing(context) as (player, http):
        if sha256 is None:
            found = answered(http.get("/v1/me/requests"))["items"]
        else:
            found = read(player, http, sha256)
            if close:
                target = f"/v1/me/requests/{found['request_sha256']}/closings"
                found["status"] = answered(http.post(target))["status"]
    if as_json:
        say(found, as_json)
        return
    for one in found if sha256 is None else [found]:
        late = ", and is overdue" if one["overdue"] else f", due by {one['due_at'][:10]}"
        typer.echo(
            f"{one['request_sha256'][:12]}  {one['kind']} at {one['recipient']}: {one['status']}"
            f"{'' if one['answered_at'] or one['closed_at'] else late}"
        )
        for said in one.get("answers", ()):
            why = f" ({said['reason']})" if said["reason"] else ""
            typer.echo(f"  {said['outcome']}{why}: {said['text']}")
        if one.get("attached"):
            typer.echo(f"  what was attached is in {one['attached']}")
    if not found:
        typer.echo("nothing was asked")
