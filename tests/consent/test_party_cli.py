"""``tahini party``: a lender rotates the key its node calls with, and goes on working."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner as FromTheFrontDoor
from support.house import House
from typer.testing import CliRunner

from cli.party import app
from clients.home import AUTH_KEY_FILE, KEY_FILE
from crypto.keys import load_signing_key
from protocol.errors import ConsentError
from tahini import main


def party(house: House, command: str, key: str, *more: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, [command, *more, *common_options(house, key)])
    return done.exit_code, done.output


def common_options(house: House, key: str) -> list[str]:
    home = house.founded.node_home("aspen")
    return [
        "--url", house.url, "--consortium", str(home / "consortium.jws"), "--registry-key",
        house.founded.registry_key.public.text, "--party", "aspen", "--key", str(home / key),
    ]  # fmt: skip


def test_a_rotated_key_works_and_the_old_one_does_not(house):
    home = house.founded.node_home("aspen")
    old = load_signing_key(home / KEY_FILE).public.thumbprint
    assert party(house, "rotate", KEY_FILE, "--new", str(home / AUTH_KEY_FILE))[0] == 0
    code, told = party(house, "keys", AUTH_KEY_FILE, "--json")
    live = {key["thumbprint"]: key["revoked_at"] is None for key in json.loads(told)}
    assert code == 0
    assert live == {old: False, load_signing_key(home / AUTH_KEY_FILE).public.thumbprint: True}
    assert party(house, "keys", KEY_FILE)[0] == 1
    snapshot = house.node().consents.sync(house.client(), house.notice.purpose)
    assert snapshot.state.people == len(house.borrowers["aspen"])


def test_a_revoked_key_lets_nobody_in(house):
    home = house.founded.node_home("aspen")
    assert party(house, "rotate", KEY_FILE, "--new", str(home / "second.key"), "--keep")[0] == 0
    second = load_signing_key(home / "second.key").public.thumbprint
    assert party(house, "revoke", KEY_FILE, second)[0] == 0
    code, told = party(house, "keys", "second.key")
    assert code == 1
    assert told.count("\n") == 1
    assert "Traceback" not in told


@pytest.mark.parametrize("start", ["-h", "-x", "--", "--help"])
def test_a_thumbprint_that_begins_with_a_dash_is_no_option(house, start):
    key = load_signing_key(house.founded.node_home("aspen") / KEY_FILE)
    thumbprint = start + key.public.thumbprint[len(start) :]
    done = FromTheFrontDoor().invoke(main, ["party", "revoke", thumbprint, *common_options(house, KEY_FILE)])
    assert (done.exit_code, done.output) == (1, "tahini: the party has no such live key\n")


def test_a_key_is_never_overwritten(house):
    home = house.founded.node_home("aspen")
    before = (home / KEY_FILE).read_bytes()
    code, told = party(house, "rotate", KEY_FILE, "--new", str(home / KEY_FILE))
    assert (code, "never overwritten" in told) == (1, True)
    assert (home / KEY_FILE).read_bytes() == before


def test_the_operator_can_revoke_any_key_and_a_lender_only_its_own(house):
    aspen = house.client("aspen")
    thumbprint = house.node("birch").key.public.thumbprint
    with pytest.raises(ConsentError):
        aspen.revoke_party_key("birch", thumbprint)
    house.founded.operator(house.url).revoke_party_key("birch", thumbprint)
    with pytest.raises(ConsentError):
        house.client("birch").party_keys()
