"""A whole consortium as processes of this machine, with TLS, that stay until they are stopped.

What must stay stands in the homes; what runs, in ``processes.json`` (:mod:`demo.processes`).
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import tomli_w

from clients.service import STATUS_FILE, running
from crypto.keys import replace_file
from demo.assessing import assess
from demo.borrowers import DemoBorrower
from demo.borrowing import trust_issuer
from demo.consortium import Founded, found
from demo.errors import DemoError
from demo.lending import is_known_to_sources, publish
from demo.loans import Loans, split
from demo.pages import LOOPBACK, STAFF_PAGES, make_pages, pages
from demo.population import ask_everybody, await_log, categories_of, import_books
from demo.processes import (
    START_TIMEOUT_S,
    Process,
    address,
    is_running,
    keep,
    processes,
    start,
    stop_all,
    tail,
    wait_until_ready,
)
from demo.result import ProgressView
from demo.standing_desk import found_desk, know_customers
from demo.workspaces import Kept, held, made
from fleet.tls import CA_CERT, create_authority, issue
from ops.certificates import expires_at
from ops.processes import lasting_port
from ops.settings import SERVE_FILE
from privacy.charges import Budget
from protocol.notices import Notice
from server.home import SETTINGS_FILE, Coordinator

DELTA, EPSILON = 1e-5, 8.0
RENEW_BEFORE = timedelta(days=21)
DESK_PAGES = ("desk", "counter")
"""Of the first lender, where the demo's sources know the loans."""
SERVED = ("registry", "naming", "witnesses", "superlink", "issuer", "portal")
"""What has an address of its own, besides the pages of institutions' people."""
RELEASE_S = 10.0
"""What was killed a moment ago has children that still end, and hold its ports so long."""


@dataclass(frozen=True)
class Deployment:
    """A consortium that runs on this machine, and the borrowers' own keys, which nobody else
    holds."""

    founded: Founded
    processes: tuple[Process, ...]
    notice: Notice
    borrowers: tuple[DemoBorrower, ...]


@dataclass(frozen=True)
class Place:
    """Where a consortium runs, if not all of it on loopback and in files."""

    host: str = "127.0.0.1"
    """Address of the services."""
    database: str | None = None
    """The registry's, a postgresql:// URL; SQLite without one."""
    inside: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Commands that lenders' nodes run inside, by lender."""
    options: dict[str, str | int | None] | None = None
    """How all of that was asked for, to be kept: :func:`up_again` is then asked for the same."""


def up(
    root: Path,
    loans: Loans,
    lenders: int,
    seed: int,
    view: ProgressView,
    place: Place | None = None,
) -> Deployment:
    """Found a consortium under ``root``, start everybody, name and ask its borrowers.

    Raises:
        DemoError: there is something at ``root``, or a process did not start; what had started is
            stopped.
    """
    place = place or Place()
    root = root.resolve()
    with made(root, "up", place.options) as kept:
        view.begin("Found the consortium")
        parts = split(loans, lenders, seed)
        lends = place.host == LOOPBACK and is_known_to_sources(loans)
        more = DESK_PAGES if lends else ()
        ports = {name: lasting_port(place.host) for name in (*SERVED, *STAFF_PAGES, *more)}
        url, naming, witnesses = (
            f"https://{place.host}:{ports[name]}" for name in ("registry", "naming", "witnesses")
        )
        founded = found(
            root,
            list(parts.lenders),
            Budget(EPSILON, DELTA),
            {name: f"{witnesses}/{name}" for name in parts.lenders},
            database=place.database,
        )
        founded.connect(url, naming, f"{place.host}:{ports['superlink']}")
        trust_issuer(root, f"http://{place.host}:{ports['issuer']}")
        os.environ["SSL_CERT_FILE"] = str(create_authority(root / "ca", founded.consortium.name))
        names = tuple(lender.id for lender in founded.consortium.lenders)
        _listen(root, names, place.host, ports)
        _certify(root, names, place.host)
        if lends:
            found_desk(root, founded, names[0])
        if place.host == LOOPBACK:  # its log-in believes anybody, so it is for this machine alone
            make_pages(root, url, ports)
        features = tomli_w.dumps(loans.schema.model_dump(mode="json", exclude_none=True))
        (root / "features.toml").write_text(features, encoding="utf-8")
        view.end(f"{len(founded.consortium.parties)} parties with keys, one certificate authority")

        view.begin("Start registry, naming service and witnesses")
        (root / "logs").mkdir()
        started: list[Process] = []
        try:
            _start_all(root, _services(root, names), started)
            view.end(url)
            view.begin("Name the borrowers and import the loan books")
            people = import_books(founded, parts, loans.schema, view)
            view.end("no identity number left its lender")
            notice, borrowers = ask_everybody(
                founded, url, people, seed, categories_of(loans.schema), view
            )
            if lends:
                know_customers(root, names[0], borrowers, parts)
                publish(founded, names[0], url)
            await_log(founded, url)
            coordinator = Coordinator.open(founded.coordinator_home)
            assess(coordinator, loans.schema.model_dump(mode="json"))
            view.begin("Start the coordinator, the nodes and the pages")
            _start_all(root, [*_fleet(root, names, place.inside), *pages(root)], started)
            _wait_for_nodes(root, names)
            view.end(
                f"the SuperLink listens at {place.host}:{ports['superlink']}; {len(names)} nodes "
                "serve"
            )
        except BaseException:
            stop_all(root)
            raise
        kept.model_copy(update={"whole": True}).keep(root)
    return Deployment(founded, tuple(started), notice, tuple(borrowers))


def up_again(
    root: Path, asked: Mapping[str, str | int | None], view: ProgressView
) -> list[Process]:
    """Start those processes of a consortium that do not run: after ``tahini down``, after a kill,
    after a reboot.

    Keys, addresses, ledgers and campaigns are those that are there. Certificates of a machine that
    was off for months have expired: they are issued anew.

    Args:
        asked: options that were given; each must be what the consortium was founded with.

    Raises:
        DemoError: ``root`` holds no consortium that was founded to the end, or another than was
            asked for; one of its ports is taken; a process did not start.
    """
    root = root.resolve()
    kept = Kept.of(root)
    if kept is None or kept.made_by != "up":
        raise DemoError(
            f"{root} exists, and is no workspace that tahini up can start again; name another: "
            "--workspace"
        )
    if not kept.whole:
        raise DemoError(
            f"{root} was never founded to its end; remove it: tahini workspaces clean {root}"
        )
    for name, value in asked.items():
        if kept.options.get(name) != value:
            raise DemoError(
                f"the consortium in {root} was founded with --{name} {kept.options.get(name)}, not "
                f"{value}: leave --{name} out, or found another with --workspace"
            )
    with held(root):
        names = tuple(sorted(path.name for path in (root / "lenders").iterdir() if path.is_dir()))
        before = {process.name: process for process in processes(root)}
        running = {name: process for name, process in before.items() if is_running(process)}
        inside = {name: process.inside for name, process in before.items() if process.inside}
        services = list(_services(root, names))
        fleet = [*_fleet(root, names, inside), *pages(root)]
        missing = [process for process in [*services, *fleet] if process.name not in running]
        view.begin("Look at ports and certificates")
        for process in missing:
            _require_free(root, process)
        if missing:
            _certify(root, names, urlsplit(f"//{services[0].ready}").hostname or "127.0.0.1")
        os.environ["SSL_CERT_FILE"] = str(root / "ca" / CA_CERT)
        view.end(f"{len(running)} of {len(services) + len(fleet)} processes run already")
        started = list(running.values())
        for what, group in (
            ("registry, naming service and witnesses", services),
            ("coordinator, nodes and pages", fleet),
        ):
            view.begin(f"Start {what}")
            _start_all(root, [process for process in group if process.name not in running], started)
            view.end(f"{len(group)} run")
        view.begin("Wait for the nodes")
        _wait_for_nodes(root, names)
        view.end(f"{len(names)} nodes serve")
    return started


def _start_all(root: Path, wanted: Iterable[Process], started: list[Process]) -> None:
    """Start processes, remember each at once, and wait until all of them answer."""
    begun = []
    for process in wanted:
        # said by one that is gone
        (root / "lenders" / process.name / "run" / STATUS_FILE).unlink(missing_ok=True)
        begun.append(start(root, process))
        started.append(begun[-1])
        keep(root, started)
    for process in begun:
        wait_until_ready(root, process)


def _listen(root: Path, lenders: Sequence[str], host: str, ports: Mapping[str, int]) -> None:
    """Say in the homes where their services listen; certificates are named from there, so that a
    folder can move."""
    for name, home, to_tls in (
        ("registry", root / "registry", "../tls"),
        ("naming", root / "naming", "../tls"),
        ("witnesses", root / "lenders" / lenders[0], "../../tls"),
    ):
        serve = {
            "host": host,
            "port": ports[name],
            "certificate": f"{to_tls}/{name}.crt",
            "certificate_key": f"{to_tls}/{name}.key",
        }
        (home / SERVE_FILE).write_text(json.dumps(serve, indent=2), encoding="utf-8")


def _certify(root: Path, lenders: Sequence[str], host: str) -> None:
    """A certificate for every server that has none, or none for long; in every home, the authority
    that vouches."""
    tls = root / "tls"
    for name in ("registry", "naming", "witnesses", "coordinator"):
        path = tls / f"{name}.crt"
        if not path.exists() or expires_at(path) < datetime.now(UTC) + RENEW_BEFORE:
            issue(root / "ca", tls, name, [host, "localhost"])
    shutil.copyfile(tls / "coordinator.crt", root / "coordinator" / "coordinator.crt")
    replace_file(
        root / "coordinator" / "coordinator.tls.key", (tls / "coordinator.key").read_bytes()
    )
    for home in ("coordinator", "registry", "naming", *(f"lenders/{name}" for name in lenders)):
        shutil.copyfile(root / "ca" / CA_CERT, root / home / CA_CERT)


def _address(home: Path, settings: str) -> str:
    """Where the service of this home listens, as its settings say."""
    try:
        said = json.loads((home / settings).read_text(encoding="utf-8"))
        return f"{said['host']}:{int(said['port'])}"
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DemoError(f"{home / settings} does not say where its service listens") from error


def _services(root: Path, lenders: Sequence[str]) -> Iterator[Process]:
    first = root / "lenders" / lenders[0]
    homes = [str(root / "lenders" / name) for name in lenders]
    named = tuple(argument for home in homes for argument in ("--home", home))
    yield Process("witnesses", ("witness", "serve", *named), _address(first, SERVE_FILE))
    for name, room in (("registry", "registry"), ("naming", "names")):
        home = root / name
        yield Process(
            name,
            (room, "serve", "--home", str(home)),
            f"https://{_address(home, SERVE_FILE)}/healthz",
        )


def _fleet(
    root: Path, lenders: Sequence[str], inside: Mapping[str, tuple[str, ...]]
) -> Iterator[Process]:
    home = root / "coordinator"
    yield Process(
        "coordinator", ("coordinator", "serve", "--home", str(home)), _address(home, SETTINGS_FILE)
    )
    for name in lenders:
        yield Process(
            name,
            ("node", "serve", "--home", str(root / "lenders" / name)),
            inside=inside.get(name, ()),
        )


def _require_free(root: Path, process: Process) -> None:
    """Raises DemoError if somebody else listens where ``process`` must: its address stands in
    signed documents."""
    if not process.ready:
        return
    host, port = address(process.ready)
    deadline = time.monotonic() + RELEASE_S
    while (reason := _taken(host, port)) is not None:
        if time.monotonic() > deadline:
            raise DemoError(
                f"port {port}, where everybody in {root} looks for {process.name}, cannot be had "
                f"({reason}); who has "
                f"it says: ss -ltnp 'sport = :{port}'. Stop that, then: tahini up --workspace "
                f"{root}"
            )
        time.sleep(0.2)


def _taken(host: str, port: int) -> str | None:
    """Why nobody can listen there, if so."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror or str(error)
    return None


def _wait_for_nodes(root: Path, lenders: Sequence[str]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    at = {process.name: process for process in processes(root)}
    for name in lenders:
        while not running(root / "lenders" / name):
            log = root / "logs" / f"{name}.log"
            if not is_running(at[name]):
                raise DemoError(f"{name}'s node ended at its start ({tail(log)})")
            if time.monotonic() > deadline:
                raise DemoError(f"{name}'s node does not serve ({tail(log)})")
            time.sleep(0.1)
