"""Coordinator: proposes campaigns, runs what every lender signed, and adds up what nobody can read
alone.

- ``home``           the coordinator's folder: identity, and for each campaign its released sums,
                     model and card
- ``folders``        its campaigns' folders: found by their hash, read
- ``proposing``      from an operator's choices to a campaign that lenders can approve
- ``watching``       the same for campaigns that watch a released model
- ``commands``       what an operator has a campaign do: launch, stop, resume; how it stands
- ``budgets``        what campaigns spend of a person's budget, and what is left
- ``explaining``     what a plan says, and why its figures are what they are
- ``curves``         ROC, calibration and scores, from the released evaluation
- ``connections``    which lenders' nodes are connected, as the service sees it
- ``assessments``    impact assessments, recorded, and named by campaigns
- ``run``            a campaign's releases, from joining to the model, with retries; pure but for
                     the fleet it is given
- ``flower_fleet``   that fleet, behind a Flower grid
- ``fleet_app``      the Flower ServerApp: conducts one campaign up to its model card, may die at
                     any moment
- ``executor``       the process in which runs are conducted
- ``service``        what ``tahini coordinator serve`` runs: SuperLink, executor, and the loop that
                     reconciles
- ``desired_state``  whether a campaign should run, how far it is, what happened; ``status`` what
                     follows from that
- ``metrics``        the same for Prometheus; ``doctor`` the health of a home
- ``evidence``       the coordinator's part of an evidence pack
- ``errors``         what can go wrong
"""
