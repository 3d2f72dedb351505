"""What the coordinator runs.

- ``home``       the coordinator's folder: identity, and for each campaign its released sums, model and card
- ``run``        one campaign's releases, from joining to the model, with retries (pure but for the fleet it is given)
- ``app``        the Flower ServerApp around ``run``
- ``card``       the model card
"""
