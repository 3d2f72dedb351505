"""Lending as a domain: money, dated law, score and reasons, policy, schedules, accounts, portfolio.
Pure: no clock, no I/O, no money in floating point; may import ``credit``, ``law`` and ``crypto``.

It is engineering, not legal advice.

- ``cases``      what a decision is made of, and what it says; ``records`` both as JSON and back
- ``errors``     what lending refuses, each with a sentence
- ``money``      whole fen, daily and annual rates, the one rounding
- ``days``       day counts, and due days that keep their day of the month
- ``intervals``  shares, their differences and ratios, each with its interval
- ``law``        dated law of lending: caps, LPR, what must be told, what may not be scored
- ``terms``      products, schedules, what a loan costs, what a borrower is shown before it
- ``score``      a released model as points with reasons
- ``policy``     decision tables, and what is decided by them
- ``account``    one loan: what happened to it, balances, arrears
- ``portfolio``  all loans: vintages, losses, labels, and the model watched
- ``portraits``  segments of a lender's own customers, by rule, and what may be done with each
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lending.score.scorer import Scorer

__all__ = ["Scorer"]


def __getattr__(name: str) -> Any:
    """``from lending import Scorer`` loads the libraries that a model needs; nothing else does."""
    if name == "Scorer":
        from lending.score.scorer import Scorer

        return Scorer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
