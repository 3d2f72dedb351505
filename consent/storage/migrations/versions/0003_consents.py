"""Consents by scope, with notices, versions, revocations, imports and idempotent commands; places
per campaign.

What 0002 held is carried over, in both directions; what 0002 has no place for is lost on the way
down.
"""

import sqlalchemy as sa
from alembic import op

from auditlog.column_types import BigId, UtcDateTime
from consent.storage.tables import EVENTS, STATES
from crypto.documents import unverified_payload
from protocol.enrolment import EnrolmentList

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SENSITIVITIES = ("ordinary", "sensitive")

APPEND_ONLY = (
    "notices",
    "consent_events",
    "assignments",
    "imports",
    "subject_entries",
    "revocations",
    "acknowledgements",
    "places",
    "populations",
    "former_names",
)
"""Tables of this revision whose rows are never changed, replaced or deleted."""
_REBUILT = ("notices", "consents", "consent_events", "assignments")
"""Tables that get another form. Nothing of 0002 refers to them."""


def _postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def _forbid(table: str) -> None:
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


def _code(words: tuple[str, ...], column: str) -> str:
    """SQL that turns one of ``words`` into its code."""
    cases = " ".join(f"WHEN '{word}' THEN {code}" for code, word in enumerate(words))
    return f"CASE {column} {cases} END"


def _word(words: tuple[str, ...], column: str) -> str:
    """Inverse of :func:`_code`."""
    cases = " ".join(f"WHEN {code} THEN '{word}'" for code, word in enumerate(words))
    return f"CASE {column} {cases} END"


def _set_aside() -> None:
    """Keep the rows of the rebuilt tables for this transaction, and drop the tables."""
    for table in _REBUILT:
        op.execute(f"CREATE TEMPORARY TABLE old_{table} AS SELECT * FROM {table}")
    for table in reversed(_REBUILT):
        op.drop_table(table)


def _done() -> None:
    for table in _REBUILT:
        op.execute(f"DROP TABLE old_{table}")


def upgrade() -> None:
    _set_aside()
    op.add_column(
        "subjects", sa.Column("number", sa.Integer(), nullable=False, server_default="-1")
    )
    op.execute(
        "UPDATE subjects SET number = (SELECT count(*) FROM subjects AS before"
        " WHERE before.lender = subjects.lender AND before.id < subjects.id)"
    )
    op.drop_index("subjects_by_lender", table_name="subjects")
    op.create_index("subjects_by_number", "subjects", ["lender", "number"], unique=True)
    op.add_column(
        "campaigns", sa.Column("number", sa.Integer(), nullable=False, server_default="0")
    )
    op.execute(
        "UPDATE campaigns SET number = (SELECT count(*) FROM campaigns AS other WHERE other.sha256 "
        "<= campaigns.sha256)"
    )
    op.create_index("campaigns_by_number", "campaigns", ["number"], unique=True)
    op.create_table(
        "former_names",
        sa.Column("pseudonym", sa.String(length=64), primary_key=True),
        sa.Column("subject_id", BigId, sa.ForeignKey("subjects.id"), nullable=False),
    )
    op.create_index("ix_former_names_subject_id", "former_names", ["subject_id"])
    op.create_table(
        "rolls",
        sa.Column("lender", sa.String(length=63), primary_key=True),
        sa.Column("people", sa.Integer(), nullable=False),
        sa.Column("names_sha256", sa.String(length=64), nullable=False),
    )
    op.create_table(
        "notices",
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("id", sa.String(length=63), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("token", sa.String(), nullable=False),
        sa.UniqueConstraint("id", "version"),
    )
    op.create_table(
        "scopes",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("purpose", sa.String(length=200), nullable=False),
        sa.Column("recipient", sa.String(length=63), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("purpose", "recipient"),
    )
    op.create_table(
        "consents",
        sa.Column("scope_id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column(
            "subject_id", BigId, sa.ForeignKey("subjects.id"), primary_key=True, autoincrement=False
        ),
        sa.Column("sensitivity", sa.SmallInteger(), primary_key=True, autoincrement=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("notice", sa.Integer(), nullable=False),
        sa.Column("event_time", UtcDateTime(), nullable=False),
        sa.Column("expiry_time", UtcDateTime(), nullable=True),
    )
    op.create_index("consents_by_expiry", "consents", ["scope_id", "expiry_time"])
    op.create_table(
        "imports",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("lender", sa.String(length=63), nullable=False),
        sa.Column("entry_index", sa.BigInteger(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("leaves", sa.LargeBinary(), nullable=False),
        sa.Column("evidence", sa.LargeBinary(), nullable=False),
        sa.Column("about", sa.String(), nullable=False),
    )
    op.create_table(
        "consent_events",
        sa.Column("scope_id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("sequence", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("subject_id", BigId, nullable=False),
        sa.Column("sensitivity", sa.SmallInteger(), nullable=False),
        sa.Column("event", sa.SmallInteger(), nullable=False),
        sa.Column("notice", sa.Integer(), nullable=False),
        sa.Column("event_time", UtcDateTime(), nullable=False),
        sa.Column("decision_sha256", sa.String(length=64), nullable=True),
        sa.Column("import_id", sa.Integer(), nullable=True),
        sa.Column("position", sa.Integer(), nullable=True),
    )
    op.create_index("ix_consent_events_subject_id", "consent_events", ["subject_id"])
    op.create_table(
        "assignments",
        sa.Column("ledger_pseudonym", sa.String(length=64), primary_key=True),
        sa.Column("subject_id", BigId, sa.ForeignKey("subjects.id"), nullable=True),
    )
    op.create_index("ix_assignments_subject_id", "assignments", ["subject_id"])
    op.create_table(
        "subject_entries",
        sa.Column(
            "subject_id", BigId, sa.ForeignKey("subjects.id"), primary_key=True, autoincrement=False
        ),
        sa.Column("entry_index", sa.BigInteger(), primary_key=True, autoincrement=False),
    )
    op.create_table(
        "revocations",
        sa.Column("recipient", sa.String(length=63), primary_key=True),
        sa.Column("number", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("scope_id", sa.Integer(), sa.ForeignKey("scopes.id"), nullable=False),
        sa.Column("subject_id", BigId, sa.ForeignKey("subjects.id"), nullable=False),
        sa.Column("sensitivity", sa.SmallInteger(), nullable=False),
        sa.Column("event", sa.SmallInteger(), nullable=False),
        sa.Column("revoked_at", UtcDateTime(), nullable=False),
        sa.Column("recorded_at", UtcDateTime(), nullable=False),
    )
    op.create_table(
        "acknowledgements",
        sa.Column("recipient", sa.String(length=63), primary_key=True),
        sa.Column("number", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("entry_index", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "idempotency",
        sa.Column("caller", sa.String(length=100), primary_key=True),
        sa.Column("key", sa.String(length=64), primary_key=True),
        sa.Column("request_sha256", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
    )
    op.create_index("ix_idempotency_expires_at", "idempotency", ["expires_at"])
    op.create_table(
        "places",
        sa.Column(
            "campaign_sha256",
            sa.String(length=64),
            sa.ForeignKey("campaigns.sha256"),
            primary_key=True,
        ),
        sa.Column("lender", sa.String(length=63), primary_key=True),
        sa.Column("bitmap", sa.LargeBinary(), nullable=False),
        sa.Column("sensitive", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "populations",
        sa.Column("question_sha256", sa.String(length=64), primary_key=True),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("coordinator", sa.String(length=63), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_populations_day", "populations", ["day"])
    _carry_up()
    _done()
    for table in APPEND_ONLY:
        _forbid(table)


def _carry_up() -> None:
    """Every consent of 0002 is taken to answer the newest notice of its purpose and recipient: it
    did not say which."""
    op.execute(
        "INSERT INTO notices (id, version, token) SELECT id, version, token FROM old_notices ORDER "
        "BY id, version"
    )
    for scope, about in enumerate(sorted(_asked().items()), 1):
        (purpose, recipient), notice = about
        _carry_scope({"scope": scope, "purpose": purpose, "recipient": recipient, "notice": notice})
    if _postgresql():
        op.execute(
            "SELECT setval(pg_get_serial_sequence('scopes', 'id'), COALESCE(max(id), 1)) FROM "
            "scopes"
        )
    _call_the_roll()
    op.execute(
        "INSERT INTO subject_entries (subject_id, entry_index) SELECT subject_id, entry_index FROM "
        "decisions"
    )
    op.execute(
        "INSERT INTO assignments (ledger_pseudonym, subject_id)"
        " SELECT ledger_pseudonym, subject_id FROM old_assignments"
    )


def _asked() -> dict[tuple[str, str], int]:
    """Newest notice of everything that was asked or answered, by purpose and recipient."""
    connection = op.get_bind()
    found: dict[tuple[str, str], tuple[str, int]] = {}
    for number, token in connection.execute(
        sa.text("SELECT number, token FROM notices ORDER BY number")
    ):
        notice = unverified_payload(token)
        for recipient in notice["recipients"]:
            about = (notice["purpose"], recipient)
            found[about] = max(found.get(about, ("", 0)), (notice["published_at"], number))
    return {about: number for about, (_, number) in found.items()}


def _carry_scope(about: dict[str, str | int]) -> None:
    """Open one scope, and bring its consents and their events."""
    mine = "o.purpose = :purpose AND o.recipient = :recipient"
    versions = (
        "SELECT count(*) FROM old_consent_events e WHERE e.subject_id = o.subject_id AND e.purpose "
        "= o.purpose AND e.recipient = o.recipient AND e.sensitivity = o.sensitivity"
    )
    opened = (
        "INSERT INTO scopes (id, purpose, recipient, events) SELECT :scope, :purpose, :recipient, "
        f"count(*) FROM old_consent_events o WHERE {mine}"
    )
    consents = (
        "INSERT INTO consents (scope_id, subject_id, sensitivity, state, version, notice, "
        "event_time, expiry_time)"
        f" SELECT :scope, o.subject_id, {_code(SENSITIVITIES, 'o.sensitivity')}, "
        f"{_code(STATES, 'o.state')},"
        f" ({versions}), :notice, o.event_time, o.expiry_time FROM old_consents o WHERE {mine}"
    )
    events = (
        "INSERT INTO consent_events (scope_id, sequence, subject_id, sensitivity, event, notice, "
        "event_time, decision_sha256) SELECT :scope, row_number() OVER (ORDER BY o.id), "
        f"o.subject_id, {_code(SENSITIVITIES, 'o.sensitivity')}, {_code(EVENTS, 'o.event')}, "
        ":notice, o.event_time,"
        f" NULLIF(o.decision_sha256, '') FROM old_consent_events o WHERE {mine}"
    )
    for statement in (opened, consents, events):
        op.get_bind().execute(
            sa.text(statement).bindparams(
                **{k: v for k, v in about.items() if f":{k}" in statement}
            )
        )


def _call_the_roll() -> None:
    """One hash over every lender's names, in order."""
    rolls: dict[str, EnrolmentList] = {}
    rows = op.get_bind().execute(
        sa.text("SELECT lender, pseudonym FROM subjects ORDER BY lender, number")
    )
    for lender, pseudonym in rows:
        rolls[lender] = rolls.get(lender, EnrolmentList()).extended([pseudonym])
    for lender, roll in rolls.items():
        values = {"lender": lender, "people": roll.people, "sha": roll.names_sha256}
        op.get_bind().execute(sa.text("INSERT INTO rolls VALUES (:lender, :people, :sha)"), values)


def downgrade() -> None:
    _set_aside()
    for table in (
        "populations",
        "places",
        "idempotency",
        "acknowledgements",
        "revocations",
        "subject_entries",
        "imports",
        "rolls",
        "former_names",
    ):
        op.drop_table(table)
    op.create_table(
        "notices",
        sa.Column("id", sa.String(length=63), primary_key=True),
        sa.Column("version", sa.Integer(), primary_key=True),
        sa.Column("token", sa.String(), nullable=False),
    )
    op.create_table(
        "consents",
        sa.Column("subject_id", BigId, sa.ForeignKey("subjects.id"), primary_key=True),
        sa.Column("purpose", sa.String(length=200), primary_key=True),
        sa.Column("recipient", sa.String(length=63), primary_key=True),
        sa.Column("sensitivity", sa.String(length=16), primary_key=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("expiry_time", UtcDateTime(), nullable=True),
        sa.Column("event_time", UtcDateTime(), nullable=False),
    )
    op.create_table(
        "consent_events",
        sa.Column("id", BigId, primary_key=True),
        sa.Column("subject_id", BigId, sa.ForeignKey("subjects.id"), nullable=False),
        sa.Column("purpose", sa.String(length=200), nullable=False),
        sa.Column("recipient", sa.String(length=63), nullable=False),
        sa.Column("sensitivity", sa.String(length=16), nullable=False),
        sa.Column("event", sa.String(length=16), nullable=False),
        sa.Column("event_time", UtcDateTime(), nullable=False),
        sa.Column("decision_sha256", sa.String(length=64), nullable=False),
    )
    op.create_index("ix_consent_events_subject_id", "consent_events", ["subject_id"])
    op.create_table(
        "assignments",
        sa.Column("ledger_pseudonym", sa.String(length=64), primary_key=True),
        sa.Column("subject_id", BigId, sa.ForeignKey("subjects.id"), nullable=False),
    )
    op.create_index("ix_assignments_subject_id", "assignments", ["subject_id"], unique=True)
    op.execute("INSERT INTO notices SELECT id, version, token FROM old_notices")
    op.execute(
        "INSERT INTO consents (subject_id, purpose, recipient, sensitivity, state, expiry_time, "
        "event_time) SELECT o.subject_id, s.purpose, s.recipient, "
        f"{_word(SENSITIVITIES, 'o.sensitivity')},"
        f" {_word(STATES, 'o.state')}, o.expiry_time, o.event_time"
        " FROM old_consents o JOIN scopes s ON s.id = o.scope_id"
    )
    op.execute(
        "INSERT INTO consent_events (subject_id, purpose, recipient, sensitivity, event, "
        "event_time, decision_sha256)"
        f" SELECT o.subject_id, s.purpose, s.recipient, {_word(SENSITIVITIES, 'o.sensitivity')},"
        f" {_word(EVENTS, 'o.event')}, o.event_time, COALESCE(o.decision_sha256, '')"
        " FROM old_consent_events o JOIN scopes s ON s.id = o.scope_id ORDER BY o.scope_id, "
        "o.sequence"
    )
    op.execute(
        "INSERT INTO assignments (ledger_pseudonym, subject_id) SELECT max(ledger_pseudonym), "
        "subject_id FROM old_assignments WHERE subject_id IS NOT NULL GROUP BY subject_id"
    )
    op.drop_table("scopes")
    op.drop_index("campaigns_by_number", table_name="campaigns")
    op.drop_column("campaigns", "number")
    op.drop_index("subjects_by_number", table_name="subjects")
    op.drop_column("subjects", "number")
    op.create_index("subjects_by_lender", "subjects", ["lender"], unique=False)
    _done()
    for table in ("consent_events", "assignments"):
        _forbid(table)
