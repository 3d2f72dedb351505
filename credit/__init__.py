"""The credit model as a domain: features, bins, models, scores, metrics. Pure; may import ``privacy``.

- ``features``    the feature registry: what may enter a model, under which consent, for how long
- ``dictionary``  a feature registry for a table that has none
- ``binning``     quantile bins from one private release; one-hot encoding
- ``models``      the scorecard (logistic regression on bins) and the MLP, as flat vectors and files
- ``scaling``     log-odds to the 350-950 score
- ``metrics``     AUC, KS, Gini, Brier, calibration error
- ``card``        the model card
"""
