"""A consortium founded by commands alone, each party on its own: statements, the signed list, everybody pins it."""

import json

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from clients.home import Node
from crypto.cosignatures import CosigningKey
from crypto.keys import PublicKey
from fleet.keys import fleet_key_text
from protocol.parties import Consortium, Membership
from server.home import Coordinator
from tahini import main


def tahini(*arguments, code=0):
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture
def statements(tmp_path):
    """Each party's home and its membership.jws."""
    tahini("coordinator", "init", "--home", tmp_path / "coordinator", "--name", "Office")
    for lender in ("aspen", "birch"):
        tahini("node", "init", "--home", tmp_path / lender, "--id", lender, "--name", lender.title())
    for kind in ("signing", "recipient"):
        tahini("keys", "new", kind, tmp_path / f"auditor.{kind}.key")
    tahini(
        "party", "state", "--id", "auditor", "--name", "Auditor", "--role", "auditor", "--key",
        tmp_path / "auditor.signing.key", "--recipient-key", tmp_path / "auditor.recipient.key", "--out",
        tmp_path / "auditor.jws",
    )  # fmt: skip
    return [
        tmp_path / "coordinator" / "membership.jws",
        *(tmp_path / lender / "membership.jws" for lender in ("aspen", "birch")),
        tmp_path / "auditor.jws",
    ]


def found(tmp_path, statements, code=0, more=()):
    named = [argument for path in statements for argument in ("--member", path)]
    return tahini(
        "registry", "init", "--home", tmp_path / "registry", "--name", "sesame", "--origin", "audit.example/log",
        "--max-epsilon", "8", *named, *(more or ("--no-quorum",)), code=code,
    )  # fmt: skip


def test_everybody_states_their_keys_and_pins_the_list_that_the_registry_signed(tmp_path, statements):
    found(tmp_path, statements)
    key = (tmp_path / "registry" / "registry.pub").read_text(encoding="utf-8").strip()
    document = tmp_path / "registry" / "consortium.jws"
    signed = Consortium.verify(document.read_text(encoding="utf-8"), PublicKey.from_text(key))
    assert [party.id for party in signed.lenders] == ["aspen", "birch"]
    assert signed.party("aspen").fleet_key == fleet_key_text(tmp_path / "aspen")
    pinned = ("--consortium", document, "--registry", "https://registry.example", "--registry-key", key)
    tahini("node", "join", "--home", tmp_path / "aspen", *pinned, "--superlink", "coordinator.example:9443")
    node = Node.open(tmp_path / "aspen")
    assert (node.lender, node.settings.superlink) == ("aspen", "coordinator.example:9443")
    for name in ("coordinator.crt", "coordinator.tls.key"):
        (tmp_path / name).write_text("pem", encoding="utf-8")
    tahini(
        "coordinator", "join", "--home", tmp_path / "coordinator", *pinned,
        "--certificate", tmp_path / "coordinator.crt", "--key", tmp_path / "coordinator.tls.key",
    )  # fmt: skip
    assert Coordinator.open(tmp_path / "coordinator").consortium == signed
    status = json.loads(tahini("node", "status", "--home", tmp_path / "aspen", "--json", code=3))
    assert (status["lender"], status["running"], status["releases"]) == ("aspen", False, 0)


def test_a_statement_that_its_own_key_did_not_sign_founds_nothing(tmp_path, statements):
    """Somebody swaps the key in a lender's statement on the way."""
    mine, theirs = (Membership.claimed(statements[i].read_text(encoding="utf-8")).party for i in (1, 2))
    forged = mine.model_copy(update={"signing_key": theirs.signing_key})
    from crypto.keys import load_signing_key

    statements[1].write_text(
        Membership(party=forged).sign(load_signing_key(tmp_path / "aspen" / "node.key")), encoding="utf-8"
    )
    assert "tahini:" in found(tmp_path, statements, code=1)
    assert not (tmp_path / "registry").exists()


def test_a_lender_that_is_not_on_the_list_cannot_join(tmp_path, statements):
    found(tmp_path, statements[:2] + statements[3:])
    key = (tmp_path / "registry" / "registry.pub").read_text(encoding="utf-8").strip()
    said = tahini(
        "node", "join", "--home", tmp_path / "birch", "--consortium", tmp_path / "registry" / "consortium.jws",
        "--registry", "https://registry.example", "--registry-key", key, code=1,
    )  # fmt: skip
    assert "no lender in" in said


def test_a_consortium_is_founded_once(tmp_path, statements):
    found(tmp_path, statements)
    before = (tmp_path / "registry" / "consortium.jws").read_text(encoding="utf-8")
    assert "exists already" in found(tmp_path, statements, code=1)
    assert (tmp_path / "registry" / "consortium.jws").read_text(encoding="utf-8") == before


def test_without_an_auditor_nothing_is_founded_and_nothing_left_behind(tmp_path, statements):
    assert "auditor" in found(tmp_path, statements[:3], code=1)
    assert not (tmp_path / "registry").exists()


def witnesses(count):
    keys = [CosigningKey.generate(f"lender-{number}.example/witness").public for number in range(count)]
    return [
        argument
        for number, key in enumerate(keys)
        for argument in ("--witness", f"{key.vkey}@https://lender-{number}.example/witness")
    ]


@pytest.mark.parametrize(
    ("count", "stated", "quorum", "dishonest"),
    [(1, None, 1, 0), (3, None, 2, 0), (3, 0, 2, 0), (4, None, 3, 1), (5, None, 4, 1), (5, 0, 3, 0), (7, None, 5, 2)],
)
def test_the_quorum_follows_from_how_many_witnesses_may_be_dishonest(
    tmp_path, statements, count, stated, quorum, dishonest
):
    more = [*witnesses(count), *([] if stated is None else ["--dishonest-witnesses", str(stated)])]
    said = found(tmp_path, statements, more=more)
    assert f"{quorum} of {count} witnesses must cosign; up to {dishonest} may be dishonest" in said
    signed = Consortium.claimed((tmp_path / "registry" / "consortium.jws").read_text(encoding="utf-8"))
    assert (signed.dishonest_witnesses, signed.policy.groups[0].threshold) == (dishonest, quorum)
    assert not signed.unwitnessed


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ((), "--no-quorum"),
        ((*witnesses(3), "--dishonest-witnesses", "1"), "3 witnesses tolerate 0"),
        ((*witnesses(6), "--dishonest-witnesses", "2"), "6 witnesses tolerate 1"),
        ((*witnesses(3), "--no-quorum"), "has no witnesses"),
        (("--dishonest-witnesses", "1", "--no-quorum"), "has no witnesses"),
    ],
)
def test_a_quorum_that_cannot_hold_founds_nothing(tmp_path, statements, more, why):
    assert why in " ".join(found(tmp_path, statements, code=1, more=more or ("--cover-rate", "0.2")).split())
    assert not (tmp_path / "registry").exists()


def test_no_document_states_what_its_quorum_does_not_hold(tmp_path, statements):
    found(tmp_path, statements, more=witnesses(4))
    signed = Consortium.claimed((tmp_path / "registry" / "consortium.jws").read_text(encoding="utf-8")).payload()
    Consortium.model_validate(signed)
    majority = signed["log_policy"].replace("group witnesses 3", "group witnesses 2")
    for changed, why in (
        ({"log_policy": majority}, "two histories"),
        ({"dishonest_witnesses": 2}, "4 witnesses tolerate 1"),
        ({"unwitnessed": True}, "never both"),
        ({"log_policy": signed["log_policy"].rpartition("quorum")[0] + "quorum none\n"}, "--no-quorum"),
    ):
        with pytest.raises(ValidationError, match=why):
            Consortium.model_validate({**signed, **changed})
