"""Subjects, consents, campaigns, keys, the log. Histories cannot be updated or deleted, by trigger.

Replaces 0001, which no registry outside a demo ever ran: its data keys had no groups, its log no
state row.
"""

import sqlalchemy as sa
from alembic import op

from auditlog.column_types import BigId, UtcDateTime

revision = "0002"
down_revision = None
branch_labels = None
depends_on = None

APPEND_ONLY = (
    "log_entries",
    "log_envelopes",
    "log_checkpoints",
    "log_published",
    "consent_events",
    "decisions",
    "commitments",
    "approvals",
    "assignments",
)
"""Tables whose rows are never changed, replaced or deleted."""


def upgrade() -> None:
    op.create_table(
        "campaigns",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("token", sa.String(), nullable=False),
        sa.Column("activated_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("sha256"),
    )
    op.create_table(
        "log_checkpoints",
        sa.Column("size", BigId, autoincrement=False, nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("size"),
    )
    op.create_table(
        "log_published",
        sa.Column("size", BigId, autoincrement=False, nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("size"),
    )
    op.create_table(
        "log_envelopes",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("header", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("sha256"),
    )
    state = op.create_table(
        "log_state",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("appended", sa.BigInteger(), nullable=False),
        sa.Column("integrated", sa.BigInteger(), nullable=False),
        sa.Column("newest", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.String(length=200), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("held_until", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    first = {
        "id": 1,
        "appended": 0,
        "integrated": 0,
        "newest": 0,
        "holder": "",
        "epoch": 0,
        "held_until": 0.0,
    }
    op.bulk_insert(state, [first])
    op.create_table(
        "log_entries",
        sa.Column("idx", BigId, autoincrement=False, nullable=False),
        sa.Column("leaf", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("idx"),
    )
    op.create_table(
        "log_tiles",
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("idx", sa.BigInteger(), nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
        sa.Column("checksum", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("level", "idx"),
    )
    op.create_table(
        "notices",
        sa.Column("id", sa.String(length=63), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("token", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", "version"),
    )
    op.create_table(
        "subjects",
        sa.Column("id", BigId, nullable=False),
        sa.Column("lender", sa.String(length=63), nullable=False),
        sa.Column("pseudonym", sa.String(length=64), nullable=False),
        sa.Column("ledger_pseudonym", sa.String(length=64), nullable=False),
        sa.Column("public_key", sa.String(length=43), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("pseudonym"),
    )
    op.create_index("subjects_by_lender", "subjects", ["lender"], unique=False)
    op.create_index("subjects_by_person", "subjects", ["ledger_pseudonym"], unique=False)
    op.create_table(
        "approvals",
        sa.Column("campaign_sha256", sa.String(length=64), nullable=False),
        sa.Column("lender", sa.String(length=63), nullable=False),
        sa.Column("token", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_sha256"],
            ["campaigns.sha256"],
        ),
        sa.PrimaryKeyConstraint("campaign_sha256", "lender"),
    )
    op.create_table(
        "authorisations",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("campaign_sha256", sa.String(length=64), nullable=False),
        sa.Column("lender", sa.String(length=63), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_sha256"],
            ["campaigns.sha256"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "commitments",
        sa.Column("entry_index", BigId, nullable=False),
        sa.Column("campaign_sha256", sa.String(length=64), nullable=False),
        sa.Column("lender", sa.String(length=63), nullable=False),
        sa.Column("release", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_sha256"],
            ["campaigns.sha256"],
        ),
        sa.PrimaryKeyConstraint("entry_index"),
        sa.UniqueConstraint("campaign_sha256", "lender", "release", "attempt"),
    )
    op.create_table(
        "consent_events",
        sa.Column("id", BigId, nullable=False),
        sa.Column("subject_id", BigId, nullable=False),
        sa.Column("purpose", sa.String(length=200), nullable=False),
        sa.Column("recipient", sa.String(length=63), nullable=False),
        sa.Column("sensitivity", sa.String(length=16), nullable=False),
        sa.Column("event", sa.String(length=16), nullable=False),
        sa.Column("event_time", UtcDateTime(), nullable=False),
        sa.Column("decision_sha256", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["subject_id"],
            ["subjects.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_consent_events_subject_id", "consent_events", ["subject_id"], unique=False)
    op.create_table(
        "consents",
        sa.Column("subject_id", BigId, nullable=False),
        sa.Column("purpose", sa.String(length=200), nullable=False),
        sa.Column("recipient", sa.String(length=63), nullable=False),
        sa.Column("sensitivity", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("expiry_time", UtcDateTime(), nullable=True),
        sa.Column("event_time", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subject_id"],
            ["subjects.id"],
        ),
        sa.PrimaryKeyConstraint("subject_id", "purpose", "recipient", "sensitivity"),
    )
    op.create_table(
        "key_groups",
        sa.Column("id", BigId, nullable=False),
        sa.Column("root_version", sa.Integer(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("members", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "data_keys",
        sa.Column("subject_id", BigId, nullable=False),
        sa.Column("group_id", BigId, nullable=False),
        sa.Column("key_id", sa.String(length=32), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["subject_id"], ["subjects.id"]),
        sa.ForeignKeyConstraint(["group_id"], ["key_groups.id"]),
        sa.PrimaryKeyConstraint("subject_id"),
    )
    op.create_index("ix_data_keys_group_id", "data_keys", ["group_id"], unique=False)
    op.create_table(
        "decisions",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("subject_id", BigId, nullable=False),
        sa.Column("entry_index", BigId, nullable=False),
        sa.ForeignKeyConstraint(
            ["subject_id"],
            ["subjects.id"],
        ),
        sa.PrimaryKeyConstraint("sha256"),
    )
    op.create_index("ix_decisions_subject_id", "decisions", ["subject_id"], unique=False)
    op.create_table(
        "assignments",
        sa.Column("ledger_pseudonym", sa.String(length=64), nullable=False),
        sa.Column("subject_id", BigId, nullable=False),
        sa.ForeignKeyConstraint(["subject_id"], ["subjects.id"]),
        sa.PrimaryKeyConstraint("ledger_pseudonym"),
    )
    op.create_index("ix_assignments_subject_id", "assignments", ["subject_id"], unique=True)
    if op.get_bind().dialect.name == "postgresql":
        _forbid_in_postgresql()
    else:
        _forbid_in_sqlite()


def _forbid_in_sqlite() -> None:
    for table in APPEND_ONLY:
        for action in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )


def _forbid_in_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
    )
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION append_only()"
        )


def downgrade() -> None:
    op.drop_index("ix_assignments_subject_id", table_name="assignments")
    op.drop_table("assignments")
    op.drop_index("ix_decisions_subject_id", table_name="decisions")
    op.drop_table("decisions")
    op.drop_index("ix_data_keys_group_id", table_name="data_keys")
    op.drop_table("data_keys")
    op.drop_table("key_groups")
    op.drop_table("consents")
    op.drop_index("ix_consent_events_subject_id", table_name="consent_events")
    op.drop_table("consent_events")
    op.drop_table("commitments")
    op.drop_table("authorisations")
    op.drop_table("approvals")
    op.drop_index("subjects_by_person", table_name="subjects")
    op.drop_index("subjects_by_lender", table_name="subjects")
    op.drop_table("subjects")
    op.drop_table("notices")
    op.drop_table("log_tiles")
    op.drop_table("log_entries")
    op.drop_table("log_checkpoints")
    op.drop_table("log_published")
    op.drop_table("log_envelopes")
    op.drop_table("log_state")
    op.drop_table("campaigns")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION append_only")
