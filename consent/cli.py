"""``tahini registry``: run the consent registry."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from consent.cli_support import Certificate, MetricsHost, MetricsPort, PrivateKey, Workers, refuse_in_one_sentence
from consent.init_cli import init
from consent.load_cli import load

app = typer.Typer(no_args_is_help=True, help="Run the consent registry.", rich_markup_mode="markdown")


@app.callback()
def registry() -> None:
    """The consent registry: notices, consents, campaigns, authorisations and the audit log."""


@app.command(
    epilog="Examples: `tahini registry serve --home workspace/registry --port 8700`, or on PostgreSQL "
    "`tahini registry serve --home workspace/registry --workers 4 --metrics-port 9700`"
)
@refuse_in_one_sentence
def serve(
    home: Annotated[Path, typer.Option(help="The registry's home folder.", exists=True, file_okay=False)],
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 8700,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    workers: Workers = 1,
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = "127.0.0.1",
    certificate: Certificate = None,
    key: PrivateKey = None,
) -> None:
    """Serve the registry over HTTP until SIGTERM or SIGINT; requests that were begun are finished first.

    Logs are JSON lines on standard error. `/healthz` says how the log is, `/readyz` whether to send requests here.
    """
    from consent.serving import Listening, Service, Tls, metrics_at, serve

    metrics, tls = metrics_at(metrics_host, metrics_port), Tls.of(certificate, key)
    serve(Service(home), Listening(host, port, workers, metrics, tls))


app.command(
    epilog="Examples: `tahini registry load answers.parquet --home workspace/registry --lender aspen --notice "
    "joint-credit-model`, or as the lender `tahini registry load answers.csv --url https://registry.example "
    "--consortium consortium.jws --registry-key KEY --lender aspen --key node.key --notice joint-credit-model`"
)(load)

app.command(
    epilog="Example: `tahini registry init --home registry --name sesame --origin audit.example/log --max-epsilon 8 "
    "--member coordinator.jws --member auditor.jws --member aspen.jws --member birch.jws`"
)(init)
