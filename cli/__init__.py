"""Commands of ``tahini``: one file per noun. Nothing here is part of the code that a lender signs.

- ``shared``       conventions: nouns, options, errors as one sentence, progress, JSON beside text
- ``quality``      how good a model is, in lines
- ``forms``        TOML forms that people fill in; ``institution`` whose home a command was given;
                   ``staff`` which member of its staff runs it; ``staff_leaving`` who has left;
                   ``pinned`` the consortium document of whoever has no home

Everything on this machine

- ``demo``         from notice to audited model, and a report
- ``up``           a whole consortium, up and down
- ``workspaces``   what those two leave behind: listed, removed
- ``borrower``     a borrower of a workspace, played

Everybody

- ``doctor``       what must be in order
- ``keys``         keys of one's own
- ``receipt``      what a borrower keeps, verified offline
- ``party``        an institution's keys at the registry; ``legal_form`` who it is in law
- ``ca``           a consortium's certificate authority
- ``incident``     incidents: reported, told, closed, rehearsed

Lender

- ``node``         the node: made, joined, served, its data checked
- ``book``         a lender's people named, and renamed; ``book_retention`` what may not stay in a
                   loan book deleted
- ``borrowers``    those people enrolled at the registry
- ``consents``     who said yes
- ``requests``     what they ask, and what it answers
- ``budget``       what campaigns cost, and what is left
- ``model``        what was trained
- ``desk``         a lender's lending service: made, served, its queue, its loan book;
                   ``desk_monitor`` its model and loans watched; ``desk_loans`` a loan repaid
                   early; ``desk_upkeep`` people told, what ended forgotten,
                   ``desk_portraits`` people in named groups
- ``office``       the pages of the lender's own staff: served; ``counter`` those of its borrowers
- ``score``        applicants scored by it, with points and reasons
- ``witness``      a witness of the consent log
- ``policy``       credit policies: checked, compared, tried, signed, to GoRules and back

Coordinator

- ``coordinator``  the coordinator: made, joined, served; ``console`` its pages
- ``campaign``     campaigns proposed, run, watched; ``campaign_status`` how one is shown;
                   ``campaign_plan`` its plan, explained
- ``assessment``   impact assessments: the form, and what was recorded
- ``watch``        what watching costs; public series, and what they would do to vintages;
                   ``watch_campaigns`` a model watched together, ``watch_kept`` the figures that a
                   home has of it, ``watch_report`` its page, ``watch_metrics`` for Prometheus
- ``campaign_review``  a campaign reviewed, approved, rejected by a lender

Registry operator, naming service

- ``registry``     the consent registry: founded, served, loaded; ``registry_amend`` signed anew;
                   ``registry_retention`` what is deleted in time
- ``notice``       what borrowers are asked: checked, published
- ``portal``       the borrower's pages: made, served; ``public_pages`` the same for a counter
- ``issuer``       an OIDC issuer for development
- ``names``        the naming service

Auditor

- ``log``          a log served, appended to, checked, exported; ``log_reading`` read, proved and
                   verified from outside; ``succession`` handed over from auditor to auditor
- ``evidence``     people in rosters sampled, and judged; ``evidence_packs`` what is handed to a
                   regulator: collected, put together, checked
- ``audit``        reports of compliance audits, and what was done about their findings; the
                   auditor's pages
- ``privacy``      an attack on the installed build
"""
