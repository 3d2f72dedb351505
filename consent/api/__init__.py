"""The registry over HTTP: who may ask for what. Endpoints ask, ``consent.commands`` decide.

- ``app``        all of it; ``service`` what it has in common with the log alone
- ``borrowers``  notices, consents, receipts, withdrawals; ``lenders`` rolls, snapshots,
                 revocations, imports
- ``rights``     what people ask of a lender, and what it answers
- ``campaigns``  proposals, approvals, authorisations, commitments; ``models`` what campaigns
                 released
- ``assessments`` impact assessments, which campaigns name; ``incidents`` reported and told;
                 ``audits`` reported and remedied
- ``notices``    published by the operator, read by everybody; ``identity`` tokens, keys, links
- ``evidence``   for auditors: samples, and what shows the consents of who was drawn
- ``log``        the audit log (C2SP tlog-tiles), and its appends
- ``shared``     commands that act once, pages, problem details; ``problems`` answers to refusals;
                 ``examples``
"""
