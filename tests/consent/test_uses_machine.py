"""Whatever people say and lenders hand in, in any order: no use is in the log without its consent, or twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.effort import effort
from support.market import Market, open_market
from support.scoring import Desk, asks_to_score

from protocol.uses import STEPS, Blinding, UseStatement

PEOPLE, APPLICATIONS = 2, 3
OPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(("give", "withdraw", "suspend", "resume")), st.integers(0, PEOPLE - 1)),
        st.tuples(
            st.just("states"),
            st.lists(st.tuples(st.integers(0, APPLICATIONS - 1), st.sampled_from(STEPS)), min_size=1, max_size=4),
        ),
    ),
    min_size=8,
    max_size=20,
)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    with open_market(tmp_path_factory.mktemp("market")) as opened:
        asks_to_score(opened)
        yield opened


def statements(market: Market, folder: Path, people: list) -> dict[tuple[int, str], UseStatement]:
    """Each step of each application, stated while everybody had said yes; whose it is goes round."""
    desk, found = Desk.of(market, folder), {}
    for number in range(APPLICATIONS):
        person, blinding = people[number % PEOPLE], Blinding.of(f"a-{number}")
        permission = desk.permission(person)
        found[number, "use.read"] = desk.trail._statements.read(blinding, permission, {})
        scored, _ = desk.decides(blinding, permission)
        found[number, "use.scored"] = scored
        found[number, "use.explained"] = desk.trail.explained(blinding, scored, "why")
    return found


@settings(max_examples=effort(40, 4), deadline=None)
@given(ops=OPS)
def test_a_use_is_logged_if_and_only_if_its_consent_stands_and_its_time_has_come(market, tmp_path_factory, ops):
    people = market.consenting("aspen", PEOPLE)
    said = statements(market, tmp_path_factory.mktemp("desk"), people)
    given_now, logged = [True] * PEOPLE, dict[tuple[int, str], int]()
    for what, about in ops:
        if what != "states":
            if market.says(people[about], what).status_code == 201:
                given_now[about] = what in {"give", "resume"}
            continue
        expected, size = [], market.log_size()
        for number, step in about:
            before = STEPS[STEPS.index(step) - 1] if step != "use.read" else None
            may = step == "use.explained" or given_now[number % PEOPLE]
            if (number, step) not in logged and may and (before is None or (number, before) in logged):
                logged[number, step], size = size, size + 1
            expected.append(logged.get((number, step)))
        tokens = [said[one].sign(market.keys["aspen"]) for one in about]
        answer = market.call("aspen", "POST", "/v1/uses", {"tokens": tokens}).json()["items"]
        assert [one["index"] for one in answer] == expected
        assert [one["refused"] is None for one in answer] == [index is not None for index in expected]
        assert market.log_size() == size
