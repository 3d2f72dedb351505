"""The plan of the house, measured: ``python -m trials.house`` prints each room, and fails on what
the plan forbids.

Forbidden are circles of modules, imports that run upwards (the contract in pyproject.toml), more
parameters than ``MAX_PARAMETERS`` outside ``cli/``, lines that the formatter must not touch, and
one class name in two rooms.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
NO_ROOMS = frozenset({"benchmarks", "trials"})
MAX_PARAMETERS = 6
UNTOUCHED = "fmt: " + "skip"


@dataclass(frozen=True)
class Module:
    """One file of a room."""

    name: str
    path: Path
    text: str = field(repr=False)

    @property
    def room(self) -> str:
        return self.name.partition(".")[0]

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def lines(self) -> int:
        return self.text.count("\n")

    def imports(self) -> Iterator[str]:
        """Every module that is named, and every name of one: which of them is a module the caller
        knows."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield node.module
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms() -> list[str]:
    return sorted(
        path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name not in NO_ROOMS
    )


def modules() -> dict[str, Module]:
    """Every module of every room, by its name."""
    found = {}
    for path in sorted(path for room in rooms() for path in (ROOT / room).rglob("*.py")):
        if "migrations" in path.parts:
            continue  # history: never changed again
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = Module(name, path, path.read_text(encoding="utf-8"))
    return found


def arrows(house: Mapping[str, Module]) -> dict[str, set[str]]:
    """Which modules each one imports; a package that only lists its modules is no module."""
    return {
        name: {other for other in module.imports() if other in house and other != name}
        for name, module in house.items()
        if module.path.name != "__init__.py"
    }


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Strongly connected modules, more than one (Tarjan)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in sorted(graph.get(name, ())):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            ring = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(ring) > 1:
                found.append(sorted(ring))

    for name in sorted(graph):
        if name not in index:
            visit(name)
    return found


def floors() -> dict[str, int]:
    """Each room's floor, the lowest first, from the layers of the import contract."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
        "importlinter"
    ]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return {
        room.strip(): floor
        for floor, layer in enumerate(reversed(layers))
        for room in layer.split("|")
    }


def upward(graph: Mapping[str, set[str]], floor: Mapping[str, int]) -> list[str]:
    """Imports that do not run downwards."""
    found = []
    for name, others in graph.items():
        for other in sorted(others):
            mine, theirs = name.partition(".")[0], other.partition(".")[0]
            if mine != theirs and floor[theirs] >= floor[mine]:
                found.append(f"{name} imports {other}")
    return found


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef, method: bool) -> int:
    """How many a caller may give; ``self`` and ``cls`` are none."""
    given = function.args
    static = any(
        isinstance(one, ast.Name) and one.id == "staticmethod" for one in function.decorator_list
    )
    own = 1 if method and not static else 0
    return len(given.posonlyargs) + len(given.args) + len(given.kwonlyargs) - own


def functions(
    tree: ast.AST, inside: bool = False
) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, bool]]:
    """Every function, and whether it is a class's own."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node, inside
        yield from functions(node, isinstance(node, ast.ClassDef))


def overloaded(house: Mapping[str, Module]) -> list[str]:
    """Functions with too many parameters, outside ``cli``, where each is an option of a command."""
    return [
        f"{module.path.relative_to(ROOT)}:{function.lineno} {function.name} has {count} parameters"
        for module in house.values()
        if module.room != "cli"
        for function, method in functions(module.tree)
        if (count := parameters(function, method)) > MAX_PARAMETERS
    ]


def untouched(house: Mapping[str, Module]) -> list[str]:
    return [
        f"{module.path.relative_to(ROOT)}:{number}"
        for module in house.values()
        for number, line in enumerate(module.text.splitlines(), 1)
        if UNTOUCHED in line
    ]


def shared_names(house: Mapping[str, Module]) -> list[str]:
    """Public class names that two rooms define: one word for two things."""
    where: dict[str, set[str]] = defaultdict(set)
    for module in house.values():
        for node in module.tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                where[node.name].add(module.name)
    return [
        f"{name}: {', '.join(sorted(places))}"
        for name, places in sorted(where.items())
        if len({place.partition(".")[0] for place in places}) > 1
    ]


def faults(house: Mapping[str, Module]) -> dict[str, list[str]]:
    """What the plan forbids, by kind."""
    graph = arrows(house)
    return {
        "circles": [" -> ".join(ring) for ring in circles(graph)],
        "imports that run upwards": upward(graph, floors()),
        f"functions with more than {MAX_PARAMETERS} parameters": overloaded(house),
        f"lines with {UNTOUCHED}": untouched(house),
        "class names in two rooms": shared_names(house),
    }


def main() -> int:
    house = modules()
    graph = arrows(house)
    table = Table("room", "modules", "lines", "imports")
    for room, _ in sorted(floors().items(), key=lambda item: -item[1]):
        own = [module for module in house.values() if module.room == room]
        others = {
            other.partition(".")[0] for module in own for other in graph.get(module.name, ())
        } - {room}
        table.add_row(
            room, str(len(own)), str(sum(module.lines for module in own)), " ".join(sorted(others))
        )
    console = Console()
    console.print(table)
    wrong = faults(house)
    for kind, found in wrong.items():
        console.print(f"{kind}: {len(found)}", *(f"\n  {one}" for one in found), highlight=False)
    return 1 if any(wrong.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
