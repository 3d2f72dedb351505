"""Who is under 14, as was said last: everything of theirs is sensitive."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "subjects", sa.Column("child", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.create_index(
        "subjects_under_14",
        "subjects",
        ["lender", "number"],
        sqlite_where=sa.text("child"),
        postgresql_where=sa.text("child"),
    )


def downgrade() -> None:
    op.drop_index("subjects_under_14", "subjects")
    op.drop_column("subjects", "child")
