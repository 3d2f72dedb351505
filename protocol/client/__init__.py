"""The client library: how each party calls the registry. What comes back is verified before it is believed.

A client shows only what its caller may do, and closes itself: ``with node.registry() as registry:``.

base         the connection: signed requests and sessions, the caller's trust in heads of the log
institutions what every institution may do: its keys, entries of its own in the log, campaigns
lenders      a lender: enrolment, consents of its borrowers, revocations, approvals, roster commitments
coordinator  a coordinator: proposals and model cards
auditor      an auditor: what is sealed to it
operator     the registry's operator: notices
borrowers    a borrower, or who hands in what borrowers signed: decisions, receipts
"""
