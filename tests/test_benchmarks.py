"""Every benchmark can be started; with TAHINI_EFFORT=0.3 or more each runs, of next to nothing."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.effort import slow

ROOT = Path(__file__).parents[1]
SMALL = {
    "noise": "--size 100 --repeat 1",
    "secure_sum": "--lenders 3 --size 20 --repeats 1",
    "clipping": "--repeats 1",
    "models": "--seeds 0 --lenders 3 --models scorecard",
    "large": "--rows 3000",
    "names": "--people 40 --workers 1",
    "rosters": "--people 100 --entries 1024 --proofs 4 --witnesses 3",
    "uses": "--people 20 --statements 20",
    "packs": "--people 60 --releases 4 --repeat 1",
    "registry": "--records 400 --borrowers 20 --lenders 2 --seconds 0.5 --repeat 1 --database sqlite",
    "log": "--seconds 0.5 --entries 300 --leaves 1000 --sample 5",
    "rounds": "--releases 3 --no-stock",
    "screens": "--consents 60 --seconds 0.5 --repeat 3",
    "console": "--releases 3",
    "renewal": "--seeds 0 1 --tables small",
    "watching": "--runs 1 --quiet-years 1 --cohorts 50 --people 5000 --repeat 1",
    "exposure": "--lenders 3 --questions 5 --warm-up 0",
    "lending": "--scale 0.0002 --only money --only scores --only decisions",
}
"""By benchmark. ``quality`` is the demo, once for each seed; ``yardsticks`` is a service that others start."""
STARTED = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
    for path in (ROOT / "benchmarks").rglob("*.py")
    if "\ndef main() -> None:" in path.read_text(encoding="utf-8")
)


def test_every_benchmark_is_run_small():
    assert {name.partition(".")[2] for name in STARTED} == {*SMALL, "quality", "yardsticks"}


@pytest.mark.parametrize("name", STARTED)
def test_a_benchmark_can_be_imported_and_reads_its_options(name, monkeypatch: pytest.MonkeyPatch, capsys):
    module = importlib.import_module(name if name != "benchmarks.lending" else f"{name}.__main__")
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        module.main()
    assert ended.value.code == 0 and "--help" in capsys.readouterr().out


@slow
@pytest.mark.parametrize("name", sorted(SMALL))
def test_a_benchmark_runs(name, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Whether it keeps its bars is not asked: an exit code of 1 with a report says that it does not."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    command = [sys.executable, "-m", f"benchmarks.{name}", "--json", *SMALL[name].split()]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=800)
    assert done.returncode in {0, 1}, done.stderr[-2000:]
    assert "Traceback" not in done.stderr, done.stderr[-2000:]
    assert json.loads(done.stdout)
