"""The audit log: append, integrate, cosign, publish, prove, and audit; and the database that it
commits in.

- ``entries``       what stands in the log: a public skeleton and a sealed body
- ``log``           append, read and prove over the log's tables
- ``tables``        those tables; ``column_types`` what SQLite and PostgreSQL store alike
- ``database``      many readers, one writer: transactions; ``columns`` millions of rows as arrays
- ``ledger``        the four together, open: database, log, sequencer, sealer
- ``lease``         which process may write: a lease with a fencing token
- ``leadership``    which of several workers integrates and publishes
- ``group_commit``  many requests, one transaction
- ``handover``      jobs from the workers of a service to its one writer, and what came of them
- ``refusals``      refusals as data, on their way to another process
- ``integrator``    from appended entries to tiles and a signed head
- ``publisher``     from a signed head to a cosigned, published one
- ``sequencer``     the threads behind every commit that do both, and those who wait for them
- ``witnesses``     asks witnesses for cosignatures (C2SP tlog-witness)
- ``fsck``          the inside view: is what is stored whole?
- ``audit``         the outside view: verify the log without trusting who serves it
- ``authority``     what an auditor knows at some point of the log
- ``entry_checks``  every type of entry, its form, and what is checked of it
- ``campaign_checks``  campaigns in the log, from proposal to model card; ``filing_checks`` recalls
                    of models, reports of audits; ``chains`` which entries each of them rests on
- ``opening``       what an auditor opens; ``archives`` what it hands over to the next one
- ``sampling``      a sample of the people in rosters, judged; ``sample_draws`` drawn by the log,
                    ``sample_answers`` what each of them answered, proved by it
- ``packs``         evidence packs as an auditor has them; ``pack_merging`` puts them together,
                    ``pack_page`` says to people what they are
- ``pack_checks``   checks them offline: ``pack_files`` which files there can be, ``pack_schemas``
                    what each of them can say, ``pack_log`` what they show of the log,
                    ``pack_registry`` what the registry shows by it with ``pack_filings`` beside
                    campaigns, ``pack_others`` what others handed in
- ``reading``       what an outside reader brings along, and what entries look like
"""
