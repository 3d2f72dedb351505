"""Lending as a domain: money, dated law, score and reasons, policy, schedules, accounts, portfolio.
Pure: no clock, no I/O, no money in floating point; may import ``credit``, ``law`` and ``crypto``.

It is engineering, not legal advice.

- ``cases``       what a decision is made of, and what it says
- ``conditions``  declared facts, and the cells of a decision table
- ``tables``      decision tables: three-valued, checked for gaps, overlaps and dead rows
- ``policy``      a credit policy: signed, dated tables; what the law says of its facts
- ``jdm``         a policy's tables as GoRules' JSON Decision Model, and back
- ``offers``      limit, price, cost and affordability: which terms somebody may have
- ``decide``      from a case to a decision, by a policy; a challenger beside it
- ``trying``      what a policy's tables say of somebody; ``differences`` of two policies, and for
                  whom
- ``records``     cases and decisions as JSON and back, exactly
- ``replay``      a stored decision, made again and compared to the bit
"""
