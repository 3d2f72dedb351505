"""``tahini evidence collect``, ``merge``, ``verify``: everybody's parts, joined by the auditor, checked offline."""

from __future__ import annotations

import ast
import gzip
import json
import re
import shutil
import subprocess
import sys
from base64 import urlsafe_b64decode
from pathlib import Path

import pytest
from support.commands import done, refused
from support.packs import campaign_of, edited, merging, signed_again, trusting, verifying

from auditlog.authority import AuditState
from auditlog.entry_checks import check_entry
from auditlog.opening import Bodies
from crypto.keys import RecipientKey, save_recipient_key
from crypto.notes import Checkpoint
from protocol.cards import ModelCard
from protocol.errors import AuditFailed
from protocol.evidence import EvidenceManifest, PackScope


def test_a_pack_from_collection_to_verification(handed_in, whole):
    house, folder = handed_in
    missing = json.loads((whole / "missing.json").read_text("utf-8"))
    assert missing == {"missing": [], "present": sorted(["coordinator", "registry", *house.borrowers])}
    found = json.loads(done(*verifying(folder, whole), "--since", folder / "first.checkpoint", "--json"))
    assert found["missing"] == []
    assert any("1 model cards" in line for line in found["checked"])
    assert found["whole"] and found["not_shown"] == []
    said = done(*verifying(folder, whole))
    assert "missing: nobody" in said and "whole: no entry of the log" in said
    assert "the registry's word" in said, "what the log does not show is said"
    page = (whole / "README.html").read_text("utf-8")
    assert "<th>maker" in page and "各部分" in page and "roster.committed" in page
    assert not re.search(r"(src|href)=", page), "it loads nothing"
    assert "tahini evidence verify PACK" in (whole / "VERIFY.md").read_text("utf-8")


@pytest.mark.parametrize("file", ["README.html", "VERIFY.md"])
def test_a_page_that_says_something_else_than_the_parts_is_noticed(handed_in, pack, file):
    _, folder = handed_in
    (pack / file).write_text((pack / file).read_text("utf-8").replace("e", "a", 1), encoding="utf-8")
    assert f"{file}: it says something else" in refused(*verifying(folder, pack))
    (pack / file).unlink()
    assert f"{file}: it says something else" in refused(*verifying(folder, pack))


def test_whose_part_is_missing_is_said(handed_in, tmp_path):
    _, folder = handed_in
    said = done(*merging(folder, tmp_path / "pack", folder / "registry.part", folder / "birch.part"))
    assert "missing: aspen, cedar, coordinator" in said
    said = done(*verifying(folder, tmp_path / "pack"))
    assert "missing: aspen, cedar, coordinator" in said and "not whole: the part of aspen is not here" in said
    (tmp_path / "pack/missing.json").write_text('{"missing":[],"present":["birch","registry"]}', encoding="utf-8")
    assert "missing.json: it is not true" in refused(*verifying(folder, tmp_path / "pack"))


def test_a_part_that_is_taken_out_of_a_pack_is_noticed(handed_in, pack):
    _, folder = handed_in
    shutil.rmtree(pack / "cedar")
    assert "pack.json: it lists other parts" in refused(*verifying(folder, pack))


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("registry/consents/states.json", "registry/consents/states.json: it is another file"),
        ("aspen/campaigns/{}/approval.jws", "aspen/campaigns/{}/approval.jws: it is another file"),
        ("registry/manifest.jws", "registry/manifest.jws: "),
    ],
)
def test_a_file_that_was_altered_is_named(handed_in, pack, file, said):
    _, folder = handed_in
    path = pack / file.format(campaign_of(pack))
    path.write_bytes(path.read_bytes()[:-4] + b"AAAA")
    assert said.format(campaign_of(pack)) in refused(*verifying(folder, pack))


def test_a_file_that_is_added_or_taken_away_is_named(handed_in, pack):
    _, folder = handed_in
    (pack / "aspen/more.json").write_text("{}", encoding="utf-8")
    assert "aspen/more.json: it is in the folder or the manifest" in refused(*verifying(folder, pack))
    (pack / "aspen/more.json").rename(pack / "more.json")
    assert "more.json: it belongs to no part" in refused(*verifying(folder, pack))
    (pack / "more.json").unlink()
    (pack / "registry/requests/statistics.json").unlink()
    assert "registry/requests/statistics.json: it is in" in refused(*verifying(folder, pack))


def test_whoever_signs_another_s_part_is_noticed(handed_in, pack):
    house, folder = handed_in
    token = (pack / "aspen/manifest.jws").read_text("utf-8")
    forged = EvidenceManifest.claimed(token).sign(house.node("birch").key)
    (pack / "aspen/manifest.jws").write_text(forged, encoding="utf-8")
    assert "aspen/manifest.jws: " in refused(*verifying(folder, pack))


# --- what the makers themselves might say


def test_a_registry_that_leaves_an_approval_out_is_noticed(handed_in, pack):
    house, folder = handed_in
    below = f"registry/campaigns/{campaign_of(pack)}/approvals/cedar.jws"
    (pack / below).unlink()
    signed_again(house, pack, "registry")
    assert f"{below}: No such file" in refused(*verifying(folder, pack))


def test_a_registry_that_leaves_the_entry_of_an_approval_out_is_noticed(handed_in, pack):
    house, folder = handed_in
    for path in (pack / "registry/log/entries").glob("*.json"):
        leaf = json.loads(path.read_text("utf-8"))
        if (leaf["type"], leaf["actor"]) == ("campaign.approved", "cedar"):
            path.with_suffix(".tlog-proof").unlink()
            path.unlink()
    edited(pack / "registry/log/counts.json", lambda told: told["entries_in_scope"].update({"campaign.approved": 2}))
    signed_again(house, pack, "registry")
    assert ".json: it is in the log, not here" in refused(*verifying(folder, pack))


def test_an_entry_that_the_log_does_not_hold_is_noticed(handed_in, pack):
    house, folder = handed_in
    path = min((pack / "registry/log/entries").glob("*.json"))
    edited(path, lambda leaf: leaf.update(time="2020-01-01T00:00:00.000000Z"))
    signed_again(house, pack, "registry")
    assert f"registry/log/entries/{path.name}: " in refused(*verifying(folder, pack))


def test_a_checkpoint_without_its_witnesses_is_not_believed(handed_in, pack):
    house, folder = handed_in
    note = (pack / "aspen/log/checkpoint").read_text("utf-8")
    text, _, signatures = note.partition("\n\n")
    only_the_log = f"{text}\n\n{signatures.splitlines()[0]}\n"
    (pack / "aspen/log/checkpoint").write_text(only_the_log, encoding="utf-8")
    signed_again(house, pack, "aspen")
    assert "aspen/log/checkpoint: " in refused(*verifying(folder, pack))


@pytest.mark.parametrize(
    ("maker", "file", "change", "said"),
    [
        ("registry", "log/counts.json", lambda told: told["entries_in_scope"].update({"use.authorised": 999}),
         "log/counts.json: not those of the entries"),
        ("registry", "consents/states.json", lambda told: told["cells"][0].update(people=3),
         "consents/states.json: it tells a count"),
        ("registry", "consents/withdrawals.json", lambda told: told["aspen"].update(p95_days=1),
         "consents/withdrawals.json: its percentiles"),
        ("registry", "campaigns/{}/coverage.json", lambda told: told["aspen"].update(beyond="something"),
         "coverage.json: it is not true"),
        ("registry", "campaigns/{}/authorisations.json", lambda told: told[0].update(id="0" * 32),
         "authorisations.json: it names an authorisation"),
        ("coordinator", "campaigns/{}/releases.json", lambda told: told.update(attempts=[0, 0, 0]),
         "releases.json: it lists fewer attempts"),
        ("coordinator", "campaigns/{}/bom.cdx.json", lambda told: told["components"][0].update(name="other"),
         "bom.cdx.json: it is not what the model card says"),
        ("aspen", "campaigns/{}/rosters.json", lambda told: told.pop(), "rosters.json: it leaves out a roster"),
    ],
)  # fmt: skip
def test_what_is_counted_or_claimed_must_follow_from_the_pack(handed_in, pack, maker, file, change, said):
    house, folder = handed_in
    edited(pack / maker / file.format(campaign_of(pack)), change)
    signed_again(house, pack, maker)
    assert said in refused(*verifying(folder, pack))


def test_a_card_that_says_another_epsilon_than_the_rosters_cost_is_noticed(handed_in, pack):
    house, folder = handed_in
    for path in (pack / "registry/campaigns" / campaign_of(pack) / "cards").glob("*.jws"):
        card = ModelCard.claimed(path.read_text("utf-8"))
        other = ModelCard.model_validate({**card.model_dump(), "epsilon_spent": 0.01})
        path.write_text(other.sign(house.coordinator().key), encoding="utf-8")
    signed_again(house, pack, "registry")
    assert "the model card is another" in refused(*verifying(folder, pack))


def test_a_history_that_does_not_extend_the_one_that_was_kept_is_noticed(handed_in, whole, tmp_path):
    house, folder = handed_in
    kept = house.founded.consortium.policy.open((folder / "first.checkpoint").read_text("utf-8"))
    other = tmp_path / "other.checkpoint"
    other.write_text(house.colluding(Checkpoint(kept.origin, kept.size, b"x" * 32)), encoding="utf-8")
    assert "consistency.json: " in refused(*verifying(folder, whole), "--since", other)
    other.write_text(house.colluding(Checkpoint(kept.origin, 1, kept.root)), encoding="utf-8")
    assert "have the registry collect again" in refused(*verifying(folder, whole), "--since", other)


def test_a_part_of_another_consortium_is_noticed(handed_in, pack):
    house, folder = handed_in
    signed_again(house, pack, "birch", consortium_sha256="0" * 64)
    assert "birch/manifest.jws: it was made under a consortium document" in refused(*verifying(folder, pack))


# --- what is never in a part


def test_nobody_is_in_a_pack(handed_in, whole):
    """No pseudonym, key, ledger name or hash of anybody's evidence, whole or in part, in any byte."""
    house, _ = handed_in
    everything = b"\n".join(path.read_bytes() for path in whole.rglob("*") if path.is_file())
    payloads = re.findall(rb"eyJ[\w-]+\.([\w-]+)\.[\w-]+", everything)
    everything += b"".join(urlsafe_b64decode(one + b"=" * (-len(one) % 4)) for one in payloads)
    assert b'"population_released"' in everything, "the search itself is broken"
    for people in house.borrowers.values():
        for person in people:
            for name in (person.pseudonym, person.ledger_pseudonym, person.key.public.text):
                assert name.partition(".")[2].encode() not in everything or "." not in name
                assert name.encode() not in everything


def test_that_a_part_is_made_stands_in_the_log_before(handed_in, whole):
    house, _ = handed_in
    for part in ("registry", "coordinator", *house.borrowers):
        manifest = EvidenceManifest.claimed((whole / part / "manifest.jws").read_text("utf-8"))
        leaf = json.loads((whole / part / f"log/entries/{manifest.entry_index}.json").read_text("utf-8"))
        assert (leaf["type"], leaf["actor"], leaf["body"]["sealed_to"]) == ("evidence.exported", part, ["auditor"])
        assert leaf["campaign"] == campaign_of(whole)
        assert set(leaf["export"]) == {"kind", "scope"}
        auditor = house.founded.auditor(house.url)
        house.clients.append(auditor)
        know = AuditState(Bodies(auditor, "auditor", house.founded.auditor_recipient), (house.founded.consortium,))
        check_entry(know, manifest.entry_index, leaf)
        with pytest.raises(AuditFailed, match="another than was stated"):
            other = {name: value for name, value in leaf.items() if name != "campaign"}
            check_entry(know, manifest.entry_index, other | PackScope.parse("period:2026").public())
        with pytest.raises(AuditFailed, match="another campaign's"):
            check_entry(know, manifest.entry_index, leaf | {"campaign": "0" * 64})


def test_a_part_can_be_opened_by_nobody_else(handed_in, tmp_path):
    _, folder = handed_in
    save_recipient_key(tmp_path / "other.key", RecipientKey.generate())
    asked = ("evidence", "merge", folder / "aspen.part", "--out", tmp_path / "pack", *trusting(folder))
    assert "not sealed to this recipient" in refused(*asked, "--key", tmp_path / "other.key")
    assert "say with which key" in refused(*asked)
    cut = tmp_path / "cut.part"
    cut.write_bytes((folder / "aspen.part").read_bytes()[:-100])
    assert "cut.part: " in refused(*merging(folder, tmp_path / "pack", cut))
    assert not (tmp_path / "pack").exists(), "half a pack looks like a whole one"


def test_a_regulator_gets_parts_sealed_to_its_own_key(handed_in, tmp_path):
    house, folder = handed_in
    regulator = RecipientKey.generate()
    save_recipient_key(tmp_path / "regulator.key", regulator)
    (tmp_path / "regulator.pub").write_text(regulator.public.text, encoding="utf-8")
    scope = f"campaign:{house.campaign.sha256}"
    done("evidence", "collect", "--home", house.founded.node_home("birch"), "--scope", scope,
         "--out", tmp_path / "birch.part", "--to", tmp_path / "regulator.pub")  # fmt: skip
    merged = ("evidence", "merge", tmp_path / "birch.part", "--out", tmp_path / "pack", *trusting(folder))
    assert "missing: aspen, cedar, coordinator, registry" in done(*merged, "--key", tmp_path / "regulator.key")
    done(*verifying(folder, tmp_path / "pack"))


@pytest.mark.parametrize("scope", ["period:2020..2021", "person:v1.x", "campaign:12", "lender::2026", "everything"])
def test_a_scope_that_cannot_be_collected_is_refused(handed_in, tmp_path, scope):
    house, _ = handed_in
    said = refused("evidence", "collect", "--home", house.founded.registry_home, "--scope", scope,
                   "--out", tmp_path / "x.part", "--url", house.url)  # fmt: skip
    assert ("no pack about one person" if scope.startswith("person") else "") in said
    assert not (tmp_path / "x.part").exists()


@pytest.mark.parametrize("scope", ["period:{year}", "lender:aspen:{year}"])
def test_a_year_and_a_lender_s_year(handed_in, tmp_path, scope):
    house, folder = handed_in
    said = scope.format(year=f"{house.clock():%Y}")
    homes = {"coordinator": house.founded.coordinator_home, "aspen": house.founded.node_home("aspen")}
    done("evidence", "collect", "--home", house.founded.registry_home, "--scope", said,
         "--out", tmp_path / "registry.part", "--url", house.url)  # fmt: skip
    for name, home in homes.items():
        done("evidence", "collect", "--home", home, "--scope", said, "--out", tmp_path / f"{name}.part")
    told = done(*merging(folder, tmp_path / "pack", *tmp_path.glob("*.part")))
    assert ("missing: birch, cedar, naming" if scope.startswith("period") else "missing: nobody") in told
    checked = done(*verifying(folder, tmp_path / "pack"))
    assert "1 campaigns: proposed" in checked
    left_out = shutil.copytree(tmp_path / "pack", tmp_path / "left-out")
    shutil.rmtree(left_out / "registry/campaigns" / house.campaign.sha256)
    signed_again(house, left_out, "registry")
    assert "is in the log, not here" in refused(*verifying(folder, left_out))
    if scope.startswith("period"):
        bundle = tmp_path / "pack/registry/log/bundles/000000.gz"
        content = gzip.decompress(bundle.read_bytes())
        bundle.write_bytes(gzip.compress(content.replace(b'"aspen"', b'"birch"', 1)))
        signed_again(house, tmp_path / "pack", "registry")
        assert "do not hash to the signed root" in refused(*verifying(folder, tmp_path / "pack"))


# --- a second reader


READER = Path(__file__).parent.parent / "interop/read_pack.py"


def second_reader(house, folder, pack: Path) -> tuple[int, str]:
    """What a program that shares no code with ours says of a pack."""
    key = house.founded.registry_key.public.text
    asked = [sys.executable, "-I", READER, pack, folder / "consortium.jws", key]
    ran = subprocess.run(asked, capture_output=True, encoding="utf-8", check=False)
    return ran.returncode, ran.stdout + ran.stderr


def test_the_second_reader_imports_nothing_of_ours():
    tree = ast.parse(READER.read_text("utf-8"))
    named = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    named |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert {name.partition(".")[0] for name in named} - set(sys.stdlib_module_names) == {"cryptography"}
    assert len(READER.read_text("utf-8").splitlines()) <= 150


def test_a_second_reader_believes_the_pack(handed_in, whole):
    house, folder = handed_in
    code, said = second_reader(house, folder, whole)
    assert (code, f"{len(house.borrowers) + 2} manifests" in said) == (0, True), said


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("registry/consents/states.json", lambda content: content.replace(b"48", b"49")),
        ("aspen/manifest.jws", lambda content: content[:-3] + b"AAA"),
        ("registry/log/checkpoint", lambda content: content.replace(b"example", b"exampIe", 1)),
        ("birch/more", None),
    ],
)
def test_a_second_reader_sees_what_was_altered(handed_in, pack, file, change):
    house, folder = handed_in
    path = pack / file
    path.write_bytes(b"" if change is None else change(path.read_bytes()))
    code, said = second_reader(house, folder, pack)
    assert code == 1
    assert file.partition("/")[0] in said


@pytest.mark.parametrize("what", ["leaf", "witnesses"])
def test_a_second_reader_sees_what_a_maker_made_up(handed_in, pack, what):
    house, folder = handed_in
    if what == "leaf":
        path = min((pack / "registry/log/entries").glob("*.json"))
        edited(path, lambda leaf: leaf.update(actor="birch"))
    else:
        path = pack / "registry/log/checkpoint"
        text, _, signatures = path.read_text("utf-8").partition("\n\n")
        path.write_text(f"{text}\n\n{signatures.splitlines()[0]}\n", encoding="utf-8")
    signed_again(house, pack, "registry")
    code, said = second_reader(house, folder, pack)
    assert (code, path.stem in said) == (1, True), said
