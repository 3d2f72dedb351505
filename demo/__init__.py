"""The whole path on one machine, from notice to audited model, with real processes and real loans.

This package stands above all rooms: it plays the founders, the lenders' operators, the borrowers and the auditor, each
through the same doors that the real ones would use.

- ``loans``       real loan tables, split into lenders and a hold-out
- ``consortium``  homes and signed identities of every party
- ``borrowers``   people who decide, each with a key
- ``local``       a consortium of processes that stay: ``tahini up``, once and again; ``doctor_cli`` looks at every home
- ``processes``   those processes: started, found again, stopped
- ``workspaces``  the folders that demo and up make: listed, held, removed
- ``services``    the registry and the coordinator as processes
- ``references``  what the consortium is compared with
- ``story``       the run itself, step by step; ``training`` and ``aftermath`` are its second half
- ``outcome``     what a run is asked and what it found out
- ``view``        what a person watches
- ``report``      report.json and report.html
"""
