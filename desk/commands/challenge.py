"""What a challenger said beside the decisions: compared with them and with what became of the
loans, and made again.

For the lender's risk officer (``tahini desk monitor``, ``tahini desk replay``); no caller of the
desk is told any of it. Figures are of those alone whose records are kept to be used: not of whoever
was ordered to be erased and whose case only a law still has kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Row, Select, select

from crypto.errors import SealError, TahiniError
from desk.accounts import account_of
from desk.challenging import SilentDecision, said_by
from desk.lending_rules import LendingRules
from desk.office import Desk
from desk.records import StoredDecision, usable_key
from desk.rulebook import NotKept, Rulebook
from desk.sealing import AtRest
from desk.storage.database import DeskDatabase
from desk.storage.tables import applications, decisions, loans, silent_decisions
from lending.account.default import Definition, Performance, label
from lending.cases import Case, Decision
from lending.portfolio.challengers import Challenged, Tried, compared
from lending.records import RecordError, decision_json, identical

AT_ONCE = 1000


@dataclass(frozen=True)
class ChallengerSeen:
    """One challenger, by its hash, beside the policy that it names, or beside the model in use.

    Args:
        model: the challenger's, by its hash, where a model is tried and not a policy.
        failed: how often it could not say anything; the decisions stood.
        found: what came of the others; None while there are none.
    """

    champion: str
    challenger: str
    failed: int
    forgotten: int
    found: Challenged | None
    model: str | None = None

    @property
    def named(self) -> str:
        """For a person."""
        if self.model is None:
            return f"{self.challenger[:16]} beside {self.champion[:16]}"
        return f"model {self.model[:16]} beside model {self.champion[:16]}"


@dataclass
class _Counted:
    failed: int = 0
    forgotten: int = 0
    tried: list[Tried] = field(default_factory=list)

    def seen(self, champion: str, challenger: str, model: str | None) -> ChallengerSeen:
        found = compared(self.tried) if self.tried else None
        return ChallengerSeen(champion, challenger, self.failed, self.forgotten, found, model)


def challengers(desk: Desk, definition: Definition, as_of: date) -> list[ChallengerSeen]:
    """All that were ever tried here, as of the end of a day, the first first."""
    performance = _performance(desk, definition, as_of)
    trials = Rulebook(desk.transactions.database, desk.at_rest)
    models: dict[str, str | None] = {}
    counted: dict[tuple[str, str], _Counted] = defaultdict(_Counted)
    for row in _rows(desk.transactions.database, usable_key()):
        if desk.day(row.decided_at) > as_of:
            continue
        if row.challenger not in models:
            trial = trials.trial(row.challenger)
            models[row.challenger] = None if trial is None else trial.model_sha256
        by_policy = models[row.challenger] is None
        one = counted[row.policy_hash if by_policy else row.model_hash, row.challenger]
        try:
            made, silent = _opened(desk.at_rest, row)
        except SealError:
            one.forgotten += 1
            continue
        if silent.decision is None:
            one.failed += 1
            continue
        became = performance.get(row.application)
        one.tried.append(Tried(made.decision, silent.decision, row.explored, became))
    return [one.seen(*named, models[named[1]]) for named, one in counted.items()]


def _performance(desk: Desk, definition: Definition, as_of: date) -> Mapping[str, Performance]:
    """What became of the loans of applications that a challenger saw."""
    statement = (
        select(loans)
        .join(silent_decisions, silent_decisions.c.decision == loans.c.application)
        .where(loans.c.disbursed_on <= as_of)
    )
    with desk.reading() as hand:
        return {
            row.application: label(
                account_of(hand.connection, row, as_of), definition, as_of
            ).performance
            for row in hand.connection.execute(statement).all()
        }


@dataclass
class SilentReplayed:
    """What came of making them again. ``differs``: by the decision's id."""

    same: int = 0
    not_kept: int = 0
    """Of a policy, a model or a law that is not kept here (``desk.rulebook``)."""
    forgotten: int = 0
    """Their keys were destroyed, because the law or the person wanted it."""
    unreadable: int = 0
    """What is kept does not verify."""
    differs: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whatever was not forgotten was made again, and came out the same."""
        return not (self.differs or self.not_kept or self.unreadable)


class KeptRules(Protocol):
    """What decisions were made by (``desk.rulebook``)."""

    def of(self, case: Case, policy: str | None = None) -> LendingRules: ...


def replay_silent(database: DeskDatabase, at_rest: AtRest, kept: KeptRules) -> SilentReplayed:
    """What every challenger said, again, and compared to the bit; where it failed, it fails."""
    found = SilentReplayed()
    for row in _rows(database, applications.c.wrapped_key):
        if row.wrapped_key is None:
            found.forgotten += 1
            continue
        try:
            made, stored = _opened(at_rest, row)
        except (SealError, RecordError):
            found.unreadable += 1
            continue
        try:
            rules = kept.of(made.case, row.challenger)
        except NotKept:
            found.not_kept += 1
            continue
        except TahiniError:  # it cannot be put together again as it was
            found.differs.append(row.id)
            continue
        again = said_by(rules, made.case, row.challenger)
        told = stored.outcome == row.silent_outcome and again.failure == stored.failure
        if told and _same(again.decision, stored.decision):
            found.same += 1
        else:
            found.differs.append(row.id)
    return found


def _same(one: Decision | None, other: Decision | None) -> bool:
    if one is None or other is None:
        return one is other
    return identical(decision_json(one), decision_json(other))


def _opened(at_rest: AtRest, row: Row[Any]) -> tuple[StoredDecision, SilentDecision]:
    """Raises SealError where it was forgotten."""
    key = at_rest.of(row.application, row.wrapped_key)
    return StoredDecision.opened(row, key), SilentDecision.opened(row.challenger, row.silent, key)


def _statement(key: ColumnElement[bytes | None]) -> Select[Any]:
    return (
        select(
            decisions,
            applications.c.number.label("place"),
            key,
            silent_decisions.c.policy_hash.label("challenger"),
            silent_decisions.c.sealed.label("silent"),
            silent_decisions.c.outcome.label("silent_outcome"),
        )
        .join(silent_decisions, silent_decisions.c.decision == decisions.c.id)
        .join(applications, applications.c.id == decisions.c.application)
        .order_by(applications.c.number)
        .limit(AT_ONCE)
    )


def _rows(database: DeskDatabase, key: ColumnElement[bytes | None]) -> Iterator[Row[Any]]:
    """In the order in which they came; an application has one.

    Args:
        key: ``wrapped_key`` of those that may be opened for what they are read for.
    """
    last = 0
    while True:
        with database.read() as connection:
            rows = connection.execute(_statement(key).where(applications.c.number > last)).all()
        if not rows:
            return
        yield from rows
        last = rows[-1].place
