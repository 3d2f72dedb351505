"""A lender's own front for its borrowers: apply, be told why, accept, ask for a person, repay.

An ordinary client of the lender's desk and of the consent registry, with the borrower's own tokens:
it has no key and no database, and reaches nobody else and no other lender.

- ``home``: what the counter must know, and where it listens.
- ``app``: the application: its pages, and what is open while it runs.
- ``visit``: who is here: a customer at the desk and at the registry; what they began to ask for.
- ``start``: my applications and loans.
- ``applying``: amount and term, data, check, send.
- ``decided``: an application: what was decided and why, accept, take back, a person, a receipt.
- ``owed``: a loan: what was paid, what is due, more time.
- ``grouped``: which groups of customers I am in, and why; I object.
- ``forms``: what the pages' forms send.
- ``shown``: the desk's answers in words.
"""
