"""Lending as a domain: money, dated law, score and reasons, policy, schedules, accounts, portfolio.
Pure: no clock, no I/O, no money in floating point; may import ``credit``, ``law`` and ``crypto``.

It is engineering, not legal advice.

- ``cases``       what a decision is made of, and what it says; ``records`` both as JSON and back
- ``errors``      what lending refuses, each with a sentence

Money and law

- ``money``       whole fen, daily and annual rates, the one rounding
- ``days``        day counts, and due days that keep their day of the month
- ``law``         dated law of lending: caps, LPR, what must be told, what may not be scored
- ``products``    what a lender offers, as data
- ``schedule``    what falls due when; accrual, early repayment, revolving balances
- ``irr``         roots of cash flows, in decimals
- ``cost``        all-in annual cost, simple and compound, the cap, and the rate that fits under it
- ``apr``         what other laws show: APR (Reg Z, Appendix J) and APRC (the Union)
- ``disclosure``  the table that a borrower is shown before a loan (综合融资成本明示表)

Score

- ``compiled``    a released model as look-up tables, equal to it
- ``protected``   what can never enter a score
- ``bands``       bands of the score as data, and what they mean
- ``scorer``      a score in whole points that add up to it
- ``reasons``     at most four reasons, and what would have to be different
- ``glossary``    which features are one reason, what they are called, what a person can change
- ``sentences``   those in words, in Chinese and English
- ``sql``         the scorecard as CSV and as one SQL expression

Policy

- ``conditions``  declared facts, and the cells of a decision table
- ``tables``      decision tables: three-valued, checked for gaps, overlaps and dead rows
- ``policy``      a credit policy: signed, dated tables; what the law says of its facts
- ``offers``      limit, price, cost and affordability: which terms somebody may have
- ``pricing``     what real products allow and cost, agreed, shown and extended
- ``decide``      from a case to a decision, by a policy; a challenger beside it
- ``replay``      a stored decision, made again and compared to the bit
- ``trying``      what a policy's tables say of somebody; ``differences`` of two policies, and for
                  whom
- ``jdm``         a policy's tables as GoRules' JSON Decision Model, and back

Account and portfolio

- ``loan_events``, ``loan_states``  a contract, what can happen to a loan, what may follow what
- ``loan_records``  contracts and events as they are stored
- ``account``, ``fold``             balances and two arrears clocks, folded from events
- ``ledger_rows``, ``restructuring``  what each due still asks for; extensions and new plans
- ``allocation``  in which order a payment is used
- ``extension``   when a loan may be given more time
- ``default``, ``labels``  one definition of bad; a loan book with mature labels
- ``vintages``    cumulative bad by age of the loans of one month
- ``portfolio``   roll rates, stages and expected loss, decisions, groups
- ``monitoring``  who comes, whether the model is right, what it expects before labels arrive
- ``intervals``   shares, their differences and ratios, each with its interval
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lending.scorer import Scorer

__all__ = ["Scorer"]


def __getattr__(name: str) -> Any:
    """``from lending import Scorer`` loads the libraries that a model needs; nothing else does."""
    if name == "Scorer":
        from lending.scorer import Scorer

        return Scorer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
