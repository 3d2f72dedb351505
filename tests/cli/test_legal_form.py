"""party.toml: from the template to a signed statement, and to a consortium that claims a law or is refused."""

from __future__ import annotations

import json

import pytest
import tomli_w
from support.commands import done, refused, tahini, told

from cli.legal_form import TEMPLATE
from crypto.keys import PublicKey
from demo.identities import fictitious
from protocol.legal import LegalIdentity, LegalTerms
from protocol.parties import Consortium, Membership, Role

LENDERS = ("aspen", "birch")
ROLES = {
    "registry": Role.REGISTRY, "coordinator": Role.COORDINATOR, "auditor": Role.AUDITOR,
    **dict.fromkeys(LENDERS, Role.LENDER),
}  # fmt: skip


@pytest.fixture
def forms(tmp_path):
    """Each party's party.toml."""
    for name, role in ROLES.items():
        text = tomli_w.dumps(fictitious(name, role, LENDERS))
        (tmp_path / f"{name}.toml").write_text(text, encoding="utf-8")
    return tmp_path


def stated(forms, without=()):
    """Everybody's membership.jws, with what they are in law; without, for some."""

    def legal(name):
        return () if name in without else ("--legal", forms / f"{name}.toml")

    done("coordinator", "init", "--home", forms / "coordinator", "--name", "Office", *legal("coordinator"))
    for lender in LENDERS:
        done("node", "init", "--home", forms / lender, "--id", lender, "--name", lender, *legal(lender))
    for kind in ("signing", "recipient"):
        done("keys", "new", kind, forms / f"auditor.{kind}.key")
    done(
        "party", "state", "--id", "auditor", "--name", "A", "--role", "auditor", "--key", forms / "auditor.signing.key",
        "--recipient-key", forms / "auditor.recipient.key", "--out", forms / "auditor.jws", *legal("auditor"),
    )  # fmt: skip
    return [forms / name / "membership.jws" for name in ("coordinator", *LENDERS)] + [forms / "auditor.jws"]


def founding(forms, members, *more):
    named = [part for path in members for part in ("--member", path)]
    return (
        "registry", "init", "--home", forms / "registry", "--name", "sesame", "--origin", "audit.example/log",
        "--max-epsilon", "8", "--no-quorum", "--legal", forms / "registry.toml", *named, *more,
    )  # fmt: skip


def test_a_consortium_whose_parties_state_what_the_law_asks_for_is_founded(forms):
    done(*founding(forms, stated(forms), "--jurisdiction", "CN", "--staff-ids"))
    key = PublicKey.from_text((forms / "registry" / "registry.pub").read_text(encoding="utf-8").strip())
    signed = Consortium.verify((forms / "registry" / "consortium.jws").read_text(encoding="utf-8"), key)
    assert LegalTerms.of(signed) == LegalTerms(jurisdiction="CN", staff_ids=True)
    for name, role in ROLES.items():
        assert signed.party(name).legal == fictitious(name, role, LENDERS)
    found = json.loads(tahini("doctor", "--home", forms / "registry", "--json").stdout)
    (law,) = [one for one in found if one["what"] == "law"]
    assert law["level"] == "well" and "CN" in law["said"] and "no legal advice" in law["said"]


@pytest.mark.parametrize(
    ("without", "rule"), [(("coordinator",), "LicensedCoordinator"), (("aspen",), "LicensedLenders")]
)
def test_one_whose_parties_do_not_is_refused_and_leaves_nothing(forms, without, rule):
    members = stated(forms, without)
    assert rule in refused(*founding(forms, members, "--jurisdiction", "CN"))
    assert not (forms / "registry").exists()
    done(*founding(forms, members))  # which claims nothing
    found = json.loads(tahini("doctor", "--home", forms / "registry", "--json").stdout)
    assert [one["said"] for one in found if one["what"] == "law"] == [
        "the consortium claims no jurisdiction: nothing about law was looked at"
    ]


def test_an_unknown_jurisdiction_is_refused(forms):
    assert "jurisdiction" in refused(*founding(forms, stated(forms), "--jurisdiction", "XX"))


def test_the_template_is_a_statement_and_describing_anew_keeps_the_keys(forms):
    path = forms / "party.toml"
    path.write_text(done("party", "template"), encoding="utf-8")
    members = stated(forms, ("aspen",))
    statement, key = members[1], forms / "aspen" / "node.key"
    before = Membership.claimed(statement.read_text(encoding="utf-8")).party
    assert before.legal is None
    assert "licence" in done("party", "describe", "--statement", statement, "--key", key, "--legal", path)
    after = Membership.verify(statement.read_text(encoding="utf-8"), before.key).party
    assert after.model_copy(update={"legal": None}) == before
    identity = LegalIdentity.of(after)
    assert identity.country == "CN" and identity.officer.contact.email == "officer@aspen.example"
    other = forms / "birch" / "node.key"
    assert refused("party", "describe", "--statement", statement, "--key", other, "--legal", path)


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ('country = "CN"', 'country = "China"', "country must be a country by ISO 3166-1"),
        ('kind = "consumer-finance"', 'kind = "pirate"', "licence.kind"),
        ('role = "joint-handler"', 'role = "king"', "roles[0].role"),
        ('email = "privacy@aspen.example"', 'mail = "x"', "contact.mail"),
        ('sha256 = "0000', 'sha256 = "zz', "agreements[0].sha256"),
    ],
)
def test_a_form_that_is_wrong_is_refused_by_its_field(tmp_path, before, after, named):
    assert before in TEMPLATE
    path = tmp_path / "party.toml"
    path.write_text(done("party", "template").replace(before, after), encoding="utf-8")
    said = refused("node", "init", "--home", tmp_path / "n", "--id", "n", "--name", "n", "--legal", path)
    assert named in said and not (tmp_path / "n").exists()


def test_the_record_of_processing_says_who_is_what_in_law(forms):
    done(*founding(forms, stated(forms), "--jurisdiction", "CN"))
    day = ("--from", "2001-01-01", "--to", "2001-01-02", "--out", forms / "record")
    home = ("--home", forms / "registry")
    done("log", "append", *home, "--type", "system.started", "--to", "auditor")
    record = told("log", "export", *home, *day)
    assert record["controllers"] == ["aspen", "birch"], "and not the auditor, nor the registry"
    parties = {one["id"]: one for one in record["parties"]}
    assert set(parties["registry"]["roles_in_law"].values()) == {"processor"}
    assert parties["aspen"]["contact"]["email"] == "privacy@aspen.example"
    assert parties["aspen"]["officer"]["name"] == "officer for personal information"
    assert parties["coordinator"]["licence"]["kind"] == "personal-credit-reporting"
    assert not any("role in law" in line for line in record["to_be_added"])
    page = (forms / "record" / "processing-record.html").read_text(encoding="utf-8")
    assert "joint-handler" in page and "FICTITIOUS-coordinator" in page
