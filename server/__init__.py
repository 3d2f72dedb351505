"""Coordinator: proposes campaigns, runs what every lender signed, and adds up what nobody can read alone.

- ``home``       the coordinator's home: identity, and for each campaign its released sums, model and card
- ``folders``    its campaigns' folders: found by their hash, read
- ``proposing``  from what a coordinator asks for to a campaign
- ``desired``    desired state of a campaign, and its events: small files in its folder
- ``standing``   status of a campaign: what it waits for, what it cost, whether it can go on (pure)
- ``run``        a campaign's releases, from joining to the model, with retries (pure but for the fleet it is given)
- ``app``        the Flower ServerApp around ``run``
- ``fleet_app``  the same for a deployed consortium, whose runs may die at any moment
- ``service``    what ``tahini coordinator serve`` runs: a SuperLink, and what is wanted
- ``executor``   the process that runs belong to
- ``metrics``    figures for Prometheus
- ``doctor``     what must be in order in a coordinator's home
- ``errors``     what stops a campaign, what the coordinator refuses
"""
