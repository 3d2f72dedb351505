"""Whatever order messages come in, whatever is lost, late or said twice: nobody lends what only another may.

Three lenders want to lend to one person at once, each step of each of them whenever the schedule says. Ten thousand
schedules with TAHINI_EFFORT=1, which take minutes; a hundredth of them otherwise.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from datetime import timedelta
from functools import cache

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.effort import effort
from support.exposure import LENDERS, MINUTE, NOON, Somebody, TwoServers

from exposure.amounts import Exposure, may_lend
from exposure.errors import ExposureBusy, ExposureRefused
from exposure.lending import SentParts
from exposure.ordering import withdrawn
from protocol.exposure import ExposurePart

LIMIT = 100
WANTED = {"aspen": 60, "birch": 50, "cedar": 30}
"""Of a limit of 100: the first two never both, and never all three."""
MINUTES = {"aspen": 3, "birch": 9, "cedar": 9}
"""How long each reserves: the first is over while others still ask."""
Replies = tuple[str, str]
Read = tuple[SentParts, tuple[ExposurePart, ExposurePart]]


@cache
def made() -> tuple[Somebody, dict[tuple[str, str], Read]]:
    """The person before anybody asks, and whatever a lender may say later: made once, as signing takes the time."""
    person = Somebody()
    for name in LENDERS:
        person.states(name, Exposure())
    said = {}
    for name in LENDERS:
        lender, key = person.lender(name), person.key.public.text
        asked = person.question(name, WANTED[name], minutes=MINUTES[name])
        ends, loan = (asked.operation,), Exposure(1, WANTED[name])
        for what, sent in {
            "ask": asked,
            "lend": lender.state(person.handle, 2, loan, key, ends),
            "decline": lender.state(person.handle, 2, Exposure(), key, ends),
            "undo": lender.state(person.handle, 3, Exposure(), key),
        }.items():
            said[name, what] = sent, person.servers.read(sent)
    return person, said


class Schedule:
    """What happens next, drawn from a list of numbers; when they are spent, all get their turn and nothing is lost."""

    def __init__(self, numbers: list[int]) -> None:
        self.numbers = iter(numbers)
        self.turns = 0

    def __call__(self, choices: int) -> int:
        return next(self.numbers, 0) % choices

    def turn(self, going: int) -> int:
        """Whose it is; as many as are going where the clock goes on instead."""
        number = next(self.numbers, None)
        if number is not None:
            return number % (going + 1)
        self.turns += 1
        return self.turns % going


class Market:
    """Both servers in one schedule, and who has lent."""

    def __init__(self, schedule: Schedule, skew: timedelta) -> None:
        person, self.said = made()
        held = person.servers
        self.servers = TwoServers(held.members, NOON, skew, held.registry_book, held.naming_book)
        self.person, self.schedule = person, schedule
        self.lent: dict[str, int] = {}
        self.answers: dict[str, Exposure] = {}

    def operation(self, name: str, what: str) -> Generator[None, None, Replies | None]:
        """One operation, each message a step; None where a server refused it."""
        first, second = self.said[name, what][1]
        servers = self.servers
        while True:
            yield
            try:
                order = servers.at_registry(first)
            except ExposureBusy:
                continue
            except ExposureRefused:
                return None
            reply = yield from self.followed(second, order)
            if reply is not None:
                break
            servers.registry_book = withdrawn(servers.registry_book)  # too late by the second's clock: once more
        yield
        done = servers.settle(first)
        yield
        return done, reply

    def followed(self, second: ExposurePart, order: str) -> Generator[None, None, str | None]:
        """The second server's reply; the order is sent again where the reply was lost. None where it was refused."""
        while True:
            yield
            try:
                reply = self.servers.at_naming(second, order)
            except ExposureRefused:
                return None
            if self.schedule(4) != 3:
                return reply

    def lender(self, name: str) -> Iterator[None]:
        """Asks, decides, states, and pays out or takes it back."""
        lender, sent = self.person.lender(name), self.said[name, "ask"][0]
        replies = yield from self.operation(name, "ask")
        if replies is None:
            return
        others = self.answers[name] = lender.answered(sent, *replies)
        what = "lend" if may_lend(WANTED[name], LIMIT, Exposure(), others) else "decline"
        replies = yield from self.operation(name, what)
        if what == "decline" or replies is None:
            return
        if lender.stated(self.said[name, what][0], *replies):
            self.lent[name] = WANTED[name]
        else:
            yield from self.operation(name, "undo")

    def run(self) -> None:
        going = [self.lender(name) for name in LENDERS]
        while going:
            choice = self.schedule.turn(len(going))
            if choice == len(going):
                self.servers.now += 2 * self.schedule(3) * MINUTE
                continue
            if next(going[choice], self) is self:
                del going[choice]


SCHEDULES = st.lists(st.integers(0, 11), max_size=60)
SKEWS = st.sampled_from([-20, 0, 20]).map(lambda seconds: timedelta(seconds=seconds))


@settings(max_examples=effort(effort(10_000)), deadline=None, suppress_health_check=list(HealthCheck))
@given(SCHEDULES, SKEWS)
def test_no_two_lend_what_only_one_may(numbers, skew):
    market = Market(Schedule(numbers), skew)
    market.run()
    assert sum(market.lent.values()) <= LIMIT
    assert all(others.fen <= sum(WANTED.values()) for others in market.answers.values())
    servers = market.servers
    same = [(book.number, book.chain, book.at, book.key) for book in (servers.registry_book, servers.naming_book)]
    assert same[0] == same[1], "both servers did the same, in the same order"


def test_of_two_in_the_same_second_the_later_sees_what_the_earlier_reserved():
    market = Market(Schedule([0, 1] * 20), timedelta(0))
    market.run()
    assert market.answers["aspen"].fen == 0
    assert market.answers["birch"].values == (0, 0, WANTED["aspen"])
    assert market.lent == {"aspen": 60, "cedar": 30}


def test_with_everybody_in_turn_all_that_fits_is_lent():
    market = Market(Schedule([]), timedelta(0))
    market.run()
    assert market.lent == {"birch": 50, "cedar": 30}
