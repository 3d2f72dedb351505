"""What the coordinator runs.

- ``home``       the coordinator's folder: identity, and for each campaign its rounds, model and card
- ``planning``   a campaign from a budget: noise multipliers that spend exactly what was asked for
- ``run``        one campaign's releases, from joining to the averaged model (pure but for the fleet it is given)
- ``app``        the Flower ServerApp around ``run``
- ``card``       the model card
"""
