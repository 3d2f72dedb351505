"""``tahini borrower``: whom somebody plays reads, answers, takes back and keeps, by the commands that people type."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from secrets import token_urlsafe

import pytest
from support.commands import done, refused, tahini, told
from support.house import Ground, House

from consent.identity.settings import ENVIRONMENT
from demo.borrowing import trust_issuer
from fleet.tls import create_authority
from protocol.client.lenders import LenderClient
from protocol.snapshots import REASONS, Reason, reasons_of
from protocol.terms import TRAINING_PURPOSE


@pytest.fixture
def house(ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """A workspace whose registry, in development, believes the workspace's own issuer."""
    monkeypatch.setenv(ENVIRONMENT, "development")
    copy = ground.copy(tmp_path / "up")
    trust_issuer(copy.founded.root, "http://127.0.0.1:8790")
    create_authority(copy.founded.root / "ca", "test")
    with copy.opened() as opened:
        yield opened


def as_(house: House, name: str, *words: object) -> tuple[object, ...]:
    return ("borrower", "--workspace", house.founded.root, "--as", name, *words)


def kept(house: House, name: str) -> Path:
    return house.founded.root / "borrowers" / name


def person(house: House, name: str) -> dict[str, str]:
    return dict(json.loads((kept(house, name) / "person.json").read_text(encoding="utf-8")))


def stands(house: House, name: str, kind: str = "ordinary") -> Reason:
    """What the lender's gate is told of this person."""
    me = person(house, name)
    with house.node(me["lender"]).connected(LenderClient) as client:
        held = client.consent_state(TRAINING_PURPOSE, token_urlsafe(16))
        number = client.whole_roll().index(me["pseudonym"])
    return REASONS[reasons_of(held.codes[kind], held.state.notices)[number]]


def test_from_the_notice_to_the_receipt(house):
    (notice,) = told(*as_(house, "lin", "notices", "--language", "zh"))
    assert (notice["language"], notice["text"]) == ("zh", house.notice.texts["zh"])
    assert "you have not answered yet" in done(*as_(house, "lin", "notices"))
    assert "nothing is on record" in done(*as_(house, "lin", "consents"))
    assert "nothing was given" in done(*as_(house, "lin", "withdraw"))

    given = told(*as_(house, "lin", "give", "--language", "zh"))
    assert stands(house, "lin") is Reason.GIVEN
    assert stands(house, "lin", "income") is Reason.NEVER_ASKED, "what is asked apart was not answered"
    (record,) = told(*as_(house, "lin", "consents"))
    assert (record["event"]["event_state"], record["pii_processing"]["sensitivity"]) == ("given", "ordinary")
    taken = told(*as_(house, "lin", "withdraw"))
    assert stands(house, "lin") is Reason.WITHDRAWN
    asked = told(*as_(house, "lin", "notices"))[0]["questions"]
    assert [one["open"] for one in asked if one["sensitivity"] == "ordinary"] == [None]

    for answer, what in ((given, "given"), (taken, "withdrawn")):
        (receipt,) = answer["receipts"]
        verified = ("receipt", "verify", receipt, "--person", person(house, "lin")["pseudonym"], "--json")
        done_ = tahini(*verified, "--workspace", house.founded.root)
        (found,) = json.loads(done_.stdout)
        assert done_.exit_code == 0 and found["verified"] and what in found["sentence"]
        assert found["pii_principal_id"] == person(house, "lin")["pseudonym"]


def test_whatever_is_asked_apart_is_answered_where_it_is_said_and_a_no_is_recorded_too(house):
    done(*as_(house, "lin", "give", "--sensitive"))
    assert {stands(house, "lin", kind) for kind in ("ordinary", "income")} == {Reason.GIVEN}
    done(*as_(house, "wu", "give", "--sensitive", "--refuse"))
    assert {stands(house, "wu", kind) for kind in ("ordinary", "income")} == {Reason.REFUSED}


def test_a_name_is_one_person_who_stays_at_one_lender(house):
    done(*as_(house, "lin", "give"))
    first = person(house, "lin")
    done(*as_(house, "lin", "consents"))
    assert person(house, "lin") == first
    done("borrower", "--workspace", house.founded.root, "--as", "wu", "--lender", "birch", "notices")
    assert person(house, "wu")["lender"] == "birch"
    done(*as_(house, "zoe", "notices"))
    assert person(house, "zoe")["pseudonym"] != first["pseudonym"]
    assert "nothing is on record" in done(*as_(house, "zoe", "consents")), "what lin gave is lin's"
    elsewhere = ("borrower", "--workspace", house.founded.root, "--as", "lin", "--lender", "birch", "consents")
    assert "customer of aspen already" in refused(*elsewhere)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("notices",), "say whom you play"),
        (("--as", "Lin Wu", "notices"), "no name to play under"),
        (("--as", "../lin", "notices"), "no name to play under"),
        (("--as", "lin", "--lender", "oak", "notices"), "there are aspen, birch"),
        (("--as", "lin", "request", "wish"), "kind must be one of 'access'"),
        (("--as", "lin", "requests", "00"), "no requests of mine begin with '00'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence_and_plays_nobody(house, words, says):
    assert says in refused("borrower", "--workspace", house.founded.root, *words)
    assert list(house.founded.root.glob("borrowers/*/receipts")) == []


def test_a_folder_that_is_no_workspace_and_a_registry_that_is_away_are_named(house, tmp_path):
    assert "is not a workspace of tahini up" in refused("borrower", "--workspace", tmp_path, "--as", "lin", "notices")
    done(*as_(house, "lin", "notices"))
    house.stop_registry()
    assert f"tahini up --workspace {house.founded.root}" in refused(*as_(house, "lin", "withdraw"))


def test_rights_are_asked_for_and_followed(house):
    asked = told(*as_(house, "lin", "request", "object", "--feature", "late", "--text", "Not my loan."))
    sha256 = asked["request_sha256"]
    assert Path(asked["receipt"]).parent == kept(house, "lin") / "requests"
    assert f"{sha256[:12]}  object at aspen" in done(*as_(house, "lin", "requests"))
    assert told(*as_(house, "lin", "requests", sha256[:8]))["request_sha256"] == sha256
    assert told(*as_(house, "lin", "requests", sha256[:8], "--close"))["status"] == "closed"
    assert "nothing was asked" in done(*as_(house, "wu", "requests"))
