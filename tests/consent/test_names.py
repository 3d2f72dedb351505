"""The naming service: who may ask, how much, what is logged first, and what happens to keys."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sqlite3
import stat
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from fastapi.testclient import TestClient
from support.wire import serve
from support.world import LENDERS
from typer.testing import CliRunner

from cli.names import app as cli
from crypto.errors import KeyFileError, PseudonymError, SignatureError
from crypto.keys import SigningKey, b64, replace_file
from crypto.pseudonyms import Kind, blind
from demo.consortium import found
from naming import batches
from naming.client import Effort, KeyListChecks, NamingClient
from naming.errors import NamingUnavailable, QuotaSpent, VersionGone
from naming.keylist import pinned, verified
from naming.keys import NamingHome, NamingSettings, Seeds, create_home, join
from naming.quota import Quota
from naming.service import Namer, create_app
from ops.processes import free_port
from privacy.charges import Budget
from protocol.errors import Conflict, ConsentError, NotAllowed, RegistryUnavailable
from protocol.log_client import LogClient
from protocol.parties import Consortium, Party, Role
from protocol.requests import Call, sign_request

PEOPLE = ["110101199003071230", "11010119900307123X", "330106198512120011"]
PER_DAY = 20
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Log:
    """A registry's client that acknowledges, until it is told not to; what it was sent stays readable."""

    def __init__(self):
        self.entries, self.down = [], False

    def append(self, entries):
        if self.down:
            raise RegistryUnavailable("the consent registry does not answer")
        self.entries += entries
        return list(range(len(self.entries) - len(entries), len(self.entries)))

    def close(self):
        """Nothing to close."""


class Site:
    """A consortium's naming service on loopback, over a log that is played."""

    def __init__(self, root):
        self.founded = found(root / "sesame", list(LENDERS), Budget(1.0, 1e-5))
        self.founded.connect("http://127.0.0.1:9", "http://127.0.0.1:9")
        home = self.founded.naming_home
        settings = NamingHome.open(home).settings.model_copy(update={"people_per_day": PER_DAY})
        join(home, settings, self.founded.token)
        self.home, self.log = NamingHome.open(home), Log()
        self.namer = Namer(self.home, self.log)
        self.app = create_app(self.namer)
        self.http = TestClient(self.app, raise_server_exceptions=False)
        self.url = ""

    def key(self, lender="aspen"):
        return SigningKey((self.founded.node_home(lender) / "node.key").read_bytes())

    def post(self, body, caller="aspen", key=None, target="/v1/evaluations", audience="naming"):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        token = sign_request(key or self.key(caller), caller, audience, "POST", target, content)
        return self.http.post("/v1/evaluations", content=content, headers={"Authorization": f"Bearer {token}"})

    def client(self, lender="aspen", pin=None, **effort):
        consortium, checks = self.founded.consortium, KeyListChecks(pin)
        effort = Effort(**{"workers": 1, "patience_s": 0.0, **effort})
        return NamingClient(self.url, consortium, lender, self.key(lender), checks, effort)


def asked(kind="pairwise", version=1, people=PEOPLE):
    return {"kind": kind, "version": version, "elements": [b64(e) for e in blind(people).elements]}


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    with serve(made.app, free_port()) as made.url:
        yield made


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
    assert not any(element in json.dumps(site.log.entries) for element in body["elements"])


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
    with house.node().naming(workers=1) as naming:
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
        {"kind": "both"},
        {"version": 0},
        {"version": 2**70},
        {"elements": []},
        {"elements": ["A" * 43] * 4097},
        {"elements": ["A" * 42]},
        {"elements": ["A" * 43]},
        {"elements": ["_" * 43]},
        {"elements": [None]},
        {"elements": ["é" * 43]},
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
    Quota(path, 10).reserve("aspen", Kind.LEDGER, 10, NOON)
    with pytest.raises(QuotaSpent):
        Quota(path, 10).reserve("aspen", Kind.LEDGER, 1, NOON + timedelta(hours=11, minutes=59))
    Quota(path, 10).reserve("aspen", Kind.LEDGER, 10, NOON + timedelta(hours=12))
    assert Quota(path, 10).used(NOON) == {("aspen", "ledger"): 10}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nothing_beyond_the_quota_is_counted(tmp_path):
    quota = Quota(tmp_path / "quota.db", 10)
    with pytest.raises(QuotaSpent):
        quota.reserve("aspen", Kind.LEDGER, 11, NOON)
    quota.reserve("aspen", Kind.LEDGER, 10, NOON)


def _spend(path, started):
    quota = Quota(path, 1_000_000)
    while True:
        quota.reserve("aspen", Kind.LEDGER, 1, NOON)
        started.value += 1


def test_what_was_counted_before_a_kill_is_counted_after_it(tmp_path):
    context = multiprocessing.get_context("fork")
    for _ in range(5):
        acknowledged = context.Value("q", 0, lock=False)
        before = Quota(tmp_path / "quota.db", 1_000_000).used(NOON).get(("aspen", "ledger"), 0)
        process = context.Process(target=_spend, args=(tmp_path / "quota.db", acknowledged))
        process.start()
        while acknowledged.value < 20:
            time.sleep(0.005)
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


# --- a service that cheats or is away


def test_a_lender_answered_under_a_key_of_its_own_is_not_named(site, monkeypatch):
    other = os.urandom(32)
    monkeypatch.setattr(Seeds, "read", lambda self, version: other)
    site.namer.keys()
    honest = site.client()
    honest.keys = lambda: before  # type: ignore[method-assign]
    before = site.home.key_list()
    monkeypatch.undo()
    site.namer._listed = None
    with pytest.raises(PseudonymError, match="did not prove"):
        honest.names(PEOPLE)


def test_a_list_of_keys_that_changed_is_refused(site, tmp_path):
    pin = tmp_path / "keys.jws"
    site.client(pin=pin).names(PEOPLE)
    kept = pin.read_text(encoding="utf-8")
    replace_file(site.home.home / "seeds" / "v1.seed", os.urandom(32))
    site.namer._listed = None
    with pytest.raises(PseudonymError, match=r"another .* key of version 1 than before"):
        site.client(pin=pin).names(PEOPLE)
    assert pin.read_text(encoding="utf-8") == kept


def test_a_list_by_somebody_else_is_refused(site, tmp_path):
    keys = site.home.key_list()
    with pytest.raises(SignatureError):
        pinned(tmp_path / "pin", keys.sign(SigningKey.generate()), site.founded.consortium)
    strangers = keys.model_copy(update={"consortium": "another"})
    with pytest.raises(PseudonymError, match="another consortium"):
        pinned(tmp_path / "pin", strangers.sign(site.home.key), site.founded.consortium)
    assert not (tmp_path / "pin").exists()


def test_a_list_other_than_the_logged_one_is_refused(house):
    node = house.node()
    with node.naming(workers=1) as naming:
        first = naming.keys()
    home = NamingHome.open(house.founded.naming_home)
    (node.home / "naming-keys.jws").unlink()
    logged = json.loads((home.home / "keys.logged.json").read_text(encoding="utf-8"))
    home.seeds.rotate()
    replace_file(home.home / "keys.logged.json", json.dumps({home.key_list().sha256: logged[first.sha256]}).encode())
    with pytest.raises(PseudonymError, match="logged another list"), node.naming(workers=1) as naming:
        naming.names(PEOPLE)
    replace_file(home.home / "keys.logged.json", json.dumps({home.key_list().sha256: 0}).encode())
    second = Namer(home)
    with (
        serve(create_app(second), free_port()) as url,
        pytest.raises(RegistryUnavailable, match="something else where"),
    ):
        NamingClient(url, node.consortium, "aspen", node.key, KeyListChecks(registry=house.client())).names(PEOPLE)
    second.close()


def test_a_service_that_comes_back_is_asked_again(site, monkeypatch):
    monkeypatch.setattr(batches, "FIRST_PAUSE_S", 0.01)
    site.log.down = True
    pauses = []

    def sleep(seconds):
        pauses.append(seconds)
        site.log.down = len(pauses) < 3

    monkeypatch.setattr(batches.time, "sleep", sleep)
    assert len(site.client(patience_s=60.0).names(PEOPLE)) == 3
    assert pauses == [0.01, 0.02, 0.04]


def test_a_service_that_stays_away_is_said_to_be(site):
    nowhere = NamingClient(
        f"http://127.0.0.1:{free_port()}", site.founded.consortium, "aspen", site.key(), effort=Effort(patience_s=0.0)
    )
    with pytest.raises(NamingUnavailable, match="does not answer"):
        nowhere.names(PEOPLE)


@contextmanager
def answering(monkeypatch, text):
    response = httpx.Response(200, text=text)
    monkeypatch.setattr(batches, "patiently", lambda *_: response)
    yield


@pytest.mark.parametrize("text", ["", "{}", "null", '{"elements": [], "proof": ""}', '{"elements": 1}'])
def test_an_answer_that_is_none_names_nobody(site, monkeypatch, text):
    client = site.client()
    keys = client.keys()
    client.keys = lambda: keys  # type: ignore[method-assign]
    with answering(monkeypatch, text), pytest.raises(PseudonymError, match="schema"):
        client.names(PEOPLE)


# --- rotation


def test_both_versions_answer_until_the_old_one_is_retired(site):
    client = site.client()
    before = client.names(PEOPLE)
    assert site.home.seeds.rotate() == 2
    renamings = site.client().renamings(PEOPLE, 1, 2)
    after = client.names(PEOPLE)
    assert [(r.old, r.new, r.ledger) for r in renamings] == [
        (old.pairwise, new.pairwise, new.ledger) for old, new in zip(before, after, strict=True)
    ]
    assert all(names.pairwise.startswith("v2.") and names.ledger.startswith("v2.") for names in after)
    assert client.names(PEOPLE, version=1) == before
    site.home.seeds.retire(1)
    assert site.post(asked(version=1)).status_code == 404
    with pytest.raises(PseudonymError, match="no pairwise key of version 1"):
        client.names(PEOPLE, version=1)
    assert client.names(PEOPLE) == after


def test_a_retired_version_never_comes_back(tmp_path):
    create_home(tmp_path / "naming")
    seeds = Seeds(tmp_path / "naming" / "seeds")
    with pytest.raises(Conflict, match="current"):
        seeds.retire(1)
    seeds.rotate()
    kept = (seeds.folder / "v1.seed").read_bytes()
    seeds.retire(1)
    assert (seeds.live, seeds.retired) == ((2,), (1,))
    (seeds.folder / "v1.seed").write_bytes(kept)  # somebody restores a backup
    assert seeds.live == (2,)
    with pytest.raises(VersionGone):
        seeds.read(1)
    with pytest.raises(VersionGone):
        seeds.retire(9)
    seeds.retire(1)
    assert not (seeds.folder / "v1.seed").exists()
    assert seeds.rotate() == 3


def test_a_list_never_goes_back(site, tmp_path):
    old = site.home.key_list()
    site.home.seeds.rotate()
    new = site.home.key_list()
    new.may_follow(old)
    with pytest.raises(PseudonymError, match=r"older list|another"):
        old.may_follow(new)
    site.home.seeds.retire(1)
    last = site.home.key_list()
    last.may_follow(new)
    revived = last.model_copy(update={"retired": (), "keys": new.keys})
    with pytest.raises(PseudonymError, match="retired"):
        revived.may_follow(last)


# --- home


def test_seeds_are_readable_by_their_owner_alone(tmp_path):
    create_home(tmp_path / "naming")
    seed = tmp_path / "naming" / "seeds" / "v1.seed"
    assert stat.S_IMODE(seed.stat().st_mode) == 0o600
    seed.chmod(0o644)
    with pytest.raises(KeyFileError, match="can be read by others"):
        Seeds(seed.parent).read(1)


def test_a_service_without_its_seeds_says_so_and_names_nobody(site):
    (site.home.home / "seeds" / "v1.seed").unlink()
    answer = site.post(asked())
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:tahini:problem:keys-unavailable")
    assert str(site.home.home) not in answer.text


def test_a_home_joins_only_a_consortium_that_lists_its_key(site, tmp_path):
    create_home(tmp_path / "other")
    settings = NamingSettings(
        party="naming", registry_url="http://x", registry_key=site.founded.registry_key.public.text
    )
    with pytest.raises(KeyFileError, match="not the one the consortium knows"):
        join(tmp_path / "other", settings, site.founded.token)
    with pytest.raises(KeyFileError, match="has joined"):
        NamingHome.open(tmp_path / "other")


def test_a_consortium_has_one_naming_service_at_most(site):
    fields = site.founded.consortium.payload()
    second = Party(id="other", name="Other", role=Role.NAMING, signing_key=SigningKey.generate().public.text)
    Consortium.model_validate({**fields, "parties": [p for p in fields["parties"] if p["role"] != "naming"]})
    with pytest.raises(ValueError, match="at most one naming service"):
        Consortium.model_validate({**fields, "parties": [*fields["parties"], second.model_dump(mode="json")]})


def test_no_service_no_client(site):
    fields = site.founded.consortium.payload()
    none = Consortium.model_validate({**fields, "parties": [p for p in fields["parties"] if p["role"] != "naming"]})
    with pytest.raises(PseudonymError, match="no naming service"):
        NamingClient("http://x", none, "aspen", site.key())


def test_the_commands_make_show_rotate_and_retire(site, tmp_path):
    run = CliRunner().invoke
    made = run(cli, ["init", "--home", str(tmp_path / "new"), "--json"])
    assert json.loads(made.stdout)["role"] == "naming"
    again = run(cli, ["init", "--home", str(tmp_path / "new")])
    assert (again.exit_code, again.stderr.count("\n")) == (1, 1)
    home = ["--home", str(site.home.home)]
    site.post(asked())
    assert json.loads(run(cli, ["rotate", *home, "--json"]).stdout) == {"current": 2}
    assert run(cli, ["retire", *home, "--version", "2", "--yes"]).exit_code == 1
    assert json.loads(run(cli, ["retire", *home, "--version", "1", "--yes", "--json"]).stdout) == {"retired": 1}
    shown = json.loads(run(cli, ["show", *home, "--json"]).stdout)
    assert (shown["current"], shown["versions"], shown["retired"]) == (2, [2], [1])
    assert shown["used_today"] == [{"lender": "aspen", "kind": "pairwise", "people": 3}]
    assert "version 2" in run(cli, ["show", *home]).stdout


def test_health_says_which_versions_answer(site):
    assert site.http.get("/healthz").json() == {"status": "ok", "versions": [1]}


def test_other_errors_keep_their_kind(site):
    with pytest.raises(NotAllowed):
        body = b""
        token = sign_request(site.founded.auditor_key, "auditor", "naming", "POST", "/x", body)
        site.namer.authenticated(token, Call("POST", "/x", body))
