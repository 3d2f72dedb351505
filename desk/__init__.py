"""A lender's lending service: applications, decisions, loans, review.

It runs beside the lender's node, on its own database; other lenders and the registry learn nothing
from it. What it decides by is in ``lending``, which is pure.

- ``consents``    who may be scored, on which kinds of data
- ``trail``       what it reads and decides, stated in the log; ``statements`` the signed words,
                  ``outbox`` their delivery
"""
