"""Lending as a domain: money, dated law, score and reasons, policy, schedules, accounts, portfolio.
Pure: no clock, no I/O, no money in floating point; may import ``credit``, ``law`` and ``crypto``.

It is engineering, not legal advice.

- ``cases``  what a decision is made of, and what it says
- ``money``  whole fen, and the one rounding
- ``days``  day counts
- ``loan_events``, ``loan_states``  a contract, what can happen to a loan, and what may follow what
- ``loan_records``  contracts and events as they are stored
- ``account``, ``fold``  balances and two arrears clocks, folded from events
- ``ledger_rows``, ``restructuring``  what each due still asks for; extensions and new plans of them
- ``extension``  when a loan may be given more time
- ``default``, ``labels``  one definition of bad; a loan book with mature labels
- ``vintages``  cumulative bad by age of the loans of one month
- ``portfolio``  roll rates, stages and expected loss, decisions, groups
- ``monitoring``  who comes, whether the model is right, what it expects before labels arrive
- ``intervals``  shares, their differences and ratios, each with its interval
- ``allocation``  in which order a payment is used
- ``errors``  what lending refuses, in one sentence each
"""
