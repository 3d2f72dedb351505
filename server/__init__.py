"""What the coordinator runs.

- ``home``       the coordinator's folder: identity, and for each campaign its released sums, model and card
- ``run``        one campaign's releases, from joining to the model, with retries (pure but for the fleet it is given)
- ``app``        the Flower ServerApp around ``run``
- ``fleet_app``  the same for a deployed consortium, whose runs may die at any moment
- ``service``    what ``tahini coordinator serve`` runs; ``desired`` what its operator wants; ``doctor`` its health
- ``card``       the model card
"""
