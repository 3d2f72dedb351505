"""The pages of a workspace, where there is somebody to look at them: the borrowers' portal, and the
development issuer at which they log in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from demo.borrowing import CLIENT_ID, issuer_of
from demo.processes import Process
from demo.workspaces import DEVELOPMENT_KEY
from fleet.tls import CA_CERT
from ops.settings import SERVE_FILE
from screens.portal.home import SETTINGS_FILE, create_portal_home

LOOPBACK = "127.0.0.1"
"""The issuer believes anybody, so the pages are for this machine alone."""
PORTAL_FOLDER, NODE_FILE = "portal", "node.json"


def make_portal(root: Path, registry_url: str, origin: str) -> None:
    """A home for the portal of a workspace whose authority, issuer and consortium are there."""
    node = next((root / "lenders").iterdir())
    said = {
        "registry_url": registry_url,
        "registry_key": json.loads((node / "node.json").read_text(encoding="utf-8"))[
            "registry_key"
        ],
        "origin": origin,
        "issuers": [{"issuer": issuer_of(root), "client_id": CLIENT_ID}],
    }
    document = (node / "consortium.jws").read_text(encoding="utf-8")
    home = root / PORTAL_FOLDER
    create_portal_home(home, said, document, root / "ca" / CA_CERT)
    serve = {"host": LOOPBACK, "port": urlsplit(origin).port}
    (home / SERVE_FILE).write_text(json.dumps(serve, indent=2), encoding="utf-8")


def portal_of(root: Path) -> str | None:
    """Where a workspace's portal is to be looked at; None where it has none."""
    settings = root / PORTAL_FOLDER / SETTINGS_FILE
    if not settings.exists():
        return None
    return str(json.loads(settings.read_text(encoding="utf-8"))["origin"])


def pages(root: Path) -> Iterator[Process]:
    """What serves them, in workspaces that have any."""
    origin = portal_of(root)
    if origin is None:
        return
    issuer = urlsplit(issuer_of(root))
    key = ("--key", str(root / DEVELOPMENT_KEY))
    yield Process("issuer", ("issuer", "serve", "--port", str(issuer.port), *key), issuer.netloc)
    home = ("--home", str(root / PORTAL_FOLDER))
    yield Process("portal", ("portal", "serve", *home), urlsplit(origin).netloc)
