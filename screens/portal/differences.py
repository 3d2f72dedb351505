"""What a newer text of a notice says otherwise than the one that somebody answered. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher

_SENTENCE = re.compile(r"(?<=[.;:。；：!?！？])\s*(?=\S)|\n+")


@dataclass(frozen=True)
class Difference:
    """One place: what is not said any more, and what is said instead; either may be empty."""

    gone: str
    new: str


def differences(before: str, now: str) -> list[Difference]:
    """In the order of the newer text, by sentences."""
    old, new = (_sentences(text) for text in (before, now))
    found = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return [
        Difference(" ".join(old[a:b]), " ".join(new[c:d]))
        for said, a, b, c, d in found
        if said != "equal"
    ]


def _sentences(text: str) -> list[str]:
    parts = (" ".join(part.split()) for part in _SENTENCE.split(text))
    return [part for part in parts if part]
