"""Load what a lender's borrowers decided elsewhere, from a CSV or Parquet file, through the
registry's own imports.

The file (``consent.answer_files``) has one row per answer, in the order in which the answers were
given. A batch is accepted whole or not at all, under one log entry. Several go at once, split by
person: one person's answers keep their order.

What was acknowledged is noted beside the file. A load that was cut short goes on from there, and a
batch whose answer was lost is answered as the first time: each is sent under an Idempotency-Key
made from its content.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import select

from consent.answer_files import Row, count_rows, read_answers
from consent.commands.import_decisions import MAX_BATCH, Import, import_decisions
from consent.registry import Registry
from consent.storage.idempotency import Once
from consent.storage.tables import SubjectRow
from consent.transaction import act_once
from crypto.keys import replace_file
from crypto.sentences import place_of
from protocol.client.lenders import LenderClient
from protocol.consents import Channel
from protocol.errors import ConsentError, Malformed, RegistryUnavailable
from protocol.notices import Notice
from protocol.parties import Party

TARGET = "/v1/imports"
_RETRY_S = (1.0, 2.0, 4.0, 8.0, 16.0)
_MAX_PEOPLE = 1 << 31
_sorted = json.JSONEncoder(sort_keys=True).encode


class Importing(Protocol):
    """Where batches go."""

    def hand_in(self, body: dict[str, Any]) -> None:
        """Record one batch, durable; a batch that was recorded before is not recorded again. Raises
        ConsentError."""

    def numbers(self) -> dict[str, int]:
        """Number on the roll by pseudonym."""


class OverHttp(LenderClient):
    """As the lender, to a registry that serves. Arguments as of :class:`LenderClient`; one for each
    thread."""

    def _authorization(self, method: str, target: str, content: bytes) -> dict[str, str]:
        key = {"Idempotency-Key": hashlib.sha256(content).hexdigest()} if target == TARGET else {}
        return {**super()._authorization(method, target, content), **key}

    def hand_in(self, body: dict[str, Any]) -> None:
        """While the registry does not answer, ask again for half a minute."""
        for pause in _RETRY_S:
            try:
                self._send("POST", TARGET, body)
                return
            except RegistryUnavailable:
                time.sleep(pause)
        self._send("POST", TARGET, body)

    def numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.roll(0, _MAX_PEOPLE))}


@dataclass(frozen=True)
class Directly:
    """Into the database of a registry that does not serve."""

    registry: Registry
    lender: Party

    def hand_in(self, body: dict[str, Any]) -> None:
        asked = Import.model_validate(body)
        content = json.dumps(body).encode()
        once = Once.of(self.lender.id, hashlib.sha256(content).hexdigest(), "POST", TARGET, content)

        def record() -> tuple[int, dict[str, int]]:
            return 201, {"imported": len(asked.records), "entry_index": self._record(asked)}

        act_once(self.registry, once, record)

    def _record(self, asked: Import) -> int:
        return import_decisions(self.registry, self.lender, asked)

    def numbers(self) -> dict[str, int]:
        with self.registry.ledger.read() as session:
            rows = session.execute(
                select(SubjectRow.pseudonym, SubjectRow.number).where(
                    SubjectRow.lender == self.lender.id
                )
            )
            return {row[0]: row[1] for row in rows}


# --- what was answered, and how far


@dataclass(frozen=True)
class Answered:
    """Which text was answered, in which language, over which channel."""

    notice: Notice
    language: str
    channel: Channel

    @property
    def sha256(self) -> str:
        return hashlib.sha256(json.dumps(self.body([])).encode()).hexdigest()

    def body(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return {
            "notice_id": self.notice.id,
            "notice_version": self.notice.version,
            "notice_language": self.language,
            "notice_sha256": self.notice.text_sha256(self.language),
            "channel": self.channel,
            "records": list(rows),
        }


class OfAnother(Malformed):
    """What is noted about a load is about another one."""


@dataclass
class Progress:
    """How many rows of a file were acknowledged, for one lender and notice; kept beside the file.

    ``sha256`` is of these rows' content alone: a row further down can be mended, and the load goes
    on.
    """

    path: Path
    about: dict[str, str]
    rows: int = 0
    sha256: str = hashlib.sha256().hexdigest()

    @classmethod
    def of(cls, source: Path, lender: str, answered: Answered, lanes: int) -> Progress:
        """``lanes``: how many batches go at once; a load goes on with as many as it began with, so
        that each batch is the same as the first time. Raises Malformed when the note is of another
        load."""
        about = {"lender": lender, "answered": answered.sha256, "connections": str(lanes)}
        progress = cls(source.with_name(source.name + ".progress"), about)
        if progress.path.exists():
            try:
                found = json.loads(progress.path.read_bytes())
                progress.rows = int(found.pop("rows"))
                progress.sha256 = str(found.pop("sha256", ""))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise Malformed(
                    f"{progress.path} is damaged; what was loaded cannot be told from it"
                ) from error
            if found != about:
                raise progress.of_another()
        return progress

    def of_another(self) -> OfAnother:
        return OfAnother(
            f"{self.path} is about another file, lender, notice or number of connections; go on as "
            "it began, or move it away to start anew"
        )

    def advance(self, rows: int, sha256: str) -> None:
        self.rows = self.rows + rows
        self.sha256 = sha256
        replace_file(
            self.path, json.dumps({**self.about, "rows": self.rows, "sha256": sha256}).encode()
        )


# --- loading


@dataclass(frozen=True)
class _Round:
    """Rows that go out together, and their digest with all rows before them."""

    rows: Sequence[Row]
    sha256: str


def _rounds(rows: Iterator[Row], progress: Progress, size: int) -> Iterator[_Round]:
    """The rows that are not acknowledged yet, ``size`` at a time; raises Malformed if those before
    are not the same."""
    done, known = progress.rows, progress.sha256
    digest = hashlib.sha256()
    waiting = list[Row]()
    read = 0
    for row in rows:
        if read == done and digest.hexdigest() != known:
            raise progress.of_another()
        digest.update(_sorted(row.answer).encode())
        read = row.position
        if read > done:
            waiting.append(row)
        if len(waiting) == size:
            yield _Round(waiting, digest.hexdigest())
            waiting = []
    if read < done or (read == done and digest.hexdigest() != known):
        raise progress.of_another()
    if waiting:
        yield _Round(waiting, digest.hexdigest())


class _Refused(Exception):
    """A batch was refused at, or from, this row."""

    def __init__(self, row: Row, exact: bool, reason: ConsentError) -> None:
        super().__init__()
        self.row, self.exact, self.reason = row, exact, reason


@dataclass
class Loader:
    """``importing``: one way in for each batch that may be under way at a time. ``batch``: rows of
    one request."""

    importing: Sequence[Importing]
    answered: Answered
    batch: int = MAX_BATCH
    _numbers: dict[str, int] = field(default_factory=dict, repr=False)

    def _roll(self) -> dict[str, int]:
        self._numbers = self._numbers or self.importing[0].numbers()
        return self._numbers

    def load(
        self, source: Path, progress: Progress, told: Callable[[int], None] = lambda _: None
    ) -> int:
        """Hand in what is not acknowledged yet; returns how many rows that was.

        Raises:
            ConsentError: a row was refused; the message names it. Batches before its round are
                recorded and noted; of its round, those of other lanes may be recorded. Malformed,
                OSError: the file, likewise.
        """
        lanes = len(self.importing)
        before = progress.rows
        told(progress.rows)
        rounds = _rounds(read_answers(source, self._roll), progress, lanes * self.batch)
        with ThreadPoolExecutor(lanes) as pool:
            waiting: tuple[_Round, list[Future[None]]] | None = None
            while True:
                try:
                    following = next(rounds, None)
                    unread = None
                except OfAnother:
                    raise
                except Malformed as error:
                    following = None
                    unread = error
                if waiting is not None:  # the next rows were read while these were under way
                    self._settle(source, *waiting, progress)
                    told(progress.rows)
                if unread is not None:
                    raise Malformed(f"{unread}; {_standing(progress)}") from unread
                if following is None:
                    return progress.rows - before
                by_lane: dict[int, list[Row]] = defaultdict(list)
                for row in following.rows:
                    by_lane[row.answer["number"] % lanes].append(row)
                sent = [
                    pool.submit(self._lane, self.importing[lane], mine)
                    for lane, mine in by_lane.items()
                ]
                waiting = (following, sent)

    def _lane(self, importing: Importing, rows: Sequence[Row]) -> None:
        for start in range(0, len(rows), self.batch):
            part = rows[start : start + self.batch]
            try:
                importing.hand_in(self.answered.body([row.answer for row in part]))
            except ConsentError as error:
                match error.place:
                    case ("records", int(at), *_) if at < len(part):
                        raise _Refused(part[at], True, error) from error
                raise _Refused(part[0], False, error) from error

    @staticmethod
    def _settle(
        source: Path, handed: _Round, sent: Sequence[Future[None]], progress: Progress
    ) -> None:
        failures = [error for future in sent if (error := future.exception()) is not None]
        for failure in failures:
            if not isinstance(failure, _Refused):
                raise failure
        if failures:
            first = min(
                (f for f in failures if isinstance(f, _Refused)),
                key=lambda f: (not f.exact, f.row.position),
            )
            reason = first.reason
            said = str(reason).removeprefix(f"{place_of(reason.place)}: ")
            last = handed.rows[-1].position
            where = (
                first.row.place
                if first.exact
                else f"rows {handed.rows[0].position} to {last} cannot be handed in"
            )
            refusal = ConsentError(f"{source}, {where}: {said}; {_standing(progress)}")
            refusal.status, refusal.code = reason.status, reason.code
            raise refusal from reason
        progress.advance(len(handed.rows), handed.sha256)


def _standing(progress: Progress) -> str:
    """What the user can rely on after a refusal, and what to do."""
    recorded = f"rows 1 to {progress.rows} are recorded; " if progress.rows else ""
    return f"{recorded}mend that and give the same command again, nothing is recorded twice"


__all__ = ["Answered", "Directly", "Importing", "Loader", "OverHttp", "Progress", "count_rows"]
