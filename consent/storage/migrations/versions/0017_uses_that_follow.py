"""Which use to score an application another one is part of.

Revision ID: 0017
Revises: 0016
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("uses", sa.Column("follows", sa.String(length=64), nullable=True))


def downgrade() -> None:
    op.drop_column("uses", "follows")
