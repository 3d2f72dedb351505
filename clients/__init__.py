"""What a partner lender runs.

- ``home``          the node's home: identity, keys, what its operator approved
- ``data``          the lender's rows: a loan book, files or a database of its own; opened by the gate alone
- ``consents``      the node's own copy of its borrowers' consent snapshots
- ``rules``         what an authorisation must fulfil, one function for each rule
- ``budget_ledger`` what was reserved and spent, kept across crashes
- ``gate``          the only door to rows: rules, consents, budget, roster commitment, then data
- ``admission``     which of a member's facts may be used
- ``releases``      what leaves the node: one masked vector for each release attempt
- ``renaming``      new names for old ones, in the ledger and in the book
- ``models``        released models, as the lender keeps and checks them
- ``app``           the Flower ClientApp
- ``service``       what ``tahini node serve`` runs: a SuperNode, and tasks of signed bundles only
- ``inbox``         revocations, as the registry delivers them
- ``witness``       the lender's witness of the consent log
- ``metrics``       figures for Prometheus; ``doctor`` findings about the home
- ``errors``        what a node refuses
"""
