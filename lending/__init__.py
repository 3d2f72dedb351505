"""Lending as a domain: money, dated law, score and reasons, policy, schedules, accounts, portfolio.
Pure: no clock, no I/O, no money in floating point; may import ``credit``, ``law`` and ``crypto``.

It is engineering, not legal advice.

- ``errors``  what lending refuses, each with a sentence
- ``cases``   what a decision is made of, and what it says
- ``money``   whole fen, daily and annual rates, the one rounding
- ``days``    day counts, and due days that keep their day of the month
- ``law``     dated law of lending: caps, LPR, what must be told, what may not be scored
- ``products``    what a lender offers, as data
- ``schedule``    what falls due when; accrual, early repayment, revolving balances
- ``irr``         roots of cash flows, in decimals
- ``cost``        all-in annual cost, simple and compound, the cap, and the rate that fits under it
- ``disclosure``  the table that a borrower is shown before a loan (综合融资成本明示表)
- ``apr``     what other laws show: APR (Reg Z, Appendix J) and APRC (the Union)
"""
