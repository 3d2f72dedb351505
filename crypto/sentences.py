"""What a schema refuses, in one sentence that names the place: never the library's own words, and
never the value.

Every room that reads what somebody handed in says what is wrong with it through
:func:`one_sentence`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import quote

from pydantic import Field

_MEANINGS: dict[str, str] = {}
_BRANCH = re.compile(r"int|float|str|bool|bytes|none|.*[\[(].*|([A-Z][a-z0-9]+)+")
"""Which branch of a union was tried: a type's name."""


def shaped(pattern: str, meaning: str) -> Any:
    """A field of text that matches ``pattern``; a refusal says ``meaning`` after "must be" instead
    of the pattern."""
    _MEANINGS[pattern] = meaning
    return Field(pattern=pattern)


class Refused(Protocol):
    """pydantic's ``ValidationError`` and FastAPI's ``RequestValidationError``."""

    def errors(self) -> Sequence[Any]: ...


def _written(parts: Sequence[Any]) -> list[str | int]:
    """The parts of a place that stand in what was handed in."""
    return [part for part in parts if isinstance(part, int) or not _BRANCH.fullmatch(str(part))]


def place_of(parts: Sequence[Any]) -> str:
    """``records[3].action``: a place for people to read."""
    text = ""
    for part in _written(parts):
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def pointer_to(parts: Sequence[Any]) -> str:
    """``#/records/3/action``: the same for programs (RFC 6901, as a URI fragment)."""
    return "#" + "".join(
        f"/{quote(str(p).replace('~', '~0').replace('/', '~1'))}" for p in _written(parts)
    )


def _plural(count: Any, of: str) -> str:
    return f"{count} {of}" if count == 1 else f"{count} {of}s"


_MUST_BE: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "string_pattern_mismatch": lambda c: _MEANINGS.get(
        c["pattern"], f"text that matches {c['pattern']}"
    ),
    "string_type": lambda c: "text",
    "string_too_short": lambda c: f"at least {_plural(c['min_length'], 'character')} long",
    "string_too_long": lambda c: f"at most {_plural(c['max_length'], 'character')} long",
    "string_unicode": lambda c: "valid text",
    "too_short": lambda c: f"a list of at least {c['min_length']}",
    "too_long": lambda c: f"a list of at most {c['max_length']}",
    "greater_than": lambda c: f"greater than {c['gt']}",
    "greater_than_equal": lambda c: f"at least {c['ge']}",
    "less_than": lambda c: f"less than {c['lt']}",
    "less_than_equal": lambda c: f"at most {c['le']}",
    "multiple_of": lambda c: f"a multiple of {c['multiple_of']}",
    "finite_number": lambda c: "a finite number",
    "literal_error": lambda c: f"one of {c['expected']}",
    "enum": lambda c: f"one of {c['expected']}",
    "union_tag_invalid": lambda c: f"one of {c['expected_tags']}",
    "none_required": lambda c: "left out",
}
_KINDS = (
    (("int", "whole"), "a whole number"),
    (("float", "decimal"), "a number"),
    (("bool",), "true or false"),
    (("timezone",), "a time with its zone, as 2026-01-31T12:00:00Z"),
    (("datetime", "time"), "a time in RFC 3339, as 2026-01-31T12:00:00Z"),
    (("date",), "a date, as 2026-01-31"),
    (("list", "tuple", "set", "frozen_set"), "a list"),
    (("dict", "model", "mapping", "dataclass"), "an object with named fields"),
    (("url",), "a URL"),
    (("path",), "a path"),
    (("bytes",), "bytes"),
)


def _fault(found: Mapping[str, Any], place: str) -> str:
    kind = str(found["type"])
    context = found.get("ctx") or {}
    here = place or "it"
    if kind == "missing":
        return f"{here} is missing"
    if kind == "union_tag_not_found":
        tag = str(context["discriminator"]).strip("'")
        return f"{place + '.' if place else ''}{tag} is missing"
    if kind == "extra_forbidden":
        return f"{here} is not known"
    if kind in {"value_error", "assertion_error"}:
        reason = (
            str(context["error"]) if "error" in context else str(found["msg"]).partition(", ")[2]
        )
        return f"{place}: {reason}" if place else reason
    if kind == "json_invalid":
        return f"{place + ': ' if place else ''}it cannot be read as JSON"
    if kind in _MUST_BE:
        return f"{here} must be {_MUST_BE[kind](context)}"
    for starts, words in _KINDS:
        if kind.startswith(starts):
            return f"{here} must be {words}"
    return f"{here} does not fit ({kind.replace('_', ' ')})"


def sentences(error: Refused, named: Callable[[str], str] = str) -> list[str]:
    """What ``error`` refuses, each as ``place must be …``, ``place is missing``,
    ``place is not known`` or ``place: reason``; without a full stop.

    Args:
        named: what the reader calls a place, for example the option of a command:
            ``lambda place: f"--{place}"``.
    """
    found = [(one, place_of(one["loc"])) for one in error.errors()]
    return [_fault(one, named(place) if place else "") for one, place in found]


def one_sentence(error: Refused, named: Callable[[str], str] = str) -> str:
    """The first of them."""
    return sentences(error, named)[0]
