"""Where facts about an applicant come from, each source with a deadline and a consent of its own.

A source that the person did not let us ask is ``refused`` and is not asked. One that has not
answered by its deadline, or not as it should, is ``late``: that is the lender's trouble, never held
against the person. What a source does not know is ``absent``.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property, partial
from typing import Any, Protocol, runtime_checkable

import httpx

from crypto.keys import SigningKey
from desk.errors import SourceFailed
from desk.gathering import Alarms, Gathering
from law.categories import DataCategory
from lending.cases import Fact, Status, Value
from protocol.bounded import Bounds, ask
from protocol.requests import sign_request

AT_ONCE = 16
"""Questions that one source is asked at a time; more wait, and may become late."""
ANSWER_BYTES = 262_144
TEXT_LENGTH = 4_000
"""Characters of one value."""
EXACT = 2**53
"""Whole numbers up to here are the same in every JSON reader."""
logger = logging.getLogger("tahini.desk")


@dataclass(frozen=True)
class Inquiry:
    """About whom a source is asked, for which application."""

    application: str
    pseudonym: str
    moment: datetime


@dataclass(frozen=True)
class Reading:
    """One value as a source gave it, and of which day it is."""

    value: Value
    observed_on: date | None = None


@dataclass(frozen=True)
class About:
    """What every source says of itself."""

    name: str
    category: DataCategory
    """The kind of data: which of the person's consents it needs."""
    features: tuple[str, ...]
    """All that it can answer."""
    deadline_s: float = 0.8
    also: tuple[DataCategory, ...] = ()
    """Further kinds of data that its features are made of; it is asked where all are granted."""

    @property
    def categories(self) -> frozenset[DataCategory]:
        return frozenset({self.category, *self.also})

    @property
    def named(self) -> dict[str, DataCategory]:
        """As a statement names it, which says one kind of data of each name: a further one stands
        under the source's name and its own."""
        return named(self.name, (self.category, *self.also))


def named(name: str, kinds: Sequence[DataCategory]) -> dict[str, DataCategory]:
    """As :attr:`About.named`: of a source of these kinds of data, its own first."""
    return {name: kinds[0], **{f"{name}-{one}": one for one in kinds[1:]}}


class FactSource(Protocol):
    """Something that knows facts about people."""

    @property
    def about(self) -> About: ...

    def ask(self, inquiry: Inquiry) -> Mapping[str, Reading]:
        """What is known, by feature; what is not known is left out. Raises TahiniError, OSError or
        httpx.HTTPError where there is no answer."""
        ...


@runtime_checkable
class AskedTogether(Protocol):
    """A source that answers about several people at the price of one."""

    def ask_together(
        self, inquiries: Sequence[Inquiry]
    ) -> Mapping[str, Mapping[str, Reading] | Exception]:
        """By application, what is known, or why nothing is told of this one. Raises as
        :meth:`FactSource.ask`; then each is asked about alone."""
        ...


@dataclass(frozen=True)
class HttpSource:
    """A third party, asked with a signed request (``protocol.requests``) that names the
    application, never an identity number.

    It is sent ``{"application": …, "subject": …, "features": […]}`` and answers
    ``{"facts": {"income": {"value": 3000, "observed_on": "2026-11-01"}}}``.
    """

    about: About
    url: str
    audience: str
    caller: str
    key: SigningKey = field(repr=False)
    http: httpx.Client = field(repr=False)

    def ask(self, inquiry: Inquiry) -> Mapping[str, Reading]:
        asked = {
            "application": inquiry.application,
            "subject": inquiry.pseudonym,
            "features": list(self.about.features),
        }
        said = signed_call(self, json.dumps(asked).encode())
        try:
            facts = said["facts"]
            return {str(name): _reading(one) for name, one in facts.items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SourceFailed(f"source {self.about.name!r} answers in another form") from error


class Called(Protocol):
    """A third party that is called with a signed request."""

    @property
    def about(self) -> About: ...
    @property
    def url(self) -> str: ...
    @property
    def audience(self) -> str: ...
    @property
    def caller(self) -> str: ...
    @property
    def key(self) -> SigningKey: ...
    @property
    def http(self) -> httpx.Client: ...


def signed_call(to: Called, body: bytes) -> Any:
    """What a third party answers a signed request, within its deadline.

    Raises:
        SourceFailed: it refuses, or answers no JSON. httpx.HTTPError: it does not answer in time.
    """
    url = httpx.URL(to.url)
    token = sign_request(to.key, to.caller, to.audience, "POST", url.raw_path.decode("ascii"), body)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    bounds = Bounds(ANSWER_BYTES, to.about.deadline_s)
    answer = ask(to.http, "POST", to.url, bounds, content=body, headers=headers)
    if answer.status_code != 200:
        raise SourceFailed(f"source {to.about.name!r} answered {answer.status_code}")
    try:
        return json.loads(answer.content)
    except ValueError as error:
        raise SourceFailed(f"source {to.about.name!r} answers no JSON") from error


def _reading(said: Mapping[str, Any]) -> Reading:
    value, day = said["value"], said.get("observed_on")
    if not isinstance(value, (bool, int, float, str)):
        raise TypeError("a value is a truth value, a number or a text")
    return Reading(value, None if day is None else date.fromisoformat(day))


# --- all of them together


@dataclass(frozen=True)
class Readable:
    """What of an applicant may be read."""

    categories: Collection[DataCategory]
    disputed: Collection[str] = ()
    """Features that the person contests."""


@dataclass
class Sources:
    """Every source of a desk, asked beside one another. A slow one takes no other's threads."""

    sources: Sequence[FactSource]
    _pools: dict[str, ThreadPoolExecutor] = field(default_factory=dict, repr=False)
    _alarms: Alarms = field(default_factory=lambda: Alarms("source-deadlines"), repr=False)

    def __post_init__(self) -> None:
        names = [source.about.name for source in self.sources]
        named = [name for source in self.sources for name in source.about.named]
        told = [name for source in self.sources for name in source.about.features]
        if len(named) != len(set(named)) or len(told) != len(set(told)):
            raise SourceFailed("two sources have one name, or answer for one feature")
        self._pools = {
            name: ThreadPoolExecutor(AT_ONCE, thread_name_prefix=f"source-{name}") for name in names
        }

    @property
    def kinds(self) -> dict[str, frozenset[DataCategory]]:
        """Which kinds of data each feature is made of."""
        return {
            name: source.about.categories
            for source in self.sources
            for name in source.about.features
        }

    @cached_property
    def categories(self) -> tuple[DataCategory, ...]:
        """The kinds of data that these sources hold: one consent is asked for each."""
        return tuple(sorted(frozenset().union(*(one.about.categories for one in self.sources))))

    @property
    def described(self) -> dict[str, tuple[DataCategory, ...]]:
        """The kinds of data of each source, its own first."""
        return {one.about.name: (one.about.category, *one.about.also) for one in self.sources}

    def require(self, made_of: Mapping[str, Collection[DataCategory]]) -> None:
        """Every source says all that its features are made of, by whoever decides by them: else
        data would be read under another consent than it needs.

        Raises:
            SourceFailed: one does not; the sentence says which, and what it leaves out.
        """
        for source in self.sources:
            for name in source.about.features:
                untold = sorted(set(made_of.get(name, ())) - source.about.categories)
                if untold:
                    raise SourceFailed(
                        f"source {source.about.name!r} answers {name!r}, which is made of "
                        f"{', '.join(untold)}; name it in the source's categories, so that the "
                        "consent to it is asked for"
                    )

    def close(self) -> None:
        """What is still being asked is not waited for, and is late."""
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)
        self._alarms.close()

    def gather(self, inquiry: Inquiry, allowed: Readable) -> dict[str, Fact]:
        """Every feature of every source, known or not and why."""
        (found,) = self.gather_together([(inquiry, allowed)])
        return found.result() if isinstance(found, Future) else found

    def gather_together(
        self, asked: Sequence[tuple[Inquiry, Readable]]
    ) -> list[dict[str, Fact] | Future[dict[str, Fact]]]:
        """As :meth:`gather`, about several people: a source of the lender's own is asked once.
        Returns as soon as everything is told of anybody, and of the others when it will be."""
        began = time.monotonic()
        abouts = [one.about for one in self.sources]
        under = [frozenset(allowed.categories) for _, allowed in asked]
        may = [[one.categories <= granted for one in abouts] for granted in under]
        gathering: Gathering[Fact] = Gathering(
            [{one.name for one, yes in zip(abouts, mine, strict=True) if yes} for mine in may],
            [_not_asked(abouts, mine) for mine in may],
        )
        for number, source in enumerate(self.sources):
            about = {at: one for at, one in enumerate(asked) if may[at][number]}
            asking = _Asking(source, self._pools[source.about.name], about, gathering)
            asking.begin()
            self._alarms.at(began + source.about.deadline_s, asking.end)
        return gathering.first()


@dataclass(eq=False)
class _Asking:
    """One source, asked about several people, by their places in a gathering."""

    source: FactSource
    pool: ThreadPoolExecutor
    about: Mapping[int, tuple[Inquiry, Readable]]
    gathering: Gathering[Fact]
    _calls: list[Future[None]] = field(default_factory=list)

    def begin(self) -> None:
        if isinstance(self.source, AskedTogether) and len(self.about) > 1:
            self._submit(partial(self._together, self.source))
        else:
            self._each()

    def end(self) -> None:
        """It is too late for whoever has no answer by now, and nobody is asked any more."""
        for call in self._calls:
            call.cancel()
        mine = self.source.about
        if late := self.gathering.unanswered(mine.name):
            logger.warning("source %s is late about %d", mine.name, len(late))
            self.gathering.tell(mine.name, {at: _all(mine, "late") for at in late})

    def _submit(self, call: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the desk is being closed: all of them are late
            self._calls.append(self.pool.submit(call))

    def _each(self) -> None:
        for at in self.about:
            self._submit(partial(self._alone, at))

    def _together(self, source: AskedTogether) -> None:
        try:
            found = source.ask_together([inquiry for inquiry, _ in self.about.values()])
            told = {at: found[inquiry.application] for at, (inquiry, _) in self.about.items()}
        except Exception as error:  # one of them may be to blame, and not the others
            name = self.source.about.name
            logger.warning("source %s is asked one by one: %s", name, type(error).__name__)
            self._each()
        else:
            self._tell(told)

    def _alone(self, at: int) -> None:
        try:
            said: Mapping[str, Reading] | Exception = self.source.ask(self.about[at][0])
        except Exception as error:  # whatever a driver raises: its words may hold a person's data
            said = error
        self._tell({at: said})

    def _tell(self, told: Mapping[int, Mapping[str, Reading] | Exception]) -> None:
        mine = self.source.about
        facts = {at: _facts(mine, said, self.about[at][1].disputed) for at, said in told.items()}
        self.gathering.tell(mine.name, facts)


def _facts(
    about: About, said: Mapping[str, Reading] | Exception, disputed: Collection[str]
) -> dict[str, Fact]:
    """What a source said of somebody, or what it raised: an answer that is none is late."""
    try:
        if isinstance(said, Exception):
            raise said
        return {
            name: _fact(about, name, said.get(name), name in disputed) for name in about.features
        }
    except Exception as error:
        logger.warning("source %s gives no answer: %s", about.name, type(error).__name__)
        return _all(about, "late")


def _fact(about: About, name: str, reading: Reading | None, disputed: bool) -> Fact:
    """Raises TypeError: what a case cannot hold."""
    if reading is None:
        return Fact(name, "absent", None, about.name)
    if not _is_fact(reading):
        raise TypeError("no value, or of no day")
    if disputed:
        return Fact(name, "disputed", None, about.name)
    return Fact(name, "present", reading.value, about.name, reading.observed_on)


def _is_fact(reading: Reading) -> bool:
    """What a case can hold and a signed record can say exactly (RFC 8785): no number that is none
    or is beyond exact ones, no text that no UTF-8 holds. A time is none of its values, though a
    date is."""
    value, day = reading.value, reading.observed_on
    if not isinstance(day, date | None) or isinstance(day, datetime):
        return False
    if isinstance(value, str):
        return len(value) <= TEXT_LENGTH and not any("\ud800" <= one <= "\udfff" for one in value)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return abs(value) <= EXACT
    return isinstance(value, date) and not isinstance(value, datetime)


def _not_asked(abouts: Sequence[About], may: Sequence[bool]) -> dict[str, Fact]:
    """What they were not let know of somebody."""
    found: dict[str, Fact] = {}
    for about, yes in zip(abouts, may, strict=True):
        if not yes:
            found |= _all(about, "refused")
    return found


def _all(about: About, status: Status) -> dict[str, Fact]:
    return {name: Fact(name, status, None, about.name) for name in about.features}
