"""A consortium that is signed anew: who parties are in law changes, their keys do not, and the log has it."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from support.observed import entries

from consent.amending import amend
from consent.home import CONSORTIUM_FILE, opened
from crypto.errors import SignatureError
from crypto.keys import SigningKey
from protocol.errors import Conflict
from protocol.legal import LegalIdentity, LegalTerms
from protocol.parties import Consortium, Membership
from tahini import main


@pytest.fixture
def closed(house):
    """A house whose registry does not serve."""
    house.stop_registry()
    return house


def changed(house, name="aspen", **legal):
    party = house.founded.consortium.party(name)
    return party.model_copy(update={"legal": {**(party.legal or {}), **legal}})


def test_a_party_states_anew_who_it_is_and_everything_else_stays(closed):
    home, before = closed.founded.registry_home, closed.founded.consortium
    token = (home / CONSORTIUM_FILE).read_text(encoding="utf-8")
    after = amend(home, [changed(closed, country="CN", succeeded_by="birch")], None)
    with opened(home) as registry:
        assert registry.consortium == after
        assert LegalIdentity.of(after.party("aspen")).succeeded_by == "birch"
        assert after.legal == before.legal and after.log_policy == before.log_policy
        logged = entries(registry)[-1]
        assert (logged["type"], logged["actor"], logged["document"]) == ("consortium.amended", "registry", after.sha256)
    kept = home / f"consortium-{before.sha256[:12]}.jws"
    assert kept.read_text(encoding="utf-8") == token
    node = closed.founded.node_home("aspen")
    (node / "consortium.jws").write_text((home / CONSORTIUM_FILE).read_text(encoding="utf-8"), encoding="utf-8")
    assert closed.node("aspen").consortium == after


def test_nothing_changes_a_key_a_role_or_a_stranger(closed):
    home, before = closed.founded.registry_home, (closed.founded.registry_home / CONSORTIUM_FILE).read_bytes()
    aspen = closed.founded.consortium.party("aspen")
    other = SigningKey.generate().public.text
    with pytest.raises(Conflict, match="another signing key"):
        amend(home, [aspen.model_copy(update={"signing_key": other})], None)
    with pytest.raises(Conflict, match="another role"):
        amend(home, [aspen.model_copy(update={"role": "auditor"})], None)
    with pytest.raises(SignatureError, match="not a party"):
        amend(home, [aspen.model_copy(update={"id": "oak"})], None)
    with pytest.raises(Conflict, match="already"):
        amend(home, [aspen], None)
    assert (home / CONSORTIUM_FILE).read_bytes() == before


def test_what_the_law_does_not_let_pass_is_not_signed(closed):
    home, before = closed.founded.registry_home, (closed.founded.registry_home / CONSORTIUM_FILE).read_bytes()
    with pytest.raises(Conflict, match="DataStayOrTravelByDocument"):
        amend(home, [changed(closed, country="SG")], None)
    with pytest.raises(Conflict, match="DataStayOrTravelByDocument"):
        amend(home, [], LegalTerms(jurisdiction="EU"))
    assert (home / CONSORTIUM_FILE).read_bytes() == before


def test_by_command(closed, tmp_path):
    home, statement = closed.founded.registry_home, tmp_path / "membership.jws"
    party = changed(closed, agreements=[])
    statement.write_text(Membership(party=party).sign(closed.node("aspen").key), encoding="utf-8")
    asked = ["registry", "amend", "--home", str(home), "--member", str(statement), "--staff-ids", "--json"]
    done = CliRunner().invoke(main, asked)
    assert done.exit_code == 1 and "JointHandlersAgreed" in done.output, "it names nobody of the others"
    party = changed(closed, former_ids=["ash"])
    statement.write_text(Membership(party=party).sign(closed.node("aspen").key), encoding="utf-8")
    done = CliRunner().invoke(main, asked)
    assert done.exit_code == 0, done.output
    token = (home / CONSORTIUM_FILE).read_text(encoding="utf-8")
    signed = Consortium.verify(token, closed.founded.registry_key.public)
    assert signed.sha256 == json.loads(done.stdout)["consortium"]
    assert LegalTerms.of(signed) == LegalTerms(jurisdiction="CN", staff_ids=True)
