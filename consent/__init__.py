"""Consent registry: notices, consents, approvals and authorisations, each with its entry in the audit log.

- ``home``          a registry's home folder, and the registry that is opened from it
- ``registry``      the registry as its commands see it: storage, log, keys, consortium, clock
- ``provisioning``  a log founded by itself
- ``commands``      one file per thing the registry does
- ``api``           the HTTP face of those commands, by caller
- ``identity``      who is calling: logins, tokens, keys, limits
- ``authorising``   when a node may use data: rules (pure)
- ``budgets``       what campaigns cost each person, across lenders (pure)
- ``notices``       published notices and their scopes; ``languages`` which of several texts somebody reads
- ``storage``       tables, migrations, and what reads and writes them
- ``keys``          the root key, data keys, their backup
- ``outbox``        revocations delivered until acknowledged
- ``load``          decisions that were collected elsewhere, by the million; ``answer_files`` row by row
- ``export``        the record of processing activities
- ``serving``       which application is served; ``workers`` by several processes
- ``readiness``     whether this process may be sent requests
- ``doctor``        what must be in order in a registry's home
"""
