"""What the makers of a pack could bend and sign again: files nobody looked at, dates that their author chose, forms
that nothing reads."""

from __future__ import annotations

import json
import re
import shutil
from datetime import UTC, datetime

import pytest
from support.commands import done, refused, tahini
from support.packs import campaign_of, edited, merging, signed_again, verifying

from crypto.keys import SigningKey
from protocol.audits import AuditRemedy, ComplianceReport
from protocol.campaigns import Approval
from protocol.cards import ModelCard
from protocol.incidents import IncidentClosure
from protocol.recalls import ModelRecall
from protocol.sight import SightStatement

AS_FEW = {"aspen": {"notice": None, "beyond": "no notice asks for it"}}


def only(folder, pattern):
    (found,) = folder.glob(pattern)
    return found


def forged(path, kind, key, **changes) -> str:
    """The document says something else, under this key."""
    said = kind.claimed(path.read_text("utf-8"))
    path.write_text(kind.model_validate({**said.model_dump(), **changes}).sign(key), encoding="utf-8")
    return path.name


def test_what_rests_on_a_maker_s_word_is_named(handed_in, pack):
    _, folder = handed_in
    said = done(*verifying(folder, pack))
    (line,) = (line for line in said.splitlines() if line.startswith("on registry's word alone: "))
    for file in ("consents/states.json", "notices/review.json", "parties/arrangement.en.txt", "retention/rules.json"):
        assert file in line
    assert "coverage.json" not in line
    assert "1 of 1 reports of audits in the log are here" in said


@pytest.mark.parametrize(
    "file",
    [
        "registry/campaigns/{}/approvals-withdrawn.txt",
        "registry/campaigns/{}/approvals/aspen.txt",
        "registry/erasures/more.json",
        "aspen/log/counts.json",
        "coordinator/requests/statistics.json",
        "registry/log/bundles/more.json",
    ],
)
def test_a_file_that_nobody_checks_is_refused(handed_in, pack, file):
    house, folder = handed_in
    path = pack / file.format(campaign_of(pack))
    path.parent.mkdir(exist_ok=True)
    path.write_text('{"entries_in_scope": {"roster.committed": 0}}', encoding="utf-8")
    signed_again(house, pack, file.partition("/")[0])
    assert "holds no such file" in refused(*verifying(folder, pack))


def test_a_card_that_the_log_does_not_show_is_refused(handed_in, pack):
    """README.html would show its epsilon."""
    house, folder = handed_in
    cards = pack / "registry/campaigns" / campaign_of(pack) / "cards"
    card = ModelCard.claimed(only(cards, "*.jws").read_text("utf-8"))
    other = ModelCard.model_validate({**card.model_dump(), "epsilon_spent": 0.01})
    (cards / f"{'f' * 64}.jws").write_text(other.sign(SigningKey.generate()), encoding="utf-8")
    signed_again(house, pack, "registry")
    assert "cards: not those of the log" in refused(*verifying(folder, pack))


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("coverage.json", lambda told: told.update(AS_FEW), "coverage.json: it is not true of what asks 'aspen'"),
        ("coverage.json", lambda told: told["aspen"]["notice"].update(version=0), "coverage.json: it is not true"),
        ("authorisations.json", lambda told: told[0].update(lender="nobody"), "an authorisation that the log does not"),
        ("authorisations.json", lambda told: told.append(told[0]), "it names an authorisation twice"),
        ("authorisations.json", lambda told: told[0].update(expires_at="1999-01-01T00:00:00+00:00"),
         "an authorisation lasts longer or shorter than it can"),
        ("authorisations.json", lambda told: told[0].update(expires_at="2999-01-01T00:00:00+00:00"),
         "an authorisation lasts longer or shorter than it can"),
    ],
)  # fmt: skip
def test_what_the_registry_says_of_a_campaign_follows_from_its_log(handed_in, pack, file, change, said):
    house, folder = handed_in
    edited(pack / "registry/campaigns" / campaign_of(pack) / file, change)
    signed_again(house, pack, "registry")
    assert said in refused(*verifying(folder, pack))


@pytest.mark.parametrize(
    ("file", "kind", "changes"),
    [
        ("incidents/*.closed.jws", IncidentClosure, {"summary": "Nothing happened at all."}),
        ("audits/*.remedy.jws", AuditRemedy, {"done": "Nothing, truly nothing."}),
        ("audits/" + "[0-9a-f]" * 64 + ".jws", ComplianceReport, {"findings": []}),
        ("campaigns/*/recalls/*.jws", ModelRecall, {"reason": "It is somewhat old now."}),
    ],
)
def test_what_was_filed_is_signed_by_whom_it_is_of(handed_in, pack, file, kind, changes):
    house, folder = handed_in
    path = only(pack / "registry", file)
    kept = path.read_bytes()
    forged(path, kind, house.founded.registry_key, **changes)
    signed_again(house, pack, "registry")
    assert path.name in refused(*verifying(folder, pack))
    path.write_text("junk", encoding="utf-8")
    signed_again(house, pack, "registry")
    assert path.name in refused(*verifying(folder, pack))
    path.write_bytes(kept)
    path.unlink()
    signed_again(house, pack, "registry")
    said = refused(*verifying(folder, pack))
    missed = (path.name, "the report of its finding is not here", "the log shows 1 remedies of 'aspen', not 0")
    assert any(one in said for one in missed), said


def test_a_report_of_an_audit_that_is_signed_but_was_never_logged_is_refused(handed_in, pack):
    house, folder = handed_in
    path = only(pack / "registry", "audits/" + "[0-9a-f]" * 64 + ".jws")
    report = ComplianceReport.claimed(path.read_text("utf-8"))
    other = ComplianceReport.model_validate({**report.model_dump(), "findings": []})
    token = other.sign(house.founded.auditor_key)
    (path.parent / f"{other.sha256}.jws").write_text(token, encoding="utf-8")
    signed_again(house, pack, "registry")
    assert "the log does not show that it was reported" in refused(*verifying(folder, pack))


def test_a_yearly_review_that_the_log_does_not_hold_is_refused(handed_in, pack):
    house, folder = handed_in
    edited(pack / "registry/retention/reviews.json", lambda told: told[0].update(day="2031-01-01"))
    signed_again(house, pack, "registry")
    assert "retention/reviews.json: they are not those of the log" in refused(*verifying(folder, pack))


@pytest.mark.parametrize(
    ("maker", "file", "said"),
    [
        ("coordinator", "who-sees-what.jws", "who-sees-what.jws: the statement says something else"),
        ("coordinator", "instructions.en.md", "instructions.en.md: it is not what the model card says"),
        ("aspen", "campaign.jws", "campaign.jws: "),
        ("registry", "../../log/policy", "log/policy: it is another than"),
    ],
)
def test_what_others_say_of_a_campaign_follows_from_it(handed_in, pack, maker, file, said):
    house, folder = handed_in
    path = pack / maker / "campaigns" / campaign_of(pack) / file
    if file.startswith("who"):
        forged(path, SightStatement, house.coordinator().key, threshold=9)
    else:
        path.write_text("Anything.", encoding="utf-8")
    signed_again(house, pack, maker)
    assert said in refused(*verifying(folder, pack))


@pytest.fixture
def period(handed_in, tmp_path):
    """A pack about the year, of registry, coordinator and one lender."""
    house, folder = handed_in
    scope = f"period:{house.clock():%Y}"
    homes = {"registry": house.founded.registry_home, "coordinator": house.founded.coordinator_home}
    for name, home in (homes | {"aspen": house.founded.node_home("aspen")}).items():
        url = ("--url", house.url) if name == "registry" else ()
        done("evidence", "collect", "--home", home, "--scope", scope, "--out", tmp_path / f"{name}.part", *url)
    done(*merging(folder, tmp_path / "period", *tmp_path.glob("*.part")))
    return tmp_path / "period"


def test_who_dates_an_approval_back_still_tells_of_it(handed_in, period):
    house, folder = handed_in
    assert "whole" in done(*verifying(folder, period))
    approval = period / f"registry/campaigns/{house.campaign.sha256}/approvals/aspen.jws"
    forged(approval, Approval, house.node("aspen").key, approved_at=datetime(2025, 1, 1, tzinfo=UTC))
    shutil.rmtree(period / "aspen/campaigns")
    for maker in ("registry", "aspen"):
        signed_again(house, period, maker)
    assert f"aspen/campaigns/{house.campaign.sha256}/approval.jws" in refused(*verifying(folder, period))


def test_an_assessment_that_is_left_out_of_a_period_is_noticed(handed_in, period):
    house, folder = handed_in
    next((period / "registry/assessments").glob("*.jws")).unlink()
    signed_again(house, period, "registry")
    assert "it is in the log or here, not in both" in refused(*verifying(folder, period))


# --- forms that nothing reads

LISTS = (b"[]", b"[1]", b"{}", b"7", b'"x"', b"[" * 20_000, b"\xff", b'{"aspen": 1}', b'{"attempts": [[], [], []]}')


@pytest.mark.parametrize(
    "file",
    [
        "registry/consents/withdrawals.json", "registry/consents/states.json", "registry/log/counts.json",
        "registry/log/consistency.json", "registry/campaigns/{}/coverage.json", "registry/incidents/index.json",
        "registry/campaigns/{}/authorisations.json", "registry/retention/reviews.json",
        "registry/requests/statistics.json", "registry/erasures/counts.json", "aspen/campaigns/{}/rosters.json",
        "coordinator/campaigns/{}/releases.json", "coordinator/campaigns/{}/evaluation.json",
    ],
)  # fmt: skip
def test_whatever_a_maker_signs_is_refused_in_a_sentence_or_holds(handed_in, pack, file):
    house, folder = handed_in
    path = pack / file.format(campaign_of(pack))
    for content in LISTS:
        path.write_bytes(content)
        signed_again(house, pack, file.partition("/")[0])
        found = tahini(*verifying(folder, pack))
        assert isinstance(found.exception, SystemExit | None), (content[:20], found.exception)
        named = re.search(r"\.(json|jws|html): ", found.stderr)
        assert found.exit_code == (1 if named else 0), (content[:20], found.stderr)


def test_nothing_that_lies_about_a_pack_is_a_traceback(handed_in, pack):
    _, folder = handed_in
    for file in ("pack.json", "missing.json"):
        kept = (pack / file).read_bytes()
        for content in LISTS:
            (pack / file).write_bytes(content)
            assert f"{file}: " in refused(*verifying(folder, pack))
        (pack / file).write_bytes(kept)
    assert json.loads(kept)
