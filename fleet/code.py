"""The code hash: what a lender signs is every module of ours that its node imports, the tables of
law that they go by, and nothing else.

A campaign names this hash, lenders approve it, the registry puts it into each authorisation, and
the gate compares it with what is installed. Which modules count is read off the import statements
of the compiled code, from the modules that a node's processes start in: those inside functions too,
so the hash covers at least what runs. Code that a node never imports (the registry, commands,
screens) can change without a new signature.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from modulefinder import ModuleFinder
from pathlib import Path
from types import CodeType

NODE_ENTRIES = ("clients.app", "clients.service", "fleet.supernode")
"""Where a node's processes start: Flower's app of it, the service with its executor, the
SuperNode."""
COORDINATOR_ENTRIES = ("server.fleet_app", "server.executor")
OURS = frozenset(
    {
        "auditlog",
        "cli",
        "clients",
        "consent",
        "credit",
        "crypto",
        "demo",
        "desk",
        "exposure",
        "fleet",
        "law",
        "lending",
        "naming",
        "ops",
        "privacy",
        "protocol",
        "screens",
        "server",
        "watching",
    }
)
TABLES = {"law.packs": ("law/cn.toml", "law/eu.toml", "law/us.toml", "law/words.toml")}
"""Files beside a module that it reads when it is imported, and does as they say."""
_SCANNER = ModuleFinder()
"""Only for reading the import instructions of compiled code; it finds and loads nothing."""
Read = Callable[[str], bytes | None]
"""The content of a file by its path from above the rooms; None where there is none."""


def hash_files(files: Mapping[str, bytes]) -> str:
    """SHA-256 over (path, content hash) of every file, in the order of their paths."""
    digest = hashlib.sha256()
    for path, content in sorted(files.items()):
        digest.update(f"{path} {hashlib.sha256(content).hexdigest()}\n".encode())
    return digest.hexdigest()


def reachable(entries: Iterable[str], read: Read) -> dict[str, bytes]:
    """Every file of ours that these modules import, and what those import, by path.

    Raises:
        LookupError: an entry is not there. SyntaxError: a file is not Python.
    """
    files: dict[str, bytes] = {}
    waiting = list(entries)
    for entry in waiting:
        if _file_of(entry, read) is None:
            raise LookupError(f"the module {entry!r} is not there")
    seen: set[str] = set()
    while waiting:
        module = waiting.pop()
        if module in seen or module.partition(".")[0] not in OURS:
            continue
        seen.add(module)
        found = _file_of(module, read)
        if found is None:
            continue  # a name in a module, not a module
        path, content = found
        files[path] = content
        files |= {
            name: table for name in TABLES.get(module, ()) if (table := read(name)) is not None
        }
        waiting += _packages(module)
        waiting += _imported(content, path)
    return files


def _file_of(module: str, read: Read) -> tuple[str, bytes] | None:
    """A package goes before a module of the same name, as in Python."""
    folder = module.replace(".", "/")
    for path in (f"{folder}/__init__.py", f"{folder}.py"):
        content = read(path)
        if content is not None:
            return path, content
    return None


def _packages(module: str) -> Iterator[str]:
    """Those that a module is in: they are imported first."""
    while "." in module:
        module = module.rpartition(".")[0]
        yield module


def _imported(content: bytes, path: str) -> Iterator[str]:
    """What a file's import statements name, as modules; some are names in modules, which is found
    out later."""
    return _named(compile(content, path, "exec", dont_inherit=True, optimize=0), path)


def _named(code: CodeType, path: str) -> Iterator[str]:
    for kind, found in _SCANNER.scan_opcodes(code):
        if kind == "relative_import":
            raise SyntaxError(f"{path}: an import must name its room")
        if kind == "absolute_import":
            names, module = found
            if names and "*" in names and module.partition(".")[0] in OURS:
                raise SyntaxError(f"{path}: an import must name what it imports")
            yield module
            yield from (f"{module}.{name}" for name in names or ())
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _named(inner, path)


def _installed(path: str) -> bytes | None:
    # where this room stands the others do too, however installed
    file = Path(__file__).resolve().parents[1] / path
    return file.read_bytes() if file.is_file() else None


def installed_files(entries: Iterable[str] = NODE_ENTRIES) -> dict[str, bytes]:
    """What these modules import, as installed on this machine, by path from above the rooms."""
    return reachable(entries, _installed)


@cache
def _installed_reads() -> Mapping[str, bytes | None]:
    """Every path that was looked at to find the node's code on this machine, and what was there."""
    reads: dict[str, bytes | None] = {}

    def read(path: str) -> bytes | None:
        return reads.setdefault(path, _installed(path))

    reachable(NODE_ENTRIES, read)
    return reads


@cache
def installed_code() -> str:
    """The hash of the node's code as installed on this machine."""
    found = _installed_reads().items()
    return hash_files({path: content for path, content in found if content is not None})


def holds_installed(files: Mapping[str, bytes]) -> bool:
    """Whether the node's code in these files is what is installed on this machine, file by file.

    The same as to compare its hash, without compiling any of it: the search goes where what it has
    read leads it. Where all of its reads find what they found here, it finds the same files; where
    one does not, a file is another, is missing, or was added.
    """
    return all(files.get(path) == content for path, content in _installed_reads().items())
