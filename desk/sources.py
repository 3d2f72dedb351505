"""Where facts about an applicant come from, each source with a deadline and a consent of its own.

A source that the person did not let us ask is ``refused`` and is not asked. One that has not
answered by its deadline, or not as it should, is ``late``: that is the lender's trouble, never held
against the person. What a source does not know is ``absent``.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from typing import Any, Protocol, get_args, runtime_checkable

import httpx

from crypto.keys import SigningKey
from desk.errors import SourceFailed
from law.categories import DataCategory
from lending.cases import Fact, Status, Value
from protocol.bounded import Bounds, ask
from protocol.requests import sign_request

AT_ONCE = 16
"""Questions that one source is asked at a time; more wait, and may become late."""
ANSWER_BYTES = 262_144
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


_Told = Mapping[str, Mapping[str, Reading] | SourceFailed]
_Answer = Future[_Told]
"""By application."""


@runtime_checkable
class AskedTogether(Protocol):
    """A source that answers about several people at the price of one."""

    def ask_together(self, inquiries: Sequence[Inquiry]) -> _Told:
        """By application, what is known, or why nothing is told of this one. Raises as
        :meth:`FactSource.ask`."""
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
        """What is still being asked is not waited for."""
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)

    def gather(self, inquiry: Inquiry, allowed: Readable) -> dict[str, Fact]:
        """Every feature of every source, known or not and why."""
        (found,) = self.gather_together([(inquiry, allowed)])
        return found

    def gather_together(self, asked: Sequence[tuple[Inquiry, Readable]]) -> list[dict[str, Fact]]:
        """As :meth:`gather`, about several people: a source of the lender's own is asked once."""
        began = time.monotonic()
        under = [frozenset(allowed.categories) for _, allowed in asked]
        futures = []
        for source in self.sources:
            may = [at for at, granted in enumerate(under) if source.about.categories <= granted]
            futures.append((source, self._submit(source, [asked[at][0] for at in may], may)))
        found: list[dict[str, Fact]] = [{} for _ in asked]
        for source, answers in futures:
            for at, (inquiry, _) in enumerate(asked):
                if at not in answers:
                    found[at] |= _all(source.about, "refused")
                else:
                    left = began + source.about.deadline_s - time.monotonic()
                    found[at] |= _heard(source.about, inquiry, answers[at], max(left, 0.0))
        for facts, (_, allowed) in zip(found, asked, strict=True):
            for name in facts.keys() & set(allowed.disputed):
                if facts[name].status == "present":
                    facts[name] = Fact(name, "disputed", None, facts[name].source)
        return found

    def _submit(
        self, source: FactSource, inquiries: Sequence[Inquiry], places: Sequence[int]
    ) -> dict[int, _Answer]:
        pool = self._pools[source.about.name]
        if isinstance(source, AskedTogether) and len(inquiries) > 1:
            return dict.fromkeys(places, pool.submit(source.ask_together, inquiries))
        return {
            at: pool.submit(_ask, source, one) for at, one in zip(places, inquiries, strict=True)
        }


def _ask(source: FactSource, inquiry: Inquiry) -> _Told:
    return {inquiry.application: source.ask(inquiry)}


def _heard(about: About, inquiry: Inquiry, answer: _Answer, seconds: float) -> dict[str, Fact]:
    try:
        readings = answer.result(seconds)[inquiry.application]
    except NotInTime:
        answer.cancel()
        logger.warning("source %s is late", about.name)
        return _all(about, "late")
    except Exception as error:  # whatever a driver raises: its words may hold a person's data
        logger.warning("source %s gives no answer: %s", about.name, type(error).__name__)
        return _all(about, "late")
    if isinstance(readings, SourceFailed):
        logger.warning("source %s gives no answer: SourceFailed", about.name)
        return _all(about, "late")
    if not all(_is_fact(readings[name]) for name in about.features if name in readings):
        logger.warning("source %s answers what is no value, or of no day", about.name)
        return _all(about, "late")
    return {
        name: Fact(name, "present", readings[name].value, about.name, readings[name].observed_on)
        if name in readings
        else Fact(name, "absent", None, about.name)
        for name in about.features
    }


def _is_fact(reading: Reading) -> bool:
    """What a case can hold: a time is none of its values, though a date is."""
    value, day = reading.value, reading.observed_on
    return (
        isinstance(value, get_args(Value))
        and isinstance(day, date | None)
        and not isinstance(value, datetime)
        and not isinstance(day, datetime)
    )


def _all(about: About, status: Status) -> dict[str, Fact]:
    return {name: Fact(name, status, None, about.name) for name in about.features}
