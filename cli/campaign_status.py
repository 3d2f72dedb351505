"""Status of a campaign as the coordinator's commands show it."""

from __future__ import annotations

from typing import Any

import typer

from protocol.errors import RegistryUnavailable
from server import commands
from server.home import Coordinator
from server.status import Answers


def lenders_answers(coordinator: Coordinator, sha256: str, quiet: bool = False) -> Answers | None:
    """What lenders said, if the registry is there."""
    try:
        return commands.lenders_answers(coordinator, sha256)
    except RegistryUnavailable as error:
        if not quiet:
            typer.echo(f"tahini: who approved is not known: {error}", err=True)
        return None


def told_event(event: dict[str, Any]) -> str:
    spent = f"; epsilon {event['epsilon']:.3f} so far" if "epsilon" in event else ""
    match event["event"]:
        case "joined":
            return f"{len(event['lenders'])} nodes joined"
        case "waiting":
            return f"waits for {event['reason']}"
        case "release":
            return f"release {event['release'] + 1} of {event['releases']} ({event['kind']}){spent}"
        case "lost":
            return f"lost {', '.join(event['lenders'])}: {event['reason']}{spent}"
        case "released":
            return "the model's card is signed and logged"
        case _:
            return str(event.get("reason", event["event"]))
