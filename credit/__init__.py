"""Credit model as a domain: features, bins, models, scores, metrics. Pure; may import ``privacy``.

- ``features``    the feature schema: what may enter a model, under which consent, for how long
- ``validation``  what people hand in, checked: a schema's file, a table
- ``values``      what one value says: numbers, codes, moments
- ``reference``   the reference of the feature schema, written from the models that check it
- ``schema_inference``  a feature schema for a table that has none
- ``dyadic``      a tree over all doubles that no data shaped
- ``ahead``       work on some chunks while the next are read
- ``edges``       how many edges each of many values has passed
- ``grid``        cells over every feature, which one private release counts
- ``binning``     quantile bins, as one private release leaves them
- ``cutting``     how they are cut out of it, at any scale
- ``embedding``   what a model makes of people's bins
- ``kinds``       what can be trained
- ``planning``    from a budget to releases and their noise
- ``questions``   what a release asks of every lender, and how it travels
- ``contributions``  how a lender answers: exact whole numbers of its people, and one share of noise
- ``tasks``       what each kind of release asks of rows
- ``whitening``   coordinates in which few steps suffice
- ``descent``     how far a descent gets under noise: its step, ridge and clip
- ``monotone``    points that go the way a feature declares
- ``learning``    from released sums to a model: the fold
- ``models``      the scorecard (logistic regression on bins), the GAM and the MLP, as flat vectors
                  and files
- ``pairs``       pairwise terms of a GAM
- ``boosting``    which pairs are asked about, and what a released sum makes of them
- ``evaluation``  what held-out people add to a histogram
- ``quality``     figures on them from its noisy sum
- ``metrics``     AUC, KS, Gini, Brier, calibration error
- ``remarks``     what to know before a model is trusted
- ``scaling``     log-odds to the 350-950 score
- ``simulation``  a whole campaign in one process
- ``auditing``    an attack on a whole campaign, with canaries
- ``errors``      features, tables and model files that do not fit
"""
