"""A log that is served for every command about logs, and an evidence pack of everybody's parts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.audits import some_report
from support.commands import done, served_book
from support.house import Ground
from support.incidents import make_incident
from support.packs import merging

from consent.commands.recall_model import recall_model
from consent.commands.record_audits import record_remedy, record_report
from consent.commands.release_model import read_model
from consent.commands.report_incidents import IncidentReport, close_incident, report_incident
from consent.retention import apply_retention
from crypto.keys import save_recipient_key
from protocol.audits import AuditRemedy
from protocol.cards import ModelCard
from protocol.incidents import IncidentClosure
from protocol.recalls import ModelRecall


@pytest.fixture(scope="session")
def book(tmp_path_factory):
    with served_book(tmp_path_factory.mktemp("cli") / "mylog") as made:
        yield made


@pytest.fixture(scope="package")
def after_release(tmp_path_factory):
    """Of a house of its own: a copy of it stays open beside those of single tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("support.house._KNOWN", {})  # its naming service is asked, and logs its keys
        built = Ground.decided(tmp_path_factory.mktemp("packed") / "house")
    return built.released(tmp_path_factory.mktemp("released") / "house")


def file_beside(house):
    """A closed incident, an audit with a remedy, a recall of the model and a yearly review."""
    registry, party = house.registry, house.founded.consortium.party
    key, recorded = house.node("aspen").key, {"id": "leak-2", "discovered_at": house.clock()}
    incident = make_incident("aspen", **recorded)
    report_incident(registry, party("aspen"), IncidentReport(token=incident.sign(key)))
    said = {"incident_sha256": incident.sha256, "institution": "aspen", "summary": "It was a share that was open."}
    closure = IncidentClosure(**said, handled_at=house.clock())
    close_incident(registry, party("aspen"), incident.sha256, closure.sign(key))
    report = some_report("auditor", house.clock())
    record_report(registry, party("auditor"), report.sign(house.founded.auditor_key))
    done = {"report_sha256": report.sha256, "finding": "late", "party": "aspen", "done": "It was put right."}
    record_remedy(registry, party("aspen"), report.sha256, AuditRemedy(**done, done_at=house.clock()).sign(key))
    card = ModelCard.claimed(read_model(registry, party("aspen"), house.campaign.sha256).card)
    recall = ModelRecall(
        campaign_sha256=house.campaign.sha256, card_sha256=card.sha256, party="birch",
        reason="It refuses whole streets.", recalled_at=house.clock(),
    )  # fmt: skip
    recall_model(registry, party("birch"), house.campaign.sha256, recall.sign(house.node("birch").key))
    apply_retention(registry)


@pytest.fixture(scope="package")
def handed_in(after_release, tmp_path_factory):
    """Parts of everybody about the campaign that released its model, the auditor's key, and what was pinned."""
    folder = tmp_path_factory.mktemp("packs")
    with after_release.copy(folder / "house").opened(http=True) as house:
        scope = f"campaign:{house.campaign.sha256}"
        token = house.campaign.sign(house.coordinator().key)
        (house.coordinator().folder(house.campaign.sha256) / "campaign.jws").write_text(token, encoding="utf-8")
        homes = {"coordinator": house.founded.coordinator_home}
        homes |= {lender: house.founded.node_home(lender) for lender in house.borrowers}
        incident = make_incident("birch")
        report = IncidentReport(token=incident.sign(house.node("birch").key))
        report_incident(house.registry, house.founded.consortium.party("birch"), report)
        file_beside(house)
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


@pytest.fixture(scope="package")
def whole(handed_in):
    """Everybody's parts, put together."""
    _, folder = handed_in
    done(*merging(folder, folder / "pack", *sorted(folder.glob("*.part"))))
    return folder / "pack"


@pytest.fixture
def pack(whole, tmp_path):
    """A copy of the whole pack to be tampered with."""
    return Path(shutil.copytree(whole, tmp_path / "pack"))
