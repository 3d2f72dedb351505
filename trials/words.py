"""The catalogues of the screens out of what their pages say: ``python -m trials.words``.

A sentence stands in the catalogue of the app that says it, or in the house's if that says it too.
What was translated stays so; what is said no more goes; what has no Chinese yet is listed, and the
command ends with 1.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

SCREENS = Path(__file__).parents[1] / "screens"
LEAST_WORDS = 4
HOUSE = "house"
COMMON = "common"
"""What stands in no app: its sentences are the house's."""
KEYWORDS = {
    "_": None, "gettext": None, "ngettext": (1, 2), "N_": None, "say": None, "count": (1, 2),
}  # fmt: skip
Sentence = str | tuple[str, ...]
"""One, or a singular and its plural."""


def apps() -> list[str]:
    """The house first, then every app."""
    found = {path.parent.name for path in SCREENS.glob("*/views")}
    return [HOUSE, *sorted(found - {HOUSE})]


def catalogue_of(app: str) -> Path:
    return SCREENS / app / "words" / "zh.po"


@cache
def _said(app: str) -> frozenset[Sentence]:
    methods = [("**.html", "jinja2.ext:babel_extract"), ("**.py", "python")]
    options = {"**.html": {"newstyle_gettext": "true", "silent": "false"}}
    folders = [SCREENS / one for one in ((HOUSE, COMMON) if app == HOUSE else (app,))]
    found = [one for at in folders for one in extract_from_dir(str(at), methods, options, KEYWORDS)]
    return frozenset(text for _, _, text, _, _ in found)


def sentences(app: str) -> frozenset[Sentence]:
    """What must stand in an app's catalogue."""
    return _said(app) if app == HOUSE else _said(app) - _said(HOUSE)


def translations(app: str) -> Mapping[Sentence, Sentence]:
    """What stands there: one form of a Chinese sentence for any number."""
    path = catalogue_of(app)
    if not path.exists():
        return {}
    with path.open("rb") as file:
        return {_key(one.id): one.string for one in read_po(file, locale="zh_Hans_CN") if one.id}


def _key(id_: str | list[str] | tuple[str, ...]) -> Sentence:
    return id_ if isinstance(id_, str) else tuple(id_)


def rewrite(app: str, known: Mapping[Sentence, Sentence]) -> list[Sentence]:
    """Write an app's catalogue anew; returns what has no translation."""
    written = Catalog(locale="zh_Hans_CN", fuzzy=False)
    lacking: list[Sentence] = []
    for sentence in sorted(sentences(app), key=str):
        said = known.get(sentence)
        if not said or not any(said):
            lacking.append(sentence)
        written.add(sentence, said or "")
    path = catalogue_of(app)
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        write_po(file, written, width=100, omit_header=True)
    return lacking


def _alone(sentence: Sentence) -> bool:
    """Whether it says the same wherever it stands: a campaign that is running is another thing than
    a loan that is."""
    return len(str(sentence).split()) >= LEAST_WORDS


def _own(words: Mapping[Sentence, Sentence]) -> dict[Sentence, Sentence]:
    return {key: said for key, said in words.items() if said and any(said)}


def main() -> int:
    held = {app: translations(app) for app in apps()}
    shared = {key: said for words in held.values() for key, said in words.items() if _alone(key)}
    lacking = [(app, one) for app in apps() for one in rewrite(app, {**shared, **_own(held[app])})]
    for app, sentence in lacking:
        sys.stdout.write(f"{app}: {sentence!r}\n")
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main())
