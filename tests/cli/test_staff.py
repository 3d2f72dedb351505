"""Who at an institution ran a command is on the record, and so is that evidence was read."""

from __future__ import annotations

import json

import pytest
from support.commands import new_log, refused, tahini, told
from support.market import open_market

from cli.staff import acting
from protocol.campaigns import Approval, Rejection
from protocol.errors import ConsentError

STAFF = "e-4711"


def newest(book, count=1):
    lines = tahini("log", "tail", "-n", count, "--json", *book.reading).stdout.splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("command", [("log", "show", "1"), ("log", "tail", "-n", "2")])
def test_what_an_auditor_opens_is_logged_before_with_who_opened_it(book, command):
    auditor = ("--auditor", book.home / "auditor", *book.pinned)
    assert tahini(*command, *book.reading, *auditor, "--as", STAFF).exit_code == 0
    (read,) = newest(book)
    assert (read["type"], read["actor"]) == ("evidence.read", "auditor")
    assert read.keys() == {"index", "v", "type", "actor", "time", "body"}
    assert STAFF not in json.dumps(read)
    opened = told("log", "show", read["index"], *book.reading, *auditor)
    assert json.loads(opened["body"])["operator"] == STAFF


def test_nothing_is_opened_where_the_reading_cannot_be_logged(book, monkeypatch):
    monkeypatch.setattr("cli.staff.tell", lambda *_, **__: 1 / 0)
    monkeypatch.setattr("cli.log_reading.tell", lambda *_, **__: 1 / 0)
    opened = []
    monkeypatch.setattr("auditlog.reading.Bodies.plain", lambda *given: opened.append(given))
    done = tahini("log", "show", "1", *book.reading, "--auditor", book.home / "auditor", *book.pinned)
    assert done.exit_code != 0 and opened == []


def test_the_environment_names_the_operator_too(book, monkeypatch):
    monkeypatch.setenv("TAHINI_OPERATOR", "from-the-shell")
    auditor = ("--auditor", book.home / "auditor", *book.pinned)
    told("log", "show", "1", *book.reading, *auditor)
    (read,) = newest(book)
    assert json.loads(told("log", "show", read["index"], *book.reading, *auditor)["body"])["operator"] == (
        "from-the-shell"
    )


@pytest.mark.parametrize("staff", ["a", "two words", "x" * 65, "-x", "名字"])
def test_a_staff_id_is_opaque_and_short(book, staff, monkeypatch):
    told_of = []
    monkeypatch.setattr("cli.log_reading.tell", lambda *given, **_: told_of.append(given))
    auditor = ("--auditor", book.home / "auditor", *book.pinned)
    assert "--as" in refused("log", "show", "1", *book.reading, *auditor, "--as", staff)
    assert told_of == []


def test_a_restore_of_keys_says_who_did_it(tmp_path):
    home = new_log(tmp_path)
    saved = tmp_path / "keys.json"
    told("keys", "backup", "--home", home, saved)
    assert told("keys", "restore", "--home", home, saved, "--as", STAFF) == {"keys": 0, "erased_again": 0}


def test_a_consortium_that_wants_to_know_is_told_or_nothing_is_done(tmp_path):
    with open_market(tmp_path, legal={"staff_ids": True}) as market:
        with pytest.raises(ConsentError, match="--as"):
            acting(None, market.registry.consortium)
        assert acting(STAFF, market.registry.consortium) == STAFF
        campaign = market.campaign(approving=())
        unsaid = market.approve(campaign, "aspen")
        assert unsaid.status_code == 403 and "staff" in unsaid.json()["detail"]
        target = f"/v1/campaigns/{campaign.sha256}"
        said = Approval(
            campaign_sha256=campaign.sha256, lender="aspen", lot="l" * 43, operator=STAFF, approved_at=market.clock()
        )
        body = {"token": said.sign(market.keys["aspen"])}
        assert market.call("aspen", "POST", f"{target}/approvals", body).status_code == 201
        no = Rejection(campaign_sha256=campaign.sha256, lender="birch", rejected_at=market.clock())
        body = {"token": no.sign(market.keys["birch"])}
        assert market.call("birch", "POST", f"{target}/rejections", body).status_code == 403
        body = {"token": no.model_copy(update={"operator": STAFF}).sign(market.keys["birch"])}
        assert market.call("birch", "POST", f"{target}/rejections", body).status_code == 201


def test_an_auditor_logs_what_it_does_itself_and_nothing_else(tmp_path):
    with open_market(tmp_path) as market:
        for kind, status in (("evidence.read", 201), ("system.changed", 201), ("use.read", 403), ("review.made", 403)):
            body = {"entries": [{"type": kind, "to": ["auditor"]}]}
            assert market.call("auditor", "POST", "/v1/log/entries", body).status_code == status, kind


def test_documents_without_a_staff_id_are_as_before():
    said = Approval(campaign_sha256="0" * 64, lender="aspen", approved_at="2026-11-27T00:00:00Z")
    assert "operator" not in said.payload()
