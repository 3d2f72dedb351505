"""Storage of the registry: its tables, and what reads and writes them. They commit with the log.

- ``tables``       every table of the registry; ``migrating`` between their versions
- ``consents``     the present of each consent, its events, and what recipients must be told
- ``subjects``     enrolled borrowers, with the keys that belong to them
- ``enrolment``    a lender's borrowers in the order of their enrolment
- ``idempotency``  commands that act once
"""
