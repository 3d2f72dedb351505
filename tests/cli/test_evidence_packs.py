"""``tahini evidence collect``, ``merge``, ``verify``: parts of every institution, joined by the auditor, checked offline."""

from __future__ import annotations

import json
import shutil

import pytest
from support.commands import done, refused, tahini

from crypto.keys import save_recipient_key
from protocol.evidence import EvidenceManifest


@pytest.fixture(scope="module")
def after_release(ground, tmp_path_factory):
    return ground.released(tmp_path_factory.mktemp("released") / "house")


@pytest.fixture(scope="module")
def handed_in(after_release, tmp_path_factory):
    """Parts of everybody about the campaign that released its model, the auditor's key, and what was pinned."""
    folder = tmp_path_factory.mktemp("packs")
    with after_release.copy(folder / "house").opened(http=True) as house:
        scope = f"campaign:{house.campaign.sha256}"
        token = house.campaign.sign(house.coordinator().key)
        (house.coordinator().folder(house.campaign.sha256) / "campaign.jws").write_text(token, encoding="utf-8")
        homes = {"coordinator": house.founded.coordinator_home}
        homes |= {lender: house.founded.node_home(lender) for lender in house.borrowers}
        first = folder / "first.checkpoint"
        first.write_text(house.client().checkpoint_note(), encoding="utf-8")
        registry = house.founded.registry_home
        done("evidence", "collect", "--home", registry, "--scope", scope, "--out", folder / "registry.part",
             "--url", house.url, "--since", first)  # fmt: skip
        for name, home in homes.items():
            done("evidence", "collect", "--home", home, "--scope", scope, "--out", folder / f"{name}.part")
        (folder / "consortium.jws").write_text(house.founded.token, encoding="utf-8")
        save_recipient_key(folder / "auditor.key", house.founded.auditor_recipient)
        (folder / "registry.pub").write_text(house.founded.registry_key.public.text, encoding="utf-8")
        yield house, folder


def trusting(folder):
    return ("--consortium", folder / "consortium.jws", "--registry-key", folder / "registry.pub")


def test_a_pack_from_collection_to_verification(handed_in):
    house, folder = handed_in
    parts = sorted(folder.glob("*.part"))
    said = json.loads(
        done("evidence", "merge", *parts, "--out", folder / "pack", "--key", folder / "auditor.key", *trusting(folder),
             "--json")
    )  # fmt: skip
    assert said == {"missing": [], "present": sorted(["coordinator", "registry", *house.borrowers])}
    found = json.loads(
        done("evidence", "verify", folder / "pack", *trusting(folder), "--since", folder / "first.checkpoint", "--json")
    )
    assert found["missing"] == []
    assert any("1 model cards" in line for line in found["checked"])
