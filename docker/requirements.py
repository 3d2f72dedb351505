"""Print what one role's image installs: the parts of pyproject.toml's dependencies that the role
imports.

Versions stand in pyproject.toml alone. Run as ``python3 requirements.py ROLE pyproject.toml``.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

SERVICE = {
    "alembic",
    "cryptography",
    "fastapi",
    "httptools",
    "httpx",
    "joserfc",
    "numpy",
    "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry-sdk",
    "orjson",
    "packaging",
    "prometheus-client",
    "psycopg",
    "pydantic",
    "pydantic-settings",
    "rfc8785",
    "rich",
    "scipy",
    "sqlalchemy",
    "typer",
    "uvicorn",
    "uvloop",
    "voprf",
}
"""What every HTTP service of ours imports."""
TABLES = {"pandas", "pyarrow"}
ONLY_DEMO = {"bbbrisk", "matplotlib", "scikit-learn"}
ROLES: dict[str, set[str] | None] = {
    "registry": SERVICE | TABLES | {"hvac", "jinja2"},
    "names": SERVICE,
    "witness": SERVICE | TABLES,
    "training": None,
}
"""``training`` is coordinator and node: everything but what only the demo uses."""
_NAME = re.compile(r"([A-Za-z0-9._-]+)(\[[^\]]*\])?(.*)", re.DOTALL)


def requirements(role: str, dependencies: list[str]) -> list[str]:
    """The role's part of ``dependencies``. Flower comes without its simulation engine, and so
    without ray."""
    wanted = ROLES[role]
    chosen = []
    names = set()
    for dependency in dependencies:
        found = _NAME.fullmatch(dependency)
        if found is None:
            raise ValueError(f"not a dependency: {dependency!r}")
        name = found[1].lower()
        extra = found[2] or ""
        rest = found[3]
        names.add(name)
        if name in wanted if wanted is not None else name not in ONLY_DEMO:
            chosen.append(name + ("" if name == "flwr" else extra) + rest)
    unknown = (wanted or ONLY_DEMO) - names
    if unknown:
        raise ValueError(f"pyproject.toml does not depend on {', '.join(sorted(unknown))}")
    return chosen


if __name__ == "__main__":
    project = tomllib.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))["project"]
    sys.stdout.write("\n".join(requirements(sys.argv[1], project["dependencies"])) + "\n")
