"""Released models and their cards."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "models",
        sa.Column("card_sha256", sa.String(length=64), nullable=False),
        sa.Column("campaign_sha256", sa.String(length=64), nullable=False),
        sa.Column("entry_index", sa.BigInteger(), nullable=False),
        sa.Column("card", sa.String(), nullable=False),
        sa.Column("model", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["campaign_sha256"], ["campaigns.sha256"]),
        sa.PrimaryKeyConstraint("card_sha256"),
    )
    op.create_index("models_by_campaign", "models", ["campaign_sha256", "entry_index"])
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE TRIGGER models_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON models "
            "FOR EACH STATEMENT EXECUTE FUNCTION append_only()"
        )
        return
    for action in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER models_no_{action.lower()} BEFORE {action} ON models "
            "BEGIN SELECT RAISE(ABORT, 'models is append-only'); END"
        )


def downgrade() -> None:
    op.drop_table("models")
