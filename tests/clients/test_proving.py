"""From a withdrawal to a proof in the borrower's hands, through the real gate, registry, log and witnesses; and what a
lender that lies would have to hand over instead."""

from __future__ import annotations

import json
import shutil
import sqlite3
from base64 import urlsafe_b64decode
from dataclasses import replace

import pytest
from support.commands import done, refused, tahini, told
from support.house import InMemoryFleet

from clients.proving import prove, prover_of
from crypto.errors import CryptoError, ProofError, SignatureError
from crypto.keys import SigningKey, b64, unb64
from crypto.notes import InclusionProof, claimed_checkpoint
from protocol.client.lenders import LenderClient
from protocol.errors import RegistryUnavailable
from protocol.receipts import verify_kept
from protocol.roster_proofs import RosterProof, verify_roster_proof
from server.run import CampaignRun


def used(house, lender: str = "aspen"):
    """Who consented and has a place: the lender's customers who borrow nowhere else do."""
    return house.consenting(lender)[10:]


@pytest.fixture
def withdrawn(active):
    """Somebody of aspen was in release 0, withdrew, and was not in release 1; the next one stayed."""
    active.open_gate(0)
    person, stayed = used(active)[:2]
    active.withdraw(person)
    active.open_gate(1)
    active.left, active.stayed = person, stayed
    return active


def proofs(house, name: str, lender: str = "aspen", **chosen: str) -> list[str]:
    node = house.node(lender)
    with prover_of(node) as prover, node.connected(LenderClient) as client:
        return list(prove(node, client, prover, name, prover.releases(**chosen)).tokens)


def said(house, token: str) -> bool:
    return verify_roster_proof(token, house.founded.consortium).used


def forged(house, token: str, **changes: object) -> str:
    """Signed by aspen itself, with other things in it."""
    return RosterProof.claimed(token).model_copy(update=changes).sign(house.node().key)


def refuse(house, token: str, match: str = ".", kind: type[CryptoError] = ProofError) -> None:
    with pytest.raises(kind, match=match):
        verify_roster_proof(token, house.founded.consortium)


# --- what is proved


def test_who_withdrew_was_in_the_release_before_and_is_provably_not_in_the_one_after(withdrawn):
    assert [said(withdrawn, token) for token in proofs(withdrawn, withdrawn.left.pseudonym)] == [True, False]
    assert [said(withdrawn, token) for token in proofs(withdrawn, withdrawn.stayed.pseudonym)] == [True, True]


def test_everybody_s_proofs_say_what_the_ledger_says(withdrawn):
    for person in withdrawn.borrowers["aspen"]:
        found = [said(withdrawn, token) for token in proofs(withdrawn, person.pseudonym)]
        assert found == [person.pseudonym in withdrawn.members(release) for release in (0, 1)]


def test_a_whole_campaign_is_answered_release_by_release(active):
    """Through the coordinator's own run: the person leaves after release 1."""
    person = used(active, "birch")[0]
    fleet = InMemoryFleet(active)
    leave = lambda number: active.withdraw(person) if number == 1 else None  # noqa: E731
    CampaignRun(active.coordinator(), active.campaign, fleet, lambda _: None, leave).execute()
    answers = [
        verify_roster_proof(token, active.founded.consortium) for token in proofs(active, person.pseudonym, "birch")
    ]
    ledger = active.node("birch").store
    truth = [person.pseudonym in ledger.members(one.number) for one in ledger.releases(active.campaign.sha256)]
    assert [one.used for one in answers] == truth
    assert True in truth and truth[-1] is False
    assert [one.proof.release for one in answers] == list(range(len(active.campaign.mechanism.releases)))


def test_somebody_with_a_new_name_is_answered_under_the_name_of_the_day(withdrawn):
    store, old = withdrawn.node().store, withdrawn.left.pseudonym
    new = "v2" + old[2:][:10] + "x" * (len(old) - 12)
    store.rename({old: new}, withdrawn.clock())
    for name in (old, new):
        found = [RosterProof.claimed(token) for token in proofs(withdrawn, name)]
        assert [(one.release, one.pii_principal_id) for one in found] == [(0, old), (1, old), (1, new)]
        assert [said(withdrawn, token) for token in proofs(withdrawn, name)] == [True, False, False]


def test_a_proof_shows_no_name_but_the_person_s_own(withdrawn):
    (first, _) = proofs(withdrawn, withdrawn.left.pseudonym)
    shown = json.dumps(RosterProof.claimed(first).payload())
    leaf = unb64(RosterProof.claimed(first).entry).decode()
    others = {p.pseudonym for people in withdrawn.borrowers.values() for p in people} - {withdrawn.left.pseudonym}
    assert withdrawn.left.pseudonym in shown
    assert not any(name in shown + leaf for name in others)
    with prover_of(withdrawn.node()) as prover:
        assert b64(prover.releases()[0].salt) not in shown


def test_what_never_came_to_the_log_is_named_and_not_proved(withdrawn, monkeypatch):
    """The node reserved, and the registry was away: no row was read."""

    def away(*_: object) -> None:
        raise RegistryUnavailable("away")

    monkeypatch.setattr(LenderClient, "commit_roster", away)
    with pytest.raises(RegistryUnavailable):
        withdrawn.open_gate(2)
    node = withdrawn.node()
    with prover_of(node) as prover, node.connected(LenderClient) as client:
        found = prove(node, client, prover, withdrawn.left.pseudonym, prover.releases())
    assert [one.release for one in found.never_committed] == [2]
    assert len(found.tokens) == 2


def test_a_registry_that_hides_a_commitment_is_found_out(withdrawn, monkeypatch):
    store = withdrawn.node().store
    for one in store.ledger():
        store.settle(one.number, withdrawn.clock())
    get = LenderClient.get

    class Empty:
        @staticmethod
        def json() -> dict[str, object]:
            return {"items": [], "next": None}

    monkeypatch.setattr(LenderClient, "get", lambda self, t: Empty() if "/commitments" in t else get(self, t))
    with pytest.raises(RegistryUnavailable, match="does not show its roster commitment"):
        proofs(withdrawn, withdrawn.left.pseudonym)


def test_a_lender_lists_its_own_commitments_and_nobody_else_s(withdrawn):
    withdrawn.open_gate(0, "birch")
    target = f"/v1/campaigns/{withdrawn.campaign.sha256}/commitments"
    listed = {lender: withdrawn.client(lender).get(target).json()["items"] for lender in withdrawn.borrowers}
    assert [(one["release"], one["attempt"]) for one in listed["aspen"]] == [(0, 1), (1, 1)]
    assert [one["release"] for one in listed["birch"]] == [0] and listed["cedar"] == []
    for one in listed["aspen"]:
        leaf, _ = withdrawn.client().proved_leaf(one["entry_index"])
        assert (json.loads(leaf)["actor"], json.loads(leaf)["release"]) == ("aspen", one["release"])
    page = withdrawn.client().get(f"{target}?limit=1").json()
    assert page["items"] == listed["aspen"][:1]
    assert withdrawn.client().get(f"{target}?limit=1&cursor={page['next']}").json()["items"] == listed["aspen"][1:]


# --- lies


def test_a_lender_that_left_somebody_in_has_no_proof_that_they_were_out(active):
    """It used a person who had withdrawn, and now shows whatever else it has: other releases, other people, other
    lenders, a roster without them. Nothing verifies."""
    person, *others = used(active)
    active.open_gate(0)
    active.open_gate(1)
    active.open_gate(0, "birch")
    truth = proofs(active, person.pseudonym)
    assert [said(active, token) for token in truth] == [True, True]
    in_0, in_1 = (RosterProof.claimed(token) for token in truth)
    elsewhere = RosterProof.claimed(proofs(active, person.pseudonym, "birch")[0])
    assert said(active, elsewhere.sign(active.node("birch").key)) is False, "the name is not birch's: a true no"
    cells = ("salt", "members", "path")
    strangers = (RosterProof.claimed(proofs(active, "v1." + letter * 43)[1]) for letter in "ABCDEFGHQRSTUVWX")
    in_another_cell = next(one for one in strangers if one.members != in_1.members)
    for told_of in (elsewhere, in_another_cell):
        swapped = {name: getattr(told_of, name) for name in cells}
        refuse(active, forged(active, truth[1], **swapped), "does not lead to the roster's root")
        logged = {name: getattr(told_of, name) for name in ("entry", "proof")}
        refuse(active, forged(active, truth[0], **swapped, **logged))
    # a no of the other lender, as this one's
    refuse(
        active, forged(active, elsewhere.sign(active.node("birch").key), lender="aspen"), "not the roster commitment"
    )
    # the entry of one release under the number of another
    for one, of in ((in_0, in_1), (in_1, in_0)):
        refuse(
            active, forged(active, one.sign(active.node().key), entry=of.entry, proof=of.proof), "not the roster com"
        )
    refuse(active, forged(active, truth[0], release=1), "not the roster commitment")
    refuse(active, forged(active, truth[0], attempt=2), "not the roster commitment")
    refuse(active, forged(active, truth[0], campaign_sha256="0" * 64), "not the roster commitment")
    # somebody else's yes or no, as mine; of who has the same cell it would say the truth
    others_in_0 = {one.pseudonym: RosterProof.claimed(proofs(active, one.pseudonym)[0]) for one in others[:8]}
    other = next(name for name, proof in others_in_0.items() if proof.members != in_0.members)
    refuse(active, forged(active, truth[0], pii_principal_id=other), "does not lead")


def test_a_release_that_was_committed_to_without_a_person_cannot_name_them_later(withdrawn):
    token = proofs(withdrawn, withdrawn.left.pseudonym)[1]
    made = RosterProof.claimed(token)
    for members in ((*made.members, b64(b"\xff" * 32)), (b64(b"\x00" * 32), *made.members)):
        refuse(withdrawn, forged(withdrawn, token, members=members))


def test_nobody_but_the_lender_can_sign_a_proof(withdrawn):
    token = proofs(withdrawn, withdrawn.left.pseudonym)[0]
    made = RosterProof.claimed(token)
    for key in (SigningKey.generate(), withdrawn.node("birch").key, withdrawn.founded.registry_key):
        refuse(withdrawn, made.sign(key), "does not verify", SignatureError)
    for lender, match, kind in (("nobody", "not a party", SignatureError), ("auditor", "no lender", ProofError)):
        refuse(withdrawn, forged(withdrawn, token, lender=lender), match, kind)
    head, body, signature = token.split(".")
    refuse(withdrawn, f"{head}.{body[:-4]}AAAA.{signature}", kind=SignatureError)


def test_an_absence_counts_only_with_one_for_every_name(withdrawn, tmp_path, anchors):
    """Used in release 0 under the old name; the lender hands over a true proof that the later one is not in it."""
    node, old = withdrawn.node(), withdrawn.left.pseudonym
    new = "v2" + old[2:12] + "x" * (len(old) - 12)
    node.store.rename({old: new}, withdrawn.clock())
    true = RosterProof.claimed(proofs(withdrawn, old)[0])
    with prover_of(node) as prover:
        cell = prover.open(next(one for one in prover.releases() if one.release == 0), new)
    sly = true.model_copy(
        update={
            "pii_principal_id": new,
            "salt": b64(cell.salt),
            "members": tuple(map(b64, cell.members)),
            "path": tuple(map(b64, cell.path)),
        }
    ).sign(node.key)
    found = verify_kept(sly, withdrawn.founded.consortium, [old, new])
    assert found.facts["used"] is False and "Your data were NOT" not in found.sentence
    file = tmp_path / "sly.jws"
    file.write_text(sly, encoding="utf-8")
    mine = ("--person", old, "--person", new)
    result = tahini("receipt", "verify", file, *anchors, *mine)
    assert result.exit_code == 1 and "Your data" not in result.stdout
    assert f"there is no proof of {old[:12]}…" in result.stderr
    (fact,) = json.loads(tahini("receipt", "verify", file, *anchors, *mine, "--json").stdout)
    assert fact["left_out"] is False
    assert "Your data" not in done("receipt", "verify", file, *anchors), "nobody said which names there were"
    # honest: both names of release 1, and the old one's yes of release 0
    file.write_text("\n".join(proofs(withdrawn, old)), encoding="utf-8")
    said = done("receipt", "verify", file, *anchors, *mine).splitlines()
    assert [line[:21] for line in said if line.startswith("Your data")] == [
        "Your data were among ",
        "Your data were NOT am",
    ]


def test_an_entry_is_believed_under_a_cosigned_head_and_at_its_place_only(withdrawn):
    token = proofs(withdrawn, withdrawn.left.pseudonym)[0]
    proof = InclusionProof.parse(RosterProof.claimed(token).proof)
    note = proof.checkpoint_note
    text, signatures = note.split("\n\n")
    alone = f"{text}\n\n{signatures.splitlines()[0]}\n"
    for other, match, kind in (
        (replace(proof, index=proof.index + 1), ".", ProofError),
        (replace(proof, path=proof.path[:-1]), ".", ProofError),
        (replace(proof, checkpoint_note=alone), "quorum", SignatureError),
    ):
        refuse(withdrawn, forged(withdrawn, token, proof=other.text), match, kind)
    refuse(withdrawn, forged(withdrawn, token, proof="nothing"), "not a tlog-proof")
    refuse(withdrawn, forged(withdrawn, token, entry="Zm9v"), "not under|stated root")
    refuse(withdrawn, forged(withdrawn, token, entry="AB"), "base64url")


def test_another_entry_of_the_log_is_no_roster_commitment(withdrawn):
    token = proofs(withdrawn, withdrawn.left.pseudonym)[0]
    client = withdrawn.client()
    for index in range(min(8, client.head().size)):
        leaf, proof = client.proved_leaf(index)
        if json.loads(leaf)["type"] != "roster.committed":
            refuse(withdrawn, forged(withdrawn, token, entry=b64(leaf), proof=proof.text), "not a|not the")


# --- in the borrower's hands


@pytest.fixture
def anchors(withdrawn, tmp_path):
    home = withdrawn.founded.node_home("aspen")
    key = withdrawn.node().settings.registry_key
    (tmp_path / "registry.pub").write_text(key, encoding="utf-8")
    shutil.copy(home / "consortium.jws", tmp_path / "consortium.jws")
    return ("--consortium", tmp_path / "consortium.jws")


def handed_over(house, tmp_path, person, *more: object):
    home, out = house.founded.node_home("aspen"), tmp_path / "proofs.jws"
    told_ = told("node", "prove", "--home", home, "--person", person, "--out", out, *more)
    return out, told_


def test_the_commands_from_lender_to_borrower(withdrawn, tmp_path, anchors):
    name = withdrawn.left.pseudonym
    out, made = handed_over(withdrawn, tmp_path, name)
    assert made == {"out": str(out), "releases": 2, "proofs": 2, "never_committed": []}
    text = done("receipt", "verify", out, *anchors, "--person", name)
    yes, no, conclusion = text.splitlines()
    campaign = withdrawn.campaign.sha256[:12]
    assert yes.startswith(f"Your data were among those for release 0 (attempt 1) of campaign {campaign}… by aspen")
    alone = f"The name {name[:12]}… was NOT among those for release 1 (attempt 1) of campaign {campaign}… by aspen"
    assert no.startswith(alone), "of one name only: who had another is not told that they were left out"
    assert conclusion.startswith(f"Your data were NOT among those for attempt 1 of release 1 of campaign {campaign}…")
    assert "another attempt" in conclusion
    assert "cosigned by 3 of 3 witnesses" in no or "cosigned by 2 of 3 witnesses" in no
    facts = told("receipt", "verify", out, *anchors)
    assert [one["used"] for one in facts] == [True, False]
    head = claimed_checkpoint(
        InclusionProof.parse(RosterProof.claimed(out.read_text("utf-8").split()[0]).proof).checkpoint_note
    )
    assert facts[0]["head"]["size"] == head.size


def test_a_receipt_of_a_consent_is_verified_by_the_same_command(withdrawn, tmp_path, anchors):
    (receipt,) = withdrawn.anyone().decide([withdrawn.stayed.withdrawal(withdrawn.notice)])
    mixed = tmp_path / "kept.jws"
    token = receipt.sign(withdrawn.founded.registry_key)
    mixed.write_text("\n".join([token, *proofs(withdrawn, withdrawn.stayed.pseudonym)]), encoding="utf-8")
    lines = done("receipt", "verify", mixed, *anchors).splitlines()
    assert lines[0].startswith("Your answer is on record: ") and "withdrawn" in lines[0]
    assert len(lines) == 3
    other = receipt.model_copy(update={"states": dict.fromkeys(receipt.states, "given")})
    mixed.write_text(other.sign(withdrawn.founded.registry_key), encoding="utf-8")
    assert "does not commit to this decision" in refused("receipt", "verify", mixed, *anchors)
    mixed.write_text(receipt.sign(withdrawn.node().key), encoding="utf-8")
    assert "does not verify" in refused("receipt", "verify", mixed, *anchors)


def test_one_wrong_document_among_true_ones_is_an_exit_code(withdrawn, tmp_path, anchors):
    out, _ = handed_over(withdrawn, tmp_path, withdrawn.left.pseudonym)
    good = out.read_text(encoding="utf-8")
    out.write_text(good + forged(withdrawn, good.split()[0], release=5), encoding="utf-8")
    result = tahini("receipt", "verify", out, *anchors)
    assert result.exit_code == 1 and len(result.stdout.splitlines()) == 2
    assert result.stderr.count("\n") == 1 and "does not verify" in result.stderr
    result = tahini("receipt", "verify", out, *anchors, "--json")
    assert result.exit_code == 1
    assert [one["verified"] for one in json.loads(result.stdout)] == [True, True, False]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "holds no receipt"),
        ("no document", "not a signed document"),
        ("e30.e30.e30", "not a signed document"),
        ("eyJ0eXAiOiJ0YWhpbmktbm90aWNlIn0.e30.e30", "neither a receipt nor a proof"),
        ("eyJ0eXAiOiJ0YWhpbmktcm9zdGVyLXByb29mIn0.e30.e30", "not a signed document"),
        ("\x00\xff" * 50, "not a signed document"),
    ],
)
def test_a_file_that_holds_something_else_is_refused_in_one_sentence(withdrawn, tmp_path, anchors, content, said):
    file = tmp_path / "kept.jws"
    file.write_text(content, encoding="utf-8")
    assert said in refused("receipt", "verify", file, *anchors)


def test_a_proof_about_somebody_else_is_not_taken_for_mine(withdrawn, tmp_path, anchors):
    out, _ = handed_over(withdrawn, tmp_path, withdrawn.left.pseudonym, "--campaign", withdrawn.campaign.sha256[:8])
    (first, *_) = out.read_text(encoding="utf-8").split()
    with pytest.raises(ProofError, match="somebody else"):
        verify_kept(first, withdrawn.founded.consortium, [withdrawn.stayed.pseudonym])
    result = tahini("receipt", "verify", out, *anchors, "--person", withdrawn.stayed.pseudonym)
    assert result.exit_code == 1 and result.stdout == ""


def test_nothing_that_came_with_a_file_is_believed(withdrawn, tmp_path, anchors):
    """A consortium document beside the file is its sender's: only a pinned one counts."""
    out, _ = handed_over(withdrawn, tmp_path, withdrawn.left.pseudonym)
    assert (out.parent / "consortium.jws").exists()
    assert "--consortium" in refused("receipt", "verify", out)
    mailed = tmp_path / "mail" / "receipts"  # a forger's folder, as tahini borrower would have kept it
    mailed.mkdir(parents=True)
    for name in ("registry.pub", "consortium.jws"):
        shutil.copy(tmp_path / name, mailed.parent / name)
    shutil.copy(out, mailed / "r.jws")
    assert "--consortium" in refused("receipt", "verify", mailed / "r.jws")
    assert "--consortium" in refused("receipt", "verify", mailed / "r.jws", "--workspace", tmp_path)
    own = tmp_path / "up" / "borrowers" / "lin"
    shutil.copytree(mailed.parent, own)
    result = tahini("receipt", "verify", own / "receipts" / "r.jws", "--workspace", tmp_path / "up")
    assert result.exit_code == 0 and "believing the registry's key " in result.stderr
    (tmp_path / "registry.pub").unlink()
    assert "--registry-key" in refused("receipt", "verify", out, *anchors)
    wrong = ("--registry-key", SigningKey.generate().public.text)
    assert "does not verify" in refused("receipt", "verify", out, *anchors, *wrong)


def test_only_what_was_asked_for_is_proved(withdrawn, tmp_path):
    name = withdrawn.left.pseudonym
    assert handed_over(withdrawn, tmp_path, name, "--campaign", "ffff" * 16)[1]["releases"] == 0
    assert handed_over(withdrawn, tmp_path, name, "--since", "2199-01-01")[1]["releases"] == 0
    today = withdrawn.clock().date().isoformat()
    assert handed_over(withdrawn, tmp_path, name, "--since", today)[1]["releases"] == 2


def test_an_altered_ledger_is_said_and_nothing_is_written(withdrawn, tmp_path):
    home = withdrawn.founded.node_home("aspen")
    with sqlite3.connect(home / "ledger.db") as connection:
        connection.execute("DROP TRIGGER members_kept")
        connection.execute("DELETE FROM members WHERE pseudonym = ?", (withdrawn.stayed.pseudonym,))
    out = tmp_path / "proofs.jws"
    asked = ("node", "prove", "--home", home, "--person", withdrawn.stayed.pseudonym, "--out", out)
    assert "was altered" in refused(*asked)
    assert not out.exists()


def test_a_proof_is_small(withdrawn):
    """Some of its size is the log's: a path of 24 hashes and a dozen cosignatures fit as well."""
    for token in proofs(withdrawn, withdrawn.left.pseudonym):
        assert len(token) < 4_000
        assert len(urlsafe_b64decode(token.split(".")[1] + "==")) < 3_000
