"""Which of several texts somebody reads: language ranges matched against tags (RFC 4647)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence


def accepted(header: str) -> list[str]:
    """What an ``Accept-Language`` or ``Accept`` header names, the most wanted first (RFC 9110
    sections 12.4.2 and 12.5).

    >>> accepted("en;q=0.5, zh-CN, fr;q=0, *;q=0.1")
    ['zh-CN', 'en', '*']

    What cannot be read as a quality is not wanted.
    """
    wanted: list[tuple[float, str]] = []
    for part in header.split(","):
        name, *parameters = (one.strip() for one in part.split(";"))
        said = [one[2:] for one in parameters if one.lower().startswith("q=")]
        try:
            weight = float(said[0]) if said else 1.0
        except ValueError:
            continue
        if name and 0 < weight <= 1:
            wanted.append((-weight, name))
    return [name for _, name in sorted(wanted, key=lambda one: one[0])]


def _shortened(tag: str) -> Iterator[str]:
    """``zh-Hant-TW``, ``zh-Hant``, ``zh``: section 3.4, where a subtag of one letter goes with the
    one behind it."""
    parts = tag.lower().split("-")
    while parts:
        yield "-".join(parts)
        parts.pop()
        while parts and len(parts[-1]) == 1:
            parts.pop()


def lookup(ranges: Iterable[str], tags: Sequence[str]) -> str | None:
    """The one of ``tags`` that suits these ranges best; None if none does.

    First by lookup (section 3.4): a range is shortened until there is a tag of that name. Where
    that finds nothing for any range, by filtering (section 3.3.1): a text in ``zh-Hans`` is better
    for who asks for ``zh`` than another language. ``*`` is any tag. Case does not matter.

    >>> lookup(["zh-CN"], ["en", "zh"]), lookup(["fr", "zh-Hant-TW"], ["en", "zh", "zh-Hant"])
    ('zh', 'zh-Hant')
    >>> lookup(["zh"], ["en", "zh-Hans"]), lookup(["fr"], ["en", "zh"])
    ('zh-Hans', None)
    """
    known = {tag.lower(): tag for tag in sorted(tags, reverse=True)}
    wanted = [one for one in ranges if one != "*"]
    for one in wanted:
        for shorter in _shortened(one):
            if shorter in known:
                return known[shorter]
    for one in wanted:
        for shorter in _shortened(one):
            if longer := sorted(tag for tag in known if tag.startswith(f"{shorter}-")):
                return known[longer[0]]
    return min(tags, default=None) if "*" in ranges else None


def chosen(header: str, tags: Sequence[str]) -> str:
    """The best of ``tags`` for an ``Accept-Language`` header; English, or the first, where none
    fits or any would do."""
    wanted = [one for one in accepted(header) if one != "*"]
    return lookup(wanted, tags) or ("en" if "en" in tags else min(tags))
