"""compliance/duties.toml and docs/compliance.md say what is so: everything that they name exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from datetime import date, timedelta
from functools import cache
from pathlib import Path

import click
import pytest
from fastapi.routing import APIRoute
from support.identity import open_site

from consent.identity.access import declarations
from desk.api import applications, loans, portraits, principles, reviews, settling
from protocol.notices import RIGHTS
from protocol.rights import RequestKind
from tahini import NOUNS, FrontDoor
from trials import breaks
from trials.breaks import BREAKS
from trials.duties import GROUPS, Duty, Status, load, render

ROOT = Path(__file__).resolve().parent.parent
DUTIES = load()
REREAD = timedelta(days=400)
"""Law is looked at again every year, and a month more."""
ANSWERED_BY = {
    "access": ("GET /v1/me/export", RequestKind.ACCESS),
    "portability": ("GET /v1/me/export", RequestKind.TRANSFER),
    "correction": (None, RequestKind.CORRECT),
    "erasure": ("DELETE /v1/me", RequestKind.ERASE),
    "withdrawal": ("POST /v1/me/withdrawals", None),
    "restriction": ("POST /v1/me/consents", RequestKind.RESTRICT),
    "objection": (None, RequestKind.OBJECT),
    "explanation": (None, RequestKind.EXPLAIN),
    "review": (None, RequestKind.REVIEW),
    "complaint": (None, RequestKind.COMPLAIN),
}
"""By which call, and which request, each right of a notice is had."""
each_duty = pytest.mark.parametrize("duty", DUTIES, ids=[duty.id for duty in DUTIES])


def names(body: list[ast.stmt], within: str = "") -> Iterator[str]:
    """Every function, class and value that a file defines, in classes too."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield within + node.name
            if isinstance(node, ast.ClassDef):
                yield from names(node.body, f"{within}{node.name}.")
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (within + target.id for target in targets if isinstance(target, ast.Name))


@cache
def defined(path: str) -> frozenset[str]:
    file = ROOT / path
    return frozenset(names(ast.parse(file.read_text(encoding="utf-8")).body)) if file.is_file() else frozenset()


@pytest.fixture(scope="module")
def routes(tmp_path_factory) -> set[str]:
    """The registry's, and those of a lender's desk."""
    parts = (applications, loans, settling, reviews, principles, portraits)
    desk = (route for one in parts for route in one.router.routes)
    found = {f"{method} {route.path}" for route in desk if isinstance(route, APIRoute) for method in route.methods}
    with open_site(tmp_path_factory.mktemp("routes") / "site") as site:
        return found | {f"{one.method} {one.path}" for one in declarations(site.app)}


@cache
def commands() -> frozenset[str]:
    """``tahini log verify``, ``tahini doctor`` …"""
    found = set()
    for noun in NOUNS:
        command = FrontDoor().get_command(click.Context(click.Command("tahini")), noun)
        verbs = command.commands if isinstance(command, click.Group) else {}
        found |= {f"tahini {noun} {verb}" for verb in verbs} or {f"tahini {noun}"}
    return frozenset(found)


def test_every_duty_has_a_name_of_its_own_and_a_law_on_the_page():
    assert len({duty.id for duty in DUTIES}) == len(DUTIES) >= 85
    assert {duty.group for duty in DUTIES} == set(GROUPS)


@each_duty
def test_what_a_duty_names_exists(duty: Duty, routes):
    for reference in duty.code:
        path, _, name = reference.partition(":")
        assert name in defined(path), reference
        assert not path.startswith("tests/")
    for reference in duty.tests:
        path, _, name = reference.partition("::")
        assert name.startswith("test_") and name in defined(path), reference
    assert set(duty.breaks) <= {broken.invariant for broken in BREAKS}
    for shown in duty.evidence:
        where = routes if re.match(r"[A-Z]+ /", shown) else commands() if shown.startswith("tahini ") else None
        assert (shown in where) if where is not None else (ROOT / shown).is_file(), f"nobody is shown {shown!r}"


def test_every_command_and_call_that_a_duty_names_is_run_by_a_test():
    """In the words of the tests: the command's words in a row, or after a helper that begins with its noun; the call's
    path, with anything in its holes."""
    said = [
        file.read_text("utf-8").replace("{MINE}", "/v1/me/requests").replace("{KEYS}", "/v1/me/keys")
        for file in (ROOT / "tests").rglob("*.py")
    ]
    shown = {one for duty in DUTIES for one in duty.evidence}
    for command in (one for one in shown if one.startswith("tahini ")):
        words = [f'"{word}"' for word in command.split()[1:]]
        row, helper = r",\s*".join(map(re.escape, words)), rf'{words[0]},\s*(\*|"--)'
        run = (re.search(row, text) or (re.search(helper, text) and words[-1] in text) for text in said)
        assert any(run), f"no test runs {command}"
    for call in (one for one in shown if re.match(r"[A-Z]+ /", one)):
        path = re.sub(r"\\{[^}]*\\}", r"[^/\\s]+?", re.escape(call.partition(" ")[2]))
        assert any(re.search(path + r"""["?'`\s,/]""", text) for text in said), f"no test makes the call {call}"


@each_duty
def test_a_duty_claims_no_more_than_is_proved(duty: Duty):
    broken_in = {broken.invariant: broken.test for broken in BREAKS}
    tested_in = {reference.partition("::")[0] for reference in duty.tests}
    assert {broken_in[name] for name in duty.breaks} <= tested_in, "a break of a file that is none of its tests"
    if duty.status is Status.DONE:
        assert duty.code and duty.tests and duty.breaks and duty.evidence
        assert not duty.missing and not duty.owner
    elif duty.status is Status.NOT_OURS:
        assert duty.owner, "who bears it?"
    else:
        assert duty.missing, "what is missing?"
        assert duty.owner or duty.status is Status.PARTLY, "who bears it?"


@each_duty
def test_the_law_was_looked_at_not_long_ago(duty: Duty):
    assert duty.checked_on <= date.today()
    assert date.today() - duty.checked_on < REREAD, "look at the law again, then set checked_on"


def test_every_call_of_a_borrower_belongs_to_a_duty(routes):
    shown = {one for duty in DUTIES for one in duty.evidence}
    assert {one for one in routes if re.search(r" /v1/me(/|$)", one)} - shown == set()


def test_every_right_that_a_notice_promises_can_be_had(routes):
    assert set(ANSWERED_BY) == set(RIGHTS)
    for right, (call, kind) in ANSWERED_BY.items():
        assert call or kind, right
        assert call is None or call in routes
        assert kind is None or "POST /v1/me/requests" in routes


def test_the_page_is_what_the_duties_say():
    """Write it anew with: python -m trials.duties > docs/compliance.md"""
    page = (ROOT / "docs" / "compliance.md").read_text(encoding="utf-8")
    assert page == render(DUTIES)
    assert "not legal advice" in page
    for found in set(re.findall(r"\]\((\.\./[^)#]+)\)", page)):
        assert (ROOT / "docs" / found).is_file(), found


def test_the_breaks_of_a_duty_are_told_by_duty(monkeypatch, capsys):
    """Each break is tried once, whoever names it, and one that nobody noticed is an exit code."""
    asked = {name for duty in DUTIES if duty.id in ("cr-25", "pipl-46") for name in duty.breaks}
    tried = []
    unnoticed = "rights: an overdue objection is ignored"
    monkeypatch.setattr(breaks, "goes_red", lambda one: tried.append(one.invariant) or one.invariant != unnoticed)
    assert not breaks.prove_duties(["cr-25", "pipl-46"])
    assert sorted(tried) == sorted(asked)
    said = capsys.readouterr().out
    assert "cr-25  done: 3 of 4 breaks went red" in said and "pipl-46  done: 2 of 2 breaks went red" in said
    with pytest.raises(SystemExit, match="no duty nonsense"):
        breaks.prove_duties(["nonsense"])
