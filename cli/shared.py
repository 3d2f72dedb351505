"""Command-line conventions: nouns, options, errors as one sentence, progress, JSON beside text."""

from __future__ import annotations

import csv
import functools
import json
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import click
import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from typer.core import TyperGroup

from crypto.errors import TahiniError
from crypto.sentences import one_sentence
from ops.settings import MAX_WORKERS
from protocol.errors import ConsentError

if TYPE_CHECKING:
    from clients.home import Node
    from consent.registry import Registry

F = TypeVar("F", bound=Callable[..., Any])
AsJson = Annotated[bool, typer.Option("--json", help="Print as JSON.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def _home(whose: str) -> Any:
    return typer.Option("--home", help=f"The {whose} home folder.", exists=True, file_okay=False)


CsvEncoding = Annotated[
    str, typer.Option("--encoding", help="Of a CSV table: utf-8, gb18030, big5, …")
]
CsvDelimiter = Annotated[
    str, typer.Option("--delimiter", help="Of a CSV table: what stands between two values.")
]
NodeHome = Annotated[Path, _home("node's")]
CoordinatorHome = Annotated[Path, _home("coordinator's")]
RegistryHome = Annotated[Path, _home("registry's")]
AnyHome = Annotated[Path, _home("institution's (node, coordinator, naming service, registry)")]
DeskHome = Annotated[Path, _home("desk's")]
AuditorsHome = Annotated[Path, _home("auditor's")]
CounterHome = Annotated[Path, _home("counter's")]
PortalHome = Annotated[Path, _home("portal's")]
NamesHome = Annotated[Path, _home("naming service's")]
NewHome = Annotated[
    Path, typer.Option("--home", help="Where to make the home; must not exist yet.")
]
CampaignHash = Annotated[
    str, typer.Argument(help="The campaign's hash, or as much of its beginning as is unique.")
]
Port = Annotated[int | None, typer.Option(help="Port to listen on.", min=1, max=65535)]
Host = Annotated[
    str | None, typer.Option(help="Address to listen on; loopback if nothing else is said.")
]
Workers = Annotated[
    int | None,
    typer.Option(help="Processes that serve; several need PostgreSQL.", min=1, max=MAX_WORKERS),
]
MetricsPort = Annotated[
    int | None,
    typer.Option(
        help="Serve Prometheus metrics on this port; not at all without it.", min=1, max=65535
    ),
]
MetricsHost = Annotated[
    str | None, typer.Option(help="Address for metrics: the operator's, never the public one.")
]
Certificate = Annotated[
    Path | None,
    typer.Option(
        help="PEM file to serve TLS with; plain HTTP without it.", exists=True, dir_okay=False
    ),
]
PrivateKey = Annotated[
    Path | None,
    typer.Option("--key", help="PEM file with the certificate's key.", exists=True, dir_okay=False),
]


class NounGroup(TyperGroup):
    """Its help ends with an example: that of its first command."""

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        first: click.Command = self
        while isinstance(first, click.Group):
            first = next(iter(first.commands.values()))
        self.epilog = first.epilog
        super().format_help(ctx, formatter)


class Noun(typer.Typer):
    """A noun of ``tahini`` with its commands, all of which refuse in one sentence.

    A command that bears the noun's own name is the noun: ``tahini demo`` is not
    ``tahini demo demo``.
    """

    def __init__(self, *paragraphs: str) -> None:
        super().__init__(
            cls=NounGroup,
            help="\n\n".join(paragraphs),
            callback=lambda: None,  # a group, even of one command
            no_args_is_help=True,
            add_completion=False,
            rich_markup_mode="markdown",
        )

    def command(self, name: str | None = None, **options: Any) -> Callable[[F], F]:
        add = super().command(name, **options)
        return lambda function: add(refuse_in_one_sentence(function))


def refuse_in_one_sentence(command: F) -> F:
    """What is refused on purpose becomes one sentence on standard error and exit code 1; an error's
    notes follow."""

    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> Any:
        try:
            return command(*arguments, **options)
        except (TahiniError, ValidationError, OSError) as error:
            raise told(error) from error

    return run  # type: ignore[return-value]


def told(error: Exception, code: int = 1) -> typer.Exit:
    """Say why a command ends; returns what to raise."""
    for sentence in (_sentence(error), *getattr(error, "__notes__", ())):
        typer.echo(f"tahini: {sentence}", err=True)
    return typer.Exit(code)


def _sentence(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return one_sentence(error, _named)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or ''}: {error.strerror}".lstrip(": ")
    return " ".join(line.strip() for line in str(error).splitlines())


def _named(place: str) -> str:
    """What the person who typed the running command calls a field: its option, where there is one
    of that name."""
    running = click.get_current_context(silent=True)
    option = f"--{place.replace('_', '-')}"
    spelled = {
        name for parameter in (running.command.params if running else ()) for name in parameter.opts
    }
    return option if option in spelled else place


@contextmanager
def opened_registry(home: Path) -> Iterator[Registry]:
    """The registry in ``home``; its room, with a database's library, is loaded only now."""
    from consent.home import opened

    with opened(home) as registry:
        yield registry


def opened_node(home: Path) -> Node:
    """The node in ``home``; its room is loaded only now. Raises NodeError."""
    from clients.home import Node

    return Node.open(home)


def say(found: Any, as_json: bool) -> None:
    """Print a result: an object as JSON, or a sentence."""
    typer.echo(json.dumps(found, indent=2, ensure_ascii=False) if as_json else found)


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[..., None]]:
    """A progress bar on standard error where somebody watches; call the result with (done) or
    (done, total)."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()
    ) as bar:
        task = bar.add_task(what, total=total)

        def done(count: int, of: int | None = None) -> None:
            bar.update(task, completed=count, total=total if of is None else of)

        yield done


@contextmanager
def parsed(path: Path, kind: str) -> Iterator[None]:
    """For whoever reads a file that somebody hands in. Raises ConsentError, in place of whatever a
    reader makes of a broken one: a sentence with the place, and with nothing that stands there."""
    try:
        yield
    except json.JSONDecodeError as error:
        why = f"{error.msg}, line {error.lineno}"
        raise ConsentError(f"{path} is not {kind} in UTF-8: {why}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConsentError(f"{path} is not {kind} in UTF-8: {error}") from error
    except RecursionError as error:
        raise ConsentError(f"{path} is no {kind} that can be read: it nests too deep") from error
    except (OSError, ValueError, NotImplementedError, csv.Error) as error:
        why = getattr(error, "strerror", None) or "it is broken; write it anew"
        raise ConsentError(f"cannot read {path} as {kind}: {why}") from error
