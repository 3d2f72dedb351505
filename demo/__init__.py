"""Consortium on one machine, from notice to audited model, with real processes and real loans.

This package stands above all rooms: it plays the founders, the lenders' operators, the borrowers and the auditor, each
through the same doors that the real ones would use.

- ``scenario``    the run of ``tahini demo``, step by step; ``training`` and ``evaluation`` are its second half
- ``result``      what a run is asked and what it found out
- ``progress``    what a person watches
- ``report``      report.json and report.html; ``charts`` of it
- ``references``  what the consortium is compared with
- ``loans``       real loan tables, split into lenders and a hold-out
- ``consortium``  homes and signed identities of every party
- ``borrowers``   people who decide, each with a key
- ``population``  those people named, enrolled, asked; ``portal`` where one of them withdraws
- ``services``    the registry and the coordinator as processes
- ``simulation``  Flower's simulation engine as the coordinator's process
- ``deployment``  a consortium of processes that stay: ``tahini up``, once and again
- ``processes``   those processes: started, found again, stopped
- ``workspaces``  the folders that demo and up make: listed, held, removed
- ``borrowing``   a borrower of a workspace, played
- ``outside``     what somebody from outside types to verify the log
- ``sources``     a table as a lender would keep it, for attacks; ``through`` in what
- ``errors``      why the demo cannot go on
"""
