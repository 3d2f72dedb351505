"""The consent registry: notices, consents, campaigns, approvals, authorisations; and who runs the
log they stand in.

- ``registry``     what a registry consists of; ``home`` opens one from its folder, ``provisioning``
                   makes one for a log
- ``transaction``  a session with its moment and its notices: what commands read, write and log in
- ``notices``      the published notices and the scopes they opened
- ``notice_rules`` what a notice must say, by article; ``notice_text`` its terms in words;
                   ``notice_changes`` what a later version adds; ``claims`` what nobody may
                   claim (all pure)
- ``auditing``     what an auditor asks of an answered notice (pure)
- ``dating``       that documents are handed in on their day
- ``arrangement``  who answers for what, and who succeeded whom, for people to read (pure)
- ``authorising``  when a node may use data: rules (pure); ``budgets`` what campaigns cost each
                   person (pure)
- ``commands``     what the registry does, one file per action
- ``api``          the HTTP face of those commands, one file per kind of caller
- ``identity``     who calls: logins, tokens, keys, limits
- ``keys``         the root key, the data keys below it, their backup
- ``storage``      tables, migrations, and what reads and writes them
- ``refusals``     what refusals say, by stable names
- ``groups``       what is committed in groups, here or by the writer of several workers
- ``outbox``       revocations delivered until acknowledged
- ``load``         bulk imports of what was decided elsewhere, from ``answer_files``
- ``succession``   the consortium document in which another auditor stands
- ``retention``    what is deleted after a time, by ``retention.toml``
- ``catalogue``    every item of data, how sensitive, whence, where
- ``export``       the record of processing activities; ``person_page`` what a person takes away,
                   to read
- ``evidence``     the registry's part of an evidence pack; ``evidence_log`` the log in it
- ``amending``     the consortium document, signed anew
- ``serving``      one process or several ``workers``; ``readiness`` whether to send requests to one
- ``doctor``       what must be in order in a registry's home
"""
