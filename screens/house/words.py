"""Two languages: sentences from a catalogue, and dates, money and numbers as each writes them.

English stands in the templates; ``words/zh.po`` (gettext) of each app holds the Chinese of what it
says, the house's of what all say. Catalogues are read when an app starts: there is nothing to
compile and to forget.
"""

from __future__ import annotations

import gettext as _gettext
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_datetime
from babel.lists import format_list
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_currency, format_decimal

from screens.house.problems import FIGURES, FULLER, SENTENCES

FOLDER = Path(__file__).parent / "words"
LANGUAGES: Mapping[str, str] = {"zh": "中文", "en": "English"}
"""What can be read here, and what each calls itself."""
TAGS = {"zh": "zh-Hans", "en": "en"}
"""For ``lang`` (BCP 47)."""
_LOCALES = {"zh": "zh_Hans_CN", "en": "en_GB"}


@cache
def catalogue(language: str, folder: Path = FOLDER) -> _gettext.NullTranslations:
    """The sentences of a language: an app's, and behind them the house's. English speaks for
    itself."""
    path = folder / f"{language}.po"
    if not path.exists():
        return _gettext.NullTranslations() if folder == FOLDER else catalogue(language)
    with path.open("rb") as file:
        messages = read_po(file, locale=_LOCALES[language])
    compiled = io.BytesIO()
    write_mo(compiled, messages)
    compiled.seek(0)
    translations = _gettext.GNUTranslations(compiled)
    if folder != FOLDER:
        translations.add_fallback(catalogue(language))
    return translations


@dataclass(frozen=True)
class PageWords:
    """One language, for one page."""

    language: str
    zone: str = "Asia/Shanghai"
    folder: Path = FOLDER
    """The app's catalogues."""
    _catalogue: _gettext.NullTranslations = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_catalogue", catalogue(self.language, self.folder))

    @property
    def tag(self) -> str:
        return TAGS[self.language]

    @property
    def _locale(self) -> Locale:
        return Locale.parse(_LOCALES[self.language])

    def say(self, sentence: str, **values: object) -> str:
        """``sentence`` in this language; names in ``%(…)s`` are replaced."""
        said = self._catalogue.gettext(sentence)
        return said % values if values else said

    def count(self, one: str, many: str, number: int) -> str:
        return self._catalogue.ngettext(one, many, number) % {"num": self.number(number)}

    def time(self, moment: datetime | str) -> str:
        """Date, time and zone: ``28 Nov 2026, 14:05 CST``."""
        when = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
        zone = ZoneInfo(self.zone)
        text = format_datetime(when, "medium", tzinfo=zone, locale=self._locale)
        return f"{text} {when.astimezone(zone).tzname()}"

    def day(self, moment: date | datetime | str) -> str:
        when = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
        if isinstance(when, datetime):
            when = when.astimezone(ZoneInfo(self.zone)).date()
        return format_date(when, "long", locale=self._locale)

    def number(self, value: float) -> str:
        return format_decimal(value, locale=self._locale)

    def several(self, names: Sequence[str]) -> str:
        """One after the other, as in a sentence."""
        return format_list(list(names), locale=self._locale)

    def money(self, fen: int, currency: str = "CNY") -> str:
        """An amount of integer fen, with its currency."""
        return format_currency(fen / 100, currency, locale=self._locale)

    def problem(self, code: str, parameters: Mapping[str, str]) -> str:
        """What a problem's code means for whoever reads it; what has no words of its own is said
        with its code."""
        figures = {
            name: self.number(int(said))
            for name, said in parameters.items()
            if name in FIGURES and said.isascii() and said.isdecimal() and len(said) < 10
        }
        if code in FULLER and any(f"%({name})s" in FULLER[code] for name in figures):
            return self.say(FULLER[code], **figures)
        sentence = SENTENCES.get(code)
        if sentence is None:
            return self.say("Something was refused (%(code)s). Nothing was changed.", code=code)
        return self.say(sentence) % parameters if parameters else self.say(sentence)
