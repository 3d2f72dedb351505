"""The naming service's keys: what a lender believes of them, how they rotate, and the home that holds them."""

from __future__ import annotations

import json
import os
import stat
import threading
import time
from contextlib import contextmanager

import httpx
import pytest
from support.namers import PEOPLE, asked
from support.wire import serve
from typer.testing import CliRunner

from cli.names import app as cli
from clients.naming import naming_client
from crypto.errors import KeyFileError, PseudonymError, SignatureError
from crypto.keys import SigningKey, replace_file
from naming import batches
from naming.client import Effort, KeyListChecks, NamingClient
from naming.errors import NamingUnavailable, VersionGone
from naming.keylist import pinned
from naming.keys import NamingHome, NamingSettings, Seeds, create_home, join
from naming.service import Namer, create_app
from ops.processes import free_port
from protocol.errors import Conflict, RegistryUnavailable
from protocol.parties import Consortium, Party, Role

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
    with naming_client(node, workers=1) as naming:
        first = naming.keys()
    home = NamingHome.open(house.founded.naming_home)
    (node.home / "naming-keys.jws").unlink()
    logged = json.loads((home.home / "keys.logged.json").read_text(encoding="utf-8"))
    home.seeds.rotate()
    replace_file(home.home / "keys.logged.json", json.dumps({home.key_list().sha256: logged[first.sha256]}).encode())
    with pytest.raises(PseudonymError, match="logged another list"), naming_client(node, workers=1) as naming:
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
    pauses, asleep, mine = [], time.sleep, threading.get_ident()

    def sleep(seconds):
        if threading.get_ident() == mine:  # and not whatever else of this process rests meanwhile
            pauses.append(seconds)
            site.log.down = len(pauses) < 3
        else:
            asleep(seconds)

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


@pytest.mark.parametrize(
    "text",
    ["", "{}", "null", '{"evaluations": []}', '{"evaluations": [{"elements": "", "proof": ""}]}', '{"evaluations": 1}'],
)
def test_an_answer_that_is_none_names_nobody(site, monkeypatch, text):
    client = site.client()
    keys = client.keys()
    client.keys = lambda: keys  # type: ignore[method-assign]
    with answering(monkeypatch, text), pytest.raises(PseudonymError, match="schema"):
        client.names(PEOPLE)


@pytest.mark.parametrize("answered", [slice(None, None, -1), slice(1), slice(1, None), [0, 0], [0, 1, 1]])
def test_an_answer_for_other_names_than_were_wanted_names_nobody(site, monkeypatch, answered):
    """Two names of the same people, asked for at once: one answer stands for no other."""
    ask = batches.patiently

    def altered(*asked):
        response = ask(*asked)
        if asked[1] == "GET":
            return response
        given = response.json()["evaluations"]
        kept = given[answered] if isinstance(answered, slice) else [given[at] for at in answered]
        return httpx.Response(200, json={"evaluations": kept})

    monkeypatch.setattr(batches, "patiently", altered)
    with pytest.raises(PseudonymError, match=r"did not prove|other names than were wanted"):
        site.client().names(PEOPLE)


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
