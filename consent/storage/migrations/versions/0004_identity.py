"""Keys of parties, links of logins to pseudonyms, and what has acted once."""

import sqlalchemy as sa
from alembic import op

from auditlog.column_types import BigId, UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "party_keys",
        sa.Column("thumbprint", sa.String(length=43), nullable=False),
        sa.Column("party", sa.String(length=63), nullable=False),
        sa.Column("public_key", sa.String(length=43), nullable=False),
        sa.Column("added_at", UtcDateTime(), nullable=False),
        sa.Column("revoked_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("thumbprint"),
    )
    op.create_index("ix_party_keys_party", "party_keys", ["party"], unique=False)
    op.create_table(
        "login_links",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("issuer", sa.String(length=255), nullable=False),
        sa.Column("subject_hash", sa.String(length=64), nullable=False),
        sa.Column("subject_id", BigId, nullable=False),
        sa.Column("linked_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["subject_id"], ["data_keys.subject_id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("issuer", "subject_hash", "subject_id"),
    )
    op.create_index("ix_login_links_subject_id", "login_links", ["subject_id"], unique=False)
    op.create_table(
        "used_once",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("sha256"),
    )
    op.create_index("ix_used_once_expires_at", "used_once", ["expires_at"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_used_once_expires_at", table_name="used_once")
    op.drop_table("used_once")
    op.drop_index("ix_login_links_subject_id", table_name="login_links")
    op.drop_table("login_links")
    op.drop_index("ix_party_keys_party", table_name="party_keys")
    op.drop_table("party_keys")
