"""What somebody from outside types to verify a consortium of this machine, ready to paste."""

from __future__ import annotations

import json
from pathlib import Path
from shlex import join

from clients.home import SETTINGS_FILE


def verification(root: Path) -> str:
    """``tahini log verify`` for the workspace of ``tahini up``: its own registry's key and
    certificate authority."""
    return join(
        ["tahini", "log", "verify", *_anchors(root), "--ca", str(root.absolute() / "ca" / "ca.crt")]
    )


def verification_of_demo(root: Path, port: int = 8700) -> tuple[str, str]:
    """After ``tahini demo`` nothing runs: what serves its log again, and what verifies it."""
    home = str(root.absolute() / "registry")
    serve = join(["tahini", "log", "serve", "--home", home, "--read-only", "--port", str(port)])
    return f"{serve} &", join(
        ["tahini", "log", "verify", *_anchors(root, f"http://127.0.0.1:{port}")]
    )


def _anchors(root: Path, url: str = "") -> list[str]:
    """As a lender pinned them."""
    home = next(
        path for path in sorted((root / "lenders").iterdir()) if (path / SETTINGS_FILE).exists()
    )
    pinned = json.loads((home / SETTINGS_FILE).read_text(encoding="utf-8"))
    return [
        "--url",
        url or pinned["registry_url"],
        "--registry-key",
        pinned["registry_key"],
        "--consortium",
        str((home / "consortium.jws").absolute()),
        "--auditor",
        str(root.absolute() / "auditor"),
    ]
