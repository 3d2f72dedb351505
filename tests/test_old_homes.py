"""What version 0.5.0 made opens unchanged: the registry's database and log, a node's home, the coordinator's.

``data/home-0.5.0.tar.xz`` is a consortium of three lenders with 24 borrowers each that 0.5.0 founded: 113 log entries,
one campaign of five releases, one withdrawal.
"""

import tarfile
from pathlib import Path

import pytest
from sqlalchemy import select

from auditlog.fsck import check_log
from clients.home import Node
from clients.witness import LenderWitness
from consent.home import opened
from consent.storage.migrating import newest_revision, revision_of
from consent.storage.tables import SubjectRow
from credit.errors import ModelError
from credit.models import CreditModel
from crypto.notes import claimed_checkpoint
from naming.keys import NamingHome, Seeds
from server.home import Coordinator, load_releases

ARCHIVE = Path(__file__).parent / "data" / "home-0.5.0.tar.xz"
CAMPAIGN = "53749fbd9938dcea2c2aa0a7f31f6c018e09938d22959f8b2586d81367004994"
ENTRIES, PEOPLE, LENDERS, RELEASES = 113, 24, ("aspen", "birch", "cedar"), 5


@pytest.fixture(scope="module")
def old(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("old")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(root, filter="data")
    home = root
    for secret in home.rglob("*"):  # the filter takes permissions as they are; keys are for their owner alone
        secret.chmod(0o700 if secret.is_dir() else 0o600)
    return home


def test_the_registrys_database_is_brought_up_to_date_and_its_log_is_whole(old):
    with opened(old / "registry") as registry:
        assert revision_of(registry.ledger.database) == newest_revision()
        with registry.ledger.read() as session:
            assert len(session.scalars(select(SubjectRow.id)).all()) == PEOPLE * len(LENDERS)
            assert registry.ledger.log.published_size(session) == ENTRIES
        assert check_log(registry.ledger.database, registry.ledger.log).entries == ENTRIES


@pytest.mark.parametrize("lender", LENDERS)
def test_a_nodes_home_opens_with_its_approvals_ledger_and_book(old, lender):
    node = Node.open(old / "lenders" / lender)
    campaign, approval = node.campaign(CAMPAIGN)
    assert len(campaign.mechanism.releases) == RELEASES
    assert approval.campaign_sha256 == campaign.sha256
    lines = node.store.ledger()
    assert len(lines) == RELEASES
    spent = node.store.spent(node.store.everybody())
    assert spent
    assert all(len(charges) <= RELEASES for charges in spent.values())


def test_a_witness_remembers_the_head_that_it_cosigned(old):
    node = Node.open(old / "lenders" / "aspen")
    log = node.consortium.log.verifier
    note = LenderWitness.open(node.home, log).latest(log.name)
    assert note is not None
    assert claimed_checkpoint(note).size <= ENTRIES


def test_the_naming_services_home_opens(old):
    assert NamingHome.open(old / "naming").settings.party == "naming"
    assert Seeds(old / "naming" / "seeds").live == (1,)


def test_the_coordinators_home_opens_with_what_it_kept_of_each_release(old):
    coordinator = Coordinator.open(old / "coordinator")
    kept = load_releases(coordinator.home / "campaigns" / CAMPAIGN)
    assert len(kept.releases) == RELEASES
    assert {lender for release in kept.releases for lender in release.lenders} == set(LENDERS)


def test_a_model_whose_bins_are_of_another_kind_is_refused_with_what_to_do(old):
    """Since 0.6.0 bins are intervals at any scale; to read the old ones as those would be another model."""
    with pytest.raises(ModelError, match=r"released by version 0\.5"):
        CreditModel.load(old / "coordinator" / "campaigns" / CAMPAIGN / "model.safetensors")
