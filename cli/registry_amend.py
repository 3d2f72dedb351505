"""``tahini registry amend``: sign the consortium anew with what its parties now state."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, get_args

import typer

from cli.legal_form import stated_in
from cli.shared import AsJson, Noun, RegistryHome, say
from protocol.legal import Jurisdiction, LegalTerms

app = Noun("Amend a consortium.")


@app.command(
    epilog="Example: `tahini registry amend --home registry --member aspen/membership.jws "
    "--jurisdiction CN`; then give consortium.jws to everybody to pin, and start the registry"
)
def amend(
    home: RegistryHome,
    member: Annotated[
        list[Path] | None,
        typer.Option(help="A party's new membership.jws; once for each.", exists=True),
    ] = None,
    jurisdiction: Annotated[
        str | None,
        typer.Option(help=f"Whose law it claims to keep: {', '.join(get_args(Jurisdiction))}."),
    ] = None,
    staff_ids: Annotated[
        bool | None,
        typer.Option(help="Whether operator commands must say which member of staff runs."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Sign the consortium anew, of a registry that does not serve. Roles and keys stay; who parties
    are in law may change. It is logged, and the document of before is kept."""
    from consent.amending import amend as amend_consortium
    from consent.doctor import open_consortium

    before = LegalTerms.of(open_consortium(home))
    changes = {"jurisdiction": jurisdiction, "staff_ids": staff_ids}
    given = {name: value for name, value in changes.items() if value is not None}
    terms = LegalTerms.model_validate(before.model_dump() | given) if given else None
    after = amend_consortium(home, [stated_in(path) for path in member or []], terms)
    say(
        {"consortium": after.sha256}
        if as_json
        else f"signed consortium {after.sha256[:12]}…; {home / 'consortium.jws'} is for everybody "
        "to pin anew",
        as_json,
    )
