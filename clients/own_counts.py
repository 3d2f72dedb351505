"""What this lender itself put into a figure of a watched model: exact counts, kept in its own home
and sent to nobody (:mod:`clients.releases` writes them).

With them it tells its own figures apart from those of the others together, which are the released
sum less its own (``tahini watch report``).
"""

from __future__ import annotations

from clients.errors import NodeError
from clients.home import OWN_COUNTS_FOLDER, Node
from protocol.cards import ModelCard

COUNT_BYTES = 8


def kept_counts(node: Node, card: ModelCard) -> list[int] | None:
    """In the order of the sum. None where this lender is not among those whose sum was released: it
    took no part, or was lost on the way with counts that it kept.

    Raises:
        NodeError: they cannot be read.
    """
    path = node.home / OWN_COUNTS_FOLDER / f"{card.campaign_sha256}.counts"
    if node.lender not in card.lenders or not path.exists():
        return None
    try:
        kept = path.read_bytes()
    except OSError as error:
        raise NodeError(f"{path} cannot be read ({type(error).__name__})") from error
    if len(kept) % COUNT_BYTES:
        raise NodeError(f"{path} is damaged: it holds no whole number of counts")
    starts = range(0, len(kept), COUNT_BYTES)
    return [int.from_bytes(kept[at : at + COUNT_BYTES], "little", signed=True) for at in starts]
