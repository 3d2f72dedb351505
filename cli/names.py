"""``tahini names``: run the naming service and look after its keys."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from cli.shared import (
    AsJson,
    Certificate,
    Host,
    NamesHome,
    NewHome,
    Noun,
    Port,
    PrivateKey,
    Yes,
    say,
)
from crypto.keys import new_home
from naming.keys import (
    CA_FILE,
    PEOPLE_PER_DAY,
    SEEDS,
    NamingHome,
    NamingSettings,
    Seeds,
    create_home,
    join,
)
from naming.quota import Quota
from ops.named_files import text_of
from ops.settings import SERVE_FILE
from protocol.schema import now

app = Noun(
    "Run the naming service, and rotate its keys.",
    "It evaluates blinded identity numbers; it learns how many, and never whose.",
)


@app.command(epilog="Example: `tahini names init --home naming`")
def init(
    home: NewHome,
    as_json: AsJson = False,
) -> None:
    """Make the service's keys, and say what the consortium has to list it with."""
    with new_home(home) as made:
        key = create_home(made).public.text
    party = {"role": "naming", "signing_key": key}
    say(
        party
        if as_json
        else f"made {home}; the consortium lists this party as role naming with the key {key}",
        as_json,
    )


@app.command(
    "join",
    epilog="Example: `tahini names join --home naming --party naming --consortium consortium.jws "
    "--registry-key registry.pub --registry-url http://127.0.0.1:8700`",
)
def join_consortium(
    home: NamesHome,
    consortium: Annotated[
        Path, typer.Option(help="The signed consortium document.", exists=True, dir_okay=False)
    ],
    registry_key: Annotated[
        Path, typer.Option(help="File with the registry's public key.", exists=True)
    ],
    registry_url: Annotated[
        str, typer.Option(help="Where the registry, and with it the audit log, answers.")
    ],
    party: Annotated[str, typer.Option(help="This party's id in the consortium.")] = "naming",
    people_per_day: Annotated[
        int,
        typer.Option(
            help="How many people each lender may have named in a day, per kind of name.", min=1
        ),
    ] = PEOPLE_PER_DAY,
    ca: Annotated[
        Path | None, typer.Option(help="The certificate authority to believe.", exists=True)
    ] = None,
) -> None:
    """Pin the consortium, and where its audit log is."""
    token = text_of(consortium)
    key = text_of(registry_key).strip()
    settings = NamingSettings(
        party=party, registry_url=registry_url, registry_key=key, people_per_day=people_per_day
    )
    join(home, settings, token)
    if ca is not None:
        shutil.copyfile(ca, home / CA_FILE)
    typer.echo(f"{home} belongs to a consortium now; go on with: tahini names serve --home {home}")


@app.command(epilog="Example: `tahini names serve --home naming --port 8720`")
def serve(
    home: NamesHome,
    port: Port = None,
    host: Host = None,
    certificate: Certificate = None,
    key: PrivateKey = None,
) -> None:
    """Serve names over HTTP until interrupted. Run one process: it remembers which requests it has
    seen.

    Options can also stand in `serve.json` or in the environment (TAHINI_NAMES_PORT …); the port is
    8720 otherwise.
    """
    from naming.service import Namer, NamesListening, create_app
    from ops.serving import run

    listening = NamesListening.read(
        home / SERVE_FILE, host=host, port=port, certificate=certificate, certificate_key=key
    )
    namer = Namer(NamingHome.open(home))
    try:
        run(create_app(namer), listening)
    finally:
        namer.close()


@app.command(epilog="Example: `tahini names show --home naming --json`")
def show(home: NamesHome, as_json: AsJson = False) -> None:
    """Which versions are answered for, the list of keys by hash, and what lenders used of today's
    quota."""
    opened = NamingHome.open(home)
    keys = opened.key_list()
    used = Quota(opened.quota_path, opened.settings.people_per_day).used(now())
    found = {
        "current": keys.current,
        "versions": list(keys.versions),
        "retired": list(keys.retired),
        "keys_sha256": keys.sha256,
        "people_per_day": opened.settings.people_per_day,
        "used_today": [
            {"lender": who, "kind": kind, "people": n} for (who, kind), n in sorted(used.items())
        ],
    }
    if as_json:
        say(found, True)
        return
    typer.echo(
        f"current version {keys.current}; answered for: {', '.join(map(str, keys.versions))}"
    )
    typer.echo(
        f"retired: {', '.join(map(str, keys.retired)) or 'none'}\nlist of keys: {keys.sha256}"
    )
    for (who, kind), count in sorted(used.items()):
        typer.echo(f"{who}: {count:,} of {opened.settings.people_per_day:,} {kind} names today")


@app.command(epilog="Example: `tahini names rotate --home naming`")
def rotate(home: NamesHome, as_json: AsJson = False) -> None:
    """Make the next version current. Older versions go on answering, so that lenders can rename
    their people."""
    version = Seeds(home / SEEDS).rotate()
    said = (
        f"version {version} is current; back up {home / SEEDS}, then let lenders run: tahini book "
        "rename"
    )
    say({"current": version} if as_json else said, as_json)


@app.command(epilog="Example: `tahini names retire --home naming --version 1`")
def retire(
    home: NamesHome,
    version: Annotated[int, typer.Option(help="The version to end.", min=1)],
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """End an older version for good: its seed is removed. Destroy its backups too, and restart the
    service."""
    if not yes:
        typer.confirm(
            f"Nobody will be able to make or check names of version {version} again. Go on?",
            abort=True,
        )
    Seeds(home / SEEDS).retire(version)
    say({"retired": version} if as_json else f"version {version} is retired for good", as_json)
