"""What this lender itself put into a figure of a watched model: exact counts, kept in its own home
and sent to nobody.

With them it tells its own figures apart from those of the others together, which are the released
sum less its own (``tahini watch report``).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from clients.errors import NodeError
from crypto.keys import replace_file

FOLDER = "watched"


def keep_counts(home: Path, campaign_sha256: str, counts: dict[str, Any]) -> None:
    """Of the newest attempt, in place of an earlier one's; durable when this returns."""
    (home / FOLDER).mkdir(mode=0o700, exist_ok=True)
    replace_file(home / FOLDER / f"{campaign_sha256}.json", json.dumps(counts).encode())


def kept_counts(home: Path, campaign_sha256: str) -> bytes | None:
    """None where this lender took no part, or kept none; raises NodeError."""
    path = home / FOLDER / f"{campaign_sha256}.json"
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NodeError(f"{path} cannot be read ({type(error).__name__})") from error
