"""Which member of an institution's staff runs a command, and that what they read is on the record
(征信业管理条例 22)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError

from cli.shared import opened_registry
from crypto.keys import b64
from crypto.sentences import one_sentence
from protocol.client.institutions import InstitutionClient
from protocol.errors import ConsentError, LogHeld
from protocol.parties import Consortium, Role
from protocol.schema import StaffId

As = Annotated[
    str | None,
    typer.Option(
        "--as",
        envvar="TAHINI_OPERATOR",
        help="Your staff id: opaque, no name. Needed where the consortium says so.",
    ),
]
_STAFF_ID: TypeAdapter[str] = TypeAdapter(StaffId)


def acting(given: str | None, consortium: Consortium) -> str | None:
    """The staff id of whoever runs the command.

    Raises:
        ConsentError: it is none, or the consortium asks for one and none was given.
    """
    if given is None:
        from protocol.legal import LegalTerms

        if LegalTerms.of(consortium).staff_ids:
            raise ConsentError(
                f"the consortium {consortium.name!r} wants to know who runs this: give your staff "
                "id with --as, or in TAHINI_OPERATOR"
            )
        return None
    try:
        return _STAFF_ID.validate_python(given)
    except ValidationError as error:
        raise ConsentError(f"--as {one_sentence(error)}") from error


def entry(kind: str, consortium: Consortium, body: dict[str, Any], **public: Any) -> dict[str, Any]:
    """A log entry that is sealed to the auditor: ``evidence.read`` or ``system.changed``."""
    auditor = consortium.one(Role.AUDITOR).id
    content = b64(json.dumps(body, sort_keys=True).encode())
    return {"type": kind, "to": [auditor], "body": content, **public}


def tell(client: InstitutionClient, kind: str, body: dict[str, Any], **public: Any) -> int:
    """Log such an entry over HTTP; returns its index."""
    return client.append([entry(kind, client.consortium, body, **public)])[0]


def tell_at_home(
    home: Path, url: str | None, kind: str, body: dict[str, Any], **public: Any
) -> int:
    """Log such an entry as the registry that lives in ``home``; returns its index.

    Args:
        url: where it serves; a registry that does not serve is written to in its home.

    Raises:
        LogHeld: another process writes the log; its URL is needed.
    """
    if url is not None:
        from cli.institution import institution

        with institution(home, url) as me:
            return tell(me.client, kind, body, **public)
    from consent.commands.append_entries import NewEntry, append_entries

    with opened_registry(home) as registry:
        told = NewEntry.model_validate(entry(kind, registry.consortium, body, **public))
        try:
            index = append_entries(registry, registry.me, [told])
        except LogHeld as error:
            error.add_note("say where that one serves: --url")
            raise
        registry.ledger.catch_up()
    return index
