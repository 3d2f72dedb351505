"""What a partner lender runs.

- ``node``      the node's home: identity, keys, what its operator approved
- ``source``    the lender's rows: a loan book, or what ``sources`` reads; opened by the gate alone
- ``sources``   CSV, Parquet and databases, in chunks, under the registry's names
- ``renaming``  new names for old ones, in the ledger and in the book
- ``rules``     the checks an authorisation must pass, one small rule each
- ``store``     the node's own ledger: what was reserved and spent, kept across crashes
- ``gate``      the only door to rows: rules, consent state, budget, roster commitment, then data
- ``admission`` what of a member's row may be used
- ``releases``  what is computed from a batch: noisy histograms, DP-SGD
- ``app``       the Flower ClientApp
- ``service``   what ``tahini node serve`` runs: a SuperNode, and tasks of signed bundles only; ``doctor`` its health
- ``checking``  whether the lender's data can be used, for its own operator
- ``witness``   the lender's witness of the consent log
"""
