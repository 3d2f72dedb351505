"""Lender's node: the only place where rows of people are read, and what it lets out.

- ``home``           the node's home: identity, keys, what its operator approved
- ``data``           where rows come from: loan books, files, databases
- ``gate``           the only door to rows: rules, consent state, budget, roster commitment, then
                     data
- ``rules``          what must hold before a row is read
- ``consents``       the node's own copy of how its borrowers stand
- ``inbox``          revocations delivered, acknowledged; ``erasures`` acted on; ``syncing`` by hand
- ``approving``      campaigns reviewed, a yes or no signed; ``answering`` requests of borrowers
- ``budget_ledger``  privacy-budget ledger: what was reserved and spent, kept across crashes
- ``budgets``        what campaigns cost, in figures
- ``ledger_tables``  the ledger's tables, append-only by trigger
- ``admission``      what of a member's row may be used
- ``own_counts``  what this lender itself put into a figure of a watched model
- ``releases``       what leaves a node: one masked vector per release attempt
- ``app``            the Flower ClientApp
- ``service``        what ``tahini node serve`` runs: a SuperNode, and tasks of signed bundles only
- ``models``         released models, kept with all that they rest on
- ``naming``         people named, from the command line
- ``sampling``       drawn members of rosters, opened to the auditor; ``evidence`` packs
- ``renaming``       new names for old ones, in the ledger and in the book
- ``proving``        proofs of who was in which release, for the person themselves; ``opening`` the
                     rosters that they are made from
- ``witness``        the lender's witness of the consent log
- ``metrics``        figures for Prometheus
- ``doctor``         what must be in order in a node's home
- ``errors``         what a node refuses
"""
