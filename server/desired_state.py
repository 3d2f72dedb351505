"""A campaign's desired state, its state, and its events: small files in its folder, whole or not at
all.

Commands write what is desired; the service reconciles, and its runs write the state. Whoever dies
in between finds both again. ``events.jsonl`` is what happened, a line each.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from crypto.keys import replace_file
from protocol.schema import now
from server.errors import CoordinatorError
from server.home import CARD_FILE

WANTED_FILE, STATE_FILE, EVENTS_FILE, BUNDLE_FILE = (
    "wanted.json",
    "state.json",
    "events.jsonl",
    "bundle.fab",
)


class Stage(StrEnum):
    PROPOSED = "proposed"
    RUNNING = "running"
    STOPPED = "stopped"
    """With a reason; ``tahini campaign resume`` goes on where it stopped."""
    RELEASED = "released"


class CampaignState(BaseModel):
    """How far a campaign is, and why it stopped."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: Stage
    reason: str = ""
    at: datetime


def read_state(folder: Path) -> CampaignState:
    """Raises CoordinatorError if the file is damaged. A signed card beside the model is the last
    word."""
    if (folder / CARD_FILE).exists():
        released_at = datetime.fromtimestamp((folder / CARD_FILE).stat().st_mtime).astimezone()
        return CampaignState(stage=Stage.RELEASED, at=released_at)
    try:
        return CampaignState.model_validate_json((folder / STATE_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return CampaignState(stage=Stage.PROPOSED, at=now())
    except (OSError, ValidationError) as error:
        raise CoordinatorError(f"{folder / STATE_FILE} is damaged") from error


def write_state(folder: Path, stage: Stage, reason: str = "") -> None:
    replace_file(
        folder / STATE_FILE,
        CampaignState(stage=stage, reason=reason, at=now()).model_dump_json().encode(),
    )


def request_run(folder: Path, run: bool) -> None:
    """Set the desired state: whether the campaign should run."""
    replace_file(folder / WANTED_FILE, json.dumps({"run": run}).encode())


def run_requested(folder: Path) -> bool:
    """The desired state: whether the campaign should run."""
    try:
        return bool(json.loads((folder / WANTED_FILE).read_text(encoding="utf-8"))["run"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def record_event(folder: Path, event: dict[str, Any]) -> None:
    """Append an event, durably."""
    line = json.dumps({"at": now().isoformat(), **event}) + "\n"
    with (folder / EVENTS_FILE).open("a", encoding="utf-8") as file:
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def events(folder: Path, after: int = 0) -> Iterator[dict[str, Any]]:
    """Events from line ``after`` on; a last line that was cut off by a crash is no event."""
    path = folder / EVENTS_FILE
    if not path.exists():
        return
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file):
            if number >= after and line.endswith("\n"):
                try:
                    yield dict(json.loads(line))
                except ValueError:
                    continue
