"""What loans are asked for, and what consents are about, as people call it. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from credit.bands import BANDS
from law.vocabulary import CONSENT_WORDS, LANGUAGES
from screens.house.problems import N_
from screens.house.words import PageWords

PURPOSES: Mapping[str, str] = {
    "shopping": N_("Shopping"),
    "travel": N_("Travel"),
    "home": N_("Home"),
    "training": N_("Training or school"),
    "repaying-loans": N_("Repaying other loans"),
    "investing": N_("Investing"),
    "other": N_("Something else"),
}
"""Of loans."""


def purpose_of(code: str, words: PageWords) -> str:
    """One that is not of a list is in the person's own words."""
    return words.say(PURPOSES[code]) if code in PURPOSES else code


def kind_of(sensitivity: str, language: str) -> str:
    """What a consent of this kind is about: ``income``, ``收入``."""
    return CONSENT_WORDS[sensitivity][LANGUAGES.index(language)]  # type: ignore[index]


def band_of(code: str, language: str) -> str:
    """What a band of scores is called; its code where it is none of this version's."""
    named = [one for one in BANDS.bands if one.code == code]
    return (named[0].zh if language == "zh" else named[0].en) if named else code
