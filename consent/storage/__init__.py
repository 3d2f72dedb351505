"""The registry's tables and what reads and writes them. Transactions are the log's: they commit
together.

- ``tables``       the registry's tables; ``request_tables`` of what people ask, and its steps;
                   ``filing_tables`` of assessments, incidents and samples
- ``migrating``    the schema's migrations, with Alembic
- ``erasure_tables`` what is left of erased people; ``tombstones`` by which they are known again
- ``subjects``     borrowers with their data keys; ``enrolment`` a lender's list of them
- ``own_keys``     keys that borrowers registered themselves
- ``consents``     how each consent stands, its events, revocations
- ``idempotency``  commands that act once, and what they were answered
"""
