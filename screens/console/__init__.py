"""The coordinator's console: what runs, what it costs, who is missing, and what to do about it.

Over the coordinator's own home, on its own machine. Pages call what the commands call.

- ``home``: where the console listens.
- ``app``: the application and its pages.
- ``sight``: what is known now: campaigns, lenders' answers, who is connected.
- ``overview``: the first page, budgets, health.
- ``campaigns``: one campaign: watch it, launch it, stop it, go on with it.
- ``proposals``: propose the next one, with its price.
- ``proposal_form``: what the form of a proposal sends, and what is wrong with it.
- ``cards``: a released model's card with its pictures.
- ``pictures``: charts of a campaign and of its evaluation.
- ``shown``: a campaign's state in words.
- ``once``: a button that is tapped twice acts once.
"""
