"""Consortium on one machine, from notice to audited model, with real processes and real loans.

This package stands above all rooms: it plays the founders, the lenders' operators, the borrowers
and the auditor, each through the same doors that the real ones would use.

- ``scenario``    the run of ``tahini demo``, step by step; ``campaigns`` proposed and approved,
                  ``training`` and ``evaluation`` are its second half
- ``result``      what a run is asked, and what each part of it finds out
- ``progress``    what a person watches
- ``report``      report.json and report.html; ``charts`` its pictures; ``loop_report`` what it says
                  of the two years
- ``references``  what the consortium is compared with
- ``loans``       real loan tables, split into lenders and a hold-out
- ``consortium``  homes and signed identities of every party; ``identities`` who they would be in
                  law
- ``assessing``   the impact assessment of its campaigns
- ``borrowers``   people who decide, each with a key; ``population`` all of them, named, enrolled
                  and asked; ``scoring_notice`` what applicants are asked
- ``borrowing``   a person at the consortium of ``tahini up``; ``requesting`` what they ask their
                  lender; ``portal`` the same in a run of the demo
- ``lending``     after the training: three people apply at a lending desk; ``desk_homes`` what a
                  risk officer puts there; ``standing_desk`` that of ``tahini up``
- ``two_years``   two years of a desk over a calendar that the demo moves; ``branches`` the desk's
                  home, ``repaying`` what borrowers do with their loans
- ``retraining``  a lender's node reads its own loans, and everybody trains again
- ``pages``       the pages of such a consortium, and the issuer at which borrowers log in;
                  ``looking`` at those of what a demo left
- ``deployment``  a consortium of processes that stay: ``tahini up``, once and again; ``outside``
                  how to verify its log
- ``processes``   processes of this machine: started, found again, stopped
- ``workspaces``  the folders that demo and up make: listed, held, removed
- ``coordinator`` the coordinator's process, and what is said to it; ``simulation`` what runs in it
- ``sources``     a lender's rows through each kind of store; ``through`` their names
- ``errors``      what can go wrong
"""
