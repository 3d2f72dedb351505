"""``tahini notice``: what borrowers are asked, checked before it is published."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.shared import AsJson, Noun, RegistryHome, opened_registry, say
from protocol.errors import Conflict, Malformed

if TYPE_CHECKING:
    from consent.notice_rules import BrokenRule
    from protocol.notices import Notice
    from protocol.parties import Consortium

app = Noun(
    "What borrowers are asked.",
    "A notice is a file: `id`, `version`, `recipients`, the texts by language under `[texts]`, and "
    "under `[terms]` what is enforced. Its particulars, the terms in words, are put before the "
    "texts.",
)
NoticeFile = Annotated[
    Path, typer.Argument(help="TOML file of the notice.", exists=True, dir_okay=False)
]


def read_notice(path: Path) -> Notice:
    """The notice in a file, its particulars before its texts; raises Malformed."""
    from pydantic import ValidationError

    from consent.notice_text import with_particulars
    from crypto.sentences import one_sentence
    from protocol.notices import Notice
    from protocol.schema import now
    from protocol.terms import TRAINING_PURPOSE

    try:
        written = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Malformed(f"{path} is not TOML in UTF-8: {error}") from error
    given = {"purpose": TRAINING_PURPOSE, "published_at": now(), **written}
    try:
        return with_particulars(Notice.model_validate(given))
    except ValidationError as error:
        raise Malformed(f"{path}: {one_sentence(error)}") from error


def _findings(notice: Notice, consortium: Consortium) -> list[BrokenRule]:
    from consent.notice_rules import Draft, lint

    return lint(Draft(notice, consortium))


@app.command(epilog="Example: `tahini notice check notice.toml --home registry`")
def check(file: NoticeFile, home: RegistryHome, as_json: AsJson = False) -> None:
    """Say everything that keeps a notice from being published, each with its article. Exit code 1
    if there is anything. It is engineering, not legal advice."""
    notice = read_notice(file)
    with opened_registry(home) as registry:
        found = _findings(notice, registry.consortium)
    if as_json:
        broken = [{"rule": one.rule, "reason": one.reason, "article": one.article} for one in found]
        say({"id": notice.id, "version": notice.version, "broken": broken}, as_json)
    else:
        for one in found:
            typer.echo(f"  {one.reason} ({one.article})")
        if not found:
            typer.echo(f"notice {notice.id!r} version {notice.version} says what it must")
    if found:
        raise typer.Exit(1)


@app.command(epilog="Example: `tahini notice show notice.toml --language zh`")
def show(
    file: NoticeFile,
    language: Annotated[str | None, typer.Option(help="Of one text alone.")] = None,
    as_json: AsJson = False,
) -> None:
    """Read a notice as borrowers will: the texts, with the particulars before them."""
    notice = read_notice(file)
    if language is not None and language not in notice.texts:
        there = ", ".join(sorted(notice.texts))
        raise Malformed(f"{file} has no text in {language!r}; --language is one of {there}")
    texts = {tag: text for tag, text in notice.texts.items() if language in {None, tag}}
    if as_json:
        say(texts, as_json)
        return
    for tag, text in texts.items():
        typer.echo(f"{tag}:\n\n{text}\n")


@app.command(epilog="Example: `tahini notice changes notice.toml --home registry`")
def changes(file: NoticeFile, home: RegistryHome, as_json: AsJson = False) -> None:
    """Say in what a notice reaches further than each version before it: whoever said yes to such a
    version is asked again."""
    from consent.notice_changes import further

    notice = read_notice(file)
    with opened_registry(home) as registry, registry.ledger.read() as session:
        published = registry.catalogue.load(session).notices.values()
    earlier = {one.version: further(one, notice) for one in published if one.id == notice.id}
    found: dict[str, Any] = {str(version): list(more) for version, more in earlier.items()}
    if as_json:
        say({"id": notice.id, "version": notice.version, "reaches_further": found}, as_json)
        return
    for version, more in found.items():
        typer.echo(f"  beyond version {version}: {'; '.join(more) or 'in nothing'}")
    if not found:
        typer.echo(f"notice {notice.id!r} has no version before")


@app.command(epilog="Example: `tahini notice publish notice.toml --home registry`")
def publish(
    file: NoticeFile,
    home: RegistryHome,
    url: Annotated[
        str | None, typer.Option(help="Of the registry where it serves; else its database.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Sign a notice with the registry's key and publish it: from then on borrowers are asked."""
    from consent.commands.publish_notice import publish_notice
    from protocol.client.operator import OperatorClient

    notice = read_notice(file)
    with opened_registry(home) as registry:
        if found := _findings(notice, registry.consortium):
            more = f", and {len(found) - 1} more: tahini notice check" if found[1:] else ""
            raise Conflict(f"{file}: {found[0].reason} ({found[0].article}){more}")
        if url is None:
            publish_notice(registry, notice.sign(registry.signing_key))
            registry.ledger.sequencer.settle()
        else:
            with OperatorClient(
                url, registry.consortium, registry.me.id, registry.signing_key
            ) as client:
                client.publish_notice(notice, registry.signing_key)
    hashes = {language: notice.text_sha256(language) for language in sorted(notice.texts)}
    if as_json:
        say({"id": notice.id, "version": notice.version, "texts": hashes}, as_json)
        return
    typer.echo(f"published {notice.id!r} version {notice.version}")
    for language, sha256 in hashes.items():
        typer.echo(f"  {language}: {sha256}")
