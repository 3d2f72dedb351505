"""``tahini registry``: run the consent registry."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.registry_init import init
from cli.registry_load import load
from cli.shared import (
    Certificate,
    Host,
    MetricsHost,
    MetricsPort,
    Port,
    PrivateKey,
    Workers,
    refuse_in_one_sentence,
)
from ops.settings import SERVE_FILE

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
    port: Port = None,
    host: Host = None,
    workers: Workers = None,
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = None,
    certificate: Certificate = None,
    key: PrivateKey = None,
) -> None:
    """Serve the registry over HTTP until SIGTERM or SIGINT; requests that were begun are finished first.

    Every option can also stand in `serve.json` in the home, or in the environment (TAHINI_REGISTRY_PORT and so on; a
    flag goes before the environment, and that before the file). The port is 8700 if nothing else is said.

    Logs are JSON lines on standard error. `/healthz` says how the log is, `/readyz` whether to send requests here.
    """
    from consent.serving import RegistryListening, Service, serve

    listening = RegistryListening.read(
        home / SERVE_FILE, host=host, port=port, workers=workers, metrics_host=metrics_host, metrics_port=metrics_port,
        certificate=certificate, certificate_key=key,
    )  # fmt: skip
    serve(Service(home), listening)


app.command(
    epilog="Examples: `tahini registry load answers.parquet --home workspace/registry --lender aspen --notice "
    "joint-credit-model`, or as the lender `tahini registry load answers.csv --url https://registry.example "
    "--consortium consortium.jws --registry-key KEY --lender aspen --key node.key --notice joint-credit-model`"
)(load)

app.command(
    epilog="Example: `tahini registry init --home registry --name sesame --origin audit.example/log --max-epsilon 8 "
    "--member coordinator.jws --member auditor.jws --member aspen.jws --member birch.jws`"
)(init)
