"""``tahini registry``: run the consent registry; found a consortium, and load answers that were
given elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from cli import registry_amend, registry_retention
from cli.legal_form import LegalFile, legal_of, stated_in
from cli.shared import (
    AsJson,
    Certificate,
    Host,
    MetricsHost,
    MetricsPort,
    NewHome,
    Noun,
    Port,
    PrivateKey,
    RegistryHome,
    Workers,
    opened_registry,
    progress,
    say,
)
from crypto.cosignatures import Cosigner
from crypto.keys import PublicKey, load_signing_key, new_home, read_secret
from crypto.notes import Verifier, check_key_name
from crypto.policies import Log, Witness, most_dishonest, quorum_size, unwitnessed, witnessed_by
from ops.named_files import key_of, text_of
from ops.settings import SERVE_FILE
from protocol.consents import Channel
from protocol.errors import Conflict, Malformed
from protocol.legal import Jurisdiction, LegalTerms
from protocol.notices import Notice
from protocol.parties import DEFAULT_COVER_RATE, Consortium, Party, Role

if TYPE_CHECKING:
    from consent.load import Importing

app = Noun(
    "Run the consent registry: notices, consents, campaigns, authorisations and the audit log."
)


@app.command(
    epilog="Examples: `tahini registry serve --home workspace/registry --port 8700`, or on "
    "PostgreSQL `tahini registry serve --home workspace/registry --workers 4 --metrics-port 9700`"
)
def serve(
    home: RegistryHome,
    port: Port = None,
    host: Host = None,
    workers: Workers = None,
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = None,
    certificate: Certificate = None,
    key: PrivateKey = None,
) -> None:
    """Serve the registry over HTTP until SIGTERM or SIGINT; requests that were begun are finished
    first.

    Every option can also stand in `serve.json` in the home, or in the environment
    (TAHINI_REGISTRY_PORT and so on; a flag goes before the environment, and that before the file).
    The port is 8700 if nothing else is said.

    Logs are JSON lines on standard error. `/healthz` says how the log is, `/readyz` whether to send
    requests here.
    """
    from consent.serving import RegistryListening, Service, serve

    listening = RegistryListening.read(
        home / SERVE_FILE,
        host=host,
        port=port,
        workers=workers,
        metrics_host=metrics_host,
        metrics_port=metrics_port,
        certificate=certificate,
        certificate_key=key,
    )
    serve(Service(home), listening)


def _witness(number: int, said: str) -> Witness:
    """From ``vkey@URL``; raises Conflict, SignatureError."""
    vkey, at, url = said.partition("@")
    if not at:
        raise Conflict(f"a witness is given as VKEY@URL, not as {said!r}")
    return Witness(f"witness-{number}", Cosigner.from_vkey(vkey), url)


@app.command(
    epilog="Example: `tahini registry init --home registry --name sesame --origin "
    "audit.example/log --max-epsilon 8 "
    "--member coordinator.jws --member auditor.jws --member aspen.jws --member birch.jws`"
)
def init(
    home: NewHome,
    name: Annotated[str, typer.Option(help="The consortium's name.")],
    origin: Annotated[
        str, typer.Option(help="The log's name for the world: a URL without its scheme.")
    ],
    member: Annotated[
        list[Path], typer.Option(help="A party's membership.jws; once for each.", exists=True)
    ],
    max_epsilon: Annotated[
        float, typer.Option(help="What everything together may cost a borrower.", min=0.01)
    ],
    max_delta: Annotated[float, typer.Option(help="Its delta.")] = 1e-5,
    max_epsilon_per_year: Annotated[
        float | None, typer.Option(help="The same within 365 days.")
    ] = None,
    count_epsilon: Annotated[
        float,
        typer.Option(
            min=0,
            help="The part of --max-epsilon that noisy counts of people may use, ever, 0.1 each; "
            "campaigns have the rest. Nobody is counted at 0.",
        ),
    ] = 0.0,
    witness: Annotated[
        list[str] | None,
        typer.Option(help="A lender's witness as VKEY@URL; see: tahini witness show."),
    ] = None,
    dishonest_witnesses: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="How many witnesses may collude with the registry, or forget, before it can show "
            "two histories. Of n "
            "witnesses (n - 1) // 3 at most: three tolerate none, four tolerate one, seven two. "
            "The most without it.",
        ),
    ] = None,
    no_quorum: Annotated[
        bool,
        typer.Option(
            "--no-quorum",
            help="Found a log without witnesses: the registry's word is all there is.",
        ),
    ] = False,
    cover_rate: Annotated[
        float, typer.Option(help="Share of people left out as cover.")
    ] = DEFAULT_COVER_RATE,
    database: Annotated[
        Path | None,
        typer.Option(help="File that holds a postgresql:// URL; SQLite without it.", exists=True),
    ] = None,
    legal: LegalFile = None,
    jurisdiction: Annotated[
        str | None,
        typer.Option(
            help=f"Whose law the consortium claims to keep: {', '.join(get_args(Jurisdiction))}. "
            "Refused where the parties do not state what that asks for."
        ),
    ] = None,
    staff_ids: Annotated[
        bool,
        typer.Option("--staff-ids", help="Operator commands must say which member of staff runs."),
    ] = False,
) -> None:
    """Make a registry and sign the consortium: coordinator, auditor, lenders and naming service,
    each by its statement.

    Every statement must be signed by the key that it states. Compare the keys with their owners by
    another way.
    """
    from consent.home import create_home, found

    check_key_name(origin)
    members = [stated_in(path) for path in member]
    terms = LegalTerms.model_validate({"jurisdiction": jurisdiction, "staff_ids": staff_ids})
    asked = tuple(_witness(number, said) for number, said in enumerate(witness or [], 1))
    dishonest = most_dishonest(len(asked)) if dishonest_witnesses is None else dishonest_witnesses
    if no_quorum and (asked or dishonest):
        raise Conflict("a log that is founded with --no-quorum has no witnesses")
    if not asked and not no_quorum:
        raise Conflict(
            "a log without witnesses can show everybody another history: name the lenders' "
            "witnesses with --witness (see: tahini witness show), or say --no-quorum"
        )
    quorum = 0 if no_quorum else quorum_size(len(asked), dishonest)
    with new_home(home) as made:
        registry_key, log_key = create_home(made)
        me = Party(
            id="registry",
            name=f"{name} registry",
            role=Role.REGISTRY,
            signing_key=registry_key.public.text,
            legal=legal_of(legal),
        )
        log = Log(Verifier(origin, log_key.public))
        policy = unwitnessed(log) if no_quorum else witnessed_by(log, asked, quorum)
        consortium = Consortium(
            name=name,
            parties=(me, *members),
            log_policy=policy.text,
            max_epsilon=max_epsilon,
            max_delta=max_delta,
            max_epsilon_per_year=max_epsilon_per_year,
            cover_rate=cover_rate,
            count_epsilon=count_epsilon,
            dishonest_witnesses=dishonest,
            unwitnessed=no_quorum,
            legal=terms.model_dump(mode="json", exclude_defaults=True) or None,
        )
        found(
            made, consortium, None if database is None else read_secret(database).decode().strip()
        )
        (made / "registry.pub").write_text(registry_key.public.text + "\n", encoding="utf-8")
    typer.echo(
        f"founded {name!r} with {len(members)} parties; {home / 'consortium.jws'} is for everybody "
        "to pin"
    )
    typer.echo(
        "nobody witnesses its log: the registry could show everybody another history"
        if no_quorum
        else f"{quorum} of {len(asked)} witnesses must cosign; up to {dishonest} may be dishonest"
    )
    typer.echo(f"the registry's key, to be compared by another way: {registry_key.public.text}")


@app.command(
    epilog="Example: `tahini registry appoint --home registry --auditor notary.jws`, then start "
    "the service again; every party pins the new consortium.jws"
)
def appoint(
    home: RegistryHome,
    auditor: Annotated[
        Path, typer.Option(help="The next auditor's statement (tahini party state).", exists=True)
    ],
) -> None:
    """Sign the next consortium document, with another auditor. The present one stays in earlier/,
    and the campaigns that were approved under it end."""
    from consent.succession import EARLIER, appoint_auditor

    following = appoint_auditor(home, text_of(auditor, "the statement").strip())
    typer.echo(
        f"{home / 'consortium.jws'} names {following.one(Role.AUDITOR).id!r} as the auditor; the "
        f"document before is in {home / EARLIER}"
    )


def _home_or_url(home: Path | None, url: str | None, *others: object) -> None:
    if (home is None) == (url is None) or (url is not None and None in others):
        raise typer.BadParameter(
            "give --home, or --url with --consortium, --registry-key and --key"
        )


@contextmanager
def _directly(
    home: Path, lender: str, notice: tuple[str, int]
) -> Iterator[tuple[Sequence[Importing], Notice]]:
    from consent.load import Directly

    with opened_registry(home) as registry:
        party = registry.consortium.party(lender)
        if party.role is not Role.LENDER:
            raise Malformed(f"{lender!r} is not a lender")
        with registry.ledger.read() as session:
            _, found = registry.catalogue.load(session).notice(*notice)
        yield [Directly(registry, party)], found
        registry.ledger.sequencer.settle()


@contextmanager
def _over_http(
    url: str,
    consortium: Path,
    registry_key: str,
    lender: str,
    key: Path,
    notice: tuple[str, int],
    connections: int,
) -> Iterator[tuple[Sequence[Importing], Notice]]:
    from consent.load import OverHttp
    from protocol.client.base import load_consortium

    pinned = load_consortium(consortium, PublicKey.from_text(key_of(registry_key)))
    with ExitStack() as stack:
        clients = [
            stack.enter_context(OverHttp(url, pinned, lender, load_signing_key(key)))
            for _ in range(connections)
        ]
        yield clients, clients[0].notice(*notice)


@app.command(
    epilog="Examples: `tahini registry load answers.parquet --home workspace/registry --lender "
    "aspen --notice joint-credit-model`, or as the lender `tahini registry load answers.csv --url "
    "https://registry.example "
    "--consortium consortium.jws --registry-key KEY --lender aspen --key node.key --notice "
    "joint-credit-model`"
)
def load(
    file: Annotated[
        Path,
        typer.Argument(help="CSV or Parquet, one row per answer.", exists=True, dir_okay=False),
    ],
    lender: Annotated[str, typer.Option(help="Whose borrowers answered.")],
    notice: Annotated[str, typer.Option(help="Id of the notice that was answered.")],
    notice_version: Annotated[int, typer.Option(help="Its version.", min=1)] = 1,
    language: Annotated[str, typer.Option(help="In which language it was shown.")] = "en",
    channel: Annotated[
        str, typer.Option(help=f"Over which channel: {', '.join(get_args(Channel))}.")
    ] = "paper",
    home: Annotated[
        Path | None,
        typer.Option(
            help="Of a registry that does not serve: straight into its database.", file_okay=False
        ),
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="Of a registry that serves; then as the lender.")
    ] = None,
    consortium: Annotated[
        Path | None, typer.Option(help="With --url: the pinned consortium document.")
    ] = None,
    registry_key: Annotated[
        str | None, typer.Option(help="With --url: its public key, or a file of it.")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="With --url: the lender's signing key.")] = None,
    connections: Annotated[
        int, typer.Option(help="With --url: batches under way at once.", min=1, max=16)
    ] = 2,
    as_json: AsJson = False,
) -> None:
    """Load consents that were collected elsewhere.

    Columns: `number` on the roll, or `pseudonym`; `sensitivity` (ordinary, income, sensitive and
    the like); `action` (give, refuse, withdraw, suspend); `event_time` (RFC 3339);
    `evidence_sha256` of what the lender keeps; for minors and delegates `age_band`,
    `guardian_entity_id` and `authority_evidence_hash`. A load that was cut short goes on where it
    stopped when the same command is given again; how far it came stands in FILE.progress.
    """
    _home_or_url(home, url, consortium, registry_key, key)
    if channel not in get_args(Channel):
        raise typer.BadParameter(f"a channel is one of {', '.join(get_args(Channel))}")
    from consent.load import Answered, Loader, Progress, count_rows
    from protocol.languages import lookup

    asked = (notice, notice_version)
    way = (
        _directly(home, lender, asked)
        if home is not None
        else _over_http(str(url), consortium, registry_key, lender, key, asked, connections)  # type: ignore[arg-type]
    )
    started = time.monotonic()
    with way as (importing, found):
        shown = lookup([language], list(found.texts))
        if shown is None:
            there = ", ".join(sorted(found.texts))
            raise Malformed(
                f"notice {notice!r} has no text in {language!r}; --language is one of {there}"
            )
        answered = Answered(found, shown, channel)  # type: ignore[arg-type]
        state = Progress.of(file, lender, answered, len(importing))
        with progress("answers", count_rows(file)) as told:
            loaded = Loader(importing, answered).load(file, state, told)
    seconds = time.monotonic() - started
    if as_json:
        say({"loaded": loaded, "total": state.rows, "seconds": round(seconds, 1)}, True)
    else:
        say(
            f"loaded {loaded:,} answers in {seconds:.1f} s; {state.rows:,} of the file are "
            "recorded",
            False,
        )


app.registered_commands += registry_amend.app.registered_commands
app.registered_commands += registry_retention.app.registered_commands
