"""Everything that an inspection asks a registry for, in one part of one period (征信业管理条例 38 to 42)."""

from __future__ import annotations

import json
import re

import pytest
from support.audits import some_report
from support.desk import asked
from support.incidents import make_incident
from support.market import open_market

from consent.evidence import collect
from consent.retention import apply_retention
from crypto.keys import b64
from protocol.assessments import ImpactAssessment
from protocol.audits import AuditRemedy, ComplianceReport
from protocol.evidence import PackScope
from protocol.parties import Consortium
from protocol.parts import new_part

ASKED_FOR = (
    r"log/checkpoint", r"log/counts\.json", r"parties/consortium\.jws", r"parties/arrangement\.zh\.txt",
    r"notices/[a-z]+-1\.jws", r"notices/review\.json", r"consents/states\.json", r"consents/withdrawals\.json",
    r"campaigns/[0-9a-f]{64}/campaign\.jws", r"campaigns/[0-9a-f]{64}/approvals/aspen\.jws",
    r"campaigns/[0-9a-f]{64}/authorisations\.json", r"requests/statistics\.json", r"incidents/[0-9a-f]{64}\.jws",
    r"erasures/counts\.json", r"assessments/[0-9a-f]{64}\.jws", r"audits/[0-9a-f]{64}\.jws",
    r"audits/[0-9a-f]{64}\.late\.remedy\.jws", r"audits/due\.json", r"retention/rules\.json",
    r"retention/reviews\.json",
)  # fmt: skip
"""What articles 38 to 42 punish late, missing or obstructed: deletion, objections, leaks, purpose, inspection."""


@pytest.fixture(scope="module")
def inspected(tmp_path_factory):
    """A registry to which everything has happened once, and its part about this year."""
    with open_market(tmp_path_factory.mktemp("inspected")) as market:
        (person, gone) = market.consenting("aspen", 2)
        campaign = market.campaign()
        assert market.authorise(campaign).status_code == 201
        market.says(person, "withdraw")
        asked(market, person)
        assert market.call(gone.pseudonym, "DELETE", "/v1/me").status_code == 200
        incident = make_incident("aspen", discovered_at=market.clock())
        report = {"token": incident.sign(market.keys["aspen"]), "affected": [person.pseudonym]}
        assert market.call("aspen", "POST", "/v1/incidents", report).is_success
        audit = some_report("auditor", market.clock())
        token = audit.sign(market.keys["auditor"])
        assert market.call("auditor", "POST", "/v1/audits", {"token": token}).status_code == 201
        done = AuditRemedy(
            report_sha256=audit.sha256, finding="late", party="aspen", done="It was put right.", done_at=market.clock()
        ).sign(market.keys["aspen"])
        answer = market.call("aspen", "POST", f"/v1/audits/{audit.sha256}/remedies", {"token": done})
        assert answer.status_code == 201
        apply_retention(market.registry)
        scope = PackScope.parse(f"period:{market.clock():%Y}")
        body = {"entries": [{"type": "evidence.exported", "to": ["auditor"], "body": scoped(scope), **scope.public()}]}
        made = market.call("registry", "POST", "/v1/log/entries", body)
        assert made.status_code == 201, made.text
        market.checkpoint()
        with new_part() as part:
            collect(market.registry, scope, made.json()["first"], part)
            files = {path: (part._folder / str(at)).read_bytes() for at, path in enumerate(part.files)}
        yield market, files, (person, gone)


def scoped(scope: PackScope) -> str:
    return b64(json.dumps({"scope": scope.text}).encode())


@pytest.mark.parametrize("wanted", ASKED_FOR)
def test_what_an_inspection_asks_for_is_in_one_part(inspected, wanted):
    _, files, _ = inspected
    found = [path for path in files if re.fullmatch(wanted, path)]
    assert found and all(files[path] for path in found)


def test_what_was_signed_verifies_and_what_is_counted_is_so(inspected):
    market, files, _ = inspected
    of = {kind: [path for path in files if path.startswith(kind)] for kind in ("audits/", "assessments/")}
    reports = [path for path in of["audits/"] if path.endswith(".jws") and "remedy" not in path]
    (report,) = [ComplianceReport.verify(files[path].decode(), market.party("auditor").key) for path in reports]
    assert [one.id for one in report.findings] == ["late"]
    for path in of["assessments/"]:
        ImpactAssessment.verify(files[path].decode(), market.party("coordinator").key)
    Consortium.verify(files["parties/consortium.jws"].decode(), market.registry.me.key)
    (request,) = json.loads(files["requests/statistics.json"])
    assert (request["lender"], request["kind"], request["received"]) == ("aspen", "object", 1)
    withdrawn = json.loads(files["consents/withdrawals.json"])["aspen"]
    assert withdrawn["not_acknowledged_yet"] >= 1
    rules = json.loads(files["retention/rules.json"])
    assert {"registry.consents", "registry.legal_holds"} <= {rule["of"] for rule in rules}
    assert len(json.loads(files["retention/reviews.json"])) == 1


def test_nobody_is_in_it(inspected):
    _, files, people = inspected
    content = b"".join(files.values())
    for person in people:
        for secret in (person.pseudonym, person.key.public.text):
            assert secret.encode() not in content
