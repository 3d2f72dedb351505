"""The client library: how each party calls the registry. What comes back is verified before it is
believed.

A client shows only what its caller may do, and closes itself:
``with node.registry() as registry:``.

- ``base``         the connection: signed requests, sessions, acknowledged log entries
- ``institutions`` what every institution may do: its keys, log entries of its own, campaigns
- ``nodes``        what a lender's node asks: consent snapshots, revocations, authorisations,
                   commitments
- ``lenders``      that, enrolment, notices, approvals and rejections; ``desks`` uses to score
- ``coordinator``  proposals and model cards; ``rights`` what people ask a lender, and its answers
- ``auditor``      the bodies of log entries
- ``operator``     the registry operator's notices
- ``filing``       documents beside campaigns: impact assessments, incidents, audits, recalls
- ``borrowers``    decisions, receipts, records: a borrower, or whoever hands in what borrowers
                   signed
"""
