"""``tahini requests``: what a lender's borrowers ask, and what the lender answers."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.shared import AsJson, NodeHome, Noun, opened_node, say
from protocol.consents import Authority
from protocol.errors import ConsentError, NotFound
from protocol.hashes import SHOWN
from protocol.rights import (
    AnswerOutcome,
    RefusalReason,
    RequestContent,
    RequestEvent,
    RequestKind,
    RightsAnswer,
    RightsRequest,
)
from protocol.schema import now

if TYPE_CHECKING:
    from clients.home import Node
    from protocol.client.rights import LenderRightsClient, LendersRequest

app = Noun(
    "What a lender's borrowers ask, and what the lender answers.",
    "What is not answered when it is due stops the lender's next authorisation.",
)
Sha256 = Annotated[
    str, typer.Argument(help="The request's hash, or as much of its beginning as is unique.")
]
Words = Annotated[str, typer.Option("--text", help="The answer, word for word.")]
InLanguage = Annotated[str, typer.Option("--language", help="In which language, as zh or en.")]
Feature = Annotated[
    list[str] | None, typer.Option("--feature", help="What it is about; may be given again.")
]


@contextmanager
def _desk(home: Path) -> Iterator[tuple[Node, LenderRightsClient]]:
    from clients.answering import rights_client

    node = opened_node(home)
    with rights_client(node) as desk:
        yield node, desk


def _whole(desk: LenderRightsClient, begins: str) -> str:
    """The one request whose hash begins so; raises NotFound."""
    wanted = begins.rstrip("….").lower()
    known = [str(one["request_sha256"]) for one in desk.requests(closed=True)]
    found = [sha256 for sha256 in known if wanted and sha256.startswith(wanted)]
    if len(found) != 1:
        raise NotFound(
            f"{len(found) or 'no'} requests begin with {begins!r}; see them: tahini requests list"
        )
    return found[0]


@app.command(
    "list",
    epilog="Example: `tahini requests list --home lenders/aspen`; exit code 3 while one is overdue",
)
def list_(
    home: NodeHome,
    closed: Annotated[bool, typer.Option("--closed", help="Those that are over, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """What waits for an answer, what is due first on top; then the rest."""
    from clients.answering import days_left

    with _desk(home) as (_, desk):
        found = [{**one, "days_left": days_left(one, now())} for one in desk.requests(closed)]
    found.sort(key=lambda one: (one["days_left"] is None, one["due_at"]))
    if as_json:
        say(found, as_json)
    else:
        table = Table("request", "asks for", "status", "received", "due", "days left")
        for one in found:
            left = "" if one["days_left"] is None else str(one["days_left"])
            told = [one["request_sha256"][:SHOWN], one["kind"], one["status"]]
            days = [one["received_at"][:10], one["due_at"][:10]]
            table.add_row(*told, *days, f"{left} overdue" if one["overdue"] else left)
        Console().print(table if found else "nobody asks anything")
    if any(one["overdue"] for one in found):
        raise typer.Exit(3)


@app.command(epilog="Example: `tahini requests show 3f2a --home lenders/aspen`")
def show(sha256: Sha256, home: NodeHome, as_json: AsJson = False) -> None:
    """Read one request and all that followed, each step proved in the log."""
    with _desk(home) as (node, desk):
        found = desk.request(_whole(desk, sha256))
        said = [
            step.answer(node.consortium.party(node.lender).key)
            for step in found.steps
            if step.event in {RequestEvent.ANSWER, RequestEvent.REFUSE}
        ]
    if as_json:
        steps = [step.model_dump(mode="json") for step in found.steps]
        request = found.request.payload()
        say({**found.told, "steps": steps, "request": request}, as_json)
        return
    _show(found)
    for answer in said:
        why = f" ({answer.reason})" if answer.reason else ""
        typer.echo(f"answered   {answer.answered_at:%Y-%m-%d}: {answer.outcome}{why}")
        typer.echo(f"  {answer.text}")


def _show(found: LendersRequest) -> None:
    asked, told = found.request.asked, found.told
    lines = {
        "request": told["request_sha256"],
        "person": f"{told['pii_principal_id']}, number {told['number']} on the roll",
        "asked as": _former_name(found),
        "asks for": asked.kind.value,
        "about": ", ".join(asked.features) or "everything",
        "status": told["status"],
        "received": told["received_at"][:10],
        "due": f"{told['due_at'][:10]} ({found.steps[0].law})",
        "by": f"{asked.relation}, {asked.channel}; answer in {asked.language}",
        "release": asked.about and f"{asked.about.release} of {asked.about.campaign_sha256}",
        "to": asked.transfer_to,
        "follows": asked.follows,
        "reply": "an attachment can be sealed to the person" if asked.reply_key else None,
    }
    for name, value in lines.items():
        if value:
            typer.echo(f"{name:<10} {escape(str(value))}")
    if asked.text:
        typer.echo(f"\n{asked.text}\n")


def _former_name(found: LendersRequest) -> str | None:
    """What the person was called when they asked, if there has been a renaming since."""
    then = found.request.pii_principal_id
    return None if then == found.told["pii_principal_id"] else then


@app.command(epilog="Example: `tahini requests mark 3f2a --home lenders/aspen`")
def mark(sha256: Sha256, home: NodeHome, as_json: AsJson = False) -> None:
    """Say that what is disputed is marked in the lender's own systems, too. No training uses it
    since it was received."""
    with _desk(home) as (_, desk):
        done = desk.mark(_whole(desk, sha256))
    say(done if as_json else f"marked; entry {done['entry_index']} of the log", as_json)


@app.command(
    epilog="Example: `tahini requests answer 3f2a --text 'It was put right.' --corrected debrate "
    "--home lenders/aspen`"
)
def answer(
    sha256: Sha256,
    home: NodeHome,
    text: Words,
    language: InLanguage = "zh",
    partly: Annotated[
        RefusalReason | None,
        typer.Option("--partly", help="Why not all of it is done; all of it is, without this."),
    ] = None,
    corrected: Annotated[
        list[str] | None, typer.Option(help="A feature that was put right; may be given again.")
    ] = None,
    attach: Annotated[
        Path | None,
        typer.Option(help="A file for the person alone: their data.", exists=True, dir_okay=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Answer a request in writing, signed: it is done, all of it or in part."""
    said = {
        "outcome": AnswerOutcome.GRANTED if partly is None else AnswerOutcome.PARTLY,
        "reason": partly,
        "text": text,
        "language": language,
        "corrected": tuple(corrected or ()),
    }
    _answer(home, sha256, said, attach, as_json)


@app.command(
    epilog="Example: `tahini requests refuse 3f2a --reason verified-correct --text 'We checked it: "
    "the payment came on day 41.' --home lenders/aspen`"
)
def refuse(
    sha256: Sha256,
    home: NodeHome,
    reason: Annotated[RefusalReason, typer.Option(help="Why.")],
    text: Words,
    language: InLanguage = "zh",
    as_json: AsJson = False,
) -> None:
    """Refuse a request in writing, signed, with its reason."""
    said = {"outcome": "refused", "reason": reason, "text": text, "language": language}
    _answer(home, sha256, said, None, as_json)


def _answer(
    home: Path, begins: str, said: dict[str, Any], attached: Path | None, as_json: bool
) -> None:
    from protocol.client.rights import attach

    with _desk(home) as (node, desk):
        sha256 = _whole(desk, begins)
        sealed = None
        if attached is not None:
            sealed, said["attachment_sha256"] = attach(
                desk.request(sha256).request, attached.read_bytes()
            )
        about = {"lender": node.lender, "request_sha256": sha256, "answered_at": now()}
        done = desk.answer(RightsAnswer.model_validate(said | about), node.key, sealed)
    say(done if as_json else f"{done['status']}; entry {done['entry_index']} of the log", as_json)


@app.command(epilog="Example: `tahini requests close 3f2a --home lenders/aspen`")
def close(sha256: Sha256, home: NodeHome, as_json: AsJson = False) -> None:
    """End a request that was answered 15 days ago and that its person did not end."""
    with _desk(home) as (_, desk):
        done = desk.close_request(_whole(desk, sha256))
    say(done if as_json else f"closed; entry {done['entry_index']} of the log", as_json)


@app.command(
    "hand-in",
    epilog="Example: `tahini requests hand-in object --person v1.… --evidence letter.pdf --channel "
    "paper --feature debrate --home lenders/aspen`",
)
def hand_in(
    kind: Annotated[RequestKind, typer.Argument(help="What the person asks for.")],
    home: NodeHome,
    person: Annotated[str, typer.Option(help="The pseudonym of the borrower that it concerns.")],
    evidence: Annotated[
        Path,
        typer.Option(help="What the person signed; its hash goes along.", exists=True),
    ],
    channel: Annotated[str, typer.Option(help="How they came: branch, phone or paper.")],
    feature: Feature = None,
    text: Annotated[str, typer.Option(help="What they said.")] = "",
    came: Annotated[
        datetime | None, typer.Option(help="When they came: it is due from that day on.")
    ] = None,
    relation: Annotated[
        str, typer.Option(help="Who came: self, guardian, delegate or heir.")
    ] = "self",
    authority: Annotated[
        str | None, typer.Option(help="An opaque name of who came in the person's place.")
    ] = None,
    shown: Annotated[
        Path | None, typer.Option(help="What shows their authority; its hash goes along.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Hand in what somebody asked at a branch, by phone or on paper: the borrower, or their
    guardian or heir."""
    by_right = Authority(
        guardian_entity_id=authority,
        authority_evidence_hash=None if shown is None else _hash_of(shown),
    )
    asked = _content(kind, tuple(feature or ()), text, channel, (relation, by_right))
    with _desk(home) as (node, desk):
        request = RightsRequest(
            pii_principal_id=person,
            recipient=node.lender,
            asked=asked,
            asked_at=now() if came is None else came.astimezone(),
            evidence_sha256=_hash_of(evidence),
            nonce=secrets.token_urlsafe(16),
        )
        done = desk.hand_in(request, node.key)
    told = f"received {done['request_sha256'][:SHOWN]}; an answer is due by {done['due_at'][:10]}"
    say(done if as_json else told, as_json)


def _content(
    kind: RequestKind,
    features: tuple[str, ...],
    text: str,
    channel: str,
    by: tuple[str, Authority],
) -> RequestContent:
    """Raises ConsentError for what a person cannot ask at a branch."""
    if kind in {RequestKind.TRANSFER, RequestKind.PROVE}:
        raise ConsentError(f"a request of kind {kind.value!r} is made in the portal, or signed")
    fields = {"kind": kind, "features": features, "text": text, "channel": channel}
    return RequestContent.model_validate(fields | {"relation": by[0], "authority": by[1]})


def _hash_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
