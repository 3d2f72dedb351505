"""Findings about a naming service's home."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from crypto.keys import read_secret
from naming import keys as naming
from naming.service import NamesListening
from ops.doctor import Finding, Level, disk, found, listens, private_key, service


def names(home: Path) -> Iterator[Finding]:
    """A naming service's home."""
    yield disk(home)
    yield private_key(home / naming.KEY_FILE)
    seeds = naming.Seeds(home / naming.SEEDS)

    def living() -> str:
        for number in seeds.live:
            read_secret(home / naming.SEEDS / f"v{number}.seed")
        return f"versions {', '.join(map(str, seeds.live))} are answered for"

    yield found(
        "seeds",
        living,
        "restore the seeds from their backup: without them nobody finds their borrowers again",
    )
    joined = found(
        "consortium",
        lambda: naming.NamingHome.open(home).consortium.name,
        "join: tahini names join",
    )
    yield joined
    if joined.level is Level.WELL:
        opened = naming.NamingHome.open(home)
        yield from service("registry", opened.settings.registry_url, opened.authority)
    yield from listens(NamesListening, home, "port")
