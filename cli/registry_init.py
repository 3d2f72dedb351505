"""``tahini registry init``: found a consortium from the statements of its parties."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.shared import refuse_in_one_sentence
from consent.home import create_home, found
from crypto.cosignatures import Cosigner
from crypto.errors import CryptoError
from crypto.keys import new_home, read_secret
from crypto.notes import Verifier, check_key_name
from crypto.policies import Log, Witness, most_dishonest, quorum_size, unwitnessed, witnessed_by
from ops.named_files import text_of
from protocol.errors import Conflict, ConsentError
from protocol.parties import DEFAULT_COVER_RATE, Consortium, Membership, Party, Role


def _member(path: Path) -> Party:
    """A party's own statement, signed with the key that it states; raises SignatureError."""
    token = text_of(path).strip()
    try:
        return Membership.verify(token, Membership.claimed(token).party.key).party
    except CryptoError as error:
        raise ConsentError(f"{path} is no statement of a party's keys: {error}") from error


def _witness(number: int, said: str) -> Witness:
    """From ``vkey@URL``; raises Conflict, SignatureError."""
    vkey, at, url = said.partition("@")
    if not at:
        raise Conflict(f"a witness is given as VKEY@URL, not as {said!r}")
    return Witness(f"witness-{number}", Cosigner.from_vkey(vkey), url)


@refuse_in_one_sentence
def init(
    home: Annotated[Path, typer.Option(help="Where to make the registry's home; must not exist yet.")],
    name: Annotated[str, typer.Option(help="The consortium's name.")],
    origin: Annotated[str, typer.Option(help="The log's name for the world: a URL without its scheme.")],
    member: Annotated[list[Path], typer.Option(help="A party's membership.jws; once for each.", exists=True)],
    max_epsilon: Annotated[float, typer.Option(help="What everything together may cost a borrower.", min=0.01)],
    max_delta: Annotated[float, typer.Option(help="Its delta.")] = 1e-5,
    max_epsilon_per_year: Annotated[float | None, typer.Option(help="The same within 365 days.")] = None,
    count_epsilon: Annotated[
        float,
        typer.Option(
            min=0,
            help="The part of --max-epsilon that noisy counts of people may use, ever, 0.1 each; campaigns have the "
            "rest. Nobody is counted at 0.",
        ),
    ] = 0.0,
    witness: Annotated[
        list[str] | None, typer.Option(help="A lender's witness as VKEY@URL; see: tahini witness show.")
    ] = None,
    dishonest_witnesses: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="How many witnesses may collude with the registry, or forget, before it can show two histories. Of n "
            "witnesses (n - 1) // 3 at most: three tolerate none, four tolerate one, seven two. The most without it.",
        ),
    ] = None,
    no_quorum: Annotated[
        bool, typer.Option("--no-quorum", help="Found a log without witnesses: the registry's word is all there is.")
    ] = False,
    cover_rate: Annotated[float, typer.Option(help="Share of people left out as cover.")] = DEFAULT_COVER_RATE,
    database: Annotated[
        Path | None, typer.Option(help="File that holds a postgresql:// URL; SQLite without it.", exists=True)
    ] = None,
) -> None:
    """Make a registry and sign the consortium: coordinator, auditor, lenders and naming service, each by its statement.

    Every statement must be signed by the key that it states. Compare the keys with their owners by another way.
    """
    check_key_name(origin)
    members = [_member(path) for path in member]
    asked = tuple(_witness(number, said) for number, said in enumerate(witness or [], 1))
    dishonest = most_dishonest(len(asked)) if dishonest_witnesses is None else dishonest_witnesses
    if no_quorum and (asked or dishonest):
        raise Conflict("a log that is founded with --no-quorum has no witnesses")
    if not asked and not no_quorum:
        raise Conflict(
            "a log without witnesses can show everybody another history: name the lenders' witnesses with --witness "
            "(see: tahini witness show), or say --no-quorum"
        )
    quorum = 0 if no_quorum else quorum_size(len(asked), dishonest)
    with new_home(home) as made:
        registry_key, log_key = create_home(made)
        me = Party(id="registry", name=f"{name} registry", role=Role.REGISTRY, signing_key=registry_key.public.text)
        log = Log(Verifier(origin, log_key.public))
        policy = unwitnessed(log) if no_quorum else witnessed_by(log, asked, quorum)
        consortium = Consortium(
            name=name, parties=(me, *members), log_policy=policy.text, max_epsilon=max_epsilon, max_delta=max_delta,
            max_epsilon_per_year=max_epsilon_per_year, cover_rate=cover_rate, count_epsilon=count_epsilon,
            dishonest_witnesses=dishonest, unwitnessed=no_quorum,
        )  # fmt: skip
        found(made, consortium, None if database is None else read_secret(database).decode().strip())
        (made / "registry.pub").write_text(registry_key.public.text + "\n", encoding="utf-8")
    typer.echo(f"founded {name!r} with {len(members)} parties; {home / 'consortium.jws'} is for everybody to pin")
    typer.echo(
        "nobody witnesses its log: the registry could show everybody another history"
        if no_quorum
        else f"{quorum} of {len(asked)} witnesses must cosign; up to {dishonest} may be dishonest"
    )
    typer.echo(f"the registry's key, to be compared by another way: {registry_key.public.text}")
