"""``tahini registry load``: hand in what a lender's borrowers decided elsewhere, by the million."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from cli.shared import progress, refuse_in_one_sentence, say
from consent.languages import lookup
from crypto.keys import PublicKey, load_signing_key
from ops.named_files import key_of
from protocol.consents import Notice
from protocol.errors import Malformed
from protocol.parties import Role
from protocol.terms import Channel

if TYPE_CHECKING:
    from consent.load import Importing


def _home_or_url(home: Path | None, url: str | None, *others: object) -> None:
    if (home is None) == (url is None) or (url is not None and None in others):
        raise typer.BadParameter("give --home, or --url with --consortium, --registry-key and --key")


@contextmanager
def _directly(home: Path, lender: str, notice: tuple[str, int]) -> Iterator[tuple[Sequence[Importing], Notice]]:
    from consent.home import opened
    from consent.load import Directly  # reads tables: a library that only this command needs

    with opened(home) as registry:
        party = registry.consortium.party(lender)
        if party.role is not Role.LENDER:
            raise Malformed(f"{lender!r} is not a lender")
        with registry.ledger.read() as session:
            _, found = registry.catalogue.load(session).notice(*notice)
        yield [Directly(registry, party)], found
        registry.ledger.sequencer.settle()


@contextmanager
def _over_http(
    url: str, consortium: Path, registry_key: str, lender: str, key: Path, notice: tuple[str, int], connections: int
) -> Iterator[tuple[Sequence[Importing], Notice]]:
    from consent.load import OverHttp
    from protocol.client import load_consortium

    pinned = load_consortium(consortium, PublicKey.from_text(key_of(registry_key)))
    clients = [OverHttp(url, pinned, lender, load_signing_key(key)) for _ in range(connections)]
    try:
        yield clients, clients[0].notice(*notice)
    finally:
        for client in clients:
            client.close()


@refuse_in_one_sentence
def load(
    file: Annotated[Path, typer.Argument(help="CSV or Parquet, one row per answer.", exists=True, dir_okay=False)],
    lender: Annotated[str, typer.Option(help="Whose borrowers answered.")],
    notice: Annotated[str, typer.Option(help="Id of the notice that was answered.")],
    notice_version: Annotated[int, typer.Option(help="Its version.", min=1)] = 1,
    language: Annotated[str, typer.Option(help="In which language it was shown.")] = "en",
    channel: Annotated[str, typer.Option(help=f"Over which channel: {', '.join(get_args(Channel))}.")] = "paper",
    home: Annotated[
        Path | None,
        typer.Option(help="Of a registry that does not serve: straight into its database.", file_okay=False),
    ] = None,
    url: Annotated[str | None, typer.Option(help="Of a registry that serves; then as the lender.")] = None,
    consortium: Annotated[Path | None, typer.Option(help="With --url: the pinned consortium document.")] = None,
    registry_key: Annotated[str | None, typer.Option(help="With --url: its public key, or a file of it.")] = None,
    key: Annotated[Path | None, typer.Option(help="With --url: the lender's signing key.")] = None,
    connections: Annotated[int, typer.Option(help="With --url: batches under way at once.", min=1, max=16)] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Load consents that were collected elsewhere.

    Columns: `number` on the roll, or `pseudonym`; `sensitivity` (ordinary, sensitive); `action` (give, refuse,
    withdraw, suspend); `event_time` (RFC 3339); `evidence_sha256` of what the lender keeps. A load that was cut short
    goes on where it stopped when the same command is given again; how far it came stands in FILE.progress.
    """
    _home_or_url(home, url, consortium, registry_key, key)
    if channel not in get_args(Channel):
        raise typer.BadParameter(f"a channel is one of {', '.join(get_args(Channel))}")
    from consent.load import Answered, Loader, Progress, count_rows

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
            raise Malformed(f"notice {notice!r} has no text in {language!r}; --language is one of {there}")
        answered = Answered(found, shown, channel)  # type: ignore[arg-type]
        state = Progress.of(file, lender, answered, len(importing))
        with progress("answers", count_rows(file)) as told:
            loaded = Loader(importing, answered).load(file, state, told)
    seconds = time.monotonic() - started
    if as_json:
        say({"loaded": loaded, "total": state.rows, "seconds": round(seconds, 1)}, True)
    else:
        say(f"loaded {loaded:,} answers in {seconds:.1f} s; {state.rows:,} of the file are recorded", False)


__all__ = ["load"]
