"""The desk's tables and what reads and writes them: SQLite or PostgreSQL.

- ``database``     readers, one writer at a time; made once, with triggers that keep histories
- ``tables``       the tables; ``triggers`` what of them may never change
- ``idempotency``  commands that act once
"""
