"""The desk's tables. No identity number, no feature value and no free text stands in them in clear:
what a case rests on is sealed under its application's own key (``desk.sealing``).

Money is in fen. What is *kept* may never be changed or deleted (``desk.storage.triggers``).
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import TypeDecorator

from desk.outbox import outbox_table

METADATA = MetaData()
ID = String(22)
"""128 random bits, base64url."""
SHA256 = String(64)
NOBODY = "erased."
"""What the name begins with under which applications of an erased person stand; what follows is
random, and another for each."""
EVENT_ID = String(72)
"""The lender's own id, of 64 characters at most, and what the desk adds: ``/late``, ``/start``."""
Numbered = BigInteger().with_variant(Integer, "sqlite")


class DeskTime(TypeDecorator[datetime]):
    """An instant; SQLite forgets time zones: what goes in as UTC comes out as UTC."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC).replace(tzinfo=None) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value else None


schema = Table("desk_schema", METADATA, Column("version", Integer, primary_key=True))

clock = Table(
    "desk_clock",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("newest", DeskTime, nullable=False),
)
"""One row: the newest instant that anything was recorded at. No transaction is before it."""

rules = Table(
    "rules",
    METADATA,
    Column("sha256", SHA256, primary_key=True),
    Column("kind", String(12), nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("kept_at", DeskTime, nullable=False),
)
"""Kept. What decisions were made by (``desk.rulebook``): model, policy, law, release, exploration;
and the products that loans were made under. ``content`` is what has the hash, that of an
exploration key sealed."""

applications = Table(
    "applications",
    METADATA,
    Column("number", Numbered, primary_key=True),
    Column("id", ID, nullable=False, unique=True),
    Column("pseudonym", String(64), nullable=False, index=True),
    Column("product", String(63), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("term_days", Integer, nullable=False),
    Column("received_at", DeskTime, nullable=False),
    Column("status", String(16), nullable=False, index=True),
    Column("version", Integer, nullable=False),
    Column("wrapped_key", LargeBinary),
)
"""Kept, but for status and version.
Without ``wrapped_key`` all that was sealed of it is forgotten."""

decisions = Table(
    "decisions",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("application", ID, ForeignKey("applications.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("by", String(64), nullable=False),
    Column("outcome", String(8), nullable=False),
    Column("score", Integer),
    Column("band", String(16)),
    Column("model_hash", SHA256, nullable=False),
    Column("policy_hash", SHA256, nullable=False),
    Column("law_hash", SHA256, nullable=False),
    Column("release_hash", SHA256, nullable=False),
    Column("case_hash", SHA256, nullable=False),
    Column("decided_at", DeskTime, nullable=False),
    Column("explored", Boolean, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    UniqueConstraint("application", "number"),
    Index(
        "decisions_explored", "id", sqlite_where=text("explored"), postgresql_where=text("explored")
    ),
)
"""Kept. A machine's decision has its application's id, a person's that of the review; ``by`` says
which of the two: ``machine``, or a staff id. ``explored``: it approved below the cut-off, few and
small, to learn who repays."""

silent_decisions = Table(
    "silent_decisions",
    METADATA,
    Column("decision", ID, ForeignKey("decisions.id"), primary_key=True),
    Column("policy_hash", SHA256, nullable=False),
    Column("outcome", String(8), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
"""Kept. What a challenger would have said beside a machine's decision, for nobody but the lender's
risk officer; ``failed`` where it could not say it."""

erasures = Table(
    "erasures",
    METADATA,
    Column("pseudonym", String(64), primary_key=True),
    Column("ordered_at", DeskTime, nullable=False),
)
"""Whom the registry ordered to erase, while a law still has something of before then kept."""

offers = Table(
    "offers",
    METADATA,
    Column("decision", ID, ForeignKey("decisions.id"), primary_key=True),
    Column("product", String(63), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("term_days", Integer, nullable=False),
    Column("rate_ppm_day", Integer, nullable=False),
    Column("credit_limit", BigInteger, nullable=False),
    Column("compound", String(40), nullable=False),
    Column("simple", String(40), nullable=False),
    Column("cap", String(40)),
    Column("cap_source", String(400), nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("valid_until", DeskTime, nullable=False),
)
"""Kept. Terms as they were offered; annual figures are decimal fractions, as text."""

outbox = outbox_table(METADATA)
"""Kept, but for what is filled once: the log's answer to each statement. What tells of a decision
is written in the decision's transaction, under the decision's id; it takes effect when the index is
there."""

disclosures = Table(
    "disclosures",
    METADATA,
    Column("decision", ID, ForeignKey("decisions.id"), primary_key=True),
    Column("disclosure_sha256", SHA256, nullable=False),
    Column("shown_at", DeskTime, nullable=False),
)
"""Kept. When the table of what an offer costs was first handed out, to be shown."""

acceptances = Table(
    "acceptances",
    METADATA,
    Column("application", ID, ForeignKey("applications.id"), primary_key=True),
    Column("decision", ID, ForeignKey("decisions.id"), nullable=False),
    Column("disclosure_sha256", SHA256, nullable=False),
    Column("accepted_at", DeskTime, nullable=False),
    Column("pay_by", DeskTime, nullable=False),
)
"""Kept. What the borrower confirmed: the hash of the disclosure table that they were shown.
``pay_by``: until when it may be paid out."""

lapses = Table(
    "lapses",
    METADATA,
    Column("application", ID, ForeignKey("applications.id"), primary_key=True),
    Column("lapsed_at", DeskTime, nullable=False),
    Column("recorded_at", DeskTime, nullable=False),
)
"""Kept. Acceptances that were not paid out in time, and when that was found."""

loans = Table(
    "loans",
    METADATA,
    Column("number", Numbered, primary_key=True),
    Column("id", ID, nullable=False, unique=True),
    Column("application", ID, ForeignKey("applications.id"), nullable=False, unique=True),
    Column("decision", ID, ForeignKey("decisions.id"), nullable=False),
    Column("pseudonym", String(64), nullable=False, index=True),
    Column("payment", String(64), nullable=False, unique=True),
    Column("principal", BigInteger, nullable=False),
    Column("disbursed_on", Date, nullable=False),
    Column("product_hash", SHA256, ForeignKey("rules.sha256"), nullable=False),
    Column("contract", LargeBinary, nullable=False),
)
"""Kept, but for the name, which is nobody's once the loan was settled long enough ago.
One for an application at most; ``payment`` is the lender's own id of the transfer, which
pays one loan. ``contract``: canonical JSON of the terms, from which every due item follows;
``product_hash``: the product that it was made under, which says what may follow and at what
price."""

account_events = Table(
    "account_events",
    METADATA,
    Column("loan", ID, ForeignKey("loans.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("event_id", EVENT_ID, nullable=False, unique=True),
    Column("kind", String(32), nullable=False),
    Column("happened_on", Date, nullable=False),
    Column("recorded_at", DeskTime, nullable=False),
    Column("by", String(64), nullable=False),
    Column("reason", String(16)),
    Column("body", LargeBinary, nullable=False),
)
"""Kept. What happened to a loan, in order; its state folds over them (:mod:`lending.account`).
``reason``: why something was booked long after its day."""

settled_loans = Table(
    "settled_loans",
    METADATA,
    Column("loan", ID, ForeignKey("loans.id"), primary_key=True),
    Column("settled_on", Date, nullable=False),
)
"""Loans on which nothing is owed, as their events say: so that nobody folds those of all years to
know what is owed. One that a held payment settled on its due day may be missing."""

reviews = Table(
    "reviews",
    METADATA,
    Column("number", Numbered, primary_key=True),
    Column("id", ID, nullable=False, unique=True),
    Column("application", ID, ForeignKey("applications.id"), nullable=False),
    Column("opened_at", DeskTime, nullable=False),
    Column("status", String(10), nullable=False, index=True),
    Column("taken_by", String(64)),
    Column("taken_at", DeskTime),
    Column("version", Integer, nullable=False),
    Index(
        "reviews_one_open",
        "application",
        unique=True,
        sqlite_where=text("status <> 'decided'"),
        postgresql_where=text("status <> 'decided'"),
    ),
)
"""What waits for a person. One of an application is open at a time."""

review_steps = Table(
    "review_steps",
    METADATA,
    Column("review", ID, ForeignKey("reviews.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("event", String(10), nullable=False),
    Column("by", String(64), nullable=False),
    Column("at", DeskTime, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
"""Kept. Who took it, saw what, proposed and decided, with their own reasons."""

letters = Table(
    "letters",
    METADATA,
    Column("decision", ID, ForeignKey("decisions.id"), primary_key=True),
    Column("written_at", DeskTime, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
"""Kept. What its person was told of a decision, in each language."""

verifications = Table(
    "verifications",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("application", ID, ForeignKey("applications.id"), nullable=False, index=True),
    Column("kind", String(32), nullable=False),
    Column("provider", String(63), nullable=False),
    Column("result", String(16), nullable=False),
    Column("evidence_sha256", SHA256),
    Column("asked_by", String(64), nullable=False),
    Column("asked_at", DeskTime, nullable=False),
)
"""Kept. What a third party said about one thing that the applicant stated."""

answers = Table(
    "idempotency",
    METADATA,
    Column("caller", String(64), primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("request_sha256", SHA256, nullable=False),
    Column("made", String(64), nullable=False),
    Column("expires_at", DeskTime, nullable=False, index=True),
)
"""What a command made, by its caller's Idempotency-Key; for a day."""

model_reviews = Table(
    "model_reviews",
    METADATA,
    Column("number", Numbered, primary_key=True),
    Column("model_hash", SHA256, nullable=False, index=True),
    Column("as_of", Date, nullable=False),
    Column("alarm", Boolean, nullable=False),
    Column("reviewed_at", DeskTime, nullable=False),
)
"""Kept. That somebody had a model looked at (``desk.commands.monitor``), until which day, and
whether it raised an alarm."""

closings = Table(
    "closings",
    METADATA,
    Column("month", String(7), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("closed_at", DeskTime, nullable=False),
    Column("reason", String(400)),
    Column("figures", String, nullable=False),
)
"""Kept. The figures of months that are over, canonical JSON; a month that is closed again has
another version, with its reason. The highest is in force."""

memberships = Table(
    "memberships",
    METADATA,
    Column("pseudonym", String(64), primary_key=True),
    Column("portrait", String(64), primary_key=True, index=True),
    Column("sha256", SHA256, nullable=False),
    Column("since", Date, nullable=False),
    Column("placed_at", DeskTime, nullable=False),
    Column("id", ID, nullable=False, unique=True),
    Column("wrapped_key", LargeBinary, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
"""Which portraits people are in, in the version of that hash, and (sealed) why: as it stands, with
no history. A row goes with the consent, by an objection, at the review, and with its person."""

portrait_objections = Table(
    "portrait_objections",
    METADATA,
    Column("pseudonym", String(64), primary_key=True),
    Column("portrait", String(64), primary_key=True),
    Column("objected_at", DeskTime, nullable=False),
)
"""Who is never placed in a portrait again, in whatever version; goes with its person."""

callers = Table(
    "callers",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("role", String(16), nullable=False),
    Column("token_sha256", SHA256, nullable=False, unique=True),
    Column("added_at", DeskTime, nullable=False),
    Column("revoked", Boolean, nullable=False),
)
"""Who may call the desk: systems of the lender, and its staff."""
