"""A desk as a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import httpx
from support.house import Ground
from support.lending_house import clear, write_home
from support.waiting import PATIENCE_S, until

from crypto.keys import SigningKey
from desk.home import DeskSettings, create_desk
from ops.processes import free_port


def test_it_serves_until_it_is_told_to_end(ground: Ground, tmp_path: Path):
    copy = ground.copy(tmp_path / "house")
    home, risk, port = tmp_path / "desk", SigningKey.generate(), free_port()
    create_desk(home, DeskSettings(node=copy.founded.node_home("aspen"), risk_key=risk.public.text))
    write_home(home, risk, clear(tmp_path)[0])
    command = [sys.executable, "-m", "tahini", "desk", "serve", "--home", str(home), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answers() -> bool:
        assert process.poll() is None
        try:
            return httpx.get(f"http://127.0.0.1:{port}/healthz").json() == {"status": "ok"}
        except httpx.TransportError:
            return False

    try:
        until(answers, "the desk answered")
        nobody = httpx.get(f"http://127.0.0.1:{port}/v1/applications")
        assert (nobody.status_code, nobody.headers["content-type"]) == (401, "application/problem+json")
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()
