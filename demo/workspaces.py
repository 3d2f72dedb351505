"""The folders that ``tahini demo`` and ``tahini up`` make: what is kept of them, who holds them,
how they are removed.

``workspace.json`` is the first file in a workspace: by which command it was made, and from what.
Whoever builds or stops one holds a lock on it. Only what these commands made is ever removed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from crypto.errors import CryptoError
from crypto.keys import replace_file
from demo.errors import DemoError
from protocol.errors import ConsentError
from protocol.parties import Consortium

KEPT_FILE, LOCK_FILE, PROCESSES_FILE = "workspace.json", "workspace.lock", "processes.json"
LOG_ORIGIN = "tahini.example/consent-log"
"""Of every consortium that the demo founds, and of no other."""
PARTIES = ("auditor", "coordinator", "lenders", "naming", "registry")
BORROWERS = PEOPLE_FOLDER, DEVELOPMENT_KEY = "borrowers", "development-issuer.key"
"""What :mod:`demo.borrowing` keeps: who is played, and the key by which they log in."""
PAGES = PORTAL_FOLDER, COUNTER_FOLDER = "portal", "counter"
"""Homes of pages that are no institution's own."""
DESK_FOLDER = "desk"
OURS = {
    *PARTIES,
    *BORROWERS,
    *PAGES,
    KEPT_FILE,
    LOCK_FILE,
    PROCESSES_FILE,
    "ca",
    DESK_FOLDER,
    "features.toml",
    "logs",
    "report.html",
    "report.json",
    "tls",
    "two-years",
}
"""What stands at the top of a workspace; whatever else is there, somebody put there."""
Kind = Literal["demo", "up"]


class Kept(BaseModel):
    """What is known of a workspace without opening any home in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    made_by: Kind
    made_at: datetime
    options: dict[str, str | int | None] = {}
    """What ``tahini up`` was told when it founded the consortium, paths absolute."""
    whole: bool = False
    """Whether it was founded to the end. What was not can be removed, and not brought up."""

    @classmethod
    def of(cls, root: Path) -> Kept | None:
        """What is kept in ``root``, if anything that can be read."""
        try:
            return cls.model_validate_json((root / KEPT_FILE).read_text(encoding="utf-8"))
        except (OSError, ValidationError, UnicodeDecodeError):
            return None

    def keep(self, root: Path) -> None:
        replace_file(root / KEPT_FILE, self.model_dump_json(indent=2).encode())


@contextmanager
def held(root: Path) -> Iterator[None]:
    """Hold a workspace, until this process ends at the latest; raises DemoError while another
    process does."""
    with (root / LOCK_FILE).open("a", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DemoError(f"another command is at work in {root}; wait for its end") from error
        yield


@contextmanager
def made(
    root: Path, made_by: Kind, options: dict[str, str | int | None] | None = None
) -> Iterator[Kept]:
    """Make a workspace and hold it; raises DemoError if there is something already."""
    try:
        root.mkdir(parents=True)
    except OSError as error:
        raise DemoError(f"{root} cannot be made: {error.strerror}") from error
    kept = Kept(made_by=made_by, made_at=datetime.now(UTC), options=options or {})
    kept.keep(root)
    with held(root):
        yield kept


def runs_there(root: Path) -> bool:
    """Whether a process of this machine was started with, or from, something in ``root``."""
    root = root.resolve()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            said = os.fsdecode((process / "cmdline").read_bytes()).split("\0")
            at = (process / "cwd").readlink()
        except OSError:
            continue  # it has ended, or is somebody else's
        if int(process.name) == os.getpid():
            continue
        if any(one and root in (at / one.rpartition("=")[2]).parents for one in said):
            return True
    return False


@dataclass(frozen=True)
class Workspace:
    """One that was found."""

    folder: str
    kind: Kind
    state: Literal["runs", "is down", "is done", "is unfinished"]
    made_at: str
    size: int
    """In bytes."""


def _is_ours(root: Path) -> bool:
    """Whether all of it was made by these commands: every party's home, and a log of a name that
    only they give."""
    if root.is_symlink() or not root.is_dir() or not {path.name for path in root.iterdir()} <= OURS:
        return False
    if Kept.of(root) is not None:
        return True
    if not all((root / name).is_dir() for name in PARTIES):
        return False
    try:
        token = (root / "registry" / "consortium.jws").read_text(encoding="utf-8")
        return Consortium.claimed(token).log_origin == LOG_ORIGIN
    except (OSError, ValueError, ConsentError, CryptoError):
        return False


def look(root: Path) -> Workspace | None:
    """The workspace in ``root``; nothing, if these commands did not make all of it."""
    if not _is_ours(root):
        return None
    kept = Kept.of(root)
    kind: Kind = kept.made_by if kept else "up" if (root / PROCESSES_FILE).exists() else "demo"
    files = [path.lstat() for path in root.rglob("*") if not path.is_dir() or path.is_symlink()]
    whole = kept.whole if kept else kind == "up" or (root / "report.json").exists()
    rested: Literal["is down", "is done"] = "is down" if kind == "up" else "is done"
    made_at = (
        kept.made_at if kept else datetime.fromtimestamp((root / "auditor").stat().st_mtime, UTC)
    )
    state = "runs" if is_busy(root) else rested if whole else "is unfinished"
    return Workspace(
        str(root),
        kind,
        state,
        made_at.isoformat(timespec="seconds"),
        sum(one.st_size for one in files),
    )


def is_busy(root: Path) -> bool:
    """Whether somebody works in it or runs from it."""
    try:
        with held(root):
            return runs_there(root)
    except DemoError:
        return True


def listed(under: Path) -> list[Workspace]:
    """The workspaces directly in a folder, the oldest first."""
    found = (
        (look(path) for path in sorted(under.iterdir()) if path.is_dir()) if under.is_dir() else ()
    )
    return sorted((one for one in found if one is not None), key=lambda one: one.made_at)


def remove(root: Path) -> None:
    """Remove a workspace with everything in it.

    Raises:
        DemoError: it runs, or these commands did not make all of it.
    """
    found = look(root)
    if found is None:
        there = (
            sorted({path.name for path in root.iterdir()} - OURS)
            if root.is_dir() and not root.is_symlink()
            else []
        )
        what = f": {there[0]} is not of their making" if there and Kept.of(root) else ""
        raise DemoError(f"{root} was not made by tahini demo or tahini up, and stays{what}")
    if found.state == "runs":
        raise DemoError(f"{root} runs; stop it first: tahini down --workspace {root}")
    with held(root):
        shutil.rmtree(root)


def as_json(found: list[Workspace]) -> list[dict[str, object]]:
    return [asdict(one) for one in found]
