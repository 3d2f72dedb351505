"""Retention: deletes what has been kept long enough, counts it, and says so in the log.

What is kept, how long and by which law stands in ``retention.toml``. Erasure does not wait for this
(``consent.commands.forget_subject``); this is for what has a time of its own. Legal holds that are
over are destroyed: their row goes, the keys of the others are wrapped under a fresh key, and the
old root key goes too, so that no copy of the database opens them. Once a year what is still kept is
counted, and logged (PBOC 数据安全办法 Art. 27).
"""

from __future__ import annotations

import logging
import threading
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import Table, delete, func, select
from sqlalchemy.orm import Session

from auditlog.column_types import Base
from consent.commands.end_of_term import erase_outlived
from consent.keys.backup import forgetting, known_backups
from consent.keys.enclosures import renew
from consent.registry import Registry
from consent.storage.erasure_tables import LegalHoldRow, ReviewRow, TombstoneRow
from consent.storage.tables import SubjectRow
from consent.transaction import Transaction, reading, writing
from crypto.errors import CryptoError
from protocol.errors import ConsentError

Level = Literal["high", "personal", "none"]
"""``high``: sensitive personal information, or a key that opens some; ``personal``: about a person,
if only under a code; ``none``: about nobody. Ours: an institution maps them onto its own scheme
(PBOC 数据安全办法 7, 8; JR/T 0197)."""
RULES_FILE = Path(__file__).with_name("retention.toml")
FIRST_S, EVERY_S = 600.0, 3600.0
YEAR = timedelta(days=365)
_TICK_S = 5.0
logger = logging.getLogger("tahini.retention")


class RetentionRule(BaseModel):
    """How long one kind of record is kept, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    of: str
    """A table, as ``registry.consents``, or a file, as ``coordinator:model-card.jws``."""
    what: str
    law: str
    level: Level
    """How sensitive one item of it is."""
    source: str = Field(min_length=3)
    """Whom it comes from."""
    by: Literal["registry", "coordinator", "lender", "auditor"] = "registry"
    """Who keeps it."""
    keep: str = ""
    """Why it is not deleted after a time."""
    since: str = ""
    """The column from which the time runs,"""
    days: int | None = Field(default=None, ge=0)
    """and how long."""

    @model_validator(mode="after")
    def _one_of_both(self) -> RetentionRule:
        timed = self.days is not None and self.since != ""
        if timed == bool(self.keep) or (timed and self.by != "registry"):
            raise ValueError("a rule says how long the registry keeps it, or why it stays")
        return self

    @property
    def table(self) -> Table:
        """The registry's table that it is about."""
        return Base.metadata.tables[self.of.removeprefix("registry.")]

    def due(self, moment: datetime) -> Any:
        """The condition under which a row has been kept long enough."""
        return self.table.c[self.since] <= moment - timedelta(days=self.days or 0)


@cache
def reviewed_on() -> date:
    """When the rules were looked through last (PBOC 数据安全办法 10: every year)."""
    found = tomllib.loads(RULES_FILE.read_text(encoding="utf-8"))["reviewed_on"]
    return date.fromisoformat(str(found))


@cache
def rules() -> tuple[RetentionRule, ...]:
    """Every rule, in the order of the file."""
    found = tomllib.loads(RULES_FILE.read_text(encoding="utf-8"))["rule"]
    return tuple(RetentionRule.model_validate(one) for one in found)


def timed_rules() -> list[RetentionRule]:
    """The rules by which the registry deletes."""
    return [rule for rule in rules() if rule.days is not None]


@dataclass(frozen=True)
class Applied:
    """What one run deleted, or would delete: rows by table. No person is in it."""

    moment: datetime
    deleted: dict[str, int]
    reviewed: bool

    @property
    def total(self) -> int:
        return sum(self.deleted.values())

    def body(self) -> dict[str, Any]:
        return {
            "at": self.moment.isoformat(),
            "deleted": self.deleted,
            "reviewed": self.reviewed,
        }


def due_now(registry: Registry) -> Applied:
    """What :func:`apply_retention` would do now; changes nothing."""
    with reading(registry) as view:
        counts = {}
        for rule in timed_rules():
            question = select(func.count()).select_from(rule.table).where(rule.due(view.moment))
            counts[rule.of] = view.session.scalar(question) or 0
        return Applied(view.moment, counts, _review_is_due(view))


def apply_retention(registry: Registry) -> Applied:
    """Delete what is due, in one transaction with its log entry; review, if the last review is a
    year ago.

    Raises:
        NotFound: the auditor has no recipient key, so that nothing could be logged, and nothing was
            deleted. LogHeld: another process writes to this log. KeysUnavailable.
    """
    if not due_now(registry).deleted["registry.legal_holds"]:
        return _applied(registry)
    with forgetting(registry):
        return _applied(registry)


def _applied(registry: Registry) -> Applied:
    with writing(registry) as transaction:
        session, moment = transaction.session, transaction.moment
        registry.ledger.log.lease.hold(session)
        counts = {}
        for rule in timed_rules():
            gone = session.connection().execute(delete(rule.table).where(rule.due(moment)))
            counts[rule.of] = gone.rowcount
        if counts["registry.legal_holds"]:
            renew(registry.keys, session)
        told = {name: count for name, count in counts.items() if count}
        if told:
            transaction.log_sealed("retention.applied", registry.me.id, {}, {"deleted": told})
        reviewed = _review_is_due(transaction)
        if reviewed:
            _review(transaction)
    return Applied(moment, counts, reviewed)


# --- the yearly review


def _review_is_due(view: Transaction) -> bool:
    last = view.session.scalar(select(func.max(ReviewRow.day)))
    return last is None or last <= (view.moment - YEAR).date()


def _review(transaction: Transaction) -> None:
    """Count what is still kept and log it, sealed to the auditor."""
    session = transaction.session
    erased = select(func.count()).where(SubjectRow.erased_at.is_not(None))
    body = {
        "kept": {rule.of: _rows(session, rule.table) for rule in rules() if _is_table(rule)},
        "of_erased_people": {
            "places_on_rolls": session.scalar(erased),
            "hashes_of_names": _rows(session, TombstoneRow.__table__),
            "legal_holds": _rows(session, LegalHoldRow.__table__),
        },
        "known_key_backups": len(known_backups(transaction.registry)),
    }
    me = transaction.registry.me.id
    index = transaction.log_sealed("retention.reviewed", me, {}, body)
    session.add(ReviewRow(day=transaction.moment.date(), entry_index=index))


def _is_table(rule: RetentionRule) -> bool:
    return rule.of.startswith("registry.")


def _rows(session: Session, table: Any) -> int:
    return session.scalar(select(func.count()).select_from(table)) or 0


# --- in the service


@dataclass
class Retainer:
    """One thread that applies the rules, every hour. Of several workers, whoever signs the log."""

    registry: Registry
    every_s: float = EVERY_S
    _stop: threading.Event = field(default_factory=threading.Event, repr=False)
    _thread: threading.Thread | None = field(default=None, repr=False)
    _looked: date | None = field(default=None, repr=False)

    def start(self) -> None:
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="retention", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(15)
            self._thread = None

    def _run(self) -> None:
        left = min(FIRST_S, self.every_s)
        while not self._stop.wait(min(_TICK_S, self.every_s)):
            left -= min(_TICK_S, self.every_s)
            if left <= 0 and self.registry.ledger.sequencer.turn.is_leader():
                left = self.every_s
                self.run_once()

    def run_once(self) -> None:
        """Apply the rules if anything is due; what fails is tried again an hour later."""
        try:
            due = due_now(self.registry)
            if due.total or due.reviewed:
                logger.info("retention: %d rows deleted", apply_retention(self.registry).total)
            today = self.registry.clock().date()
            if today != self._looked:  # at every answer that there is: once a day
                logger.info("retention: %d people erased", erase_outlived(self.registry))
                self._looked = today
        except (ConsentError, CryptoError) as error:
            logger.warning("retention could not be applied: %s", type(error).__name__)


def table_of(applied: Applied) -> Sequence[tuple[str, int, str]]:
    """Each rule by which the registry deletes: table, rows, law."""
    return [(rule.of, applied.deleted[rule.of], rule.law) for rule in timed_rules()]
