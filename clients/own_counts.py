"""What this lender itself put into a figure of a watched model: exact counts, kept in its own home
and sent to nobody (:mod:`clients.releases` writes them).

With them it tells its own figures apart from those of the others together, which are the released
sum less its own (``tahini watch report``).
"""

from __future__ import annotations

from pathlib import Path

from clients.errors import NodeError
from clients.home import OWN_COUNTS_FOLDER


def kept_counts(home: Path, campaign_sha256: str) -> bytes | None:
    """None where this lender took no part, or kept none; raises NodeError."""
    path = home / OWN_COUNTS_FOLDER / f"{campaign_sha256}.json"
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NodeError(f"{path} cannot be read ({type(error).__name__})") from error
