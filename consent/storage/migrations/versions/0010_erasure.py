"""Erasure: subjects become tombstones, and then, and only then, their history may go.

Every trigger that keeps a history lets one kind of change through: a row goes when its subject is a
tombstone already. A subject becomes a tombstone once, by losing its names and its key in the same
statement, and stays one; so nobody's history can be deleted while they can still be told from it.
"""

import sqlalchemy as sa
from alembic import op

from auditlog.column_types import BigId, UtcDateTime

revision = "0010"
down_revision = "0011"
branch_labels = None
depends_on = None

_ERASED = "EXISTS (SELECT 1 FROM subjects s WHERE s.id = OLD.subject_id AND s.erased_at IS NOT NULL"
MAY_GO = {
    "consent_events": f"{_ERASED})",
    "decisions": f"{_ERASED})",
    "subject_entries": f"{_ERASED})",
    "former_names": f"{_ERASED})",
    # numbers are counted on from the newest acknowledgement, so that none is given twice
    "revocations": f"{_ERASED}) AND EXISTS (SELECT 1 FROM acknowledgements a"
    " WHERE a.recipient = OLD.recipient AND a.number >= OLD.number)",
    # the tombstone's own place stays; a place nowhere goes with the last who had the name
    "assignments": f"{_ERASED} AND s.ledger_pseudonym <> OLD.ledger_pseudonym)"
    " OR (OLD.subject_id IS NULL AND NOT EXISTS (SELECT 1 FROM subjects s"
    " WHERE s.ledger_pseudonym = OLD.ledger_pseudonym))",
}
"""By table: which rows may be deleted."""
_EVIDENCE_ONLY = (
    "NEW.id = OLD.id AND NEW.lender = OLD.lender AND NEW.entry_index = OLD.entry_index"
    " AND NEW.salt = OLD.salt AND NEW.leaves = OLD.leaves AND NEW.about = OLD.about"
    " AND length(NEW.evidence) = length(OLD.evidence)"
    " AND EXISTS (SELECT 1 FROM consent_events e JOIN subjects s ON s.id = e.subject_id"
    " WHERE e.import_id = OLD.id AND s.erased_at IS NOT NULL"
    " AND substr(NEW.evidence, 1, 32 * e.position) = substr(OLD.evidence, 1, 32 * e.position)"
    " AND substr(NEW.evidence, 32 * e.position + 1, 32) = {blank}"
    " AND substr(NEW.evidence, 32 * e.position + 33) = substr(OLD.evidence, 32 * e.position + 33))"
)
"""An import changes by the evidence hash of one erased person's record, which becomes zeros."""
_SUBJECT_STAYS = (
    "(OLD.erased_at IS NOT NULL AND NOT (NEW.id = OLD.id AND NEW.lender = OLD.lender AND NEW.number"
    " = OLD.number AND NEW.pseudonym = OLD.pseudonym AND NEW.public_key = OLD.public_key AND"
    " NEW.erased_at IS NOT NULL AND NEW.erased_at = OLD.erased_at AND NEW.returned_at IS NULL))"
    " OR (OLD.erased_at IS NULL AND NEW.erased_at IS NOT NULL AND NOT (NEW.id = OLD.id AND"
    " NEW.lender = OLD.lender AND NEW.number = OLD.number AND NEW.pseudonym <> OLD.pseudonym AND"
    " NEW.ledger_pseudonym <> OLD.ledger_pseudonym AND NEW.public_key = '' AND"
    " NEW.returned_at IS NULL))"
)
"""What a change of a subject may not be."""
_NEW_TABLES = ("tombstones", "retention_reviews")


def _postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def upgrade() -> None:
    for column in ("returned_at", "erased_at"):
        op.add_column("subjects", sa.Column(column, UtcDateTime(), nullable=True))
    op.add_column(
        "scopes", sa.Column("whole_from", sa.BigInteger(), nullable=False, server_default="0")
    )
    op.create_table(
        "tombstones",
        sa.Column("name_mac", sa.String(length=43), primary_key=True),
        sa.Column("subject_id", BigId, sa.ForeignKey("subjects.id"), nullable=False),
    )
    op.create_index("revocations_by_subject", "revocations", ["subject_id"])
    op.create_index("ix_tombstones_subject_id", "tombstones", ["subject_id"])
    op.create_table(
        "erasure_orders",
        sa.Column("recipient", sa.String(length=63), primary_key=True),
        sa.Column("number", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "legal_holds",
        sa.Column("id", sa.String(length=32), primary_key=True),
        sa.Column("subject_id", BigId, sa.ForeignKey("subjects.id"), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
    )
    op.create_index("ix_legal_holds_subject_id", "legal_holds", ["subject_id"])
    op.create_index("ix_legal_holds_expires_at", "legal_holds", ["expires_at"])
    op.create_table(
        "retention_reviews",
        sa.Column("day", sa.Date(), primary_key=True),
        sa.Column("entry_index", sa.BigInteger(), nullable=False),
    )
    for table in MAY_GO:
        _let_go(table)
    _blank_evidence()
    _keep_tombstones()
    for table in _NEW_TABLES:
        _forbid(table)


def _forbid(table: str) -> None:
    """As 0003 forbids it: no row changes, none goes."""
    if _postgresql():
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


def _function(name: str, condition: str, returned: str) -> None:
    """A PostgreSQL trigger function that lets a row through only where the condition holds: the
    condition of a trigger itself cannot ask other tables."""
    op.execute(
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF NOT ({condition}) THEN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END IF; "
        f"RETURN {returned}; END $$"
    )


def _let_go(table: str) -> None:
    """Rows that :data:`MAY_GO` names can be deleted; nothing else of the table's triggers
    changes."""
    if not _postgresql():
        op.execute(f"DROP TRIGGER {table}_no_delete")
        op.execute(
            f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} WHEN NOT ({MAY_GO[table]}) "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )
        return
    op.execute(f"DROP TRIGGER {table}_append_only ON {table}")
    op.execute(
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION append_only()"
    )
    _function(f"{table}_may_go", MAY_GO[table], "OLD")
    op.execute(
        f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} "
        f"FOR EACH ROW EXECUTE FUNCTION {table}_may_go()"
    )


def _blank_evidence() -> None:
    if not _postgresql():
        op.execute("DROP TRIGGER imports_no_update")
        op.execute(
            "CREATE TRIGGER imports_no_update BEFORE UPDATE ON imports WHEN NOT "
            f"({_EVIDENCE_ONLY.format(blank='zeroblob(32)')}) "
            "BEGIN SELECT RAISE(ABORT, 'imports is append-only'); END"
        )
        return
    op.execute("DROP TRIGGER imports_append_only ON imports")
    op.execute(
        "CREATE TRIGGER imports_append_only BEFORE DELETE OR TRUNCATE ON imports "
        "FOR EACH STATEMENT EXECUTE FUNCTION append_only()"
    )
    blank = "decode(repeat('00', 32), 'hex')"
    _function("imports_may_change", _EVIDENCE_ONLY.format(blank=blank), "NEW")
    op.execute(
        "CREATE TRIGGER imports_no_update BEFORE UPDATE ON imports "
        "FOR EACH ROW EXECUTE FUNCTION imports_may_change()"
    )


def _keep_tombstones() -> None:
    triggers = {
        "subjects_tombstones_stay": ("UPDATE", _SUBJECT_STAYS),
        "subjects_tombstones_kept": ("DELETE", "OLD.erased_at IS NOT NULL"),
    }
    for name, (action, condition) in triggers.items():
        then = (
            "EXECUTE FUNCTION append_only()"
            if _postgresql()
            else "BEGIN SELECT RAISE(ABORT, 'a tombstone of subjects is append-only'); END"
        )
        op.execute(
            f"CREATE TRIGGER {name} BEFORE {action} ON subjects FOR EACH ROW WHEN ({condition}) "
            f"{then}"
        )


def downgrade() -> None:
    """Whoever was erased stays so: their rows are gone, and what is left of them means nobody."""
    for name in ("subjects_tombstones_stay", "subjects_tombstones_kept"):
        op.execute(f"DROP TRIGGER {name}{' ON subjects' if _postgresql() else ''}")
    for table, action in (*((table, "delete") for table in MAY_GO), ("imports", "update")):
        if _postgresql():
            op.execute(f"DROP TRIGGER {table}_append_only ON {table}")
            op.execute(f"DROP TRIGGER {table}_no_{action} ON {table}")
            op.execute(f"DROP FUNCTION {table}_may_{'go' if action == 'delete' else 'change'}()")
        else:
            for one in ("update", "delete"):
                op.execute(f"DROP TRIGGER {table}_no_{one}")
        _forbid(table)
    for table in ("retention_reviews", "legal_holds", "erasure_orders", "tombstones"):
        op.drop_table(table)
    op.drop_index("revocations_by_subject", table_name="revocations")
    op.drop_column("scopes", "whole_from")
    for column in ("erased_at", "returned_at"):
        op.drop_column("subjects", column)
