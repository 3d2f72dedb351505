"""``tahini evidence sample`` and ``tahini node sample``: from the announcement to the bound, over files."""

from __future__ import annotations

import json

import pytest
from support.commands import done, refused, tahini

from auditlog.audit import verify_log
from auditlog.sampling import upper_bound
from consent.commands.forget_subject import forget_subject
from crypto.keys import save_recipient_key, save_signing_key
from crypto.sealing import unpad, unseal_from
from protocol.samples import OPENED_CONTEXT, OpenedSample


@pytest.fixture
def asking(listening, tmp_path):
    """A campaign with a roster of every lender, and what the auditor says each time."""
    house = listening
    house.activate()
    for lender in house.borrowers:
        house.open_gate(0, lender)
    home = tmp_path / "auditor"
    home.mkdir()
    save_signing_key(home / "auditor.key", house.founded.auditor_key)
    save_recipient_key(home / "auditor.recipient.key", house.founded.auditor_recipient)
    (home / "consortium.jws").write_text(house.founded.token, encoding="utf-8")
    known = ("--url", house.url, "--registry-key", house.founded.registry_key.public.text)
    return house, ("evidence", "sample", "--auditor", home, "--out", tmp_path / "sample", *known)


def opened(house, folder, lender: str) -> str:
    home = house.founded.node_home(lender)
    draw, out = folder / f"{lender}.draw.jws", folder / f"{lender}.opened"
    return done("node", "sample", "--home", home, "--draw", draw, "--out", out)


def test_a_sample_from_the_announcement_to_the_bound(asking, tmp_path):
    house, asked = asking
    folder = tmp_path / "sample"
    assert "say --campaign" in refused(*asked)
    waiting = tahini(*asked, "--campaign", house.campaign.sha256[:10], "--people", "30")
    assert waiting.exit_code == 3, waiting.output
    assert "tahini node sample --draw" in waiting.output
    lenders = [path.name.partition(".")[0] for path in folder.glob("*.draw.jws")]
    again = tahini(*asked, "--json")
    assert again.exit_code == 3
    assert json.loads(again.stdout)["waiting_for"] == sorted(lenders)
    for lender in lenders:
        assert "sealed to the auditor" in opened(house, folder, lender)
    found = json.loads(done(*asked, "--json"))
    assert found["broken"] == [] and found["drawn"] == found["clean"] > 0, "everybody in 30 cells"
    assert found["most_bad"] == pytest.approx(upper_bound(0, found["drawn"]))
    assert found["masked"] > 0
    assert f"{found['drawn']} drawn, {found['drawn']} had said yes" in done(*asked)
    for lender in lenders:
        assert (folder / f"{lender}.evidence").exists(), "the registry answers once"


def test_a_sample_is_forgotten_and_the_log_holds_hashes_of_it_alone(asking, tmp_path):
    """Somebody was erased everywhere; the auditor alone still held their name, key and signed answer, and for good: the
    log held what lenders opened, sealed to it."""
    house, asked = asking
    assert "there is no sample" in refused(*asked, "--forget")
    assert tahini(*asked, "--campaign", house.campaign.sha256, "--people", "30").exit_code == 3
    folder = tmp_path / "sample"
    lenders = [path.name.partition(".")[0] for path in folder.glob("*.draw.jws")]
    for lender in lenders:
        opened(house, folder, lender)
    done(*asked, "--json")
    key, people = house.founded.auditor_recipient, []
    for lender in lenders:
        token = unpad(unseal_from(key, (folder / f"{lender}.opened").read_bytes(), OPENED_CONTEXT)).decode()
        people += OpenedSample.verify(token, house.node(lender).key.public).names
    forget_subject(house.registry, people[0])
    house.registry.ledger.catch_up()
    warned = tahini(*asked, "--json")
    assert warned.exit_code == 0 and "1 people were erased since this sample" in warned.stderr
    client = house.founded.auditor(house.url)
    house.clients.append(client)
    audit = verify_log(client, client.checkpoint_note(), key)
    logged = [(at, json.loads(leaf)) for at, leaf in enumerate(audit.leaves) if b'"evidence.opened"' in leaf]
    assert len(logged) == len(lenders)
    for at, leaf in logged:
        said = audit.know.bodies.opened(at, leaf)
        assert set(said) == {"opened", "answer"} and not any(name in json.dumps(said) for name in people)
    assert f"deleted what {len(lenders)} lenders" in done(*asked, "--forget")
    left = b"".join(path.read_bytes() for path in folder.iterdir())
    assert {path.suffix for path in folder.iterdir()} == {".json", ".jws"}
    assert not any(name.encode() in left for name in people)
    assert "were deleted; announce another" in refused(*asked)


def test_who_does_not_open_is_named_when_the_sample_is_closed(asking, tmp_path):
    house, asked = asking
    assert tahini(*asked, "--campaign", house.campaign.sha256, "--people", "40").exit_code == 3
    folder = tmp_path / "sample"
    silent, *others = sorted(path.name.partition(".")[0] for path in folder.glob("*.draw.jws"))
    for lender in others:
        opened(house, folder, lender)
    closed = tahini(*asked, "--close", "--json")
    assert closed.exit_code == 1
    found = json.loads(closed.stdout)
    assert {one["lender"] for one in found["broken"]} == {silent}
    assert found["by_rule"] == {"opened": len(found["broken"])}
    assert not any(p.pseudonym in closed.stdout for people in house.borrowers.values() for p in people)
