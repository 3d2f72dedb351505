"""A coordinator that turned, over real processes: whatever it asks without right is refused at the node.

It has the coordinator's key, its certificate and the SuperLink; what it has not are the lenders' signatures. Every
refusal is one sentence, is in the node's own log, and charges nobody.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from support.deployment import LENDERS, brought_up
from support.effort import slow
from support.hostile import ATTACK_FILE, ME, OTHER_FILE
from support.waiting import PATIENCE_S, until

from clients.home import Node
from demo.processes import QUIET
from fleet.code import installed_code
from protocol.campaigns import AuthorisationRequest, Campaign, CommitmentRequest
from protocol.errors import ConsentError
from server.desired_state import Stage, events

pytestmark = slow
TESTS = Path(__file__).parent


@pytest.fixture(scope="module")
def consortium(tmp_path_factory):
    with brought_up(tmp_path_factory.mktemp("hostile") / "root") as opened:
        yield opened


@pytest.fixture(scope="module")
def turned(consortium):
    """The coordinator's process replaced by a hostile one, over the same home."""
    consortium.kill("coordinator", again=False)
    environment = {
        **os.environ, **QUIET, "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)]),
        "SSL_CERT_FILE": str(consortium.root / "ca" / "ca.crt"),
    }  # fmt: skip
    with (consortium.root / "logs" / "hostile.log").open("w", encoding="utf-8") as log:
        hostile = subprocess.Popen(
            [sys.executable, "-m", ME, str(consortium.home)], env=environment, stdout=log, stderr=log
        )
        yield consortium
        hostile.terminate()
        hostile.wait(PATIENCE_S)


def ended(consortium, campaign: str) -> str:
    """Why it stopped; every lender that refused is named with its reason."""
    assert consortium.wait_until_ended(campaign) is Stage.STOPPED, list(events(consortium.folder(campaign)))
    return consortium.state(campaign).reason


def charged(consortium, campaign: str) -> int:
    return sum(len(consortium.attempts(campaign, lender)) for lender in LENDERS)


REFUSALS = {
    "another campaign": (0, "has not approved campaign"),
    "the same attempt again": (3, "was reserved before"),
    "a stranger in the roster": (0, "not of the campaign's lenders"),
    "mask keys of its own": (0, "signature"),
    "one lender alone": (0, "not of the campaign's lenders and this one"),
    "more attempts than reserved": (9, "attempt"),
    "a release that was not planned": (0, "has no release 500"),
    "another feature set": (3, "bin"),
    "parameters that were not signed": (0, "not those the coordinator signed"),
}
"""By attack: how many attempts may be charged by then, and what the nodes say."""


@pytest.mark.parametrize("attack", REFUSALS)
def test_what_no_lender_signed_is_refused_at_every_node_logged_and_named(turned, attack):
    (turned.home / ATTACK_FILE).write_text(attack, encoding="utf-8")
    (turned.home / OTHER_FILE).write_text(turned.propose(epsilon=0.4), encoding="utf-8")
    campaign = turned.propose(epsilon=0.1)
    turned.approve(campaign)
    before = {lender: len(turned.log(lender)) for lender in LENDERS}
    turned.launch(campaign)
    at_most, said = REFUSALS[attack]
    reason = ended(turned, campaign)
    assert said in reason
    assert charged(turned, campaign) == at_most
    refusing = [lender for lender in LENDERS if "train.release refused: " in turned.log(lender)[before[lender] :]]
    assert refusing == list(LENDERS), "each node says it in its own log"


def test_a_bundle_with_one_other_byte_is_not_run(consortium):
    campaign = consortium.propose(epsilon=0.1)
    consortium.approve(campaign)
    bundle = consortium.folder(campaign) / "bundle.fab"
    altered = BytesIO(bundle.read_bytes())
    with zipfile.ZipFile(altered, "a") as archive:
        archive.writestr("clients/extra.py", "open('/tmp/tahini-was-here', 'w')")
    bundle.write_bytes(altered.getvalue())
    consortium.launch(campaign)
    assert "has not signed bundle" in ended(consortium, campaign)
    assert charged(consortium, campaign) == 0
    assert not Path("/tmp/tahini-was-here").exists()
    assert all("nothing of it was loaded" in consortium.log(lender) for lender in LENDERS)


def test_a_campaign_that_was_changed_after_approval_is_another_campaign(consortium):
    campaign = consortium.propose(epsilon=0.1)
    consortium.approve(campaign)
    path = Node.open(consortium.node("aspen")).home / "approved" / f"{campaign}.campaign.jws"
    changed = Campaign.claimed(path.read_text(encoding="utf-8")).model_copy(update={"seed": 7})
    path.write_text(changed.sign(consortium.local.founded.registry_key), encoding="utf-8")
    consortium.launch(campaign)
    try:
        assert consortium.wait_until_ended(campaign) in (Stage.RELEASED, Stage.STOPPED)
        assert consortium.attempts(campaign, "aspen") == []
    finally:
        path.unlink()


def test_another_lenders_authorisation_is_worth_nothing(consortium):
    """Replayed by somebody who came by its number, over the real registry."""
    campaign = consortium.propose(epsilon=0.1)
    consortium.approve(campaign)
    aspen, birch = (Node.open(consortium.node(lender)) for lender in LENDERS[:2])
    client, theirs = aspen.registry(), birch.registry()
    asked = AuthorisationRequest(
        node_key=aspen.key.public.thumbprint, purpose=Campaign.claimed(
            (consortium.folder(campaign) / "campaign.jws").read_text(encoding="utf-8")).purpose,
        code_sha256=installed_code(), checkpoint=client.accepted_note(),
    )  # fmt: skip
    held = client.authorisation(campaign, asked)
    planned = Campaign.claimed(
        (consortium.folder(campaign) / "campaign.jws").read_text(encoding="utf-8")
    ).mechanism.releases[0]
    replayed = CommitmentRequest(
        authorisation_id=held.jti, release=0, attempt=1, kind=planned.kind, root="0" * 64,
        noise_multiplier=planned.charge.noise_multiplier, sampling_rate=planned.charge.sampling_rate,
        steps=planned.charge.steps, sealed_body="AA",
    )  # fmt: skip
    with pytest.raises(ConsentError, match="holds no live authorisation"):
        theirs.commit_roster(campaign, replayed)
    client.close()
    theirs.close()


def test_nobody_was_charged_more_than_the_log_holds(turned):
    """After all attacks: the log, from outside, has every attempt that any ledger has."""
    auditor = turned.local.founded.auditor(Node.open(turned.node("aspen")).settings.registry_url)

    def logged() -> int:
        leaves = [json.loads(leaf) for leaf in auditor.verified_leaves(auditor.head())]
        return sum(leaf["type"] == "roster.committed" for leaf in leaves)

    charged = sum(len(turned.ledger(lender)) for lender in LENDERS)
    until(lambda: logged() >= charged, "all that is logged is under a published head")
    assert logged() == charged
    auditor.close()
