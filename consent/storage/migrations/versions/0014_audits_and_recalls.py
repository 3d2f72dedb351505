"""Reports of compliance audits, what was done about their findings, recalls of models; and the day
of each enrolment."""

from datetime import UTC, datetime, time

import sqlalchemy as sa
from alembic import op

from auditlog.column_types import UtcDateTime

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

TABLES = ("audit_reports", "audit_remedies", "model_recalls")


def upgrade() -> None:
    op.add_column("subjects", sa.Column("enrolled_at", UtcDateTime(), nullable=True))
    subjects = sa.table(
        "subjects", sa.column("enrolled_at", UtcDateTime()), sa.column("erased_at", UtcDateTime())
    )
    today = datetime.combine(datetime.now(UTC).date(), time(), UTC)
    op.execute(subjects.update().where(subjects.c.erased_at.is_(None)).values(enrolled_at=today))
    op.create_table(
        "audit_reports",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("auditor", sa.String(length=63), nullable=False),
        *_signed(),
        sa.PrimaryKeyConstraint("sha256"),
    )
    op.create_table(
        "audit_remedies",
        sa.Column("report_sha256", sa.String(length=64), nullable=False),
        sa.Column("finding", sa.String(length=63), nullable=False),
        *_signed(),
        sa.ForeignKeyConstraint(["report_sha256"], ["audit_reports.sha256"]),
        sa.PrimaryKeyConstraint("report_sha256", "finding"),
    )
    op.create_table(
        "model_recalls",
        sa.Column("card_sha256", sa.String(length=64), nullable=False),
        sa.Column("party", sa.String(length=63), nullable=False),
        *_signed(),
        sa.ForeignKeyConstraint(["card_sha256"], ["models.card_sha256"]),
        sa.PrimaryKeyConstraint("card_sha256", "party"),
    )
    for table in TABLES:
        _append_only(table)


def _signed() -> tuple[sa.Column[str], sa.Column[int]]:
    return (
        sa.Column("token", sa.String(), nullable=False),
        sa.Column("entry_index", sa.BigInteger(), nullable=False),
    )


def _append_only(table: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION append_only()"
        )
        return
    for action in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)
    op.drop_column("subjects", "enrolled_at")
