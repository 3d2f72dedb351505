"""What the viewer's pages send and ask."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date

from screens.house.errors import PageError
from screens.house.forms import OwnForm
from screens.viewer.index import EntryQuery

FIELDS = ("type", "actor", "campaign", "first", "last")
_PLAIN = re.compile(r"[A-Za-z0-9._-]{1,100}")


class ActForm(OwnForm):
    """A form with a button and nothing to fill in."""


def query_of(asked: Mapping[str, str]) -> EntryQuery:
    """Filters as they stand in an address.

    Raises:
        PageError: one of them is none.
    """
    said = {name: asked[name].strip() for name in FIELDS if asked.get(name, "").strip()}
    for name, value in said.items():
        if not _PLAIN.fullmatch(value) or (name in ("first", "last") and not _is_day(value)):
            raise PageError("no-such-filter", 422)
    return EntryQuery(**said)


def number_of(asked: Mapping[str, str], name: str) -> int | None:
    """A number of an entry in an address. Raises PageError: it is none."""
    text = asked.get(name, "").strip()
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise PageError("no-such-filter", 422)
    return int(text)


def day_in(asked: Mapping[str, str], name: str) -> date:
    """A day in an address. Raises PageError."""
    text = asked.get(name, "")
    if not _is_day(text):
        raise PageError("no-such-filter", 422)
    return date.fromisoformat(text)


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
