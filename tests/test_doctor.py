"""``tahini doctor``: what is in order it leaves alone; what is not it names, with what to do."""

import json
import socket
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner
from starlette.applications import Starlette
from support.watching import write_applicants
from support.wire import serve

from cli.doctor import homes
from clients.doctor import node, witness
from clients.witness import LenderWitness, origin_hash
from consent.doctor import registry
from demo.consortium import found
from fleet.keys import create_fleet_key
from fleet.tls import create_authority, issue
from naming.doctor import names
from ops import doctor
from ops.doctor import Level
from privacy.charges import Budget
from server.doctor import coordinator
from tahini import main


def ills(findings) -> dict[str, str]:
    """What is wrong, by what was looked at; everything that is wrong says what to do."""
    found = [finding for finding in findings if finding.level is Level.ILL]
    assert all(finding.said and finding.do for finding in found)
    return {finding.what: finding.said for finding in found}


@pytest.fixture
def whole(house):
    """A house whose coordinator has a certificate, as a deployment has it."""
    home, ca = house.founded.coordinator_home, house.founded.root / "ca"
    create_authority(ca, "sesame")
    issue(ca, house.founded.root / "tls", "coordinator", ["127.0.0.1"])
    tls = house.founded.root / "tls"
    (home / "coordinator.crt").write_bytes((tls / "coordinator.crt").read_bytes())
    (home / "coordinator.tls.key").write_bytes((tls / "coordinator.key").read_bytes())
    return house


def test_this_machine_has_what_was_asked_for():
    assert ills(doctor.machine()) == {}


def test_another_version_than_was_asked_for_is_named(monkeypatch):
    monkeypatch.setattr(doctor, "version", lambda name: "1.0.0" if name == "flwr" else "999")
    assert "flwr is 1.0.0, not ==1.41.*" in ills(doctor.machine())["versions"]


def test_homes_in_order_have_nothing_wrong(whole):
    founded = whole.founded
    assert ills(registry(founded.registry_home)) == {}
    assert ills(names(founded.naming_home)) == {}
    assert ills(coordinator(founded.coordinator_home)) == {}
    assert ills(node(founded.node_home("aspen"))) == {}


def test_whoever_applied_is_looked_for_where_their_description_says(whole):
    home = whole.founded.node_home("aspen")
    assert "applicants" not in {finding.what for finding in node(home)}
    write_applicants(whole)
    (seen,) = [finding for finding in node(home) if finding.what == "applicants"]
    assert seen.level is Level.WELL and seen.said.endswith(" people applied")
    (home / "applicants.parquet").unlink()
    assert "applicants.parquet" in ills(node(home))["applicants"]


def test_all_homes_of_a_workspace_are_found_and_no_folder_of_certificates(whole):
    root = whole.founded.root
    (root / "tls" / "registry.key").write_bytes(b"-----BEGIN PRIVATE KEY-----" * 9)
    assert [folder.name for folder, _ in homes(root)] == [
        "coordinator",
        "naming",
        "registry",
        "aspen",
        "birch",
        "cedar",
    ]
    assert [folder for folder, _ in homes(root / "lenders" / "aspen")] == [root / "lenders" / "aspen"]


def test_a_key_that_others_can_read_is_named(house):
    (house.founded.node_home("aspen") / "node.key").chmod(0o644)
    assert "chmod 600" in ills(node(house.founded.node_home("aspen")))["key"]


def test_a_damaged_or_missing_ledger_is_named(house):
    ledger = house.founded.node_home("aspen") / "ledger.db"
    ledger.write_bytes(b"SQLite format 3\0" + b"\xff" * 4096)
    assert "ledger" in ills(node(house.founded.node_home("aspen")))
    ledger.unlink()
    assert "ledger.db is missing" in ills(node(house.founded.node_home("aspen")))["ledger"]
    assert not ledger.exists(), "to look is not to make"


def test_a_fleet_key_that_the_consortium_does_not_know_is_named(house):
    create_fleet_key(house.founded.node_home("aspen"))
    assert "refuses this node" in ills(node(house.founded.node_home("aspen")))["fleet key"]


def test_a_registry_that_is_down_is_named(house):
    house.stop_registry()
    assert "registry" in ills(node(house.founded.node_home("aspen")))


@pytest.mark.parametrize("apart", [timedelta(seconds=45), timedelta(seconds=-45)])
def test_a_clock_that_is_off_is_named(house, monkeypatch, apart):
    monkeypatch.setattr(doctor, "now", lambda: datetime.now(UTC) + apart)
    assert "s apart from the registry's" in ills(doctor.service("registry", house.url, None))["clock"]


def test_a_certificate_that_ended_or_does_not_fit_is_named(tmp_path):
    create_authority(tmp_path / "ca", "sesame")
    long_ago = datetime.now(UTC) - timedelta(days=91)
    issue(tmp_path / "ca", tmp_path, "old", ["127.0.0.1"], long_ago)
    issue(tmp_path / "ca", tmp_path, "soon", ["127.0.0.1"], datetime.now(UTC) - timedelta(days=80))
    issue(tmp_path / "ca", tmp_path, "new", ["127.0.0.1"])
    assert "ended on" in doctor.certificate(tmp_path / "old.crt", tmp_path / "old.key").said
    assert doctor.certificate(tmp_path / "soon.crt", tmp_path / "soon.key").level is Level.CARE
    assert doctor.certificate(tmp_path / "new.crt", tmp_path / "new.key").level is Level.WELL
    assert doctor.certificate(tmp_path / "new.crt", tmp_path / "old.key").level is Level.ILL


def test_a_superlink_that_is_not_there_is_named():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        assert doctor.reached("superlink", f"127.0.0.1:{closed.getsockname()[1]}", None).level is Level.ILL


def test_a_port_that_cannot_be_had_is_named():
    assert doctor.port("port", "203.0.113.1", 8700).level is Level.ILL
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "something listens" in doctor.port("port", "127.0.0.1", taken.getsockname()[1]).said


def test_a_database_that_was_not_made_is_named_and_not_made(house):
    database = house.founded.registry_home / "registry.db"
    house.stop_registry()
    database.rename(database.with_name("elsewhere"))
    assert "there is neither" in ills(registry(house.founded.registry_home))["database"]
    assert not database.exists()


def test_the_command_says_it_as_json_and_by_its_exit_code(house):
    home = str(house.founded.node_home("aspen"))
    done = CliRunner().invoke(main, ["doctor", "--home", home, "--json"])
    assert done.exit_code == 0, done.output
    assert {"where", "what", "level", "said", "do"} == set(json.loads(done.stdout)[0])
    (house.founded.node_home("aspen") / "node.key").chmod(0o644)
    shown = CliRunner().invoke(main, ["doctor", "--home", home])
    assert shown.exit_code == 1
    assert "chmod 600" in shown.stdout


def test_a_folder_without_homes_is_refused_in_one_sentence(tmp_path):
    done = CliRunner().invoke(main, ["doctor", "--home", str(tmp_path)])
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)


def test_a_home_that_is_a_witness_alone_is_looked_at_as_one(house):
    home = house.founded.node_home("aspen")
    assert homes(home) == [(home, ["approved", "witness.key"])]
    (home / "approved").rename(home.parent / "elsewhere")
    assert homes(home) == [(home, ["witness.key"])]
    assert ills(witness(home)) == {}
    assert not {"ledger", "fleet key", "data", "service"} & {finding.what for finding in witness(home)}


def test_a_witness_whose_memory_was_altered_is_named(house):
    home = house.founded.node_home("aspen")
    opened = LenderWitness.open(home, house.founded.consortium.log.verifier)
    (origin,) = opened.logs
    (opened.folder / f"{origin_hash(origin)}.checkpoint").write_text("another's head\n", encoding="utf-8")
    assert "memory" in ills(witness(home))


def test_a_naming_service_believes_the_authority_in_its_home(house):
    home = house.founded.naming_home
    (home / "ca.crt").write_text("no certificate", encoding="utf-8")
    assert "ca.crt" in ills(names(home))["registry"]


def test_a_registry_whose_witnesses_are_away_says_which(tmp_path):
    def looked(up: int) -> dict[str, Level]:
        servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
        try:
            urls = {name: f"http://127.0.0.1:{s.getsockname()[1]}" for name, s in zip("abc", servers, strict=True)}
            root = tmp_path / str(up)
            found(root, list("abc"), Budget(1.0, 1e-5), urls)
        finally:
            for server in servers:
                server.close()
        with ExitStack() as stack:
            for name in list(urls)[:up]:
                port = int(urls[name].rpartition(":")[2])
                stack.enter_context(serve(Starlette(), port))
            findings = list(registry(root / "registry"))
        return {finding.what: finding.level for finding in findings if finding.what.startswith("witness")}

    assert set(looked(0).values()) == {Level.ILL}
    assert looked(3) == dict.fromkeys(("witness a", "witness b", "witness c"), Level.WELL)
