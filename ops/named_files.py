"""Files that somebody named on a command line: read, or refused in one sentence."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from protocol.errors import ConsentError

T = TypeVar("T")


def ask(read: Callable[[], T], what: str) -> T:
    """Read a file that the user named; raises ConsentError in words when it cannot be read."""
    try:
        return read()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConsentError(f"cannot read {what}: {reason}") from error


def text_of(path: Path, what: str = "") -> str:
    """The text of a file that the user named: UTF-8, with a byte order mark or without; raises
    ConsentError."""
    return ask(functools.partial(path.read_text, encoding="utf-8-sig"), f"{what} {path}".strip())


def key_of(said: str) -> str:
    """A public key that the user gave as it is, or as the file that holds it; raises
    ConsentError."""
    return text_of(Path(said)).strip() if Path(said).is_file() else said.strip()
