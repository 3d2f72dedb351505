"""What a node refuses to run, before a line of it is loaded; and what it says of itself."""

import io
import json
import os
import sys
import time
import zipfile
from datetime import timedelta

import pytest
from click.testing import CliRunner

from clients.errors import NodeError
from clients.home import approve
from clients.service import NodeService, check_bundle, running, signed_bundles
from fleet.bundle import build_bundle, bundle_sha256, files_of
from fleet.errors import BundleRefused
from protocol.schema import now
from tahini import main


@pytest.fixture(scope="module")
def bundle():
    return build_bundle()


@pytest.fixture
def approved(house, bundle):
    """A node whose operator signed a campaign with this bundle."""
    house.activate(bundle_sha256=bundle_sha256(bundle))
    return house.node("aspen")


def altered(bundle, path="clients/app.py", more=b"\nimport os; os.system('true')\n"):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files_of(bundle).items():
            archive.writestr(name, content + more if name == path else content)
    return buffer.getvalue()


def test_a_signed_bundle_that_is_installed_may_run(approved, bundle):
    check_bundle(approved, bundle, bundle_sha256(bundle))


def test_an_altered_bundle_is_refused_under_its_own_hash_and_under_the_signed_one(approved, bundle):
    evil = altered(bundle)
    with pytest.raises(BundleRefused, match="has not signed"):
        check_bundle(approved, evil, bundle_sha256(evil))
    with pytest.raises(BundleRefused, match="not the one that the SuperLink states"):
        check_bundle(approved, evil, bundle_sha256(bundle))


def test_a_bundle_that_everybody_else_signed_is_refused(house, bundle):
    """The coordinator proposes it, the other lenders sign it; this operator has not."""
    campaign = house.make_campaign(bundle_sha256=bundle_sha256(bundle))
    token = house.propose(campaign)
    for lender in ("birch", "cedar"):
        approve(house.node(lender), token)
        check_bundle(house.node(lender), bundle, bundle_sha256(bundle))
    with pytest.raises(BundleRefused, match="the operator has not signed"):
        check_bundle(house.node("aspen"), bundle, bundle_sha256(bundle))


def test_a_signed_bundle_of_other_code_than_is_installed_is_refused(house, bundle):
    other = altered(bundle)
    house.activate(bundle_sha256=bundle_sha256(other))
    with pytest.raises(BundleRefused, match="not the code that is installed here"):
        check_bundle(house.node("aspen"), other, bundle_sha256(other))


def test_a_rejected_or_lapsed_campaign_vouches_for_nothing(house, bundle, monkeypatch):
    campaign = house.activate(bundle_sha256=bundle_sha256(bundle))
    node = house.node("aspen")
    later = now() + timedelta(days=2)
    with monkeypatch.context() as patched:
        patched.setattr("clients.service.now", lambda: later)
        assert signed_bundles(node) == {}
    assert set(signed_bundles(node)) == {bundle_sha256(bundle)}
    (node.home / "approved" / f"{campaign.sha256}.rejected.json").write_text("{}", encoding="utf-8")
    assert signed_bundles(node) == {}
    with pytest.raises(NodeError, match="takes no part"):
        node.campaign(campaign.sha256)


def test_an_approval_that_was_tampered_with_vouches_for_nothing(approved, bundle):
    (path,) = (approved.home / "approved").glob("*.approval.jws")
    token = path.read_text(encoding="utf-8")
    path.write_text(token[:-8] + ("A" if token[-8] != "A" else "B") + token[-7:], encoding="utf-8")
    assert signed_bundles(approved) == {}
    with pytest.raises(BundleRefused):
        check_bundle(approved, bundle, bundle_sha256(bundle))


def test_a_node_that_knows_no_coordinator_says_so(house):
    with pytest.raises(NodeError, match="does not know its coordinator"):
        NodeService(house.node("aspen")).run()


def test_whether_a_service_runs_is_what_it_said_lately(tmp_path):
    assert not running(tmp_path)
    (tmp_path / "run").mkdir()
    for said, expected in (({"at": time.time()}, True), ({"at": time.time() - 60}, False), ({}, False), ([], False)):
        (tmp_path / "run" / "status.json").write_text(json.dumps(said), encoding="utf-8")
        assert running(tmp_path) is expected


def test_the_command_becomes_a_process_in_which_nothing_of_the_command_line_is_loaded(house, monkeypatch):
    become = []
    monkeypatch.setattr("cli.node.os.execv", lambda program, arguments: become.append((program, arguments)))
    monkeypatch.setattr("clients.service.NodeService.check", lambda self: ("superlink.test:9443", self.node.home))
    monkeypatch.setenv("TAHINI_NODE_HOME", "put back afterwards")
    home = house.node("aspen").home
    done = CliRunner().invoke(main, ["node", "serve", "--home", str(home)])
    assert done.exit_code == 0, done.output
    ((program, arguments),) = become
    assert (program, arguments[:4]) == (sys.executable, [sys.executable, "-P", "-m", "clients.service"])
    assert os.environ["TAHINI_NODE_HOME"] == str(home.resolve())
