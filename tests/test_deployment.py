"""The real thing: registry on PostgreSQL, witnesses, SuperLink with TLS and node authentication, nodes, all processes.

One consortium, brought up once; every test uses the commands that people use.
"""

from __future__ import annotations

import json
import os
import signal
import ssl
import time
from contextlib import suppress
from datetime import date
from pathlib import Path

import httpx
import pandas as pd
import pytest
from support.collector import collecting
from support.deployment import LENDERS, brought_up
from support.effort import slow
from support.waiting import until

from clients.data.description import APPLICANTS_FILE
from clients.home import BOOK_FILE, Node
from consent.notice_text import with_particulars
from demo.deployment import Deployment, Place
from demo.lending import agree
from demo.pages import addresses
from demo.processes import is_running, processes
from fleet.tls import issue
from protocol.campaigns import Campaign
from protocol.client.borrowers import BorrowerClient
from protocol.errors import ConsentError
from protocol.notices import Notice
from protocol.schema import now
from protocol.watched import APPLIED, APPROVED, WATCHING_PURPOSE
from server.desired_state import Stage, events
from server.folders import campaign_in
from server.home import MODEL_FILE

pytestmark = slow


@pytest.fixture(scope="module")
def collector():
    """Where every process of the consortium sends its traces."""
    with collecting() as opened, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", opened.url)
        yield opened


@pytest.fixture(scope="module")
def consortium(tmp_path_factory, postgresql, collector):
    with brought_up(tmp_path_factory.mktemp("up") / "root", Place(database=postgresql())) as opened:
        yield opened


def test_a_campaign_runs_from_proposal_to_signed_model_and_every_ledger_agrees(consortium):
    campaign = consortium.propose()
    consortium.approve(campaign)
    consortium.launch(campaign)
    assert "released" in consortium.watch(campaign)
    card = consortium.verified(campaign)
    assert set(card.lenders) == set(LENDERS)
    for lender in LENDERS:
        assert consortium.attempts(campaign, lender) == [(release, 1) for release in range(card.releases)]
        status = json.loads(consortium.tahini("node", "status", "--home", str(consortium.node(lender)), "--json"))
        assert (status["running"], status["unsettled"]) == (True, 0)
    told = json.loads(consortium.tahini("campaign", "show", campaign[:12], "--home", str(consortium.home), "--json"))
    assert (told["stage"], told["releases"], told["lost"]) == ("released", card.releases, [])


def test_five_kinds_of_people_have_pages_and_before_there_is_a_model_whoever_applies_comes_to_a_person(consortium):
    """At the first lender, whose desk has no model yet."""
    root, founded = consortium.root, consortium.local.founded
    found = addresses(root, "lin")
    assert [one.pages for one in found] == [
        "borrowers' consents", "aspen's staff", "the coordinator", "the auditor", "aspen's borrowers",
    ]  # fmt: skip
    for one in found:
        assert httpx.get(one.url, timeout=60).status_code in (200, 401), one.pages
    person = next(one for one in consortium.local.borrowers if one.lender == "aspen" and one.answer == "gives")
    settings = json.loads((consortium.node("aspen") / "node.json").read_text(encoding="utf-8"))
    agree(founded, "aspen", [person], settings["registry_url"])
    add = ("desk", "add-caller", "--home", str(root / "desk"), "--name", "core", "--role", "origination")
    token = consortium.tahini(*add).split()[-1]
    desk = json.loads((root / "counter" / "counter.json").read_text(encoding="utf-8"))["desk_url"]
    asked = {
        "pseudonym": person.pseudonym, "product": "monthly-12", "amount": 300_000, "term_days": 365,
        "purpose": "shopping",
    }  # fmt: skip
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "once"}

    def decided() -> dict:
        answer = httpx.post(f"{desk}/v1/applications", json=asked, headers=headers, timeout=60)
        return answer.json() if answer.status_code == 201 else {}

    until(decided, "the application was decided")
    assert (decided()["status"], decided()["decision"]["score"]) == ("in-review", None)


def test_one_trace_tells_a_campaign_across_coordinator_nodes_and_registry(consortium, collector):
    campaign = consortium.propose()
    consortium.approve(campaign)
    consortium.launch(campaign)
    consortium.watch(campaign)
    wanted = {
        ("tahini-coordinator", "tahini-coordinator"), ("tahini-registry", "tahini-registry"),
        *(("tahini-node", lender) for lender in LENDERS),
    }  # fmt: skip

    def seen_of():
        return [seen for seen in collector.spans if seen.trace == campaign[:32]]

    def whole() -> bool:
        spans = seen_of()
        roots = {seen.name for seen in spans if seen.parent not in {one.id for one in spans}}
        return {(seen.service, seen.instance) for seen in spans} == wanted and roots == {"campaign"}

    until(whole, "what is sent in batches is here: of everybody, and one tree")
    spans = seen_of()
    ids = {seen.id for seen in spans}
    assert {seen.name for seen in spans if seen.parent not in ids} == {"campaign"}, "one tree"
    names = {seen.name for seen in spans}
    assert {"join", "release", "node.join", "node.release", "gate", "contribution"} <= names
    assert "POST /v1/campaigns/{sha256}/commitments" in names
    people = [name for lender in LENDERS for name in Node.open(consortium.node(lender)).store.everybody()]
    assert people
    assert not any(name.encode() in collector.raw for name in people)


def registry_answers(consortium):
    with suppress(ConsentError):
        client = Node.open(consortium.node("aspen")).registry()
        try:
            return client.head()
        finally:
            client.close()


def test_a_campaign_that_not_everybody_signed_does_not_run(consortium):
    campaign = consortium.propose()
    consortium.approve(campaign, ("aspen", "birch"))
    consortium.launch(campaign, code=1)
    assert consortium.state(campaign).stage is Stage.PROPOSED
    assert consortium.attempts(campaign, "aspen") == []


@pytest.mark.parametrize("victim", ["coordinator", "registry", "birch"])
def test_kill_9_of_any_process_lets_the_campaign_go_on_and_charges_nothing_twice_that_was_charged_once(
    consortium, victim
):
    campaign = consortium.propose()
    consortium.approve(campaign)
    consortium.launch(campaign)
    consortium.wait_for_release(campaign, 1)
    kept = {f.name: f.read_bytes() for f in consortium.folder(campaign).glob("release-*.npz")}
    consortium.kill(victim)
    state = consortium.wait_until_ended(campaign)
    if state is Stage.STOPPED:  # clear, and resumable: the registry did not answer, or an answer was lost
        until(lambda: registry_answers(consortium), "the registry answers again")
        consortium.tahini("campaign", "resume", campaign[:12], "--home", str(consortium.home))
        state = consortium.wait_until_ended(campaign)
    for name, content in kept.items():
        assert (consortium.folder(campaign) / name).read_bytes() == content, "what was released is not released anew"
    planned = Campaign.claimed((consortium.folder(campaign) / "campaign.jws").read_text(encoding="utf-8")).mechanism
    for lender in LENDERS:
        attempts = consortium.attempts(campaign, lender)
        assert len(set(attempts)) == len(attempts)
        assert len(attempts) - len({release for release, _ in attempts}) <= planned.spare_attempts
    if state is Stage.RELEASED:
        consortium.verified(campaign)
    else:
        assert consortium.state(campaign).reason


def test_a_lender_that_rejects_a_running_campaign_is_not_used_any_more(consortium):
    campaign = consortium.propose()
    consortium.approve(campaign)
    consortium.launch(campaign)
    consortium.wait_for_release(campaign, 1)
    consortium.tahini("campaign", "reject", campaign[:12], "--home", str(consortium.node("cedar")), "--reason", "no")
    before = consortium.attempts(campaign, "cedar")
    consortium.watch(campaign)
    assert set(consortium.verified(campaign).lenders) == {"aspen", "birch"}
    (lost,) = [event for event in events(consortium.folder(campaign)) if event["event"] == "lost"]
    assert lost["lenders"] == ["cedar"]
    told = json.loads(consortium.tahini("campaign", "show", campaign[:12], "--home", str(consortium.home), "--json"))
    assert (sorted(told["approved_by"]), told["rejected_by"]) == (sorted(LENDERS), ["cedar"])
    assert len(consortium.attempts(campaign, "cedar")) <= len(before) + 1, "at most the one that was under way"


def test_a_campaign_that_was_rejected_before_its_launch_runs_without_that_lender(consortium):
    campaign = consortium.propose()
    consortium.approve(campaign)
    consortium.tahini("campaign", "reject", campaign[:12], "--home", str(consortium.node("cedar")), "--reason", "no")
    consortium.launch(campaign)
    consortium.watch(campaign)
    assert set(consortium.verified(campaign).lenders) == {"aspen", "birch"}
    assert consortium.attempts(campaign, "cedar") == []


def test_a_released_model_is_watched_by_all_lenders_over_the_same_processes(consortium, tmp_path):
    """As their people do it: asked for the purpose, assessed, proposed, approved, run, fetched, read."""
    trained = next(one for one in (consortium.home / "campaigns").iterdir() if (one / MODEL_FILE).exists()).name
    ask_for(consortium.local, WATCHING_PURPOSE, "joint-model-monitoring")
    form = consortium.tahini("assessment", "template", "--watching")
    categories = sorted({one["category"] for one in campaign_in(consortium.folder(trained)).features["features"]})
    named = {*categories, "repayment"}
    form = form.replace('categories = ["repayment"]', f"categories = {json.dumps(sorted(named))}")
    (tmp_path / "watching.toml").write_text(form, encoding="utf-8")
    consortium.tahini("coordinator", "assess", str(tmp_path / "watching.toml"), "--home", str(consortium.home))
    for lender in LENDERS:
        write_applicants_of(consortium.node(lender), date(2026, 10, 7))
    asked = ("watch", "propose", trained[:12], "--home", str(consortium.home), "--month", "2026-10", "--json")
    campaign = json.loads(consortium.tahini(*asked, "--mu", "0.1", "--spare-attempts", "0"))["campaign"]
    consortium.approve(campaign)
    consortium.launch(campaign)
    consortium.watch(campaign)
    for lender in LENDERS:
        assert consortium.attempts(campaign, lender) == [(0, 1)]
        consortium.tahini("model", "fetch", campaign[:12], "--home", str(consortium.node(lender)))
        consortium.tahini("model", "verify", campaign[:12], "--home", str(consortium.node(lender)))
    told = [
        json.loads(consortium.tahini("watch", "report", "--home", str(home), "--json"))
        for home in (consortium.home, consortium.node("birch"))
    ]
    assert told[0] == told[1] and told[0]["intake"][0]["period"] == "2026-10"
    assert "watched" in consortium.tahini("model", "show", campaign[:12], "--home", str(consortium.node("birch")))


def ask_for(local: Deployment, purpose: str, name: str) -> None:
    """Publish a notice for another purpose; whoever gives for training gives for it too."""
    node = Node.open(local.founded.node_home("aspen"))
    texts = {"en": "We do more together.", "zh": "我们共同做更多。"}
    changed = {"id": name, "purpose": purpose, "texts": texts, "published_at": now()}
    notice = with_particulars(Notice.model_validate({**local.notice.model_dump(), **changed}))
    with local.founded.operator(node.settings.registry_url) as registry:
        registry.publish_notice(notice, local.founded.registry_key)
    given = [one.first_answer(notice) for one in local.borrowers if one.answer == "gives"]
    with BorrowerClient(node.settings.registry_url, node.consortium) as client:
        for start in range(0, len(given), 200):
            client.decide(given[start : start + 200])


def write_applicants_of(home: Path, day: date) -> None:
    """Everybody in the loan book applied on one day."""
    table = pd.read_parquet(home / BOOK_FILE).rename(columns={"is_bad": APPROVED})
    table.assign(**{APPLIED: day}).to_parquet(home / "applicants.parquet")
    said = 'kind = "parquet"\npath = "applicants.parquet"\nperson = "pseudonym"\nlatest_by = "applied_on"\n'
    (home / APPLICANTS_FILE).write_text(said, encoding="utf-8")


def test_from_outside_only_the_fleet_interface_answers(consortium):
    settings = json.loads((consortium.home / "coordinator.json").read_text(encoding="utf-8"))
    with httpx.Client(base_url=f"https://127.0.0.1:{settings['port']}") as client:
        for path in ("/v1/control/list-runs", "/v1/control/start-run", "/v1/runtime/acquire-task", "/docs"):
            assert client.post(path, content=b"").status_code == 404


def test_a_renewed_certificate_is_shown_by_the_registry_as_it_runs(consortium):
    url = httpx.URL(Node.open(consortium.node("aspen")).settings.registry_url)
    first = ssl.get_server_certificate((url.host, url.port))
    issue(consortium.root / "ca", consortium.root / "tls", "registry", ["127.0.0.1", "localhost"])
    until(lambda: ssl.get_server_certificate((url.host, url.port)) != first, "the new certificate was shown")
    assert httpx.get(url.join("/healthz")).is_success


def test_no_log_names_anybody(consortium):
    people = [name for lender in LENDERS for name in Node.open(consortium.node(lender)).store.everybody()]
    assert people
    for log in (consortium.root / "logs").glob("*.log"):
        text = log.read_text(errors="replace", encoding="utf-8")
        assert not any(name in text for name in people), log.name


def test_down_stops_everything_and_status_says_so(consortium):
    running = processes(consortium.root)
    assert all(is_running(process) for process in running)
    consortium.tahini("down", "--workspace", str(consortium.root))
    assert not any(is_running(process) for process in running)
    time.sleep(0.1)
    path = consortium.node("aspen") / "run" / "status.json"
    path.write_text(json.dumps({"at": time.time() - 60}), encoding="utf-8")
    consortium.tahini("node", "status", "--home", str(consortium.node("aspen")), code=3)


def test_a_consortium_that_lost_every_process_comes_up_again_with_what_it_had(consortium, monkeypatch, tmp_path):
    root = str(consortium.root)
    pinned = {path: path.read_bytes() for path in consortium.root.rglob("*.key") if "tls" not in path.parts}
    consortium.tahini("up", "--workspace", root)
    campaign = consortium.propose()
    consortium.approve(campaign)
    for process in processes(consortium.root):
        os.killpg(process.pid, signal.SIGKILL)
    while any(is_running(process) for process in processes(consortium.root)):
        time.sleep(0.05)
    monkeypatch.chdir(consortium.root.parent)  # a workspace is the same from wherever it is named
    consortium.tahini("up", "--workspace", consortium.root.name)
    monkeypatch.chdir(tmp_path)
    assert all(is_running(process) for process in processes(consortium.root))
    assert pinned == {path: path.read_bytes() for path in pinned}
    told = json.loads(consortium.tahini("campaign", "show", campaign[:12], "--home", str(consortium.home), "--json"))
    assert sorted(told["approved_by"]) == sorted(LENDERS)
    monkeypatch.delenv("SSL_CERT_FILE")
    looked = json.loads(consortium.tahini("doctor", "--home", root, "--json", code=None))
    assert [one for one in looked if one["level"] == "ill"] == []
    again = consortium.propose()
    consortium.approve(again)
    consortium.launch(again)
    assert "released" in consortium.watch(again)
