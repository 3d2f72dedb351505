"""The consent registry: notices, consents, approvals, authorisations, the audit log, and the client that calls it.

- ``documents``   every signed document of the system, as a schema
- ``states``      the consent state machine (pure)
- ``storage``     tables, migrations, transactions, the writer's lease
- ``entries``     what stands in the log: skeletons and sealed bodies
- ``log``         append, read and prove over those tables
- ``sequencer``   behind every commit: tiles, signed heads, cosignatures (``witnesses``)
- ``grouping``    many appends, one transaction
- ``keystore``    the root key, in files or in ``vault``; ``datakeys`` and ``keybackup`` below it
- ``registry``    all of that, opened from a home folder; ``founding`` makes one for a log alone
- ``commands``    one file per thing the registry does
- ``api``         the HTTP face of those commands; ``log_api`` the log's; ``access`` and ``sessions``: who calls
- ``client``      how the other programs call it, verifying what comes back; ``log_client`` for the log alone
- ``audit``       the outside view: verify a log without trusting who serves it; ``fsck`` the inside view
- ``export``      the record of processing activities
"""
