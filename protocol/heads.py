"""Heads of the log that were accepted, kept in files: the newest, and two that contradict."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from crypto.keys import replace_file
from protocol.errors import SplitView


@dataclass
class HeadStore:
    """Where a client keeps the newest checkpoint note it has verified; one process at a time, on
    disk before use."""

    path: Path

    @property
    def split(self) -> Path:
        """Where two notes are kept that prove a split view."""
        return self.path.with_suffix(".split")

    @contextmanager
    def locked(self) -> Iterator[str | None]:
        """Hold the store; yields the note in it. Raises SplitView once a split view was proved."""
        with self.path.with_suffix(".lock").open("a", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self.split.exists():
                raise SplitView(
                    f"this log was found to have shown two histories; {self.split} holds the "
                    "proof. Nothing is done on "
                    "its word until all parties have settled which is true and the file is moved "
                    "away"
                )
            yield self.path.read_text(encoding="utf-8") if self.path.exists() else None

    def write(self, note: str) -> None:
        """Replace the note; call while holding the store."""
        replace_file(self.path, note.encode())
