"""What the coordinator's command modules share."""

from __future__ import annotations

import functools
import math
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic import ValidationError

from cli.shared import refuse_in_one_sentence
from credit.errors import FeatureError, ModelError
from crypto.errors import CryptoError
from fleet.errors import FleetError
from privacy.errors import PrivacyError
from protocol.campaigns import Campaign
from protocol.errors import ConsentError, RegistryUnavailable
from protocol.hashes import whole_hash
from protocol.schema import now
from server.desired import read_state, wanted
from server.errors import CampaignStopped, CoordinatorError
from server.home import Coordinator, Progressed
from server.standing import Answers, Standing

F = TypeVar("F", bound=Callable[..., Any])
Home = Annotated[Path, typer.Option(help="The coordinator's home folder.", exists=True, file_okay=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print as JSON.")]
OURS = (CoordinatorError, CampaignStopped, FleetError, FeatureError, ModelError, PrivacyError, ValueError)
CAMPAIGN_FILE = "campaign.jws"
KNOCK_S = 0.5


def plainly(command: F) -> F:
    """What this room refuses on purpose becomes one sentence, like what the others refuse."""

    @refuse_in_one_sentence
    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> Any:
        try:
            return command(*arguments, **options)
        except ValidationError:
            raise  # a ValueError too, whose text is the library's
        except OURS as error:
            raise ConsentError(" ".join(str(error).split())) from error

    return run  # type: ignore[return-value]


def finite(value: float | None) -> float | None:
    """An option that is a number: neither infinite nor none."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a finite number")
    return value


def campaigns_of(coordinator: Coordinator) -> dict[str, str]:
    """Hash and id of every campaign in the coordinator's home."""
    folders = [folder for folder in (coordinator.home / "campaigns").iterdir() if (folder / CAMPAIGN_FILE).exists()]
    return {folder.name: campaign_in(folder).id for folder in folders}


def campaign_in(folder: Path) -> Campaign:
    """The campaign that a folder is of; raises CoordinatorError."""
    try:
        return Campaign.claimed((folder / CAMPAIGN_FILE).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, CryptoError) as error:
        raise CoordinatorError(f"{folder / CAMPAIGN_FILE} is damaged ({error})") from error


def campaign_folder(coordinator: Coordinator, begins: str) -> Path:
    """The folder of the one campaign whose hash begins so; raises NotFound."""
    return coordinator.home / "campaigns" / whole_hash(begins, campaigns_of(coordinator), f"of {coordinator.home}")


def lenders_answers(coordinator: Coordinator, sha256: str, quiet: bool = False) -> Answers | None:
    """What lenders said, if the registry is there; what stands in the coordinator's folder is known all the same."""
    try:
        with coordinator.registry() as client:
            known = client.proposed(sha256)
    except RegistryUnavailable as error:
        if not quiet:
            typer.echo(f"tahini: who approved is not known: {error}", err=True)
        return None
    reasons = {no.lender: no.reason for no in known.rejections}
    return Answers(known.active, known.approved_by, tuple((name, reasons.get(name, "")) for name in known.rejected_by))


def standing_of(coordinator: Coordinator, folder: Path, answers: Answers | None) -> Standing:
    """How a campaign stands now. Raises CoordinatorError for a damaged folder."""
    return Standing(
        campaign_in(folder), coordinator.home, read_state(folder), Progressed.read(folder),
        len(list(folder.glob("release-*.npz"))), wanted(folder), _serves(coordinator), answers, now(),
    )  # fmt: skip


def _serves(coordinator: Coordinator) -> bool:
    """Whether something listens where the coordinator's service would."""
    host, port = coordinator.settings.host, coordinator.settings.port
    try:
        with socket.create_connection(({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port), KNOCK_S):  # noqa: S104
            return True
    except OSError:
        return False
