"""When a roster was committed, to the microsecond: the log's public times are days."""

import sqlalchemy as sa
from alembic import op

from auditlog.column_types import UtcDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("commitments", sa.Column("committed_at", UtcDateTime(), nullable=True))


def downgrade() -> None:
    op.drop_column("commitments", "committed_at")
