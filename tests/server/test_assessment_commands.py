"""Impact assessments by command: the form, recording, proposing under one, and what a lender sees before it signs."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
import tomli_w
from click.testing import CliRunner
from support.world import features

from cli.assessment import TEMPLATE
from demo.assessing import make_assessment
from law.categories import DataCategory
from protocol.assessments import ImpactAssessment
from protocol.schema import now
from server.assessments import record, recorded
from tahini import main


@pytest.fixture
def office(house, tmp_path):
    path = tmp_path / "features.toml"
    path.write_text(tomli_w.dumps(features().model_dump(mode="json", exclude_none=True)), encoding="utf-8")
    return Office(house, path)


class Office:
    def __init__(self, house, schema):
        self.house, self.home, self.schema = house, house.founded.coordinator_home, schema

    def tahini(self, *arguments: object, code: int = 0) -> str:
        done = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert done.exit_code == code, done.output
        return done.output

    def form(self, tmp_path, **changes):
        text = self.tahini("assessment", "template")
        text = text.replace('categories = ["repayment"]', 'categories = ["repayment", "income", "bureau"]')
        text = text.replace("2027-06-30T00:00:00Z", (now() + timedelta(days=300)).isoformat().replace("+00:00", "Z"))
        for before, after in changes.items():
            text = text.replace(before, after)
        path = tmp_path / "assessment.toml"
        path.write_text(text, encoding="utf-8")
        return path

    def propose(self, *options: object, code: int = 0) -> str:
        return self.tahini(
            "campaign", "propose", "--home", self.home, "--id", "spring", "--title", "S", "--features", self.schema,
            "--steps", "2", *options, code=code,
        )  # fmt: skip


def test_from_the_template_to_a_campaign_that_a_lender_signs_with_it(office, tmp_path):
    assert "no impact assessment covers the campaign" in office.propose(code=1)
    told = office.tahini("coordinator", "assess", office.form(tmp_path), "--home", office.home, "--json")
    sha256 = json.loads(told)["assessment"]
    said = office.propose("--json")
    campaign = json.loads(said[said.index("{") :])
    assert campaign["assessment"] == sha256
    node = office.house.founded.node_home("aspen")
    shown = office.tahini("assessment", "show", sha256[:8], "--home", node)
    signed = office.tahini("campaign", "approve", campaign["campaign"][:8], "--home", node, "--yes")
    for line in shown.splitlines():
        assert line in signed, "whoever approves is shown the assessment"
    kept = node / "approved" / f"{sha256}.assessment.jws"
    key = office.house.founded.consortium.party("coordinator").key
    assert ImpactAssessment.verify(kept.read_text(encoding="utf-8"), key).sha256 == sha256
    (listed,) = json.loads(office.tahini("assessment", "list", "--home", office.home, "--json"))
    assert listed["sha256"] == sha256


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ('"low"\nseverity', '"slight"\nseverity', "risks[0].likelihood"),
        ('"medium"\nmeasures', '"medium"\nsurplus = 1\nmeasures', "risks[0].surplus"),
        ("people = 100000", "people = -4", "people"),
        ('"repayment"', '"gossip"', "categories[0]"),
        ("people = 100000", "made_at = 2026-01-01T00:00:00Z", "made_at is filled in by the command"),
        ("people = 100000", "people =", "is not TOML"),
        ('oversight = "Who watches over it, and how a person gets a review of a decision."', "", "oversight"),
    ],
)
def test_a_form_that_is_wrong_is_refused_by_the_name_of_its_field(office, tmp_path, before, after, named):
    assert before in TEMPLATE
    said = office.tahini(
        "coordinator", "assess", office.form(tmp_path, **{before: after}), "--home", office.home, code=1
    )
    assert named in said and "Traceback" not in said
    assert recorded(office.house.coordinator()) == {}


def test_the_one_that_is_asked_for_is_named_and_refused_if_it_does_not_cover(office, house):
    narrow = make_assessment("coordinator", [DataCategory.REPAYMENT], now())
    sha256 = record(house.coordinator(), narrow)
    said = office.propose("--assessment", sha256[:8], code=1)
    assert "bureau, income" in said
    assert "ffff" in office.propose("--assessment", "ffff", code=1)
    wide = house.assessment.sha256
    said = office.propose("--json")
    assert json.loads(said[said.index("{") :])["assessment"] == wide


def test_a_lender_signs_nothing_when_the_assessment_cannot_be_had_or_verified(office, house, monkeypatch):
    house.propose(house.make_campaign())
    node = house.founded.node_home("aspen")
    other = make_assessment("coordinator", DataCategory, now())
    token = other.sign(house.coordinator().key)
    monkeypatch.setattr(
        "consent.commands.record_assessments.read_assessment", lambda *_: {"token": token, "entry_index": 0}
    )
    said = office.tahini("campaign", "approve", house.campaign.sha256[:8], "--home", node, "--yes", code=1)
    assert "another assessment than was asked for" in said
    forged = house.assessment.sign(house.node("birch").key)
    monkeypatch.setattr(
        "consent.commands.record_assessments.read_assessment", lambda *_: {"token": forged, "entry_index": 0}
    )
    said = office.tahini("campaign", "approve", house.campaign.sha256[:8], "--home", node, "--yes", code=1)
    assert "cannot be believed" in said
    assert not list((node / "approved").glob("*.approval.jws"))


def test_a_lender_signs_nothing_under_an_assessment_that_expired(office, house, monkeypatch):
    house.propose(house.make_campaign())
    node = house.founded.node_home("aspen")
    ends = house.assessment.valid_until
    monkeypatch.setattr("clients.approving.now", lambda: ends)
    said = office.tahini("campaign", "approve", house.campaign.sha256[:8], "--home", node, "--yes", code=1)
    assert "valid from" in said and "nothing was signed" in said
