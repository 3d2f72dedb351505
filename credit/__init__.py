"""The credit model as a domain: features, bins, models, scores, metrics. Pure; may import ``privacy``.

- ``features``    the feature schema: what may enter a model, under which consent, for how long
- ``dictionary``  a feature schema for a table that has none
- ``dyadic``      a tree over all doubles that no data shaped
- ``binning``     quantile bins from one private release, at any scale
- ``embedding``   what a model makes of people's bins
- ``planning``    from a budget to releases and their noise
- ``questions``   what a release asks of every lender, and how it travels
- ``tasks``       how a lender answers: exact contributions, kind by kind
- ``coordinates`` whitening, so that few steps suffice
- ``learning``    from released sums to a model: the fold
- ``evaluation``  figures on held-out people from a noisy sum
- ``remarks``     what to know before a model is trusted
- ``rehearsal``   all of it in one process
- ``models``      the scorecard (logistic regression on bins) and the MLP, as flat vectors and files
- ``scaling``     log-odds to the 350-950 score
- ``metrics``     AUC, KS, Gini, Brier, calibration error
- ``card``        the model card
"""
