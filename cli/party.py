"""``tahini party``: an institution's keys for authenticating to the registry."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.legal_form import TEMPLATE, LegalFile, legal_of
from cli.shared import AsJson, Noun, say
from cli.staff import As, acting, tell
from crypto.keys import (
    PublicKey,
    SigningKey,
    load_recipient_key,
    load_signing_key,
    replace_file,
    save_signing_key,
)
from ops.named_files import key_of, text_of
from protocol.client.base import load_consortium
from protocol.client.institutions import InstitutionClient
from protocol.errors import ConsentError
from protocol.parties import Membership, Role
from protocol.parties import Party as ListedParty
from protocol.schema import now
from protocol.terms import TRAINING_PURPOSE

app = Noun(
    "An institution's keys for authenticating to the registry, and who it is in law.",
    "Approvals and other documents are still signed with the key that the consortium document "
    "names.",
)
DEFAULT_URL = "http://127.0.0.1:8700"
Url = Annotated[str, typer.Option(help="The registry's base URL.")]
ConsortiumFile = Annotated[
    Path, typer.Option("--consortium", help="The pinned, signed consortium document.")
]
RegistryKey = Annotated[
    str, typer.Option("--registry-key", help="The registry's public key, or a file of it.")
]
Party = Annotated[str, typer.Option(help="The institution's id in the consortium.")]
KeyFile = Annotated[
    Path,
    typer.Option("--key", help="A live key of the institution's.", exists=True, dir_okay=False),
]


def _client(
    url: str, consortium: Path, registry_key: str, party_id: str, key: SigningKey
) -> InstitutionClient:
    pinned = load_consortium(consortium, PublicKey.from_text(key_of(registry_key)))
    return InstitutionClient(url, pinned, pinned.party(party_id).id, key)


@app.command(
    epilog="Example: `tahini party state --id auditor --name 'Auditor' --role auditor --key "
    "auditor.key --recipient-key auditor.recipient.key --out auditor.jws`"
)
def state(
    party_id: Annotated[str, typer.Option("--id", help="The institution's id in the consortium.")],
    name: Annotated[str, typer.Option(help="Its name.")],
    role: Annotated[Role, typer.Option(help="What it does.")],
    key: Annotated[
        Path, typer.Option(help="Its signing key (tahini keys new signing).", exists=True)
    ],
    out: Annotated[Path, typer.Option(help="Where to write the statement.")],
    recipient_key: Annotated[
        Path | None,
        typer.Option(help="Its recipient key, if entries are sealed to it.", exists=True),
    ] = None,
    legal: LegalFile = None,
) -> None:
    """Sign a statement of an institution's keys, for whoever founds the consortium. Coordinators
    and lenders have theirs from `init`; this is for auditors and naming services."""
    signing = load_signing_key(key)
    sealed_to = None if recipient_key is None else load_recipient_key(recipient_key).public.text
    stated = ListedParty(
        id=party_id,
        name=name,
        role=role,
        signing_key=signing.public.text,
        recipient_key=sealed_to,
        legal=legal_of(legal),
    )
    out.write_text(Membership(party=stated).sign(signing), encoding="utf-8")
    typer.echo(f"wrote {out}; it is public")


@app.command(epilog="Example: `tahini party template > party.toml`")
def template() -> None:
    """Print an example of party.toml: what an institution states of itself in law."""
    typer.echo(TEMPLATE.replace("PURPOSE", TRAINING_PURPOSE), nl=False)


@app.command(
    epilog="Example: `tahini party describe --statement aspen/membership.jws --key aspen/node.key "
    "--legal party.toml`"
)
def describe(
    statement: Annotated[
        Path,
        typer.Option(help="The institution's membership.jws; it is replaced.", exists=True),
    ],
    key: Annotated[
        Path, typer.Option(help="The signing key that it states.", exists=True, dir_okay=False)
    ],
    legal: LegalFile = None,
) -> None:
    """State anew who an institution is in law; keys and names stay. In force once the registry has
    signed a roster with it."""
    signing = load_signing_key(key)
    before = Membership.verify(text_of(statement).strip(), signing.public).party
    stated = legal_of(legal)
    after = before.model_copy(update={"legal": stated})
    replace_file(statement, Membership(party=after).sign(signing).encode())
    told = ", ".join(sorted(stated or {})) or "nothing"
    typer.echo(f"{statement} states of {before.id!r}: {told}")


@app.command(
    "keys",
    epilog=(
        "Example: `tahini party keys --consortium c.jws --registry-key KEY --party aspen --key "
        "node.key`"
    ),
)
def list_keys(
    consortium: ConsortiumFile,
    registry_key: RegistryKey,
    party: Party,
    key: KeyFile,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Every key that the institution ever had here, and which are live."""
    with _client(url, consortium, registry_key, party, load_signing_key(key)) as client:
        found = client.party_keys()
    if as_json:
        say(found, as_json)
        return
    for one in found:
        state = f"revoked {one['revoked_at']}" if one["revoked_at"] else "live"
        typer.echo(
            f"{one['thumbprint']}  {state}  {one['added_at'] or 'from the consortium document'}"
        )


@app.command(
    "rotate",
    epilog="Example: `tahini party rotate --consortium c.jws --registry-key KEY --party aspen "
    "--key node.key --new auth.key`, then put auth.key into the node's home",
)
def rotate(
    consortium: ConsortiumFile,
    registry_key: RegistryKey,
    party: Party,
    key: KeyFile,
    new: Annotated[Path, typer.Option(help="Where the new key goes; must not exist.")],
    keep: Annotated[bool, typer.Option(help="Add the new key, and keep the old one live.")] = False,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Make a new key and have the registry accept it, in place of the old one."""
    from consent.identity.keys import new_key

    if new.exists():
        raise ConsentError(f"{new} exists; a key is never overwritten")
    old = load_signing_key(key)
    fresh = SigningKey.generate()
    with _client(url, consortium, registry_key, party, old) as client:
        # before the registry knows it: a key that is accepted and lost would lock us out
        save_signing_key(new, fresh)
        asked = new_key(party, client.consortium.log_origin, old, fresh, now(), rotate=not keep)
        added: dict[str, Any] = client.add_party_key(asked.model_dump())
    say(
        added if as_json else f"{added['thumbprint']} is live; its secret half is in {new}", as_json
    )


@app.command(
    "revoke",
    epilog=(
        "Example: `tahini party revoke THUMB --consortium c.jws --registry-key KEY --party "
        "aspen --key auth.key`"
    ),
    # one thumbprint in 64 begins with a dash, and is no option; nor is the h in it
    context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]},
)
def revoke(
    thumbprint: Annotated[str, typer.Argument(help="RFC 7638 thumbprint of the key to revoke.")],
    consortium: ConsortiumFile,
    registry_key: RegistryKey,
    party: Party,
    key: KeyFile,
    of: Annotated[
        str | None, typer.Option(help="Whose key, where the operator revokes another party's.")
    ] = None,
    url: Url = DEFAULT_URL,
    staff: As = None,
) -> None:
    """Revoke a key: nothing that is made with it is accepted any more."""
    with _client(url, consortium, registry_key, party, load_signing_key(key)) as client:
        operator = acting(staff, client.consortium)
        if operator is not None:
            about = {"command": "party revoke", "operator": operator, "key": thumbprint}
            tell(client, "system.changed", about)
        client.revoke_party_key(of or party, thumbprint)
    typer.echo(f"{thumbprint} is revoked")
