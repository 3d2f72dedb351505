"""What a pack leaves out is noticed, or said: by its maker's hand, with its maker's key."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import zlib

import pytest
from support.commands import done, refused
from support.packs import campaign_of, edited, merging, signed_again, verifying

from clients.evidence import collect as collect_lender
from clients.evidence import size_class
from crypto.documents import canonical_json, sign_document, verify_document
from naming.keys import NamingHome
from protocol.evidence import PackScope
from protocol.parts import new_part
from server.evidence import collect as collect_coordinator


def records(content: bytes) -> list[bytes]:
    found = []
    while content:
        length = int.from_bytes(content[:2], "big")
        found.append(content[2 : 2 + length])
        content = content[2 + length :]
    return found


def bundle_of(pack):
    (bundle,) = (pack / "registry/log/bundles").iterdir()
    return bundle


@pytest.mark.parametrize("kind", ["roster.committed", "use.authorised", "incident.opened", "consent.state-served"])
def test_an_entry_that_is_left_out_everywhere_is_noticed(handed_in, pack, kind):
    """Not only what some document needs: the bundle, the entry with its proof and the count of it are gone."""
    house, folder = handed_in
    raw = records(gzip.decompress(bundle_of(pack).read_bytes()))
    at = max(n for n, one in enumerate(raw) if json.loads(one)["type"] == kind)
    kept = [one for n, one in enumerate(raw) if n != at]
    packed = b"".join(len(one).to_bytes(2, "big") + one for one in kept)
    bundle_of(pack).write_bytes(gzip.compress(packed))
    for path in (pack / "registry/log/entries").glob(f"{at}.*"):
        path.unlink()
    if json.loads(raw[at]).get("campaign"):
        counts = "registry/log/counts.json"
        edited(pack / counts, lambda told: told["entries_in_scope"].update({kind: told["entries_in_scope"][kind] - 1}))
    signed_again(house, pack, "registry")
    assert "do not hash to the signed root" in refused(*verifying(folder, pack))


def test_an_entry_of_the_campaign_without_its_proof_is_noticed(handed_in, pack):
    house, folder = handed_in
    for path in (pack / "registry/log/entries").glob("*.json"):
        if json.loads(path.read_bytes())["type"] == "roster.committed":
            path.with_suffix(".tlog-proof").unlink()
            path.unlink()
            break
    signed_again(house, pack, "registry")
    assert f"log/entries/{path.name}: it is in the log, not here" in refused(*verifying(folder, pack))


def test_a_part_that_cannot_show_that_nothing_is_left_out_is_not_called_whole(handed_in, pack):
    house, folder = handed_in
    shutil.rmtree(pack / "registry/log/bundles")
    signed_again(house, pack, "registry")
    said = done(*verifying(folder, pack))
    assert "not whole: registry's part does not hold the whole log" in said
    assert "none in scope was left out" not in said
    assert not json.loads(done(*verifying(folder, pack), "--json"))["whole"]


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("notices/*.jws", ".jws: No such file"),
        ("campaigns/*/assessment.jws", "assessment.jws: No such file"),
        ("campaigns/*/cards/*.jws", ".jws: No such file"),
    ],
)
def test_a_document_that_is_left_out_is_noticed(handed_in, pack, file, said):
    house, folder = handed_in
    next((pack / "registry").glob(file)).unlink()
    signed_again(house, pack, "registry")
    assert said in refused(*verifying(folder, pack))


def test_an_authorisation_that_is_left_out_is_noticed(handed_in, pack):
    house, folder = handed_in
    edited(pack / f"registry/campaigns/{campaign_of(pack)}/authorisations.json", lambda told: told.pop())
    signed_again(house, pack, "registry")
    assert "leaves out an authorisation that the log shows" in refused(*verifying(folder, pack))


def test_an_incident_that_is_left_out_or_called_closed_is_noticed(handed_in, pack):
    house, folder = handed_in
    index = pack / "registry/incidents/index.json"
    edited(index, lambda told: told[0].update(closed=True))  # reported first, and open
    signed_again(house, pack, "registry")
    assert "do not agree whether it is closed" in refused(*verifying(folder, pack))
    incident, other = json.loads(index.read_bytes())
    index.write_bytes(canonical_json([other]))
    (pack / f"registry/incidents/{incident['incident']}.jws").unlink()
    signed_again(house, pack, "registry")
    assert "in the log or here, not in both" in refused(*verifying(folder, pack))


@pytest.mark.parametrize("maker", ["coordinator", "aspen"])
def test_who_leaves_a_campaign_out_of_a_period_is_noticed(handed_in, tmp_path, maker):
    house, folder = handed_in
    scope = f"period:{house.clock():%Y}"
    home = house.founded.coordinator_home if maker == "coordinator" else house.founded.node_home(maker)
    done("evidence", "collect", "--home", house.founded.registry_home, "--scope", scope,
         "--out", tmp_path / "registry.part", "--url", house.url)  # fmt: skip
    done("evidence", "collect", "--home", home, "--scope", scope, "--out", tmp_path / "other.part")
    pack = tmp_path / "pack"
    done(*merging(folder, pack, *tmp_path.glob("*.part")))
    done(*verifying(folder, pack))
    shutil.rmtree(pack / maker / "campaigns")
    signed_again(house, pack, maker)
    assert f"{maker}/campaigns/{house.campaign.sha256}/" in refused(*verifying(folder, pack))


def test_the_naming_service_hands_in_the_keys_that_it_logged(handed_in, tmp_path):
    house, folder = handed_in
    scope, naming = f"period:{house.clock():%Y}", house.founded.naming_home
    done("evidence", "collect", "--home", house.founded.registry_home, "--scope", scope,
         "--out", tmp_path / "registry.part", "--url", house.url)  # fmt: skip
    done("evidence", "collect", "--home", naming, "--scope", scope, "--out", tmp_path / "naming.part")
    pack = tmp_path / "pack"
    assert "missing: aspen, birch, cedar, coordinator" in done(*merging(folder, pack, *tmp_path.glob("*.part")))
    assert "keys are those that it logged" in done(*verifying(folder, pack))
    key = NamingHome.open(naming).key
    keys = verify_document((pack / "naming/names/keys.jws").read_text("utf-8"), "tahini-naming-keys", key.public)
    other = sign_document("tahini-naming-keys", keys | {"current": 2}, key)
    (pack / "naming/names/keys.jws").write_text(other, encoding="utf-8")
    signed_again(house, pack, "naming")
    assert "naming/names/keys.jws: the log shows another list" in refused(*verifying(folder, pack))


# --- what comes out of a compressed file


def bomb(size: int) -> bytes:
    packer = zlib.compressobj(wbits=31)
    zeros = bytes(1 << 20)
    return b"".join(packer.compress(zeros) for _ in range(size >> 20)) + packer.flush()


def declared(house, pack, size: int | None) -> None:
    """The registry signs its bundle, and that so much comes out of it."""
    signed_again(house, pack, "registry", unpacked=size)


def test_a_bundle_that_unpacks_to_more_than_it_says_is_refused(handed_in, pack):
    house, folder = handed_in
    bundle_of(pack).write_bytes(bomb(64 << 20))
    declared(house, pack, 1000)
    assert "more than the 1,000 bytes of its manifest come out" in refused(*verifying(folder, pack))


def test_a_bundle_that_says_truly_that_it_is_a_bomb_is_refused_too(handed_in, pack):
    house, folder = handed_in
    bundle_of(pack).write_bytes(bomb(64 << 20))
    declared(house, pack, 64 << 20)
    assert "do not unpack to 67,108,864 bytes" in refused(*verifying(folder, pack))


def test_a_bundle_says_how_much_comes_out_of_it(handed_in, pack):
    house, folder = handed_in
    declared(house, pack, None)
    assert "does not say how much comes out of it" in refused(*verifying(folder, pack))
    declared(house, pack, len(gzip.decompress(bundle_of(pack).read_bytes())) + 1)
    assert "fewer than the" in refused(*verifying(folder, pack))
    bundle_of(pack).write_bytes(bundle_of(pack).read_bytes() * 2)
    declared(house, pack, 1000)
    assert "more than the 1,000 bytes" in refused(*verifying(folder, pack))


def test_lenders_and_the_coordinator_make_the_same_bytes_again(handed_in):
    """Of what is theirs; when a part was made, and under which head, differs."""
    house, _ = handed_in
    scope = PackScope.parse(f"campaign:{house.campaign.sha256}")
    for collect, home in ((collect_lender, house.node("aspen")), (collect_coordinator, house.coordinator())):
        parts = []
        for _ in range(2):
            with new_part() as part:
                collect(home, scope, part)
                out = io.BytesIO()
                part.write("", out)
                parts.append(out.getvalue())
        assert parts[0] == parts[1] and len(parts[0]) > 1000


def test_how_many_people_a_roster_has_is_told_as_a_class_and_counted_once(handed_in):
    house, _ = handed_in
    node, campaign = house.node("aspen"), house.campaign.sha256
    counted = {one.number: len(node.store.members(one.number)) for one in node.store.ledger()}
    assert node.store.charged() == counted
    with new_part() as part:
        collect_lender(node, PackScope.parse(f"campaign:{campaign}"), part)
        names = list(part.files)
        told = json.loads((part._folder / str(names.index(f"campaigns/{campaign}/rosters.json"))).read_bytes())
    classes = [size_class(counted[one.number]) for one in node.store.releases(campaign)]
    assert [one["size_class"] for one in told] == classes and 32 in classes
