"""Orders to erase somebody, as a node leaves them for the desks beside it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from support.world import pseudonym

from protocol.revocations import Revocation
from protocol.uses import SCORING_PURPOSE


def ordered(folder: Path, name: str, at: datetime, number: int = 1) -> Path:
    """As ``clients.erasures`` writes it."""
    said = {"recipient": "aspen", "number": number, "pii_principal_id": name, "purpose": SCORING_PURPOSE}
    one = Revocation(**said, sensitivity="ordinary", event_type="erase", event_time=at, place=0, tombstone=pseudonym())
    folder.mkdir(exist_ok=True)
    (folder / str(number)).write_text(one.model_dump_json(), encoding="utf-8")
    return folder / str(number)
