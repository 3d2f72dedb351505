"""What the coordinator's command modules share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic import ValidationError

from consent.cli_support import refuse_in_one_sentence
from consent.errors import ConsentError
from credit.errors import FeatureError, ModelError
from fleet.errors import FleetError
from privacy.errors import PrivacyError
from server.errors import CampaignStopped, CoordinatorError
from server.home import Coordinator

F = TypeVar("F", bound=Callable[..., Any])
Home = Annotated[Path, typer.Option(help="The coordinator's home folder.", exists=True, file_okay=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print as JSON.")]
OURS = (CoordinatorError, CampaignStopped, FleetError, FeatureError, ModelError, PrivacyError, ValueError)


def plainly(command: F) -> F:
    """What this room refuses on purpose becomes one sentence, like what the others refuse."""

    @refuse_in_one_sentence
    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> Any:
        try:
            return command(*arguments, **options)
        except ValidationError:  # a ValueError too; what it says is told by its place
            raise
        except OURS as error:
            raise ConsentError(" ".join(str(error).split())) from error

    return run  # type: ignore[return-value]


def campaign_folder(coordinator: Coordinator, campaign: str) -> Path:
    """The folder of the one campaign whose hash begins so; raises CoordinatorError."""
    found = [folder for folder in (coordinator.home / "campaigns").iterdir() if folder.name.startswith(campaign)]
    if len(found) != 1 or len(campaign) < 6:
        many = "several campaigns" if len(found) > 1 else "no campaign"
        raise CoordinatorError(f"{many} of {coordinator.home} begin with {campaign!r}; give more of the hash")
    return found[0]
