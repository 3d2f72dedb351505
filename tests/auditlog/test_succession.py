"""One auditor succeeds another: the next one opens and verifies the whole log, and a third one does too."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from support.commands import done, refused, tahini
from support.house import House

from auditlog.archives import ResealedArchive, Sealed
from consent.home import open_registry
from consent.notice_text import HELD_DAYS
from consent.succession import appoint_auditor, earlier_consortiums
from crypto.errors import SealError
from crypto.keys import RecipientKey, SigningKey, save_recipient_key, save_signing_key
from demo.borrowers import make_notice
from demo.identities import fictitious
from protocol.consents import Action
from protocol.errors import AuditFailed, Conflict, ConsentError
from protocol.handovers import Handover
from protocol.parties import Membership, Party, Role


@dataclass(frozen=True)
class Auditor:
    """An auditor's home."""

    name: str
    home: Path
    key: SigningKey
    recipient: RecipientKey

    @classmethod
    def made(cls, name: str, home: Path, key: SigningKey, recipient: RecipientKey) -> Auditor:
        (home / "earlier").mkdir(parents=True)
        save_signing_key(home / "auditor.key", key)
        save_recipient_key(home / "auditor.recipient.key", recipient)
        return cls(name, home, key, recipient)

    @classmethod
    def fresh(cls, name: str, root: Path) -> Auditor:
        return cls.made(name, root / name, SigningKey.generate(), RecipientKey.generate())

    @property
    def statement(self) -> str:
        party = Party(
            id=self.name, name=self.name, role=Role.AUDITOR, signing_key=self.key.public.text,
            recipient_key=self.recipient.public.text, legal=fictitious(self.name, Role.AUDITOR, ()),
        )  # fmt: skip
        return Membership(party=party).sign(self.key)


class Succession:
    """A house whose auditors change; between its openings the registry's operator appoints."""

    def __init__(self, ground, root: Path) -> None:
        self.root, self.ground = root, ground.copy(root / "house")
        founded = ground.founded
        self.first = Auditor.made("auditor", root / "auditor", founded.auditor_key, founded.auditor_recipient)

    @contextmanager
    def opened(self):
        with self.ground.opened(http=True) as house:
            yield house

    def appoint(self, following: Auditor) -> None:
        founded = self.ground.founded
        consortium = appoint_auditor(founded.registry_home, following.statement)
        token = (founded.registry_home / "consortium.jws").read_text(encoding="utf-8")
        changed = replace(
            founded,
            consortium=consortium,
            token=token,
            auditor_key=following.key,
            auditor_recipient=following.recipient,
        )
        self.ground = replace(self.ground, founded=changed)
        for file in (founded.registry_home / "earlier").glob("*.jws"):
            (following.home / "earlier" / file.name).write_bytes(file.read_bytes())

    def known(self, house: House, auditor: Auditor, url: bool = True) -> tuple[object, ...]:
        pinned = auditor.home / "consortium.jws"
        pinned.write_text(house.founded.token, encoding="utf-8")
        at = ("--url", house.url) if url else ()
        return ("--auditor", auditor.home, *at, "--consortium", pinned, "--registry-key", self.registry_key)

    @property
    def registry_key(self) -> str:
        return self.ground.founded.registry_key.public.text

    def hand_over(self, house: House, outgoing: Auditor, following: Auditor) -> Path:
        sealed, folder = self.root / "sealed.json", self.root / f"from-{outgoing.name}"
        done("log", "sealed", *self.known(house, following), "--out", sealed)
        known = self.known(house, outgoing, url=False)
        said = done("log", "reseal", *known, "--name", outgoing.name, "--sealed", sealed, "--out", folder)
        page = Path(__file__).parents[2] / "docs/auditor.md"
        assert f"{HELD_DAYS:,} days more" in said and f"{HELD_DAYS:,} days after" in page.read_text(encoding="utf-8")
        return folder

    def verify(self, house: House, auditor: Auditor):
        return json.loads(done("log", "verify", *self.known(house, auditor), "--json"))


def asked_again(house: House, version: int) -> None:
    """The notice names whoever audits now, and whoever gave a consent gives it again."""
    fresh = make_notice(house.founded.consortium, list(house.borrowers), 1.0)
    house.notice = fresh.model_copy(update={"version": version})
    operator = house.founded.operator(house.url)
    operator.publish_notice(house.notice, house.founded.registry_key)
    operator.close()
    for lender in house.borrowers:
        again = {"ordinary": Action.GIVE}
        house.anyone().decide([person.decide(house.notice, again) for person in house.consenting(lender)])


def trained(house: House, campaign: str) -> None:
    house.activate(id=campaign)
    for lender in house.borrowers:
        house.open_gate(0, lender)
    house.registry.ledger.catch_up()


@pytest.fixture
def changing(ground, tmp_path):
    return Succession(ground, tmp_path)


def test_a_successor_opens_the_whole_log_and_a_third_one_does_too(changing):
    second, third = Auditor.fresh("notary", changing.root), Auditor.fresh("bureau", changing.root)
    with changing.opened() as house:
        trained(house, "first")
        assert changing.verify(house, changing.first)["by_type"]["roster.committed"] == 3
    changing.appoint(second)
    with changing.opened() as house:
        with pytest.raises(ConsentError, match="reaches 'notary' as auditor, which the notice does not name"):
            trained(house, "unasked")
        asked_again(house, 2)
        trained(house, "second")
        assert "hands over an archive" in refused("log", "verify", "--json", *changing.known(house, second))
        folder = changing.hand_over(house, changing.first, second)
        assert "verified" in done("log", "succeed", *changing.known(house, second), "--handover", folder)
        house.registry.ledger.catch_up()
        found = changing.verify(house, second)
        assert found["by_type"]["roster.committed"] == 6
        assert found["by_type"]["auditor.succeeded"] == 1
        first = next(i for i in range(found["entries"]) if _leaf(house, i)["type"] == "roster.committed")
        shown = json.loads(done("log", "show", first, *changing.known(house, second), "--json"))
        assert shown["says"]["lender"] in house.borrowers
    changing.appoint(third)
    with changing.opened() as house:
        asked_again(house, 3)
        trained(house, "third")
        folder = changing.hand_over(house, second, third)
        done("log", "succeed", *changing.known(house, third), "--handover", folder)
        house.registry.ledger.catch_up()
        assert changing.verify(house, third)["by_type"]["roster.committed"] == 9


def _leaf(house, index: int) -> dict:
    with house.registry.ledger.read() as session:
        return json.loads(house.registry.ledger.log.entry(session, index).leaf)


@pytest.fixture
def handed(changing):
    """A handover that the successor has not taken over yet."""
    second = Auditor.fresh("notary", changing.root)
    with changing.opened() as house:
        trained(house, "first")
    changing.appoint(second)
    with changing.opened() as house:
        yield changing, house, second, changing.hand_over(house, changing.first, second)


def test_an_archive_that_lacks_something_or_was_changed_is_not_taken_over(handed):
    changing, house, second, folder = handed
    path = folder / "archive.json"
    whole = json.loads(path.read_bytes())
    asked = ("log", "succeed", *changing.known(house, second), "--handover", folder)
    without = {**whole, "envelopes": dict(list(whole["envelopes"].items())[1:])}
    path.write_text(json.dumps(without), encoding="utf-8")
    assert "another than the outgoing auditor signed" in refused(*asked)
    archive = ResealedArchive.parse(path.read_bytes(), second.recipient)
    sealed = Sealed.parse((changing.root / "sealed.json").read_text(encoding="utf-8"))
    with pytest.raises(SealError, match="not handed over"):
        archive.check(sealed)
    keys = list(whole["envelopes"])
    swapped = {**whole["envelopes"], keys[0]: whole["envelopes"][keys[-1]]} if len(keys) > 1 else {}
    archive = ResealedArchive(swapped, {int(at): body for at, body in whole["bodies"].items()}, second.recipient)
    with pytest.raises((SealError, AuditFailed)):
        archive.check(sealed)
    path.write_text(json.dumps(whole), encoding="utf-8")


def test_another_archive_than_the_log_says_is_found(handed):
    changing, house, second, folder = handed
    done("log", "succeed", *changing.known(house, second), "--handover", folder)
    house.registry.ledger.catch_up()
    again = changing.hand_over(house, changing.first, second)
    (second.home / "archive.json").write_bytes((again / "archive.json").read_bytes())
    assert "another than the log says" in refused("log", "verify", "--json", *changing.known(house, second))


def test_only_the_successor_takes_over_and_only_what_the_outgoing_auditor_signed(handed):
    changing, house, second, folder = handed
    token = (folder / "handover.jws").read_text(encoding="utf-8")
    said = Handover.claimed(token)
    client = house.founded.auditor(house.url)
    house.clients.append(client)
    with pytest.raises(Exception, match="signature"):
        client.succeed(said.sign(second.key))
    other = Handover.model_validate({**said.model_dump(), "successor": "aspen"})
    with pytest.raises(Exception, match="to somebody else"):
        client.succeed(other.sign(changing.first.key))
    stranger = Handover.model_validate({**said.model_dump(), "outgoing": "aspen"})
    with pytest.raises(Exception, match="never the auditor"):
        client.succeed(stranger.sign(changing.first.key))


def test_the_operator_appoints_an_auditor_and_nobody_else(changing):
    home = changing.ground.founded.registry_home
    second = Auditor.fresh("notary", changing.root)
    statement = changing.root / "notary.jws"
    statement.write_text(second.statement, encoding="utf-8")
    lender = changing.ground.founded.consortium.lenders[0]
    for party in (
        lender.model_copy(update={"id": "other", "signing_key": second.key.public.text}),
        Party(id="other", name="o", role=Role.AUDITOR, signing_key=second.key.public.text),
    ):
        with pytest.raises(Conflict, match="no auditor with a recipient key"):
            appoint_auditor(home, Membership(party=party).sign(second.key))
    with pytest.raises(Conflict, match="a party already"):
        appoint_auditor(home, changing.first.statement)
    assert "names 'notary' as the auditor" in done("registry", "appoint", "--home", home, "--auditor", statement)
    assert [one.one(Role.AUDITOR).id for one in earlier_consortiums(home)] == ["auditor"]
    registry = open_registry(home)
    assert registry.consortium.one(Role.AUDITOR).id == "notary"
    registry.close()
    assert tahini("registry", "appoint", "--home", home, "--auditor", statement).exit_code == 1
