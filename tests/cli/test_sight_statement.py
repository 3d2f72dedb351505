"""``tahini coordinator statement``: who sees what of a campaign, signed, with what an attack found, in the pack."""

from __future__ import annotations

import json

import pytest
from support.commands import done, refused, told

from protocol.errors import AuditFailed
from protocol.evidence import PackScope
from protocol.parts import new_part
from protocol.sight import SightStatement
from server.evidence import STATEMENT_FILE, collect

ATTACK = {
    "passed": True, "epsilon_promised": 1.0, "epsilon_proved": 0.1, "confidence": 0.95, "delta": 1e-5, "findings": [],
}  # fmt: skip


@pytest.fixture
def kept(active):
    """A house whose coordinator keeps its campaign in its home."""
    office = active.coordinator()
    token = active.campaign.sign(office.key)
    (office.folder(active.campaign.sha256) / "campaign.jws").write_text(token, encoding="utf-8")
    return active


def in_pack(house) -> SightStatement:
    office, campaign = house.coordinator(), house.campaign
    with new_part() as part:
        collect(office, PackScope.parse(f"campaign:{campaign.sha256}"), part)
        (at,) = [n for n, path in enumerate(part.files) if path.endswith(f"/{STATEMENT_FILE}")]
        token = (part._folder / str(at)).read_text("utf-8")
    found = SightStatement.verify(token, office.key.public)
    found.require_true(campaign, office.consortium)
    return found


def test_the_statement_goes_into_the_pack_with_what_the_attack_found(kept, tmp_path):
    home, sha256 = kept.founded.coordinator_home, kept.campaign.sha256
    assert in_pack(kept) == in_pack(kept) and in_pack(kept).attack is None
    attack = tmp_path / "attack.json"
    attack.write_text(json.dumps(ATTACK), encoding="utf-8")
    made = told("coordinator", "statement", sha256[:10], "--home", home, "--attack", attack)
    assert made["attack"]["epsilon_proved"] == 0.1 and made["attack"]["passed"]
    assert in_pack(kept).sha256 == made["sha256"]
    text = done("coordinator", "statement", sha256, "--home", home)
    for said in ("coordinator (coordinator) sees sums", "never a row", "0 colluding lenders leave", "bound "):
        assert said in text


def test_no_statement_after_an_attack_that_succeeded_and_none_that_was_altered(kept, tmp_path):
    home, sha256 = kept.founded.coordinator_home, kept.campaign.sha256
    attack = tmp_path / "attack.json"
    attack.write_text(json.dumps(ATTACK | {"passed": False, "epsilon_proved": 3.0}), encoding="utf-8")
    said = refused("coordinator", "statement", sha256, "--home", home, "--attack", attack)
    assert "attack on the build succeeded" in said
    office = kept.coordinator()
    assert not (office.folder(sha256) / STATEMENT_FILE).exists()
    untrue = in_pack(kept).model_copy(update={"collusion_bound": 9}).sign(office.key)
    (office.folder(sha256) / STATEMENT_FILE).write_text(untrue, encoding="utf-8")
    with pytest.raises(AuditFailed, match="something else"):
        in_pack(kept)
