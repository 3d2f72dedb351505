"""Campaigns over networks that delay, lose, part and hide behind a proxy (``trials.network`` builds them)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.deployment import LENDERS
from support.effort import slow

TESTS = Path(__file__).parent
pytestmark = [
    slow,
    pytest.mark.skipif(
        os.geteuid() != 0 or not Path("/dev/net/tun").exists() or shutil.which("unshare") is None,
        reason="network namespaces need root, /dev/net/tun, unshare and nsenter",
    ),
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def trials():
    """All of them in one consortium, one after the other, in a namespace of their own."""
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-m", "trials.network"], check=False,
        cwd=TESTS, env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])},
        capture_output=True, encoding="utf-8",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    "trial", ["a clean network, one node behind a proxy", "300 ms later, 5% lost", "everybody cut off for 5 s",
              "birch is back"],
)  # fmt: skip
def test_everybody_takes_part_in_every_release(trials, trial):
    assert (trials[trial]["stage"], trials[trial]["lenders"]) == ("released", sorted(LENDERS)), trials[trial]


def test_a_lender_that_is_cut_off_is_dropped_and_the_others_go_on(trials):
    found = trials["birch cut off for good"]
    assert (found["stage"], found["lenders"], found["lost"]) == ("released", ["aspen", "cedar"], [["birch"]])
    assert found["attempts"]["birch"] < found["attempts"]["aspen"], "who does not answer is not charged"
