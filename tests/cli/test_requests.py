"""``tahini requests`` and ``tahini borrower request``: what a lender's operator and a person type, over HTTP."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from click.testing import CliRunner
from support.house import build

from cli.requests import _desk
from crypto.keys import RecipientKey
from protocol.client.rights import BorrowerRightsClient
from protocol.errors import ConsentError, RegistryUnavailable
from protocol.rights import AnswerOutcome, RequestContent, RightsAnswer
from protocol.schema import now
from tahini import main


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with build(tmp_path_factory.mktemp("requests") / "house", people=4, shared=1) as built:
        built.decide_first()
        yield built


def tahini(house, *words: str, code: int = 0):
    done = CliRunner().invoke(main, ["requests", *words, "--home", str(house.node("aspen").home)])
    assert done.exit_code == code, done.output + done.stderr
    return done


def borrower(house, number: int = 0) -> BorrowerRightsClient:
    person, node = house.borrowers["aspen"][number], house.node("aspen")
    return BorrowerRightsClient(node.settings.registry_url, node.consortium, person.pseudonym, person.key)


def test_from_an_objection_to_its_end(house, tmp_path):
    me, reply = borrower(house), RecipientKey.generate()
    asked = RequestContent(
        kind="correct", features=("late",), text="It is 0, not 3.", language="en", reply_key=reply.public.text
    )
    receipt = me.ask("aspen", asked)
    sha256 = receipt.step.request_sha256
    (listed,) = json.loads(tahini(house, "list", "--json").stdout)
    assert (listed["request_sha256"], listed["days_left"] in {19, 20}, listed["overdue"]) == (sha256, True, False)
    assert sha256[:12] in tahini(house, "list").stdout
    shown = tahini(house, "show", sha256[:10]).stdout
    assert all(words in shown for words in ("It is 0, not 3.", "correct", "late", "征信业管理条例 25"))
    assert "marked" in tahini(house, "mark", sha256[:10]).stdout
    (tmp_path / "mine.csv").write_text("late\n0\n", encoding="utf-8")
    words = ("--text", "It was put right.", "--corrected", "late", "--attach", str(tmp_path / "mine.csv"))
    assert "answered" in tahini(house, "answer", sha256[:10], *words, "--language", "en").stdout
    assert "It was put right." in tahini(house, "show", sha256[:10]).stdout
    said = json.loads(tahini(house, "show", sha256[:10], "--json").stdout)
    assert [step["event"] for step in said["steps"]] == ["receive", "mark", "answer"]
    (answer,) = me.answers(sha256)
    assert (answer.outcome, answer.corrected) == (AnswerOutcome.GRANTED, ("late",))
    assert me.attachment(sha256, reply) == b"late\n0\n"
    assert "15 days" in tahini(house, "close", sha256[:10], code=1).stderr
    me.close_request(sha256)
    assert [one["status"] for one in me.my_requests()] == ["closed"]
    assert tahini(house, "list").stdout.strip() == "nobody asks anything"
    assert "closed" in tahini(house, "list", "--closed").stdout


def test_a_refusal_names_its_reason_and_an_unknown_request_is_said_to_be_none(house):
    sha256 = borrower(house, 1).ask("aspen", RequestContent(kind="erase")).step.request_sha256
    refused = tahini(house, "refuse", sha256[:10], "--reason", "legal-retention", "--text", "Until 2031.")
    assert "refused" in refused.stdout
    (answer,) = borrower(house, 1).answers(sha256)
    assert (answer.outcome, answer.reason) == ("refused", "legal-retention")
    assert "no requests begin with 'zzz'" in tahini(house, "show", "zzz", code=1).stderr
    tahini(house, "refuse", sha256[:10], "--reason", "because", "--text", "x", code=2)
    assert "cannot be changed" in tahini(house, "answer", sha256[:10], "--text", "It is done.", code=1).stderr


def test_what_came_on_paper_is_handed_in_and_counts_from_that_day(house, tmp_path, monkeypatch):
    person = house.borrowers["aspen"][2]
    (tmp_path / "letter.pdf").write_bytes(b"a letter")
    (tmp_path / "will.pdf").write_bytes(b"a will")
    words = ("hand-in", "object", "--person", person.pseudonym, "--evidence", str(tmp_path / "letter.pdf"))
    by = ("--relation", "heir", "--authority", "heir-1", "--shown", str(tmp_path / "will.pdf"))
    came = now().replace(tzinfo=None).date().isoformat()
    done = json.loads(tahini(house, *words, "--channel", "paper", *by, "--came", came, "--json").stdout)
    assert done["status"] == "received"
    assert "heir, paper" in tahini(house, "show", done["request_sha256"][:12]).stdout
    assert "channel" in tahini(house, *words, "--channel", "web", code=1).stderr
    assert "authority is missing" in tahini(house, *words, "--channel", "paper", "--relation", "heir", code=1).stderr
    early = (now() - timedelta(days=366)).date().isoformat()
    assert "60 days old" in tahini(house, *words, "--channel", "paper", "--came", early, code=1).stderr
    monkeypatch.setattr("cli.requests.now", lambda: now() + timedelta(days=366))
    over = json.loads(tahini(house, "list", "--json").stdout)
    assert over[0]["days_left"] < 0, "by this machine's clock; the registry's says what is overdue"


def test_a_registry_that_shows_something_else_is_not_believed(house):
    me, node = borrower(house, 3), house.node("aspen")
    first = me.ask("aspen", RequestContent(kind="access")).step.request_sha256
    second = me.ask("aspen", RequestContent(kind="explain")).step.request_sha256
    with _desk(node.home) as (_, desk):
        assert desk.request(first).request.asked.kind == "access"
        send = desk._send

        def swapped(method, target, body=None):
            return send(method, target.replace(first, second), body)

        desk._send = swapped
        with pytest.raises(RegistryUnavailable):
            desk.request(first)
    with _desk(node.home) as (_, desk):
        opened = desk._opened
        desk._opened = lambda *about: opened(*about).model_copy(update={"law": "no law"})
        with pytest.raises(RegistryUnavailable, match="commit"):
            desk.request(first)
    with _desk(node.home) as (_, desk):
        desk.recipient = RecipientKey.generate()
        with pytest.raises(RegistryUnavailable, match="sealed"):
            desk.request(first)


def test_an_answer_with_another_lender_s_key_is_refused(house):
    sha256 = borrower(house).ask("aspen", RequestContent(kind="explain")).step.request_sha256
    answer = RightsAnswer(
        lender="aspen", request_sha256=sha256, outcome="granted", text="done", language="en", answered_at=now()
    )
    with _desk(house.node("aspen").home) as (_, desk), pytest.raises(ConsentError):
        desk.answer(answer, house.node("birch").key)
