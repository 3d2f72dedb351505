"""``tahini coordinator``: run the coordinator."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from cli.forms import formed, read_form
from cli.legal_form import LegalFile, legal_of
from cli.shared import (
    AsJson,
    CampaignHash,
    CoordinatorHome,
    MetricsHost,
    MetricsPort,
    NewHome,
    Noun,
    say,
)
from crypto.keys import new_home
from ops.named_files import text_of
from protocol.assessments import ImpactAssessment
from protocol.parties import Membership, Party, Role
from protocol.schema import now
from server.home import Coordinator, CoordinatorSettings, create_home, join

app = Noun(
    "Run the coordinator.",
    "It launches what every lender has signed, and adds up what nobody can read alone.",
)


@app.command(
    epilog=(
        "Example: `tahini coordinator init --home coordinator --name 'Sesame coordination office'`"
    )
)
def init(
    home: NewHome,
    name: Annotated[str, typer.Option(help="The coordinator's name.")],
    party: Annotated[str, typer.Option("--id", help="Its id in the consortium.")] = "coordinator",
    legal: LegalFile = None,
) -> None:
    """Make the coordinator's key, and its signed statement for whoever founds the consortium."""
    with new_home(home) as made:
        key = create_home(made)
        stated = Party(
            id=party,
            name=name,
            role=Role.COORDINATOR,
            signing_key=key.public.text,
            legal=legal_of(legal),
        )
        (made / "membership.jws").write_text(Membership(party=stated).sign(key), encoding="utf-8")
    typer.echo(f"made {home}; give {home / 'membership.jws'} to whoever founds the consortium")


@app.command(
    "join",
    epilog="Example: `tahini coordinator join --home coordinator --consortium consortium.jws "
    "--registry https://registry.example --registry-key KEY --ca ca.crt --certificate "
    "coordinator.crt --key coordinator.key`",
)
def join_(
    home: CoordinatorHome,
    consortium: Annotated[
        Path, typer.Option(help="The consortium document that the registry signed.", exists=True)
    ],
    registry: Annotated[str, typer.Option(help="The registry's URL.")],
    registry_key: Annotated[
        str, typer.Option(help="The registry's public key, from a source you trust.")
    ],
    certificate: Annotated[
        Path, typer.Option(help="PEM certificate of the fleet interface.", exists=True)
    ],
    key: Annotated[Path, typer.Option(help="PEM file with the certificate's key.", exists=True)],
    ca: Annotated[
        Path | None, typer.Option(help="The certificate authority to believe.", exists=True)
    ] = None,
    port: Annotated[
        int, typer.Option(help="Port of the fleet interface.", min=1, max=65535)
    ] = 9443,
    host: Annotated[str, typer.Option(help=("Address of the fleet interface."))] = "0.0.0.0",  # noqa: S104
    answer_s: Annotated[
        float, typer.Option(help="Seconds that a release waits for a node.", min=1, max=3600)
    ] = 120.0,
) -> None:
    """Pin the consortium, where its registry is, and what the fleet interface shows."""
    from server.service import CERTIFICATE, KEY

    settings = CoordinatorSettings(
        registry_url=registry, registry_key=registry_key, host=host, port=port, answer_s=answer_s
    )
    join(home, settings, text_of(consortium))
    for source, name in ((certificate, CERTIFICATE), (key, KEY), (ca, "ca.crt")):
        if source is not None:
            shutil.copyfile(source, home / name)
            (home / name).chmod(0o600)
    typer.echo(f"{home} coordinates consortium {Coordinator.open(home).consortium.name!r}")


@app.command(
    epilog="Example: `tahini assessment template > assessment.toml`, fill it in, then `tahini "
    "coordinator assess assessment.toml --home coordinator`"
)
def assess(
    form: Annotated[
        Path, typer.Argument(help="The assessment, TOML.", exists=True, dir_okay=False)
    ],
    home: CoordinatorHome,
    as_json: AsJson = False,
) -> None:
    """Sign an impact assessment and record it at the registry; campaigns name it by its hash."""
    from server.assessments import record

    coordinator = Coordinator.open(home)
    given = {"author": coordinator.id, "made_at": now()}
    assessment = read_form(form, ImpactAssessment, given)
    sha256 = record(coordinator, assessment)
    say(
        {"assessment": sha256} if as_json else f"recorded {sha256}; campaigns can name it now",
        as_json,
    )


@app.command(epilog="Example: `tahini coordinator serve --home coordinator`")
def serve(
    home: CoordinatorHome,
    port: Annotated[
        int | None, typer.Option(help="Port of the fleet interface.", min=1, max=65535)
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address of the fleet interface.")] = None,
    answer_s: Annotated[
        float | None, typer.Option(help="Seconds that a release waits for a node.", min=1, max=3600)
    ] = None,
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = None,
    health_port: Annotated[
        int | None, typer.Option(help="Answer /healthz on this port of loopback.", min=1, max=65535)
    ] = None,
) -> None:
    """Serve the fleet interface and run what is launched, until SIGTERM or SIGINT.

    An option goes before the environment (TAHINI_COORDINATOR_PORT and so on), and that before
    `coordinator.json`.
    """
    from ops.exposition import expose_collector, metrics_at
    from ops.logs import keep_journal
    from server.metrics import CampaignCollector
    from server.service import CoordinatorService

    keep_journal()
    CoordinatorSettings.override(
        port=port,
        host=host,
        answer_s=answer_s,
        metrics_port=metrics_port,
        metrics_host=metrics_host,
        health_port=health_port,
    )
    coordinator = Coordinator.open(home)
    at = coordinator.settings
    expose_collector(CampaignCollector(home), metrics_at(at.metrics_host, at.metrics_port))
    CoordinatorService(coordinator).run()


@app.command(
    epilog="Example: `tahini privacy audit --json > attack.json`, then `tahini coordinator "
    "statement 4f1c22 --home coordinator --attack attack.json`"
)
def statement(
    campaign: CampaignHash,
    home: CoordinatorHome,
    attack: Annotated[
        Path | None,
        typer.Option(help="What `tahini privacy audit --json` found of this build.", exists=True),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Sign who can see what of a campaign, how many must collude before they see more, and what an
    attack on the build found. It goes into evidence packs.

    Refused where the attack succeeded.
    """
    import json

    from fleet.code import installed_code
    from protocol.sight import AttackOnBuild
    from server.evidence import state
    from server.folders import campaign_folder, campaign_in

    coordinator = Coordinator.open(home)
    found = None
    if attack is not None:
        told = json.loads(text_of(attack, "what the attack found"))
        named = ("passed", "epsilon_promised", "epsilon_proved", "confidence")
        known = {name: told[name] for name in named if name in told}
        found = formed(attack, known, AttackOnBuild, {"code_sha256": installed_code()})
    about = campaign_in(campaign_folder(coordinator, campaign))
    made = state(coordinator, about, found, now())
    if as_json:
        say({"sha256": made.sha256, **made.payload()}, as_json)
        return
    for view in made.views:
        typer.echo(f"{view.party} ({view.role}) sees {'; '.join(view.sees)}")
        typer.echo(f"  never {'; '.join(view.never)}")
    typer.echo(f"everybody sees {made.everybody}")
    for one in made.collusion:
        typer.echo(f"{one.lenders} colluding lenders leave {one.noise_left:.3f} of the noise")
    typer.echo(f"bound {made.collusion_bound}; {made.unverified}; {made.unacceptable}")
