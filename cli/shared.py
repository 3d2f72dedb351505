"""What the room's command modules share: opening homes, one-sentence refusals, progress, JSON beside text."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import click
import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from crypto.errors import CryptoError
from crypto.sentences import one_sentence
from ops.settings import MOST_WORKERS
from protocol.errors import ConsentError

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
Port = Annotated[int | None, typer.Option(help="Port to listen on.", min=1, max=65535)]
Host = Annotated[str | None, typer.Option(help="Address to listen on; loopback if nothing else is said.")]
Workers = Annotated[
    int | None, typer.Option(help="Processes that serve; several need PostgreSQL.", min=1, max=MOST_WORKERS)
]
MetricsPort = Annotated[
    int | None, typer.Option(help="Serve Prometheus metrics on this port; not at all without it.", min=1, max=65535)
]
Certificate = Annotated[
    Path | None, typer.Option(help="PEM file to serve TLS with; plain HTTP without it.", exists=True, dir_okay=False)
]
PrivateKey = Annotated[
    Path | None, typer.Option("--key", help="PEM file with the certificate's key.", exists=True, dir_okay=False)
]
MetricsHost = Annotated[str | None, typer.Option(help="Address for metrics: the operator's, never the public one.")]


def refuse_in_one_sentence(command: F) -> F:
    """What the house refuses on purpose becomes one sentence on standard error and exit code 1."""

    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> Any:
        try:
            return command(*arguments, **options)
        except (ConsentError, CryptoError) as error:
            reason = str(error)
        except ValidationError as error:
            reason = one_sentence(error, _named)
        except OSError as error:
            reason = f"{error.filename or ''}: {error.strerror}".lstrip(": ")
        typer.echo(f"tahini: {reason}", err=True)
        raise typer.Exit(1)

    return run  # type: ignore[return-value]


def _named(place: str) -> str:
    """What the person who typed the running command calls a field: its option, where there is one of that name."""
    running = click.get_current_context(silent=True)
    option = f"--{place.replace('_', '-')}"
    spelled = {name for parameter in (running.command.params if running else ()) for name in parameter.opts}
    return option if option in spelled else place


def say(found: Any, as_json: bool) -> None:
    """Print a result: an object as JSON, or a sentence."""
    typer.echo(json.dumps(found, indent=2, ensure_ascii=False) if as_json else found)


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[..., None]]:
    """A progress bar on standard error where somebody watches; call the result with (done) or (done, total)."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=total)

        def done(count: int, of: int | None = None) -> None:
            bar.update(task, completed=count, total=total if of is None else of)

        yield done
