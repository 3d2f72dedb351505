"""The terms of a loan: what a lender offers, what falls due when, and what it costs everybody.

- ``products``    what a lender offers, as data
- ``schedule``    what falls due when; accrual
- ``irr``         roots of cash flows, in decimals
- ``cost``        all-in annual cost, simple and compound, the cap, and the rate that fits under it
- ``apr``         what other laws show: APR (Reg Z, Appendix J) and APRC (the Union)
- ``disclosure``  the table that a borrower is shown before a loan (综合融资成本明示表)
"""
