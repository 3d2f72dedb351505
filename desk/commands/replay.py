"""Make every stored decision of a machine again, and compare: bit by bit, score, trace and reasons
too, each by the very rules that it names (``desk.rulebook``).

Nothing of the desk's home is asked but its key and its database: neither today's policies nor the
registry. Applications are read in spans, so memory does not grow with them; several processes share
the spans.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from sqlalchemy import Row, func, select

from crypto.bodies import KEY_SIZE
from crypto.errors import SealError, TahiniError
from crypto.keys import read_secret
from desk.commands.challenge import SilentReplayed, replay_silent
from desk.errors import ReplayEnded
from desk.home import KEY_FILE, open_database
from desk.office import MACHINE
from desk.records import (
    StoredDecision,
    decision_columns,
    offer_columns,
    opened_record,
    version_columns,
)
from desk.rulebook import NotKept, Rulebook
from desk.sealing import ApplicationKey, AtRest
from desk.storage.database import DeskDatabase
from desk.storage.tables import applications, decisions, offers
from lending.cases import LoanOffer
from lending.policy.replay import replay as replay_one
from lending.records import RecordError
from naming.batches import end_with_caller

SPAN = 1000
"""Applications that are read at once."""
_OF_CASE = ("product", "amount", "term_days", "received_at")
_ASKED = [applications.c[name].label(f"asked_{name}") for name in ("pseudonym", *_OF_CASE)]
"""What stands in clear of what was asked for, and by whom."""
MOST_TOLD = 1000
"""So many decisions are named, of those that differ; all are counted."""


@dataclass
class Replayed:
    """What came of it. ``differs``: by id, in which field; the first of them. ``not_replayed``:
    how many could not be made again, by why."""

    same: int = 0
    by_people: int = 0
    forgotten: int = 0
    """Their keys were destroyed, because the law or the person wanted it."""
    different: int = 0
    differs: dict[str, str] = field(default_factory=dict)
    not_replayed: dict[str, int] = field(default_factory=dict)

    @property
    def seen(self) -> int:
        undone = sum(self.not_replayed.values())
        return self.same + self.by_people + self.forgotten + self.different + undone

    @property
    def sound(self) -> bool:
        """Whatever is a machine's, and not forgotten, came out the same."""
        return not self.different and not self.not_replayed

    def add(self, other: Replayed) -> None:
        self.same += other.same
        self.by_people += other.by_people
        self.forgotten += other.forgotten
        self.different += other.different
        for why, count in other.not_replayed.items():
            self.undone(why, count)
        for decision, name in other.differs.items():
            self._tell(decision, name)

    def undone(self, why: str, count: int = 1) -> None:
        self.not_replayed[why] = self.not_replayed.get(why, 0) + count

    def differ(self, decision: str, name: str) -> None:
        self.different += 1
        self._tell(decision, name)

    def _tell(self, decision: str, name: str) -> None:
        if len(self.differs) < MOST_TOLD:
            self.differs[decision] = name


class Replaying:
    """Makes the decisions of one desk again."""

    def __init__(self, database: DeskDatabase, at_rest: AtRest) -> None:
        self._database, self._at_rest = database, at_rest
        self._rulebook = Rulebook(database, at_rest)

    @property
    def spans(self) -> list[range]:
        """All applications, by number."""
        with self._database.read() as connection:
            last = connection.scalar(select(func.max(applications.c.number))) or 0
        return [range(first, first + SPAN) for first in range(0, last + 1, SPAN)]

    def silent(self) -> SilentReplayed:
        """What challengers said beside all of them."""
        return replay_silent(self._database, self._at_rest, self._rulebook)

    def span(self, numbers: range) -> Replayed:
        """All decisions of these applications."""
        statement = (
            select(decisions, applications.c.wrapped_key, *_ASKED)
            .join(applications, applications.c.id == decisions.c.application)
            .where(applications.c.number.between(numbers.start, numbers.stop - 1))
            .order_by(applications.c.number, decisions.c.number)
        )
        offered = (
            select(offers)
            .join(decisions, decisions.c.id == offers.c.decision)
            .join(applications, applications.c.id == decisions.c.application)
            .where(applications.c.number.between(numbers.start, numbers.stop - 1))
        )
        with self._database.read() as connection:
            rows = connection.execute(statement).all()
            beside = {row.decision: row for row in connection.execute(offered)}
        found = Replayed()
        for row in rows:
            self._again(row, beside.get(row.id), found)
        return found

    def _again(self, row: Row[Any], offered: Row[Any] | None, found: Replayed) -> None:
        machine = row.id == row.application
        if row.wrapped_key is None:
            found.forgotten += machine
            found.by_people += not machine
            return
        key = self._at_rest.of(row.application, row.wrapped_key)
        try:
            differs = self._of_machine(row, key, offered) if machine else self._of_person(row, key)
        except TahiniError as error:
            found.undone(_why(error))
            return
        if differs is None and not machine:
            found.by_people += 1
        elif differs is None:
            found.same += 1
        else:
            found.differ(row.id, differs)

    def _of_machine(
        self, row: Row[Any], key: ApplicationKey, offered: Row[Any] | None
    ) -> str | None:
        said = opened_record(row, key)
        made = replay_one(said["case"], said["decision"], self._rulebook.of)
        asked = {name: getattr(made.case.application, name) for name in _OF_CASE}
        beside = decision_columns(made.case, made.decision) | {
            "by": MACHINE,
            **{f"asked_{name}": value for name, value in asked.items()},
            "asked_pseudonym": said["permission"]["pseudonym"],
        }
        offer = made.decision.offer
        return made.differs or _otherwise(row, beside) or _offered_otherwise(offered, offer)

    def _of_person(self, row: Row[Any], key: ApplicationKey) -> str | None:
        """It is not made again; what stands in clear beside it is what it says, and by whom."""
        made = StoredDecision.opened(row, key)
        staff = [self._at_rest.alias(one) for one in row.by.split("+")]
        if made.reviewed is None or list(made.reviewed.staff) != staff:
            return "by"
        return _otherwise(row, decision_columns(made.case, made.decision) | version_columns(made))


def _why(error: TahiniError) -> str:
    """In a word, why a decision cannot be made again."""
    if isinstance(error, NotKept):
        return f"{error.kind}-missing"
    return "unreadable" if isinstance(error, SealError | RecordError) else "not-decided"


def _otherwise(row: Row[Any], columns: Mapping[str, Any]) -> str | None:
    """What stands in clear beside the decision, and is not what it says."""
    return next((name for name, one in columns.items() if getattr(row, name) != one), None)


def _offered_otherwise(row: Row[Any] | None, offer: LoanOffer | None) -> str | None:
    """What is accepted and paid out is what stands in clear."""
    if row is None or offer is None:
        return None if row is None and offer is None else "offer"
    name = _otherwise(row, offer_columns(offer))
    return None if name is None else f"offer.{name}"


def replay(
    home: Path, processes: int = 1, progress: Callable[[int], None] = lambda _: None
) -> Replayed:
    """All decisions of the desk in ``home``, in the order of their applications.

    Raises:
        BadSettings, KeyFileError, StorageFailed: the home or its database cannot be read.
        ReplayEnded: one of the processes was ended.
    """
    found = Replayed()
    with _replaying(home) as here:
        spans = here.spans
        count = min(processes, len(spans))
        for one in map(here.span, spans) if count == 1 else _shared(home, spans, count):
            found.add(one)
            progress(found.seen)
    return found


def replay_beside(home: Path) -> SilentReplayed:
    """What challengers said beside them, again. Raises as :func:`replay`."""
    with _replaying(home) as here:
        return here.silent()


@contextmanager
def _replaying(home: Path) -> Iterator[Replaying]:
    database = open_database(home)
    try:
        database.check()
        yield Replaying(database, AtRest(read_secret(home / KEY_FILE, KEY_SIZE)))
    finally:
        database.close()


def _shared(home: Path, spans: list[range], processes: int) -> Iterator[Replayed]:
    pool = ProcessPoolExecutor(processes, get_context("spawn"), initializer=end_with_caller)
    try:
        yield from pool.map(partial(_span_of, home), spans)
    except BrokenProcessPool as error:
        raise ReplayEnded("a process that replayed was ended; start again") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _span_of(home: Path, numbers: range) -> Replayed:
    """In a process of its own, which keeps what it has opened until it ends."""
    return _opened(home).span(numbers)


@cache
def _opened(home: Path) -> Replaying:
    return ExitStack().enter_context(_replaying(home))
