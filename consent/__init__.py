"""The consent registry: notices, consents, approvals, authorisations, the audit log, and the client that calls it.

- ``documents``   every signed document of the system, as a schema
- ``states``      the consent state machine (pure)
- ``storage``     tables and migrations
- ``log``         the transparency log over those tables: sealed entries, tiles, checkpoints
- ``commands``    one file per thing the registry does
- ``api``         the HTTP face of those commands
- ``client``      how the other programs call it, verifying what comes back
- ``audit``       the outside view: verify a log without trusting who serves it
"""
