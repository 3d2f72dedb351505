"""The ``tahini`` command: one file per noun. Nothing here is part of the code that a lender signs.

- ``shared``            options, progress, JSON beside text, and errors as one sentence
- ``registry``          run the consent registry; ``registry_init``, ``registry_load`` its larger commands
- ``log``               serve, append to, check and export a log; ``log_reading`` read, prove and verify one
- ``keys``, ``party``   keys of one's own; an institution's keys at the registry
- ``issuer``            an OIDC issuer for development
- ``names``             the naming service
- ``node``              a lender's node; ``check_data`` looks at its data
- ``book``, ``borrowers``  name a lender's people, enrol them
- ``budget``, ``consents``, ``model``  what is left, who said yes, what was trained
- ``witness``           a lender's witness of the log
- ``coordinator``       the coordinator
- ``campaign``          propose and run campaigns; ``campaign_lender`` review, approve, reject
- ``campaign_folders``  campaigns in a coordinator's home; ``choices`` what they can be of
- ``ca``                a consortium's certificate authority
- ``doctor``            what must be in order
- ``privacy``           attack the installed build
- ``demo``, ``up``, ``down``, ``workspaces``, ``borrower``  a whole consortium on one machine
"""
