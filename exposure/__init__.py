"""Joint exposure (多头借贷) between two servers that learn no amount. Pure: documents in, documents
out; no clock, no storage, no network.

- ``amounts``   what one person owes, and whether more may be lent
- ``lending``   a lender's side: parts of statements and questions, answers put together
- ``book``      what a server holds of one person, and how each operation changes it
- ``ordering``  one order of operations for both servers
- ``server``    a server's side: whose document it is, whether it may be answered, receipts, answers
- ``envelopes`` what passes through the registry, sealed
- ``errors``    what is refused, and what is not believed
"""
