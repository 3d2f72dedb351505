"""Under the law of the Union a desk decides nothing before its lender has assessed what that may do to people."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.counter import Counter
from support.house import Ground
from support.lending_house import PRODUCT, clear, home_day, released_policy, write_home

from clients.home import Node
from crypto.keys import SigningKey
from demo.assessing import make_assessment
from desk.assessed import ASSESSMENTS, DeskUse, OwnAssessment, keep_assessment
from desk.home import DeskSettings, create_desk, open_desk, read_settings
from desk.lending_rules import feature_law
from desk.office import Desk
from desk.released import POLICIES, PRODUCTS
from desk.service import _say_what_is_wanting
from desk.storage import tables
from law.categories import DataCategory
from lending.law.rows import LAWS
from lending.policy.document import policy_from
from protocol.assessments import ImpactAssessment
from protocol.errors import Conflict
from protocol.schema import now
from protocol.uses import SCORING_PURPOSE
from tahini import main

READ = (DataCategory.REPAYMENT, DataCategory.INCOME)
EVERY = (*READ, DataCategory.BUREAU, DataCategory.IDENTITY)
DAY = timedelta(days=1)


def assessment(lender: str, moment, categories=READ, **changes: Any) -> ImpactAssessment:
    made = make_assessment(lender, categories, moment)
    return made.model_copy(update={"purpose": SCORING_PURPOSE, "automated_decision": True} | changes)


def holds(desk: Counter, held: ImpactAssessment | None, *places: Any) -> None:
    desk.desk.assessed = OwnAssessment("aspen", frozenset(places or ("EU",)), held)


def refused(desk: Counter) -> str:
    """Why nothing was decided; nobody was read, and nothing was logged or kept."""
    answer = desk.asks()
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:tahini:problem:assessment-missing")
    assert (desk.book.asked, desk.income.asked, desk.consents.checks, desk.log.entries) == (0, 0, 0, [])
    with desk.desk.reading() as hand:
        assert hand.connection.execute(tables.applications.select()).all() == []
    said = str(answer.json()["detail"])
    assert "nothing is decided before" in said and "\n" not in said
    return said


def test_nothing_is_decided_before_the_lender_has_assessed_it(desk: Counter):
    holds(desk, None)
    assert "'aspen' has not assessed" in refused(desk)
    holds(desk, None, "CN", "EU")
    assert "has not assessed" in refused(desk)
    holds(desk, assessment("aspen", desk.clock()))
    assert desk.asks().status_code == 201 and desk.log.steps() == ["use.read", "use.scored"]


@pytest.mark.parametrize("place", ["CN", "US"])
def test_elsewhere_none_is_asked(desk: Counter, place: str):
    holds(desk, None, place)
    assert desk.asks().status_code == 201


def test_one_that_says_nothing_of_what_a_source_reads_is_none(desk: Counter):
    holds(desk, assessment("aspen", desk.clock(), READ[:1]))
    assert "says nothing about data on income" in refused(desk)


def test_one_that_says_nothing_of_what_a_verifier_is_asked_is_none(desk: Counter):
    holds(desk, assessment("aspen", desk.clock()))
    about = replace(desk.book.about, name="works", category=DataCategory.EMPLOYMENT)
    desk.desk.verifiers = {"works": replace(desk.book, about=about)}  # type: ignore[dict-item]
    assert "data on employment" in refused(desk)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"author": "maple"}, "is by 'maple', and the desk is 'aspen'"),
        ({"purpose": "https://w3id.org/tahini/purposes#Another"}, "is of another purpose"),
        ({"automated_decision": False}, "says nothing about decisions by machine alone"),
    ],
)
def test_one_of_something_else_is_none(desk: Counter, changes: dict[str, Any], why: str):
    holds(desk, assessment("aspen", desk.clock(), **changes))
    assert why in refused(desk)


@pytest.mark.parametrize("made", [DAY, -365 * DAY])
def test_one_of_another_time_is_none(desk: Counter, made: timedelta):
    holds(desk, assessment("aspen", desk.clock() + made))
    assert "and not now" in refused(desk)


def test_one_that_ends_while_the_desk_is_served_ends_its_decisions(desk: Counter):
    holds(desk, assessment("aspen", desk.clock()))
    assert desk.asks().status_code == 201
    desk.clock.move(days=366)
    answer = desk.asks()
    assert (answer.status_code, len(desk.log.entries)) == (503, 2)


@pytest.fixture
def home(ground: Ground, tmp_path: Path) -> Path:
    """A desk whose policy and products are of the Union; people decide what its policy lets through."""
    node, risk = ground.copy(tmp_path / "house").founded.node_home("aspen"), SigningKey.generate()
    made = tmp_path / "desk"
    create_desk(made, DeskSettings(node=node, risk_key=risk.public.text, timezone="Europe/Berlin"))
    write_home(made, risk, clear(tmp_path)[0])
    policy = policy_from(released_policy(600, jurisdiction="EU"), feature_law(LAWS), home_day())
    (made / POLICIES / "first.jws").write_text(policy.document.sign(risk), encoding="utf-8")
    for path in (made / PRODUCTS).glob("*.toml"):
        text = path.read_text("utf-8").replace('"CN"', '"EU"').replace('"microloan"', '"creditor"')
        path.write_text(text, encoding="utf-8")
    assert 'jurisdiction = "CN"' in PRODUCT
    return made


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(main, ["desk", *map(str, arguments)])


def form(tmp_path: Path, *changes: tuple[str, str]) -> Path:
    """The empty form of a desk, filled in."""
    text = CliRunner().invoke(main, ["assessment", "template", "--scoring"]).output
    assert "tahini desk assess THIS-FILE" in text and SCORING_PURPOSE in text
    until = f"{now() + 300 * DAY:%Y-%m-%d}"
    kinds = ("2027-06-30", until), ('["repayment"]', '["repayment", "bureau", "income", "identity"]')
    for old, new in (*kinds, *changes):
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "assessment.toml"
    path.write_text(text, encoding="utf-8")
    return path


def opened(home: Path) -> Desk:
    desk = open_desk(home)
    desk.close()
    return desk


def test_a_lender_puts_it_into_the_home_of_its_desk(home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    wanting = json.loads(run("status", "--home", home, "--json").stdout)["unassessed"]
    assert "'aspen' has not assessed" in wanting and wanting in run("status", "--home", home).output
    with caplog.at_level(logging.WARNING, "tahini.desk"):
        _say_what_is_wanting(opened(home))
    assert [one.getMessage() for one in caplog.records] == [wanting]
    short = run("assess", form(tmp_path, (', "identity"]', "]")), "--home", home)
    assert short.exit_code == 1 and "says nothing about data on identity" in short.stderr
    assert not (home / ASSESSMENTS).exists() and opened(home).unassessed() is not None
    earlier, key = assessment("aspen", now() - DAY, EVERY), Node.open(read_settings(home).node).key
    use = DeskUse("aspen", frozenset(EVERY), now(), earlier)
    keep_assessment(home, use, key)
    with pytest.raises(Conflict, match="the newest counts"):
        keep_assessment(home, use, key)
    done = run("assess", form(tmp_path), "--home", home, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(run("status", "--home", home, "--json").stdout)["unassessed"] is None
    assert len(list((home / ASSESSMENTS).glob("*.jws"))) == 2, "what was signed is kept"
    held = opened(home).assessed.held
    assert held is not None and held.sha256 == json.loads(done.stdout)["assessment"]


def test_one_that_another_key_signed_opens_no_desk(home: Path):
    (home / ASSESSMENTS).mkdir()
    path = home / ASSESSMENTS / "forged.jws"
    path.write_text(assessment("aspen", now(), EVERY).sign(SigningKey.generate()), encoding="utf-8")
    found = run("status", "--home", home)
    assert found.exit_code == 1 and f"{path} is no assessment of this lender's" in found.stderr
    assert len(found.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("line", ["groups", "oversight", "description"])
def test_a_form_that_leaves_a_point_out_is_not_signed(home: Path, tmp_path: Path, line: str):
    path = form(tmp_path)
    rest = [one for one in path.read_text("utf-8").splitlines() if not one.startswith(line)]
    path.write_text("\n".join(rest), encoding="utf-8")
    found = run("assess", path, "--home", home)
    assert found.exit_code == 1 and line in found.stderr and not (home / ASSESSMENTS).exists()
