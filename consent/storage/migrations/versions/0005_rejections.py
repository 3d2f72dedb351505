"""Lenders' noes to campaigns."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rejections",
        sa.Column("campaign_sha256", sa.String(length=64), nullable=False),
        sa.Column("lender", sa.String(length=63), nullable=False),
        sa.Column("token", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["campaign_sha256"], ["campaigns.sha256"]),
        sa.PrimaryKeyConstraint("campaign_sha256", "lender"),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE TRIGGER rejections_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON "
            "rejections FOR EACH STATEMENT EXECUTE FUNCTION append_only()"
        )
        return
    for action in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER rejections_no_{action.lower()} BEFORE {action} ON rejections "
            "BEGIN SELECT RAISE(ABORT, 'rejections is append-only'); END"
        )


def downgrade() -> None:
    op.drop_table("rejections")
