"""The front door: the whole path with real processes and real Flower on a small slice, and bad input in one line."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pandas as pd
import pytest
from click.testing import CliRunner
from support.effort import slow
from support.waiting import PATIENCE_S, until
from support.world import loans

from credit.models import CreditModel
from crypto.keys import load_signing_key
from demo.loans import default_loans
from demo.looking import looked_at
from demo.workspaces import look, runs_there
from protocol.cards import ModelCard
from protocol.client.base import load_consortium
from protocol.client.borrowers import BorrowerClient
from screens.house.forms import new_once
from tahini import main

QUIET = {"OMP_NUM_THREADS": "1", "FLWR_TELEMETRY_ENABLED": "0", "RAY_USAGE_STATS_ENABLED": "0"}


def tahini(*args: str, **kwargs) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tahini", *args],
        check=False, capture_output=True, encoding="utf-8", timeout=800, env={**os.environ, **QUIET}, **kwargs,
    )  # fmt: skip


def one_sentence(done: subprocess.CompletedProcess[str]) -> str:
    """Exit code 1, one line on standard error that starts with the program's name, no traceback."""
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    lines = [line for line in done.stderr.splitlines() if line.startswith("tahini:")]
    assert lines, done.stderr
    return lines[0]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One real run on a slice of the packaged loans."""
    folder = tmp_path_factory.mktemp("demo")
    source = default_loans()
    source.table.drop(columns="city").head(2400).to_parquet(folder / "slice.parquet")
    done = tahini(
        "demo", "--data", str(folder / "slice.parquet"), "--target", "is_bad", "--lenders", "3", "--epsilon", "4",
        "--seed", "3", "--workspace", str(folder / "run"), "--json", str(folder / "out.json"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    return folder, done, json.loads((folder / "out.json").read_text(encoding="utf-8"))


def test_the_whole_path_runs_from_notice_to_audited_model(finished):
    folder, done, report = finished
    assert report["log"]["verified"] is True
    assert report["log"]["rosters"] == 3 * len(report["campaign"]["mechanism"]["releases"])
    assert report["log"]["entries"] == sum(report["log"]["by_type"].values())
    assert report["withdrawn_seen_after"] == 0
    assert report["consent"]["withdrawn"] == 101
    assert report["consent"]["enrolled"] == sum(report["consent"][k] for k in ("given", "refused", "silent"))
    assert 0 < report["epsilon_spent"] <= 4
    assert report["delta"] == 1e-5
    assert report["seed"] == 3
    assert "consortium" in done.stdout
    assert (folder / "run" / "report.json").read_text(encoding="utf-8") == (folder / "out.json").read_text(
        encoding="utf-8"
    )


def test_every_metric_names_consortium_ceiling_and_each_lender(finished):
    report = finished[2]
    lenders = set(report["data"]["lenders"])
    for metric in ("auc", "ks", "gini", "brier", "ece"):
        assert set(report[metric]) == {"consortium", "pooled_reference", "alone"}
        assert set(report[metric]["alone"]) == lenders
    assert report["auc"]["consortium"] > 0.6


def test_every_exact_figure_is_marked_as_such_and_none_that_a_consortium_has(finished):
    report = finished[2]
    assert "not private, for the demo only" in report["not_private"]["note"]
    for name in report["not_private"]["figures"]:
        found = report
        for part in name.split("."):
            found = (found[0] if isinstance(found, list) else found)[part]
    assert "evaluation" not in report["not_private"]["figures"]
    assert "not private, for the demo only" in finished[1].stdout


def test_rosters_shrink_by_exactly_those_who_withdrew(finished):
    report = finished[2]
    rounds = {r["round"]: sum(r["roster"].values()) for r in report["rounds"]}
    held = report["withdrawn_after_round"]
    assert rounds[held] - rounds[held + 1] == report["consent"]["withdrawn"]


def test_epsilon_grows_with_every_round(finished):
    spent = [r["epsilon"] for r in finished[2]["rounds"]]
    assert spent == sorted(spent)
    assert spent[-1] < finished[2]["epsilon_spent"], "and calibration costs as well"


def test_the_report_is_self_contained(finished):
    html = (finished[0] / "run" / "report.html").read_text(encoding="utf-8")
    assert html.count("<svg") == 5
    fetched = re.findall(r"""(?:src|href)\s*=\s*["'](?!#)|url\((?!#)|@import""", html)
    assert fetched == []
    assert "借款人" in html


def test_model_and_card_can_be_used_and_verified_afterwards(finished):
    folder, _, report = finished
    home = folder / "run" / "coordinator" / "campaigns" / report["campaign"]["sha256"]
    model = CreditModel.load(home / "model.safetensors")
    probability = model.probability(default_loans().table.head(100))
    assert ((probability > 0) & (probability < 1)).all()
    key = load_signing_key(folder / "run" / "coordinator" / "coordinator.key").public
    card = ModelCard.verify((home / "model-card.jws").read_text(encoding="utf-8"), key)
    assert card.campaign_sha256 == report["campaign"]["sha256"]


def test_no_private_file_can_be_read_by_others(finished):
    for path in (finished[0] / "run").rglob("*"):
        if path.suffix in {".key", ".db", ".parquet"}:
            assert path.stat().st_mode & 0o077 == 0, path


def test_no_log_names_a_borrower(finished):
    run = finished[0] / "run"
    text = "".join(path.read_text(errors="replace", encoding="utf-8") for path in (run / "logs").glob("*.log"))
    names = pd.read_parquet(run / "lenders" / "aspen" / "book.parquet", columns=["pseudonym"])["pseudonym"]
    assert not any(name in text for name in names)


def test_the_log_can_be_verified_again_from_the_command_line(finished):
    from ops.processes import free_port

    run = finished[0] / "run"
    port = free_port()
    serve = [sys.executable, "-m", "tahini", "registry", "serve", "--home", str(run / "registry"), "--port", str(port)]
    registry = subprocess.Popen(serve, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        key = load_signing_key(run / "registry" / "registry.key").public
        consortium = load_consortium(run / "coordinator" / "consortium.jws", key)
        with BorrowerClient(f"http://127.0.0.1:{port}", consortium) as client:
            client.patience_s = PATIENCE_S
            client.checkpoint_note()
        done = tahini(
            "log", "verify", "--url", f"http://127.0.0.1:{port}", "--auditor", str(run / "auditor"), "--json",
            "--consortium", str(run / "coordinator" / "consortium.jws"), "--registry-key", key.text,
            "--since", str(run / "auditor" / "first.checkpoint"),
        )  # fmt: skip
    finally:
        registry.send_signal(signal.SIGTERM)
        registry.wait(PATIENCE_S)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["entries"] == finished[2]["log"]["entries"]


def test_what_a_demo_left_can_be_looked_at(finished):
    root = finished[0] / "run"
    with looked_at(root) as found:
        assert {one.pages for one in found} >= {"borrowers' consents", "the coordinator", "the auditor"}
        for one in found:
            assert httpx.get(f"{one.url}/enter" if one.opens.startswith("code") else one.url).is_success, one
        code = next(one for one in found if one.pages == "the coordinator")
        with httpx.Client(base_url=code.url, headers={"Sec-Fetch-Site": "same-origin"}) as http:
            form = {"once": new_once(), "code": code.opens.removeprefix("code "), "back": "/"}
            entered = http.post("/enter", data=form)
            assert entered.status_code == 303
            kept = {"Cookie": entered.headers["set-cookie"].partition(";")[0]}
            assert "Joint credit model" in http.get("/", headers=kept).text
    assert look(root) is not None, "all of it is known to be ours"
    assert not runs_there(root)


@slow
def test_the_loop_closes_over_real_processes(tmp_path: Path):
    """Trained, lent with for two years, trained again on what was lent: on a slice, and few applications."""
    default_loans().table.drop(columns="city").head(3000).to_parquet(tmp_path / "slice.parquet")
    schema = Path(__file__).parents[1] / "demo" / "loans.toml"
    done = tahini(
        "demo", "--data", str(tmp_path / "slice.parquet"), "--target", "is_bad", "--features", str(schema),
        "--lenders", "3", "--epsilon", "4", "--applications", "40", "--workspace", str(tmp_path / "run"),
        "--json", str(tmp_path / "out.json"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    report = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    loop = report["loop"]
    assert loop["applications"] == sum(loop["decided"].values()) == 40
    assert loop["standing"]["loans"] == sum(one["loans"] for one in loop["standing"]["vintages"]) > 0
    assert loop["book"]["rows"] >= loop["own"] > 0
    assert report["log"]["by_type"]["model.released"] == 2
    assert report["log"]["rosters"] == 2 * 3 * len(report["campaign"]["mechanism"]["releases"])
    assert report["withdrawn_seen_after"] == 0, "in the second campaign neither"
    assert 4 < loop["cap"] < 8 and loop["epsilon_spent"] <= 4
    assert loop["auc"]["again"] > 0.6
    html = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert html.count("<svg") == 8 and "Two years of lending" in html
    found = look(tmp_path / "run")
    assert found is not None and found.state == "is done", "all of it is the demo's own, and can be cleaned away"
    names = pd.read_parquet(tmp_path / "run" / "two-years" / "own-loans.parquet")["pseudonym"]
    assert not any(name in html + json.dumps(report) for name in names)


@slow
def test_the_registry_killed_mid_run_is_one_sentence_and_no_model(tmp_path):
    loans(900, 1).to_parquet(tmp_path / "t.parquet")
    run = tmp_path / "run"
    demo = subprocess.Popen(
        [sys.executable, "-m", "tahini", "demo", "--data", str(tmp_path / "t.parquet"), "--target", "bad", "--lenders",
         "2", "--workspace", str(run), "--json", str(tmp_path / "out.json")],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8", env={**os.environ, **QUIET},
    )  # fmt: skip
    released = "coordinator/campaigns/*/release-002.npz"
    until(lambda: demo.poll() is not None or list(run.glob(released)), "the second release was made")
    assert demo.poll() is None, demo.stderr.read()
    pids = subprocess.run(
        ["pgrep", "-f", f"registry serve --home {run}"],
        check=True,
        capture_output=True,
        encoding="utf-8",
    ).stdout.split()
    assert pids
    os.kill(int(pids[0]), signal.SIGKILL)
    _, errors = demo.communicate(timeout=300)
    assert demo.returncode == 1
    assert "Traceback" not in errors
    assert "consent registry" in errors
    assert "does not answer" in errors
    assert not (tmp_path / "out.json").exists()
    assert not list(run.rglob("report.*"))
    assert not list(run.rglob("model.safetensors"))


BAD = {
    "a missing target": (["--target", "nope"], "column 'nope' is missing"),
    "a missing partition": (["--target", "bad", "--partition", "nope"], "partition column 'nope' is missing"),
    "a target that is not binary": (["--target", "late"], "must hold 0 (good) and 1 (bad)"),
    "a text target": (["--target", "grade"], "must hold 0 (good) and 1 (bad)"),
    "no target": ([], "--target"),
    "epsilon zero": (["--target", "bad", "--epsilon", "0"], "epsilon must be greater than 0"),
    "epsilon below zero": (["--target", "bad", "--epsilon", "-1"], "epsilon must be greater than 0"),
    "epsilon not a number": (["--target", "bad", "--epsilon", "nan"], "epsilon must be greater than 0"),
    "one lender": (["--target", "bad", "--lenders", "1"], "2 to 10 lenders"),
    "too many lenders for the partition": (
        ["--target", "bad", "--partition", "grade", "--lenders", "5"],
        "3 distinct values, too few for 5 lenders",
    ),
    "an empty lender": (["--target", "bad", "--partition", "rare", "--lenders", "2"], "lender 'birch' would have"),
    "a json path in no folder": (["--target", "bad", "--json", "/nowhere/at/all.json"], "/nowhere/at does not exist"),
}


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("bad") / "loans.parquet"
    frame = loans(400, 2)
    frame.assign(rare=["x"] * 395 + ["y"] * 5).to_parquet(path)
    return path


@pytest.mark.parametrize("case", list(BAD))
def test_bad_input_is_one_sentence_and_leaves_nothing(table, tmp_path, case):
    """In this process, but for the first: starting one takes two seconds."""
    args, expected = BAD[case]
    command = ["demo", "--data", str(table), "--workspace", str(tmp_path / "run"), *args]
    if case == next(iter(BAD)):
        assert expected in one_sentence(tahini(*command))
    done = CliRunner().invoke(main, command)
    assert (done.exit_code, "Traceback" in done.output) == (1, False)
    assert expected in next(line for line in done.stderr.splitlines() if line.startswith("tahini:"))
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_category_is_named_with_its_column(tmp_path):
    loans(400, 2).assign(grade="z").to_parquet(tmp_path / "t.parquet")
    registry = tmp_path / "features.toml"
    registry.write_text(
        'name = "t"\ntarget = "bad"\noutcomes_since = 2026-01-01\n[[features]]\nname = "grade"\nkind = "category"\n'
        'category = "bureau"\nsource = "grade"\nrelevance = "Tests learn."\nvalues = ["a"]\n',
        encoding="utf-8",
    )
    done = tahini(
        "demo", "--data", str(tmp_path / "t.parquet"), "--target", "bad", "--features", str(registry),
        "--workspace", str(tmp_path / "run"),
    )  # fmt: skip
    sentence = one_sentence(done)
    assert "column 'grade'" in sentence
    assert "unknown category in 320 rows" in sentence or "unknown category in 400 rows" in sentence


def test_an_existing_workspace_is_left_alone(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("keep", encoding="utf-8")
    assert "exists already" in one_sentence(tahini("demo", "--workspace", str(tmp_path / "run")))
    assert (tmp_path / "run" / "mine.txt").read_text(encoding="utf-8") == "keep"


def test_help_has_examples():
    assert "Examples" in tahini("demo", "--help").stdout
    assert {"demo", "registry", "log"} <= set(tahini("--help").stdout.split())
