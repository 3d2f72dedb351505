"""Screens: what each of four kinds of people would rather look at than read.

Server-rendered pages, plain forms, a few ES modules of ours; no build step and no framework. Each
app is an ordinary client of the API that it shows, with an origin of its own. Nothing here is part
of what lenders sign.

- ``house``: what the apps have in common: headers, origins, sessions, log-in, forms, words, charts.
- ``common``: documents of the protocol as several apps show them.
- ``homes``: what the apps that people reach from outside must know, and whom they believe.
- ``viewer``: the auditor's: does the log verify, and what stands in it.
- ``console``: the coordinator's: what runs, what it costs, who is missing; propose, launch, stop.
- ``office``: the lender's own staff: what must be done today, and nothing else.
- ``counter``: a borrower at a lender: apply, be told why, accept, repay.
- ``portal``: the borrower's: what I am asked, what I gave, who used it, and taking it back.
"""
