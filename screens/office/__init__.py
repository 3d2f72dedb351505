"""The lender's own staff at work: what must be done today, and nothing else.

It stands beside the lender's node and its desk and does what their commands do, by the same
functions: it signs with the node's key, and opens the desk's database. So it is served on the
lender's own machine alone.

- ``app``: the application: its pages.
- ``home``: where it listens.
- ``room``: what its pages share: node, desk, who is here, refusals.
- ``todo``: what waits, by when it is due; requests of people, the doctor's findings.
- ``campaigns``: a campaign reviewed, signed yes or no.
- ``models``: the card of what was released.
- ``consents``: how borrowers stand; revocations acknowledged.
- ``customers``: a link ticket for one customer, shown once.
- ``groups``: portraits: what may be done with whom, and who is in one.
- ``reviews``: the queue of cases, one case, a decision.
- ``portfolio``: how model and loans do; what campaigns cost borrowers.
- ``pictures``: charts of these.
- ``forms``: what its forms send; ``shown`` terms in words.
"""
