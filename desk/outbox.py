"""The outbox: statements that were recorded in the transaction of what they are about, delivered to
the log in order and in batches, as often as it takes.

A statement that is delivered again gets the index that it has, so that a process that was killed
between the log's answer and its own note of it asks again and loses nothing. The outbox holds no
secret and no outcome.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    bindparam,
    insert,
    select,
    update,
)

from crypto.errors import TahiniError
from protocol.client.desks import UseAnswer
from protocol.errors import Conflict, ConsentError, NotAllowed, RegistryUnavailable
from protocol.uses import UseStep

BATCH = 256
"""Statements in one request (``consent.commands.log_uses``)."""
_MIN_RETRY_S, _MAX_RETRY_S, _IDLE_S = 0.1, 2.0, 1.0
_ASK_AT_FIRST_S, _ASK_AGAIN_S = 0.2, 0.5
logger = logging.getLogger("tahini.desk")
_Answers = dict[tuple[str, UseStep], UseAnswer]


class UseRefused(NotAllowed):
    """The registry does not log a statement: a consent that it names does not hold, or what goes
    before it is not there. What it states has no effect and may not happen."""

    code = "use-refused"


class Storage(Protocol):
    """The desk's database (``desk.storage.database.DeskDatabase``)."""

    def read(self) -> AbstractContextManager[Connection]: ...
    def write(self) -> AbstractContextManager[Connection]: ...


class Adding(Protocol):
    """A transaction that takes new rows (``desk.office.InHand``)."""

    def add(self, table: Table, **row: Any) -> None: ...


def outbox_table(metadata: MetaData) -> Table:
    """``outbox``: signed statements in the order in which they were made. Rows are added;
    ``entry_index`` or ``refused`` is filled once, then ``leaf`` and ``proof``, once."""
    return Table(
        "outbox",
        metadata,
        Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
        Column("application", String(100), nullable=False),
        Column("step", String(16), nullable=False),
        Column("token", String, nullable=False),
        Column("entry_index", BigInteger),
        Column("refused", String),
        Column("leaf", LargeBinary),
        Column("proof", String),
        UniqueConstraint("application", "step"),
    )


@dataclass(frozen=True)
class LoggedEntry:
    """A statement in the outbox that the log has."""

    number: int
    step: UseStep
    token: str
    index: int
    leaf: bytes | None
    proof: str | None


@dataclass(frozen=True)
class Waiting:
    """A statement that is to be delivered."""

    number: int
    application: str
    step: UseStep
    token: str


class UseOutbox:
    """The statements of one desk."""

    def __init__(self, storage: Storage, table: Table) -> None:
        self._storage, self._table = storage, table

    def add(
        self, hand: Adding, application: str, step: UseStep, token: str, index: int | None = None
    ) -> None:
        """Put one in, in the caller's transaction; there is none yet of this step for this
        application.

        Args:
            index: of what the log has already.
        """
        said = {"application": application, "step": step, "token": token, "entry_index": index}
        hand.add(self._table, **said)

    def record(self, connection: Connection, application: str, step: UseStep, token: str) -> None:
        """Put one in, in the caller's transaction; the same again changes nothing.

        Raises:
            Conflict: another statement of this step is there for this application.
        """
        row = self._table.c
        about = row.application == application, row.step == step
        held = connection.scalar(select(row.token).where(*about))
        if held is None:
            said = {"application": application, "step": step, "token": token}
            connection.execute(insert(self._table).values(said))
        elif held != token:
            raise Conflict(f"another {step} of this application is recorded already")

    def waiting(self) -> list[Waiting]:
        """What is to be delivered next, in order."""
        row = self._table.c
        undone = row.entry_index.is_(None), row.refused.is_(None)
        question = (
            select(row.number, row.application, row.step, row.token)
            .where(*undone)
            .order_by(row.number)
            .limit(BATCH)
        )
        with self._storage.read() as connection:
            return [Waiting(*found) for found in connection.execute(question)]

    def settle(self, numbers: Sequence[int], answers: Sequence[UseAnswer]) -> None:
        """Keep what came of them."""
        row = self._table.c
        undone = (
            row.number == bindparam("settled"),
            row.entry_index.is_(None),
            row.refused.is_(None),
        )
        came: dict[str, Any] = {"entry_index": bindparam("at"), "refused": bindparam("why")}
        with self._storage.write() as connection:
            connection.execute(
                update(self._table).where(*undone).values(came),
                [
                    {"settled": number, "at": answer.index, "why": answer.refused}
                    for number, answer in zip(numbers, answers, strict=True)
                ],
            )

    def standing(self, application: str, step: UseStep) -> UseAnswer | None:
        """What came of a statement; None while it waits, and where there is none."""
        row = self._table.c
        about = row.application == application, row.step == step
        with self._storage.read() as connection:
            found = connection.execute(select(row.entry_index, row.refused).where(*about)).first()
        return None if found is None or found == (None, None) else UseAnswer(*found)

    def logged(self, application: str) -> dict[UseStep, LoggedEntry]:
        """What the log has of an application."""
        row = self._table.c
        mine = row.application == application, row.entry_index.is_not(None)
        question = select(
            row.number, row.step, row.token, row.entry_index, row.leaf, row.proof
        ).where(*mine)
        with self._storage.read() as connection:
            return {found.step: LoggedEntry(*found) for found in connection.execute(question)}

    def prove(self, number: int, leaf: bytes, proof: str) -> None:
        """Keep the entry of a statement, and its proof."""
        row = self._table.c
        with self._storage.write() as connection:
            connection.execute(
                update(self._table)
                .where(row.number == number, row.proof.is_(None))
                .values(leaf=leaf, proof=proof)
            )


class Logging(Protocol):
    """Who takes statements to the log (``protocol.client.desks.DeskClient``)."""

    def log_uses(self, tokens: Sequence[str]) -> list[UseAnswer]: ...


class HandedInTogether:
    """Statements that many threads hand in, each waiting for its answer: what comes while one
    request is under way goes into the next, for a request costs the log more than a statement."""

    def __init__(self, client: Logging) -> None:
        self._client = client
        self._waiting: list[tuple[str, Future[UseAnswer]]] = []
        self._joining, self._turn = threading.Lock(), threading.Lock()

    def log_uses(self, tokens: Sequence[str]) -> list[UseAnswer]:
        """One answer each. Raises RegistryUnavailable, ConsentError: not acknowledged."""
        mine: list[tuple[str, Future[UseAnswer]]] = [(token, Future()) for token in tokens]
        with self._joining:
            self._waiting += mine
        while not all(answer.done() for _, answer in mine):
            with self._turn:
                if not all(answer.done() for _, answer in mine):
                    self._send()
        return [answer.result() for _, answer in mine]

    def _send(self) -> None:
        with self._joining:
            together, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
        try:
            answers = self._client.log_uses([token for token, _ in together])
        except BaseException as error:
            for token, waiting in together:
                if len(together) > 1 and _refused(error):
                    self._alone(token, waiting)
                else:
                    waiting.set_exception(error)
            return
        for (_, waiting), answer in zip(together, answers, strict=True):
            waiting.set_result(answer)

    def _alone(self, token: str, waiting: Future[UseAnswer]) -> None:
        try:
            (answer,) = self._client.log_uses([token])
        except BaseException as error:
            waiting.set_exception(error)
        else:
            waiting.set_result(answer)


def _refused(error: BaseException) -> bool:
    """Whether the registry answered, and took none of them: one may be to blame."""
    return isinstance(error, ConsentError) and not isinstance(error, RegistryUnavailable)


class Trouble(NamedTuple):
    """Why the outbox stands: ``why`` is the name of what was raised, never its words. Unexpected is
    whatever is not the log's refusal or silence: this process is at fault, or what it runs on."""

    why: str
    unexpected: bool


class Sender:
    """Delivers the outbox: one thread, whatever waits in one request.

    Several processes may do so at once: whoever comes second is given the same indexes.
    """

    def __init__(self, outbox: UseOutbox, client: Logging) -> None:
        self._outbox, self._client = outbox, client
        self._news = threading.Event()
        self._telling = threading.Lock()
        self._lately: tuple[_Answers, _Answers] = ({}, {})
        """Of the last two requests: whoever waits need not ask the database."""
        self._hearing: dict[tuple[str, UseStep], list[Future[UseAnswer]]] = {}
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._trouble: Trouble | None = None

    @property
    def trouble(self) -> Trouble | None:
        """Why what waits is not delivered; None while it is."""
        if self._thread is not None and not self._thread.is_alive():
            return Trouble("ended", unexpected=True)
        return self._trouble

    def start(self) -> None:
        """Deliver in the background, what an earlier process left first."""
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="desk-outbox", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after the request under way."""
        thread, self._thread = self._thread, None
        self._stopping = True
        self._news.set()
        if thread is not None:
            thread.join(10)

    def deliver(self) -> int:
        """Deliver what waits, in one request, here and now; returns how many were settled.

        Raises:
            RegistryUnavailable: not acknowledged; all of it is delivered again.
        """
        rows = self._outbox.waiting()
        if rows:
            answers = self._client.log_uses([one.token for one in rows])
            self._outbox.settle([one.number for one in rows], answers)
            fresh = {
                (one.application, one.step): answer
                for one, answer in zip(rows, answers, strict=True)
            }
            with self._telling:
                self._lately = (self._lately[1], fresh)
                hearing = [(fresh[one], self._hearing.pop(one, ())) for one in fresh]
            for answer, waiting in hearing:
                for told in waiting:
                    if told.set_running_or_notify_cancel():
                        told.set_result(answer)
        return len(rows)

    def hear(self, application: str, step: UseStep) -> Future[UseAnswer]:
        """What comes of a statement, once this process has delivered it. Another one may do so
        instead: who waits here gives up (and cancels) after a while, and asks :meth:`wait`."""
        told: Future[UseAnswer] = Future()
        about = application, step
        with self._telling:
            answer = self._lately[1].get(about) or self._lately[0].get(about)
            if answer is None:
                self._hearing.setdefault(about, []).append(told)
        if answer is not None:
            told.set_result(answer)
        else:
            told.add_done_callback(lambda _: self._forget(about, told))
            self._news.set()
        return told

    def _forget(self, about: tuple[str, UseStep], told: Future[UseAnswer]) -> None:
        with self._telling:
            waiting = self._hearing.get(about, [])
            if told in waiting:
                waiting.remove(told)
            if not waiting:
                self._hearing.pop(about, None)

    def wait(self, application: str, step: UseStep, timeout_s: float) -> int:
        """The statement's index in the log, once it has one.

        Raises:
            UseRefused: the registry refused it, for good: a consent was taken back between read and
                decision; the decision is void.
            RegistryUnavailable: not within the time; it is delivered later, and may be waited for
                again.
        """
        deadline = time.monotonic() + timeout_s
        # what was stated just now is delivered by this process, as a rule
        answer = self._heard(application, step, min(timeout_s, _ASK_AT_FIRST_S))
        while answer is None:
            answer = self._outbox.standing(application, step)
            left = deadline - time.monotonic()
            if answer is None and left <= 0:
                raise RegistryUnavailable(
                    f"the log has not acknowledged {step} within {timeout_s:g} s; nothing may rest "
                    "on it yet, and it is delivered again"
                )
            # another process may deliver it: the database is asked again
            answer = answer or self._heard(application, step, min(left, _ASK_AGAIN_S))
        if answer.index is None:
            raise UseRefused(f"the log does not take {step}: {answer.refused}")
        return answer.index

    def _heard(self, application: str, step: UseStep, seconds: float) -> UseAnswer | None:
        told = self.hear(application, step)
        try:
            return told.result(seconds)
        except NotInTime:
            told.cancel()
            return None

    def _run(self) -> None:
        pause = _MIN_RETRY_S
        while not self._stopping:
            try:
                more = self.deliver() == BATCH
                pause = _MIN_RETRY_S
                self._trouble = None
            except Exception as error:  # whatever it was, what waits is delivered when it is over
                known, name = isinstance(error, TahiniError), type(error).__name__
                self._trouble = Trouble(name, unexpected=not known)
                logger.warning("the outbox is not delivered: %s", error if known else name)
                time.sleep(pause)
                pause, more = min(2 * pause, _MAX_RETRY_S), True
            if not more:
                self._news.wait(_IDLE_S)
                self._news.clear()
