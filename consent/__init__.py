"""The consent registry: notices, consents, approvals, authorisations, the audit log, and the client that calls it.

- ``documents``   every signed document of the system, as a schema; ``consortium`` who belongs and what they agreed
- ``terms``       what a consent is about: ISO/IEC TS 27560 and DPV; ``records`` how it is shown
- ``states``      the consent state machine (pure); ``changes`` the fold over it
- ``standing``    who may be used: codes, rules, signed states and places (pure)
- ``campaigns``   what is sent about campaigns, and ``enrolment`` about borrowers
- ``authorising`` when a node may use data: rules (pure); ``revocations`` what recipients are told
- ``holdout``     who is held out of training: drawn by every lender's lot (pure)
- ``storage``     tables, migrations, transactions, the writer's lease
- ``entries``     what stands in the log: skeletons and sealed bodies
- ``log``         append, read and prove over those tables
- ``sequencer``   behind every commit: tiles, signed heads, cosignatures (``witnesses``, ``gossip``)
- ``grouping``    many requests, one transaction; ``idempotency``: each acts once
- ``catalogue``   notices and scopes; ``rolls``, ``subjects``, ``histories``: borrowers and their consents
- ``outbox``      revocations delivered until acknowledged
- ``keystore``    the root key, in files or in ``vault``; ``datakeys`` and ``keybackup`` below it
- ``registry``    all of that, opened from a home folder; ``founding`` makes one for a log alone
- ``commands``    one file per thing the registry does
- ``api``         the HTTP face of those commands: ``endpoints`` by caller, ``log_api`` the log's
- ``access``      who calls; ``identity`` logins, tokens, keys, limits; ``requests`` and ``sessions`` what is signed
- ``serving``     processes: ``workers``, ``turns``, ``journal``, ``metrics``, ``readiness``, ``certificates``
- ``settings``    of every service; ``tracing`` a campaign's spans; ``doctor`` what must be in order
- ``naming``      the naming service, which somebody else runs
- ``client``      how the other programs call it, verifying what comes back; ``log_client`` for the log alone
- ``audit``       the outside view: verify a log without trusting who serves it; ``fsck`` the inside view
- ``export``      the record of processing activities
"""
