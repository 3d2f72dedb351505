"""Whether a lender holds a live authorisation is asked at every sync: an index for it.

Revision ID: 0011
Revises: 0007
"""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("authorisations_live", "authorisations", ["lender", "expires_at"])


def downgrade() -> None:
    op.drop_index("authorisations_live", "authorisations")
