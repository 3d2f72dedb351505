"""What a partner lender runs.

- ``node``      the node's home: identity, keys, what its operator approved
- ``source``    the lender's loan book; opened by the gate and by nothing else
- ``renaming``  new names for old ones, in the ledger and in the book
- ``rules``     the checks an authorisation must pass, one small rule each
- ``store``     the node's own ledger: what was reserved and spent, kept across crashes
- ``gate``      the only door to rows: rules, consent state, budget, roster commitment, then data
- ``releases``  what is computed from a batch: noisy histograms, DP-SGD
- ``app``       the Flower ClientApp
- ``witness``   the lender's witness of the consent log
"""
