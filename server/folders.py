"""Campaign folders in a coordinator's home: found by their hash, read, and how the campaign in one
stands."""

from __future__ import annotations

import socket
from pathlib import Path

from crypto.errors import CryptoError
from protocol.campaigns import Campaign
from protocol.cards import ModelCard
from protocol.hashes import whole_hash
from protocol.schema import now
from protocol.watched import ModelReference
from server.desired_state import read_state, run_requested
from server.errors import BadOption, CoordinatorError
from server.home import CARD_FILE, Coordinator, Progressed
from server.status import Answers, CampaignStatus

CAMPAIGN_FILE = "campaign.jws"
KNOCK_S = 0.5


def campaigns_of(coordinator: Coordinator) -> dict[str, str]:
    """Hash and id of every campaign in the coordinator's home."""
    folders = [
        folder
        for folder in (coordinator.home / "campaigns").iterdir()
        if (folder / CAMPAIGN_FILE).exists()
    ]
    return {folder.name: campaign_in(folder).id for folder in folders}


def campaign_in(folder: Path) -> Campaign:
    """The campaign that a folder is of; raises CoordinatorError."""
    try:
        return Campaign.claimed((folder / CAMPAIGN_FILE).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, CryptoError) as error:
        raise CoordinatorError(f"{folder / CAMPAIGN_FILE} is damaged ({error})") from error


def card_in(coordinator: Coordinator, folder: Path) -> ModelCard:
    """The card of what a campaign released. Raises CoordinatorError: none yet, or it is damaged."""
    path = folder / CARD_FILE
    try:
        return ModelCard.verify(path.read_text(encoding="utf-8"), coordinator.key.public)
    except FileNotFoundError as error:
        raise CoordinatorError(
            f"campaign {folder.name[:12]} has not released a model yet: there is none to watch, or "
            "to begin with"
        ) from error
    except (OSError, UnicodeDecodeError, CryptoError) as error:
        raise CoordinatorError(f"{path} is damaged ({error})") from error


def released_by(
    coordinator: Coordinator, sha256: str, option: str = "model"
) -> tuple[Campaign, ModelReference]:
    """A campaign of this coordinator's that ``option`` named, and the model that it released, as
    its card names it.

    Raises:
        BadOption: it released figures. CoordinatorError: it released nothing, or what is kept of it
            is damaged.
    """
    folder = coordinator.home / "campaigns" / sha256
    trained = campaign_in(folder)
    if trained.watched is not None:
        raise BadOption(
            option, "no-model", f"names {trained.id!r}, which released figures and no model"
        )
    card = card_in(coordinator, folder)
    return trained, ModelReference(campaign_sha256=sha256, model_sha256=card.model_sha256)


def campaign_folder(coordinator: Coordinator, begins: str) -> Path:
    """The folder of the one campaign whose hash begins so; raises NotFound."""
    return (
        coordinator.home
        / "campaigns"
        / whole_hash(begins, campaigns_of(coordinator), f"of {coordinator.home}")
    )


def standing_of(coordinator: Coordinator, folder: Path, answers: Answers | None) -> CampaignStatus:
    """How a campaign stands now. Raises CoordinatorError for a damaged folder."""
    return CampaignStatus(
        campaign_in(folder),
        coordinator.home,
        read_state(folder),
        Progressed.read(folder),
        len(list(folder.glob("release-*.npz"))),
        run_requested(folder),
        _serves(coordinator),
        answers,
        now(),
    )


def _serves(coordinator: Coordinator) -> bool:
    """Whether something listens where the coordinator's service would."""
    host, port = coordinator.settings.host, coordinator.settings.port
    try:
        with socket.create_connection(
            ({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port),  # noqa: S104
            KNOCK_S,
        ):
            return True
    except (OSError, UnicodeError):  # nobody there, or no name of a host
        return False
