"""What a container starts: put secrets that came as files where the home expects them, then be
``tahini``.

Engines mount secrets with an owner and a mode of their own, and Kubernetes lets the pod's group
read them; our key files must be their owner's alone. So each file of ``/run/secrets/tahini`` is
copied into memory with mode 0600, and a symbolic link in the home points at it: a key given so is
never on the home's disk, and a new one is in force after a restart.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

SECRETS, MEMORY, HOME = Path("/run/secrets/tahini"), Path("/run/tahini"), Path("/var/lib/tahini")


class NotPlaced(Exception):
    """A secret cannot be put where the home expects it."""


def place(secrets: Path, memory: Path, home: Path) -> list[str]:
    """Place every secret; returns their names.

    Raises:
        NotPlaced: the home has a file of that name already, and which of the two counts is not ours
            to guess.
        OSError: no place in memory, or a home that cannot be written.
    """
    if not secrets.is_dir():
        return []
    folder = memory / "keys"
    folder.mkdir(mode=0o700, exist_ok=True)
    placed = []
    for source in sorted(secrets.iterdir()):
        # Kubernetes keeps its versions in dotted folders
        if source.name.startswith(".") or not source.is_file():
            continue
        kept, link = folder / source.name, home / source.name
        kept.unlink(missing_ok=True)
        with os.fdopen(os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(source.read_bytes())
        if not link.is_symlink():
            if link.exists():
                raise NotPlaced(
                    f"{link} is in the home, and a secret of that name is given too; remove one of "
                    "them"
                )
            link.symlink_to(kept)
        elif link.readlink() != kept:
            raise NotPlaced(f"{link} points somewhere else; remove it")
        placed.append(source.name)
    return placed


def start() -> None:
    """Place the secrets and run ``tahini`` in this process, which gets the signals."""
    try:
        place(SECRETS, MEMORY, HOME)
    except (NotPlaced, OSError) as error:
        sys.exit(f"tahini: {error}")
    from tahini import main

    main(prog_name="tahini")


if __name__ == "__main__":
    start()
