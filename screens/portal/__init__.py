"""The borrower's pages: what I am asked, what I have given, who used it, and taking it back.

An ordinary client of the consent registry: it has no key, no database, and can do no more than a
borrower's own token can.

- ``home``: what the portal must know, and where it listens.
- ``app``: the application: its pages, and what is open while it runs.
- ``registry``: the registry as a borrower's token sees it.
- ``visit``: who is here: a borrower at the registry.
- ``consents``: what I am asked and what I gave: answer, pause, withdraw.
- ``differences``: what a newer text of a notice says otherwise.
- ``signing``: answers that a key of the person's own has signed.
- ``devices``: the keys of the person's devices.
- ``rights``: what I ask of a lender, and what lenders say that I said.
- ``asking``: requests in words.
- ``models``: the card of a model that my data may have helped to train.
- ``lenders``: whom my log-in is linked to, and incidents.
- ``pending``: what somebody sends when their visit has ended.
- ``proofs``: receipts, the log's head, and who used my data.
- ``leaving``: take everything with me; be forgotten.
- ``forms``: what the pages' forms send.
- ``shown``: the registry's answers in words.
"""
