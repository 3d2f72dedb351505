"""A lender's lending service: applications, decisions, loans, review.

It runs beside the lender's node, on its own database; other lenders and the registry learn nothing
from it. What it decides by is in ``lending``, which is pure.

- ``errors``      what only this room refuses
- ``home``        a desk's folder, and the desk that is opened from it; ``service`` serves it
- ``office``      a desk at work: one transaction, one moment, for each change
- ``grouping``    many callers, one transaction; ``courses``  one command for many callers

Before and after a decision

- ``consents``    who may be scored, on which kinds of data
- ``assessed``    what scoring may do to people's rights, as the lender assessed it before
- ``sources``     where facts come from, each with a deadline and a consent; ``gathering`` what
                  several tell of several people, ``own_tables`` the lender's own, ``verifying``
                  third parties that check what was stated; ``described`` both, as a file has them
- ``retention``   how long a fact may be used
- ``lending_rules``  the seam to what is decided by, ``servicing_rules`` to what loans are serviced
                  by; ``score_rules`` a model that scores, or is tried in shadow; ``released`` what
                  a lender released,
                  ``rulebook`` whatever decisions were made by, kept by its hash
                  (``rule_documents``),
                  ``challenging`` a policy or a model that is tried beside the one in use,
                  ``standing`` whether a model was recalled
- ``portraying``  portraits of the lender's customers: what they read, whose consents cover it
- ``trail``       what it reads and decides, stated in the log; ``statements`` the signed words,
                  ``outbox`` their delivery
- ``wording``     reasons and letters in words; ``disclosing`` what may be told of a decision,
                  ``principles`` what everybody may know of how people are scored

What is kept

- ``storage``     tables, triggers, idempotency
- ``sealing``     what is kept of people, sealed at rest
- ``states``      what may follow what, of an application and of a review
- ``records``     applications and decisions; ``reviewing`` the queue of reviews
- ``accounts``    loans, folded from their events; ``lapsing`` acceptances that none came of

What calls it

- ``commands``    what it does, a command a file
- ``callers``     who may call; ``customers`` who calls for themselves, whom ``vouching`` tells;
                  ``api`` the HTTP face
"""
