"""Alembic's entry point: migrations run on the engine that the caller brings."""

from alembic import context

from auditlog import tables as log_tables  # noqa: F401  # so that the metadata is whole
from auditlog.column_types import Base
from consent.storage import erasure_tables, filing_tables, own_keys  # noqa: F401

engine = context.config.attributes["engine"]
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
