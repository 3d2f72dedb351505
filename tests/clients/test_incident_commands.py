"""Incidents by command: whom one concerns, from ledger and roll; reported, shown, closed; rehearsed."""

from __future__ import annotations

import json
import stat

import pytest
from click.testing import CliRunner
from support.observed import entries

from cli.incident import TEMPLATE
from protocol.schema import now
from tahini import main


@pytest.fixture
def hurt(active):
    """A house in which aspen's people were used for the first release."""
    active.open_gate()
    return active


def tahini(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == code, done.output
    return done.output


def told(*arguments: object):
    return json.loads(tahini(*arguments, "--json"))


@pytest.fixture
def form(tmp_path):
    path = tmp_path / "incident.toml"
    moment = now().isoformat().replace("+00:00", "Z")
    text = tahini("incident", "template").replace("2026-11-27T08:00:00Z", moment)
    path.write_text(
        text.replace("records = 0\n", "records = 600\n", 1).replace("credit_records = 0", "credit_records = 600"),
        encoding="utf-8",
    )
    return path


def home(house, lender="aspen"):
    return house.founded.node_home(lender)


def my_incidents(house, person):
    answer = house.borrower_client(person)._send("GET", "/v1/me/incidents")
    return answer.json()["items"]


def test_those_who_were_used_in_a_release_are_told_and_nobody_else(hurt, form, tmp_path):
    out = tmp_path / "affected.txt"
    found = told(
        "incident", "affected", "--home", home(hurt), "--campaign", hurt.campaign.sha256[:8], "--release", 0,
        "--out", out,
    )  # fmt: skip
    used = hurt.members(0)
    assert set(out.read_text(encoding="utf-8").split()) == used and found["people"] == len(used)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    done = told("incident", "open", form, "--home", home(hurt), "--affected", out)
    assert (done["told"], done["unreachable"], done["grade"]) == (len(used), 0, "larger")
    hit = next(one for one in hurt.borrowers["aspen"] if one.pseudonym in used)
    spared = next(one for one in hurt.borrowers["aspen"] if one.pseudonym not in used)
    (shown,) = my_incidents(hurt, hit)
    assert shown["advice"] == "What people can do themselves."
    assert my_incidents(hurt, spared) == []
    again = told("incident", "open", form, "--home", home(hurt), "--affected", out)
    assert again["told"] == 0 and again["incident"] == done["incident"]
    assert told("incident", "show", done["incident"][:8], "--home", home(hurt))["told"] == len(used)


def test_from_open_to_closed(hurt, form, tmp_path):
    node = home(hurt)
    assert "no incident" in tahini("incident", "list", "--home", node)
    sha256 = told("incident", "open", form, "--home", node, "--as", "e-17")["incident"]
    (listed,) = told("incident", "list", "--home", node)
    assert (listed["sha256"], listed["closed"]) == (sha256, False)
    shown = told("incident", "show", sha256[:6], "--home", node)
    assert shown["incident"]["operator"] == "e-17"
    articles = {one["article"]: one["at"] for one in shown["due"]}
    assert articles["pboc 15"] and articles["pboc 17"] is None
    assert "gdpr 33(1)" not in articles, "the consortium is under the law of CN"
    assert "once handled" in tahini("incident", "show", sha256, "--home", node)
    closed = told("incident", "close", sha256[:6], "--home", node, "--summary", "the share is gone for good")
    assert {one["article"]: one["at"] for one in closed["due"]}["pboc 17"]
    assert told("incident", "list", "--home", node)[0]["closed"] is True
    assert "is closed already" in tahini("incident", "close", sha256, "--home", node, "--summary", "x" * 20, code=1)
    assert "the share is gone" in tahini("incident", "show", sha256, "--home", node)


def test_everybody_at_a_lender_and_at_the_registry(hurt, tmp_path):
    mine, all_of_it, birch = tmp_path / "mine", tmp_path / "all", tmp_path / "birch"
    people = {name: {one.pseudonym for one in some} for name, some in hurt.borrowers.items()}
    assert told("incident", "affected", "--home", home(hurt), "--all", "--out", mine)["people"] == len(people["aspen"])
    assert set(mine.read_text(encoding="utf-8").split()) == people["aspen"]
    registry = hurt.founded.registry_home
    told("incident", "affected", "--home", registry, "--all", "--out", all_of_it)
    assert set(all_of_it.read_text(encoding="utf-8").split()) == set().union(*people.values())
    told("incident", "affected", "--home", registry, "--lender", "birch", "--all", "--out", birch)
    assert set(birch.read_text(encoding="utf-8").split()) == people["birch"]


def test_a_drill_says_what_would_be_due_and_writes_nothing(hurt, form, tmp_path):
    (tmp_path / "people").write_text("v1.x\nv1.x\n\nv1.y\n", encoding="utf-8")
    before = len(entries(hurt.registry))
    found = told("incident", "drill", form, "--affected", tmp_path / "people")
    assert (found["grade"], found["people"]) == ("larger", 2)
    assert {one["article"] for one in found["due"]} >= {"pboc 15", "cac 4", "pipl 57", "gdpr 33(1)"}
    assert "nothing was sent" in tahini("incident", "drill", form)
    assert len(entries(hurt.registry)) == before


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ("# grade = \"larger\"", 'grade = "general"', "larger at least"),
        ('["leaked"]', '["eaten"]', "what[0]"),
        ("credit_records = 600", "credit_records = 601", "more than all"),
        ("credit_records = 600", 'credit_records = "many"', "credit_records"),
        ('contact = "privacy@aspen.example"', "", "contact"),
        ('contact = "privacy@aspen.example"', 'institution = "x"', "filled in by the command"),
    ],
)  # fmt: skip
def test_a_form_that_is_wrong_is_refused_by_its_field(form, before, after, named):
    text = form.read_text(encoding="utf-8")
    assert before in text
    form.write_text(text.replace(before, after), encoding="utf-8")
    said = tahini("incident", "drill", form, code=1)
    assert named in said and "Traceback" not in said


def test_what_is_not_known_yet_is_graded_as_larger(form):
    text = form.read_text(encoding="utf-8").replace("records = 600\n", "", 1).replace("credit_records = 600", "")
    form.write_text(text, encoding="utf-8")
    assert told("incident", "drill", form)["grade"] == "larger"
    assert "credit_records = 0" in TEMPLATE


@pytest.mark.parametrize(
    "options",
    [(), ("--release", 0), ("--all", "--campaign", "ab"), ("--all", "--release", 0), ("--all", "--lender", "birch")],
)
def test_whom_it_concerns_is_asked_for_in_one_way(hurt, tmp_path, options):
    assert tahini("incident", "affected", "--home", home(hurt), *options, "--out", tmp_path / "x", code=2)
    assert not (tmp_path / "x").exists()


def test_a_list_is_never_overwritten_and_an_unknown_release_is_said(hurt, tmp_path):
    out = tmp_path / "affected.txt"
    out.write_text("mine", encoding="utf-8")
    said = tahini("incident", "affected", "--home", home(hurt), "--all", "--out", out, code=1)
    assert "never overwritten" in said and out.read_text(encoding="utf-8") == "mine"
    campaign = hurt.campaign.sha256
    more = ("--campaign", campaign, "--release", 77, "--out", tmp_path / "other")
    assert "not in the ledger" in tahini("incident", "affected", "--home", home(hurt), *more, code=1)
