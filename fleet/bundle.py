"""The Flower App Bundle (FAB) of this software: what a campaign names by hash, operators sign, and
executors compare.

The bundle *is* the installed code, file by file. A node never loads or installs a line of a bundle:
it compares the bundle's files with those that its operator installed, and runs these. So whoever
can send bundles can run nothing that the operator has not both signed and installed.
"""

from __future__ import annotations

import difflib
import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Literal

from fleet.code import COORDINATOR_ENTRIES, NODE_ENTRIES, installed_files
from fleet.errors import BundleRefused

MAX_BYTES = 32 << 20
MAX_FILES = 2000
_PROJECT = """
[project]
name = "tahini"
version = "{version}"
description = "Federated credit models under consent"
license = "Apache-2.0"
dependencies = ["flwr=={flwr}"]

[tool.flwr.app]
publisher = "tahini"
fab-include = ["**/*.py", "law/*.toml"]

[tool.flwr.app.components]
serverapp = "server.fleet_app:app"
clientapp = "clients.app:app"

[tool.flwr.app.config]
campaign = ""
"""


def build_bundle() -> bytes:
    """The bundle of the code that is installed here; the same bytes for the same code on the same
    machine."""
    from flwr.cli.build import build_fab_from_files

    project = _PROJECT.format(version=version("tahini"), flwr=version("flwr"))
    code = installed_files(NODE_ENTRIES + COORDINATOR_ENTRIES)
    bundle, _ = build_fab_from_files({"pyproject.toml": project.encode(), **code})
    return bytes(bundle)


def bundle_sha256(bundle: bytes) -> str:
    return hashlib.sha256(bundle).hexdigest()


def files_of(bundle: bytes) -> dict[str, bytes]:
    """The bundle's files by path, read in memory and executed nowhere.

    Raises:
        BundleRefused: not a bundle, or so large unpacked that no honest one is.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            if len(entries) > MAX_FILES or sum(entry.file_size for entry in entries) > MAX_BYTES:
                raise BundleRefused("the bundle is larger than any honest one")
            if len({entry.filename for entry in entries}) != len(entries):
                raise BundleRefused("the bundle holds two files of one name")
            return {entry.filename: archive.read(entry) for entry in entries}
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        raise BundleRefused(f"this is not a bundle ({error})") from error


@dataclass(frozen=True)
class Change:
    """One file that is other in a newer bundle."""

    path: str
    kind: Literal["added", "removed", "changed"]
    diff: tuple[str, ...]
    """Unified, without line ends."""


def changes(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> list[Change]:
    """What a reviewer must look at between two bundles' files, by path; Flower's own list of
    contents is left out."""
    found = []
    for path in sorted((before.keys() | after.keys()) - {".info/CONTENT"}):
        old, new = before.get(path), after.get(path)
        if old == new:
            continue
        kind: Literal["added", "removed", "changed"] = (
            "added" if old is None else "removed" if new is None else "changed"
        )
        was, becomes = (
            (content or b"").decode(errors="replace").splitlines() for content in (old, new)
        )
        diff = tuple(
            difflib.unified_diff(was, becomes, f"approved/{path}", f"proposed/{path}", lineterm="")
        )
        found.append(Change(path, kind, diff))
    return found
