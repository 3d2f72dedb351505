"""The pages of a workspace, where there is somebody to look at them: of borrowers, a lender, the
coordinator and the auditor, and the development issuer at which borrowers log in.

Each listens where its home says. What is for one institution's own people opens with the code of
that home.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import clients.home
from demo.borrowing import CLIENT_ID, issuer_of
from demo.processes import Process
from demo.workspaces import COUNTER_FOLDER, DESK_FOLDER, DEVELOPMENT_KEY, PORTAL_FOLDER
from fleet.tls import CA_CERT
from ops.settings import SERVE_FILE
from screens.console.home import SETTINGS_FILE as CONSOLE_FILE
from screens.counter.home import CounterSettings
from screens.homes import create_public_home
from screens.house.staff import staff_code
from screens.office.home import SETTINGS_FILE as OFFICE_FILE
from screens.portal.home import PortalSettings
from screens.viewer.home import LISTENING_FILE as VIEWER_FILE

LOOPBACK = "127.0.0.1"
"""The issuer believes anybody, so the pages are for this machine alone."""
COUNTER_CLIENT = "demo-counter"
STAFF_PAGES = ("console", "office", "viewer")


@dataclass(frozen=True)
class Address:
    """Pages to look at: whose, where, and how one comes in."""

    pages: str
    url: str
    opens: str


def make_pages(root: Path, registry_url: str, ports: Mapping[str, int]) -> None:
    """Homes and addresses for the pages of a workspace whose issuer and consortium are there.

    Args:
        ports: of ``portal`` and :data:`STAFF_PAGES`; of ``counter`` and ``desk`` where a lender has
            a desk.
    """
    said, document, authority = _pinned(root, registry_url)
    portal = f"http://{LOOPBACK}:{ports['portal']}"
    issuers = [{"issuer": issuer_of(root), "client_id": CLIENT_ID}]
    told = {**said, "origin": portal, "issuers": issuers}
    create_public_home(root / PORTAL_FOLDER, PortalSettings, told, document, authority)
    _listen(root / PORTAL_FOLDER / SERVE_FILE, ports["portal"])
    _listen(root / "coordinator" / CONSOLE_FILE, ports["console"])
    _listen(root / "auditor" / VIEWER_FILE, ports["viewer"])
    _listen(_office(root) / OFFICE_FILE, ports["office"], portal=portal)
    if (root / DESK_FOLDER).exists():
        issuers = [{"issuer": issuer_of(root), "client_id": COUNTER_CLIENT}]
        counter = {
            **said,
            "lender": _office(root).name,
            "desk_url": f"http://{LOOPBACK}:{ports['desk']}",
            "origin": f"http://{LOOPBACK}:{ports['counter']}",
            "issuers": issuers,
        }
        create_public_home(root / COUNTER_FOLDER, CounterSettings, counter, document, authority)
        _listen(root / COUNTER_FOLDER / SERVE_FILE, ports["counter"])


def pages(root: Path) -> Iterator[Process]:
    """What serves them, in workspaces that have any."""
    if not (root / PORTAL_FOLDER / PortalSettings.file).exists():
        return
    issuer = urlsplit(issuer_of(root))
    key = ("--key", str(root / DEVELOPMENT_KEY))
    yield Process("issuer", ("issuer", "serve", "--port", str(issuer.port), *key), issuer.netloc)
    yield _served(root / PORTAL_FOLDER, SERVE_FILE, "portal", "portal", "serve")
    yield _served(root / "coordinator", CONSOLE_FILE, "console", "console", "serve")
    desk = root / DESK_FOLDER
    told = ("--desk", str(desk)) if desk.exists() else ()
    yield _served(_office(root), OFFICE_FILE, "office", "office", "serve", *told)
    said, _, authority = _pinned(root, "")
    trust = ["--registry-key", said["registry_key"], "--url", _registry(root)]
    if authority is not None:
        trust += ["--ca", str(authority)]
    yield _served(root / "auditor", VIEWER_FILE, "viewer", "audit", "view", *trust)
    counter = root / COUNTER_FOLDER
    if counter.exists():
        at = urlsplit(
            json.loads((counter / CounterSettings.file).read_text(encoding="utf-8"))["desk_url"]
        )
        command = ("desk", "serve", "--home", str(desk), "--port", str(at.port))
        yield Process("desk", command, f"{at.geturl()}/healthz")
        yield _served(counter, SERVE_FILE, "counter", "counter", "serve")


def addresses(root: Path, person: str) -> list[Address]:
    """Where everything is to be looked at; ``person``: as whom to log in, and how."""
    served = {process.name: f"http://{process.ready}" for process in pages(root)}
    if not served:
        return []
    office = _office(root)
    found = [
        Address("borrowers' consents", served["portal"], f"log in as {person}"),
        Address(f"{office.name}'s staff", served["office"], f"code {staff_code(office)}"),
        Address("the coordinator", served["console"], f"code {staff_code(root / 'coordinator')}"),
        Address("the auditor", served["viewer"], f"code {staff_code(root / 'auditor')}"),
    ]
    if "counter" in served:
        found.append(Address(f"{office.name}'s borrowers", served["counter"], "log in likewise"))
    return found


def _office(root: Path) -> Path:
    """The home of the lender whose staff has pages: who has the desk, or the first."""
    desk = root / DESK_FOLDER / "desk.json"
    if desk.exists():
        return root / "lenders" / Path(json.loads(desk.read_text(encoding="utf-8"))["node"]).name
    return min(path for path in (root / "lenders").iterdir() if path.is_dir())


def _registry(root: Path) -> str:
    settings = _office(root) / clients.home.SETTINGS_FILE
    return str(json.loads(settings.read_text(encoding="utf-8"))["registry_url"])


def _pinned(root: Path, registry_url: str) -> tuple[dict[str, str], str, Path | None]:
    """What every lender knows of the registry: its key, the consortium document, its authority."""
    home = _office(root)
    node = json.loads((home / clients.home.SETTINGS_FILE).read_text(encoding="utf-8"))
    document = (home / "consortium.jws").read_text(encoding="utf-8")
    authority = root / "ca" / CA_CERT
    said = {"registry_url": registry_url, "registry_key": str(node["registry_key"])}
    return said, document, authority if authority.exists() else None


def _listen(settings: Path, port: int, **more: str) -> None:
    text = json.dumps({"host": LOOPBACK, "port": port, **more}, indent=2)
    settings.write_text(text, encoding="utf-8")


def _served(home: Path, settings: str, name: str, *command: str) -> Process:
    """``tahini`` and a command over a home, which listens where its settings say."""
    said = json.loads((home / settings).read_text(encoding="utf-8"))
    noun, verb, *more = command
    return Process(name, (noun, verb, "--home", str(home), *more), f"{said['host']}:{said['port']}")
