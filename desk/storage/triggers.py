"""What of the tables may never change: a database that somebody opens with another program keeps
its histories too.

Each rule names a table and, if anything of a row may change, the condition under which it may.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import Table

from desk.storage import tables

FIXED: tuple[Table, ...] = (
    tables.rules,
    tables.decisions,
    tables.silent_decisions,
    tables.offers,
    tables.disclosures,
    tables.acceptances,
    tables.lapses,
    tables.account_events,
    tables.review_steps,
    tables.letters,
    tables.verifications,
    tables.model_reviews,
    tables.closings,
)
"""Rows are added, and never touched again."""
FILLED: dict[Table, tuple[str, str]] = {
    tables.applications: (
        "status version wrapped_key pseudonym",
        (
            "(NEW.version = OLD.version + 1 OR "
            "(NEW.version = OLD.version AND NEW.wrapped_key IS NULL)) AND "
            "(NEW.pseudonym = OLD.pseudonym OR (NEW.wrapped_key IS NULL AND "
            f"substr(NEW.pseudonym, 1, {len(tables.NOBODY)}) = '{tables.NOBODY}'))"
        ),
    ),
    tables.loans: (
        "pseudonym",
        f"substr(NEW.pseudonym, 1, {len(tables.NOBODY)}) = '{tables.NOBODY}'",
    ),
    tables.outbox: (
        "entry_index refused leaf proof token",
        " AND ".join(
            f"(OLD.{name} IS NULL OR COALESCE(NEW.{name} = OLD.{name}, FALSE))"
            for name in ("entry_index", "refused", "leaf", "proof")
        )
        + " AND (NEW.token = OLD.token OR NEW.token = '')",
    ),
    tables.reviews: (
        "status taken_by taken_at version",
        "OLD.status <> 'decided' AND NEW.version = OLD.version + 1",
    ),
}
"""Columns that may change, and when."""


def _same(table: Table, but: Sequence[str], dialect: str) -> str:
    kept = [column.name for column in table.columns if column.name not in but]
    new, old = (", ".join(f'{row}."{name}"' for name in kept) for row in ("NEW", "OLD"))
    differ = "IS DISTINCT FROM" if dialect == "postgresql" else "IS NOT"
    return f"NOT (({new}) {differ} ({old}))"


def _may_change(table: Table, dialect: str) -> str:
    if table not in FILLED:
        return "1 = 0"
    columns, condition = FILLED[table]
    return f"{_same(table, columns.split(), dialect)} AND ({condition})"


def statements(dialect: str) -> Iterator[str]:
    """The triggers, for ``sqlite`` or ``postgresql``."""
    for table in (*FIXED, *FILLED):
        name, may = table.name, _may_change(table, dialect)
        if dialect == "sqlite":
            abort = f"BEGIN SELECT RAISE(ABORT, '{name} is append-only'); END"
            yield f"CREATE TRIGGER {name}_kept BEFORE DELETE ON {name} {abort}"
            yield f"CREATE TRIGGER {name}_stand BEFORE UPDATE ON {name} WHEN NOT ({may}) {abort}"
            continue
        function = f"{name}_stand()"
        yield (
            f"CREATE FUNCTION {function} RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"IF TG_OP = 'TRUNCATE' OR TG_OP = 'DELETE' THEN "
            f"RAISE EXCEPTION '{name} is append-only'; END IF; "
            f"IF NOT ({may}) THEN RAISE EXCEPTION '{name} is append-only'; END IF; "
            f"RETURN NEW; END $$"
        )
        yield (
            f"CREATE TRIGGER {name}_stand BEFORE UPDATE OR DELETE ON {name} "
            f"FOR EACH ROW EXECUTE FUNCTION {function}"
        )
        yield (
            f"CREATE TRIGGER {name}_whole BEFORE TRUNCATE ON {name} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {function}"
        )
