"""Uses of people's data to score an application: which entry each step of one has.

Revision ID: 0013
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op

from auditlog.column_types import UtcDateTime

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "uses",
        sa.Column("lender", sa.String(length=63), nullable=False),
        sa.Column("application", sa.String(length=64), nullable=False),
        sa.Column("step", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("statement_sha256", sa.String(length=64), nullable=False),
        sa.Column("entry_index", sa.BigInteger(), nullable=False),
        sa.Column("logged_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("lender", "application", "step"),
    )
    op.create_index("uses_by_entry", "uses", ["entry_index"], unique=True)
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE TRIGGER uses_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON uses "
            "FOR EACH STATEMENT EXECUTE FUNCTION append_only()"
        )
        return
    for action in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER uses_no_{action.lower()} BEFORE {action} ON uses "
            "BEGIN SELECT RAISE(ABORT, 'uses is append-only'); END"
        )


def downgrade() -> None:
    op.drop_table("uses")
