"""Impact assessments, incidents, and who was told of one."""

import sqlalchemy as sa
from alembic import op

from auditlog.column_types import BigId

revision = "0012"
down_revision = "0009"
branch_labels = None
depends_on = None

TABLES = ("assessments", "incidents", "incident_closures", "incident_people")


def upgrade() -> None:
    for name, whose in (("assessments", "author"), ("incidents", "institution")):
        op.create_table(
            name,
            sa.Column("sha256", sa.String(length=64), nullable=False),
            sa.Column(whose, sa.String(length=63), nullable=False),
            sa.Column("token", sa.String(), nullable=False),
            sa.Column("entry_index", sa.BigInteger(), nullable=False),
            sa.PrimaryKeyConstraint("sha256"),
        )
    op.create_table(
        "incident_closures",
        sa.Column("incident_sha256", sa.String(length=64), nullable=False),
        sa.Column("token", sa.String(), nullable=False),
        sa.Column("entry_index", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["incident_sha256"], ["incidents.sha256"]),
        sa.PrimaryKeyConstraint("incident_sha256"),
    )
    op.create_table(
        "incident_people",
        sa.Column("incident_sha256", sa.String(length=64), nullable=False),
        sa.Column("subject_id", BigId, autoincrement=False, nullable=False),
        sa.Column("entry_index", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["incident_sha256"], ["incidents.sha256"]),
        sa.ForeignKeyConstraint(["subject_id"], ["subjects.id"]),
        sa.PrimaryKeyConstraint("incident_sha256", "subject_id"),
    )
    op.create_index("incident_people_by_subject", "incident_people", ["subject_id"])
    for table in TABLES:
        _append_only(table)


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
