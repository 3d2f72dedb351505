"""A hash as people give it: its beginning, as long as it means one thing only. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from protocol.errors import NotFound

SHOWN = 12
"""Characters of a hash that are printed where it is long enough to be meant."""
MAX_NAMED = 5


def whole_hash(begins: str, known: Mapping[str, str], where: str) -> str:
    """The one known hash that begins so.

    Args:
        known: hashes, and what people call each. where: of whom they are, for the sentence.

    Raises:
        NotFound: none begins so, or several; the message names them.
    """
    wanted = begins.strip().rstrip("….").lower()
    found = sorted(sha256 for sha256 in known if wanted and sha256.startswith(wanted))
    if len(found) == 1:
        return found[0]
    if found:
        raise NotFound(
            f"{begins!r} is the beginning of {len(found)} campaigns {where}: {_named(found, known)}"
        )
    there = (
        f"; there {'are' if len(known) > 1 else 'is'} {_named(list(known), known)}" if known else ""
    )
    raise NotFound(f"no campaign {where} begins with {begins!r}{there}")


def _named(hashes: list[str], known: Mapping[str, str]) -> str:
    told = [
        f"{sha256[:SHOWN]} ({known[sha256]})" if known[sha256] else sha256[:SHOWN]
        for sha256 in hashes
    ]
    more = f" and {len(told) - MAX_NAMED} more" if len(told) > MAX_NAMED else ""
    return ", ".join(told[:MAX_NAMED]) + more
