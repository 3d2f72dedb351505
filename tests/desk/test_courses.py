"""Applications that come together: one question for all of them, and what one runs into is its own."""

from __future__ import annotations

from concurrent.futures import Future

import pytest
import sqlalchemy as sa
from sqlalchemy import func, select
from support.counter import Counter, apply_together
from support.world import pseudonym

from desk.commands.apply import LoanWanted, await_log
from desk.courses import StepQuestion, alone, side_by_side
from desk.errors import ConsentMissing, RulesMissing, SourceFailed
from desk.outbox import HandedInTogether, UseRefused
from desk.own_tables import SqlSource
from desk.records import held
from desk.sources import About, Inquiry, Readable, Sources
from desk.storage import tables
from desk.storage.idempotency import ActsOnce
from law.categories import DataCategory
from protocol.client.desks import UseAnswer
from protocol.errors import Malformed, RegistryUnavailable
from protocol.schema import now
from protocol.uses import UseStatement


def wants(**more) -> LoanWanted:
    return LoanWanted(**{"pseudonym": pseudonym(), "product": "small", "amount": 500_000, "term_days": 30,
                         "purpose": "a fridge"} | more)  # fmt: skip


def test_what_several_ask_is_asked_once_and_an_error_is_told_to_its_own_course():
    asked: list[list[int]] = []

    def double(about):
        asked.append(list(about))
        return [one * 2 if one != 3 else ValueError("three") for one in about]

    def course(number: int):
        try:
            first = yield StepQuestion(double, number)
        except ValueError:
            return "caught"
        if number == 5:
            raise KeyError(number)
        if number == 7:
            return first
        return (yield StepQuestion(double, first))

    found = side_by_side([course(one) for one in (1, 3, 5, 7)])
    assert (found[0], found[1], found[3]) == (4, "caught", 14) and isinstance(found[2], KeyError)
    assert asked == [[1, 3, 5, 7], [2]]
    with pytest.raises(KeyError):
        alone(course(5))


def test_what_a_question_raises_all_who_asked_it_are_told():
    def away(about):
        raise RegistryUnavailable("away")

    def course():
        yield StepQuestion(away, 1)

    assert all(isinstance(one, RegistryUnavailable) for one in side_by_side([course(), course()]))


def test_one_is_refused_and_the_others_of_its_group_are_decided(either: Counter):
    requests: list[int] = []
    answering = either.log.log_uses
    either.log.log_uses = lambda tokens: requests.append(len(tokens)) or answering(tokens)  # type: ignore
    check, silent = either.consents.check, pseudonym()

    def checked(name, categories):
        either.consents.refused = {DataCategory.REPAYMENT} if name == silent else set()
        return check(name, categories)

    either.consents.check = checked  # type: ignore[method-assign]
    refused, versions = UseAnswer(None, "taken back"), either.rules.versions
    either.rules.versions = lambda product, day: (  # type: ignore[method-assign]
        versions(product, day) if product == "small" else _no_policy()
    )
    found = apply_together(
        either.desk,
        [(wants(), None), (wants(pseudonym=silent), None), (wants(product="other"), None), (wants(), None)],
    )
    assert isinstance(found[1], ConsentMissing) and isinstance(found[2], RulesMissing)
    decided = [found[0], found[3]]
    assert [await_log(either.desk, one.application) is not None for one in decided] == [True, True]
    assert requests == [2, 2], "both reads in one request, both decisions in another"
    with either.desk.reading() as hand:
        assert hand.connection.scalar(select(func.count()).select_from(tables.applications)) == 2
    # the registry refuses one of two
    either.log.log_uses = lambda tokens: (
        [refused, *answering(tokens[1:])] if "use.read" in _step(tokens) else answering(tokens)
    )  # type: ignore
    first, second = apply_together(either.desk, [(wants(), None), (wants(), None)])
    assert isinstance(first, UseRefused) and await_log(either.desk, second.application) is not None


def _no_policy():
    raise RulesMissing("no policy")


def _step(tokens) -> str:
    return UseStatement.claimed(tokens[0]).step


def test_one_whose_change_fails_does_not_take_the_others_along(either: Counter):
    """Its key was used for another request: the group is written one by one."""
    key = ActsOnce("o", "k", "a" * 64)
    ((first),) = apply_together(either.desk, [(wants(), key)])
    again, other, mine = apply_together(
        either.desk, [(wants(), ActsOnce("o", "k", "b" * 64)), (wants(), None), (wants(), key)]
    )
    assert isinstance(again, Malformed) and mine.application == first.application and mine.made is None
    twice = ActsOnce("o", "twice", "c" * 64)
    one, same = apply_together(either.desk, [(wants(), twice), (wants(), twice)])
    assert one.application == same.application, "a retry that comes together with what it repeats"
    with either.desk.reading() as hand:
        assert {row.id for row in hand.connection.execute(select(tables.applications))} == {
            first.application, other.application, one.application
        }  # fmt: skip
        assert held(hand.connection, other.application).decision.outcome == "approve"


def test_a_table_is_asked_once_about_several_and_each_hears_its_own(tmp_path):
    engine = sa.create_engine(url := f"sqlite:///{tmp_path / 'own.db'}")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE people (name TEXT COLLATE NOCASE, late INTEGER)")
        connection.exec_driver_sql("INSERT INTO people VALUES ('a', 1), ('b', 2), ('twice', 3), ('twice', 4)")
    book = SqlSource(About("book", DataCategory.REPAYMENT, ("late",), 20.0), sa.make_url(url), "people", "name",
                     {"late": "late"})  # fmt: skip
    allowed = Readable({DataCategory.REPAYMENT})

    def told(*names: str):
        sources = Sources([book])
        try:
            asked = [(Inquiry(f"{at}", name, now()), allowed) for at, name in enumerate(names)]
            return [(one["late"].status, one["late"].value) for one in sources.gather_together(asked)]
        finally:
            sources.close()

    alone_each = [told(name)[0] for name in ("a", "b", "nobody", "twice", "a")]
    assert told("a", "b", "nobody", "twice", "a") == alone_each
    assert alone_each == [("present", 1), ("present", 2), ("absent", None), ("late", None), ("present", 1)]
    assert told("A", "b") == [told("A")[0], told("b")[0]], "a table that takes another text for the same"


def test_who_may_not_be_asked_about_is_refused_beside_one_who_may():
    asked: list[str] = []

    class Known:
        about = About("book", DataCategory.REPAYMENT, ("late",), 20.0)

        def ask(self, inquiry):
            asked.append(inquiry.pseudonym)
            raise SourceFailed("it fails")

    sources = Sources([Known()])
    both = [(Inquiry("1", "p", now()), Readable(())), (Inquiry("2", "q", now()), Readable({DataCategory.REPAYMENT}))]
    told = [one.result(20) if isinstance(one, Future) else one for one in sources.gather_together(both)]
    assert [one["late"].status for one in told] == ["refused", "late"]
    assert asked == ["q"]


def test_one_statement_that_the_registry_does_not_take_leaves_the_others_theirs():
    class Registry:
        def log_uses(self, tokens):
            if "bad" in tokens:
                raise Malformed("it is too long")
            return [UseAnswer(len(one)) for one in tokens]

    together = HandedInTogether(Registry())
    with pytest.raises(Malformed):
        together.log_uses(["good", "bad"])
    assert [one.index for one in together.log_uses(["a", "bb"])] == [1, 2]
