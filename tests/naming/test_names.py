"""The naming service: who may ask, how much, and what is logged first."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sqlite3
import stat
import time
from datetime import timedelta

import pytest
from support.effort import effort
from support.namers import NOON, PEOPLE, PER_DAY, asked
from support.waiting import until

from clients.naming import naming_client
from crypto.keys import SigningKey, b64
from crypto.pseudonyms import MAX_BATCH, Kind, blind
from naming.client import processes
from naming.errors import QuotaSpent
from naming.keylist import verified
from naming.keys import NamingHome
from naming.quota import Quota
from naming.service import Namer
from protocol.errors import ConsentError, NotAllowed
from protocol.log_client import LogClient
from protocol.requests import Call, sign_request

# --- names


def test_two_lenders_share_a_ledger_name_and_nothing_else(site):
    aspen, birch = site.client("aspen").names(PEOPLE), site.client("birch").names(PEOPLE)
    assert [n.ledger for n in aspen] == [n.ledger for n in birch]
    assert not {n.pairwise for n in aspen} & {n.pairwise for n in birch}
    assert len({name for n in aspen + birch for name in (n.pairwise, n.ledger)}) == 9


def test_each_person_is_asked_for_once_however_they_are_written(site):
    names = site.client().names([PEOPLE[0], f" {PEOPLE[0]}", PEOPLE[1], PEOPLE[0]])
    assert names[0] == names[1] == names[3] != names[2]
    assert site.namer.quota.used(site.namer.clock()) == {("aspen", "pairwise"): 2, ("aspen", "ledger"): 2}


def test_progress_reaches_the_end_batch_by_batch(site):
    seen = []
    site.client(batch=2).names(PEOPLE, lambda done, total: seen.append((done, total)))
    assert seen == [(2, 3), (3, 3)]


def test_several_processes_name_as_one_does(site, monkeypatch):
    monkeypatch.setattr("naming.client.ALONE_UP_TO", 0)
    assert site.client(workers=2, batch=2).names(PEOPLE) == site.client().names(PEOPLE)


def test_what_was_named_before_an_interruption_need_not_be_asked_again(site):
    everybody = site.client().names(PEOPLE)
    first = next(site.client(batch=1).batches(PEOPLE))
    rest = [names for batch in site.client(batch=1).batches(PEOPLE[1:]) for names in batch]
    assert first + rest == everybody


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _naming(pid):
    with processes(1) as pool:
        pid.value = pool.submit(os.getpid).result()
        time.sleep(600)


def test_nothing_that_holds_the_lender_s_key_outlives_a_killed_caller():
    context = multiprocessing.get_context("spawn")
    pid = context.Value("q", 0)
    caller = context.Process(target=_naming, args=(pid,))
    caller.start()
    until(lambda: pid.value > 0, "a process was ready to name")
    os.kill(caller.pid, signal.SIGKILL)
    caller.join()
    try:
        until(lambda: not alive(pid.value), "it ended")
    finally:
        if alive(pid.value):
            os.kill(pid.value, signal.SIGKILL)


# --- the log comes first


def test_every_batch_is_logged_with_its_count_and_without_any_element(site):
    body = asked()
    assert site.post(body).status_code == 200
    listed, evaluated = site.log.entries
    assert listed["type"] == "names.keys"
    assert evaluated == {
        "to": ["auditor"],
        "type": "names.evaluated",
        "names": {"lender": "aspen", "kind": "pairwise", "version": 1, "count": 4},
    }
    assert not any(body["elements"][at : at + 8] in json.dumps(site.log.entries) for at in range(0, 120, 8))


def test_a_batch_is_logged_once_for_each_name_that_is_wanted_of_it(site):
    body = asked()
    body["wanted"].append({"kind": "ledger", "version": 1})
    assert len(site.post(body).json()["evaluations"]) == 2
    said = [entry["names"] for entry in site.log.entries[1:]]
    assert [(names["kind"], names["count"]) for names in said] == [("pairwise", 4), ("ledger", 4)]
    assert site.namer.quota.used(site.namer.clock()) == {("aspen", "pairwise"): 3, ("aspen", "ledger"): 3}


def test_nobody_is_named_without_the_log_s_acknowledgement(site):
    site.http.get("/v1/naming-keys")
    site.log.down = True
    answer = site.post(asked())
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:tahini:problem:naming-unavailable")
    assert "elements" not in answer.json()
    assert sum(site.namer.quota.used(site.namer.clock()).values()) == 0


def test_the_list_of_keys_is_shown_to_nobody_before_it_is_logged(site):
    site.log.down = True
    assert site.http.get("/v1/naming-keys").status_code == 503
    assert site.post(asked()).status_code == 503
    site.log.down = False
    answer = site.http.get("/v1/naming-keys").json()
    keys = verified(answer["token"], site.founded.consortium)
    assert site.log.entries == [{"to": ["auditor"], "type": "names.keys", "hashes": {"document": keys.sha256}}]
    again = Namer(site.home, site.log).keys()
    assert (again.index, len(site.log.entries)) == (answer["index"], 1)


def test_the_real_log_takes_these_entries_from_the_naming_service_alone(house):
    with naming_client(house.node(), workers=1) as naming:
        naming.names(["somebody"])
    house.registry.ledger.catch_up()
    reader = LogClient(house.url, house.founded.consortium.policy)
    leaves = [json.loads(leaf) for leaf in reader.verified_leaves(reader.head())]
    reader.close()
    of_names = [leaf for leaf in leaves if leaf["type"] == "names.evaluated"]
    assert {leaf["actor"] for leaf in of_names} == {"naming"}
    assert of_names[-1]["names"] == {"lender": "aspen", "kind": "ledger", "version": 1}
    assert of_names[-1]["sealed"] == ["people"], "how many is for the auditor"
    said = {"lender": "birch", "kind": "ledger", "version": 1, "count": 9}
    for entry in (
        {"type": "names.keys", "to": ["auditor"]},
        {"type": "names.evaluated", "to": ["auditor"], "names": said},
    ):
        with pytest.raises(ConsentError, match="key service's"):
            house.client("aspen").append([entry])
    service = NamingHome.open(house.founded.naming_home).registry()
    with pytest.raises(ConsentError, match="writes no others"):
        service.append([{"type": "use.read", "to": ["auditor"]}])
    with pytest.raises(ConsentError, match="names"):
        service.append([{"type": "names.evaluated", "to": ["auditor"]}])
    service.close()


# --- who may ask


def test_only_lenders_have_people_named(site):
    assert site.post(asked(), "auditor", site.founded.auditor_key).status_code == 403
    assert site.post(asked(), "registry", site.founded.registry_key).status_code == 403


def test_a_lender_cannot_ask_for_another_s_names(site):
    """The pairwise key is the caller's: there is no field to name another lender with."""
    assert site.post({**asked(), "lender": "birch"}).status_code == 422
    answer = site.post(asked(), "birch", site.key("aspen"))
    assert answer.status_code == 401


def test_unsigned_foreign_replayed_and_misdirected_requests_are_refused(site):
    body = json.dumps(asked()).encode()
    assert site.http.post("/v1/evaluations", content=body).status_code == 401
    assert site.post(body, "nobody", SigningKey.generate()).status_code == 401
    assert site.post(body, "aspen", SigningKey.generate()).status_code == 401
    assert site.post(body, audience="registry").status_code == 401
    assert site.post(body, target="/v1/naming-keys").status_code == 401
    token = sign_request(site.key(), "aspen", "naming", "POST", "/v1/evaluations", body)
    headers = {"Authorization": f"Bearer {token}"}
    assert site.http.post("/v1/evaluations", content=body, headers=headers).status_code == 200
    assert site.http.post("/v1/evaluations", content=body, headers=headers).status_code == 401
    other = json.dumps(asked(people=["x"])).encode()
    assert site.http.post("/v1/evaluations", content=other, headers=headers).status_code == 401


@pytest.mark.parametrize(
    "change",
    [
        {"wanted": []},
        {"wanted": [{"kind": "both", "version": 1}]},
        {"wanted": [{"kind": "ledger", "version": 0}]},
        {"wanted": [{"kind": "ledger", "version": 2**70}]},
        {"wanted": [{"kind": "ledger", "version": 1}] * 2},
        {"wanted": [{"kind": "ledger", "version": version} for version in (1, 2, 3, 4)]},
        {"wanted": [{"kind": "ledger", "version": 1, "lender": "birch"}]},
        {"elements": ""},
        {"elements": b64(blind(["1"]).elements * (MAX_BATCH + 1))},
        {"elements": "A" * 42},
        {"elements": "A" * 43},
        {"elements": "A" * 44},
        {"elements": "_" * 43},
        {"elements": [None]},
        {"elements": "é" * 43},
        {"extra": 1},
    ],
)
def test_malformed_requests_are_refused_and_cost_nothing(site, change):
    answer = site.post({**asked(), **change})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert sum(site.namer.quota.used(site.namer.clock()).values()) == 0


def test_what_is_not_json_is_refused(site):
    for body in (b"", b"{", b"\xff", b"[" * 10_000, b"null"):
        assert site.post(body).status_code == 422


# --- quota


def test_a_lender_s_day_has_an_end_and_the_refusal_says_when_to_come_back(site):
    for _ in range(PER_DAY // 3):
        assert site.post(asked()).status_code == 200
    answer = site.post(asked())
    assert (answer.status_code, answer.json()["type"]) == (429, "urn:tahini:problem:quota-spent")
    assert "T00:00Z" in answer.json()["detail"]
    assert 0 < int(answer.headers["Retry-After"]) <= 86_400
    assert site.post(asked(people=PEOPLE[:2])).status_code == 200  # 18 + 2
    assert site.post(asked(kind="ledger")).status_code == 200
    assert site.post(asked(), "birch").status_code == 200
    with pytest.raises(QuotaSpent, match="come back") as refusal:
        site.client().names(["one more"])
    assert refusal.value.retry_at > site.namer.clock()


def test_quotas_begin_anew_each_day_and_survive_a_restart(tmp_path):
    path = tmp_path / "quota.db"
    Quota(path, 10).reserve("aspen", {Kind.LEDGER: 10}, NOON)
    with pytest.raises(QuotaSpent):
        Quota(path, 10).reserve("aspen", {Kind.LEDGER: 1}, NOON + timedelta(hours=11, minutes=59))
    Quota(path, 10).reserve("aspen", {Kind.LEDGER: 10}, NOON + timedelta(hours=12))
    assert Quota(path, 10).used(NOON) == {("aspen", "ledger"): 10}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nothing_beyond_the_quota_is_counted(tmp_path):
    quota = Quota(tmp_path / "quota.db", 10)
    with pytest.raises(QuotaSpent):
        quota.reserve("aspen", {Kind.LEDGER: 11}, NOON)
    quota.reserve("aspen", {Kind.LEDGER: 10}, NOON)


def test_where_one_kind_s_quota_is_short_no_other_is_counted(tmp_path):
    quota = Quota(tmp_path / "quota.db", 10)
    quota.reserve("aspen", {Kind.LEDGER: 5}, NOON)
    with pytest.raises(QuotaSpent, match="5 left for ledger names"):
        quota.reserve("aspen", {Kind.PAIRWISE: 6, Kind.LEDGER: 6}, NOON)
    assert quota.used(NOON) == {("aspen", "ledger"): 5}
    quota.reserve("aspen", {Kind.PAIRWISE: 5, Kind.LEDGER: 5}, NOON)
    quota.give_back("aspen", {Kind.PAIRWISE: 5, Kind.LEDGER: 5}, NOON)
    assert quota.used(NOON) == {("aspen", "ledger"): 5, ("aspen", "pairwise"): 0}


def test_two_versions_of_a_kind_in_one_request_count_twice(site):
    site.home.seeds.rotate()
    body = {**asked(), "wanted": [{"kind": "pairwise", "version": 1}, {"kind": "pairwise", "version": 2}]}
    assert site.post(body).status_code == 200
    assert site.namer.quota.used(site.namer.clock()) == {("aspen", "pairwise"): 6}


def _spend(path, started):
    quota = Quota(path, 1_000_000)
    while True:
        quota.reserve("aspen", {Kind.LEDGER: 1}, NOON)
        started.value += 1


def test_what_was_counted_before_a_kill_is_counted_after_it(tmp_path):
    context = multiprocessing.get_context("spawn")  # what forks while other threads hold locks may wait for ever
    for _ in range(effort(5, 2)):
        acknowledged = context.Value("q", 0, lock=False)
        before = Quota(tmp_path / "quota.db", 1_000_000).used(NOON).get(("aspen", "ledger"), 0)
        process = context.Process(target=_spend, args=(tmp_path / "quota.db", acknowledged))
        process.start()
        until(lambda counted=acknowledged: counted.value >= 20, "it had counted")
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        after = Quota(tmp_path / "quota.db", 1_000_000).used(NOON)["aspen", "ledger"]
        assert before + acknowledged.value <= after


def test_a_quota_that_cannot_be_kept_names_nobody(site):
    with sqlite3.connect(site.home.quota_path) as connection:
        connection.execute("DROP TABLE IF EXISTS used")
        connection.execute("CREATE TABLE used (nonsense)")
    answer = site.post(asked())
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:tahini:problem:storage-failed")


# --- home


def test_other_errors_keep_their_kind(site):
    with pytest.raises(NotAllowed):
        body = b""
        token = sign_request(site.founded.auditor_key, "auditor", "naming", "POST", "/x", body)
        site.namer.authenticated(token, Call("POST", "/x", body))
