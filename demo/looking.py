"""A workspace that ``tahini demo`` left is looked at: its registry, witnesses and pages are served
until whoever looks has seen enough. Nothing is trained, and the log goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import select

import clients.home
from clients.home import Node
from demo.borrowing import trust_issuer
from demo.errors import DemoError
from demo.pages import COUNTER_CLIENT, LOOPBACK, STAFF_PAGES, Address, addresses, make_pages, pages
from demo.processes import Process, running, wait_until_ready
from demo.workspaces import DESK_FOLDER, PORTAL_FOLDER, Kept, held
from desk.home import open_database
from desk.storage.tables import applications
from ops.processes import lasting_port
from protocol.parties import Consortium


@contextmanager
def looked_at(root: Path) -> Iterator[list[Address]]:
    """The pages of what a demo left, as long as the context lasts.

    Raises:
        DemoError: no demo left it, or not whole; or something did not start, such as where a port
            that its documents name is somebody else's now.
    """
    root = root.resolve()
    kept = Kept.of(root)
    if kept is None or kept.made_by != "demo" or not kept.whole:
        raise DemoError(f"{root} is not what tahini demo left at its end")
    with held(root), ExitStack() as stack:
        home = min(path for path in (root / "lenders").iterdir() if path.is_dir())
        node = json.loads((home / clients.home.SETTINGS_FILE).read_text(encoding="utf-8"))
        if not (root / PORTAL_FOLDER).exists():
            _prepare(root, str(node["registry_url"]))
        for process in [*_services(root, str(node["registry_url"])), *pages(root)]:
            started = stack.enter_context(running(root, process))
            wait_until_ready(root, started)
        yield addresses(root, somebody(root))


def somebody(root: Path) -> str:
    """The name at their lender of somebody to look as: who applied, where anybody did."""
    desk = root / DESK_FOLDER
    if desk.exists():
        database = open_database(desk)
        try:
            with database.read() as session:
                name = session.scalar(select(applications.c.pseudonym).limit(1))
        finally:
            database.close()
        if name is not None:
            return str(name)
    home = min(path for path in (root / "lenders").iterdir() if path.is_dir())
    return min(Node.open(home).store.everybody())


def _prepare(root: Path, registry_url: str) -> None:
    """Homes for the pages, and an issuer that the registry believes."""
    names = ["portal", "issuer", *STAFF_PAGES]
    has_desk = (root / DESK_FOLDER).exists()
    ports = {name: lasting_port() for name in [*names, *(["desk", "counter"] if has_desk else [])]}
    counters = {COUNTER_CLIENT: _lender_of(root)} if has_desk else {}
    lenders = sorted(path.name for path in (root / "lenders").iterdir() if path.is_dir())
    trust_issuer(root, f"http://{LOOPBACK}:{ports['issuer']}", counters, lenders)
    make_pages(root, registry_url, ports)


def _lender_of(root: Path) -> str:
    said = json.loads((root / DESK_FOLDER / "desk.json").read_text(encoding="utf-8"))
    return Path(said["node"]).name


def _services(root: Path, registry_url: str) -> Iterator[Process]:
    """Witnesses and registry, where the signed documents say that they are."""
    homes = sorted(path for path in (root / "lenders").iterdir() if path.is_dir())
    token = (root / "registry" / "consortium.jws").read_text(encoding="utf-8")
    witness = next(one for one in Consortium.claimed(token).policy.witnesses if one.url)
    named = [argument for home in homes for argument in ("--home", str(home))]
    at = urlsplit(str(witness.url)).netloc
    yield Process("witnesses", ("witness", "serve", *named, "--port", at.rpartition(":")[2]), at)
    port = str(urlsplit(registry_url).port)
    command = ("registry", "serve", "--home", str(root / "registry"), "--port", port)
    yield Process("registry", command, f"{registry_url}/healthz")
