"""What parties are called and how people reach them, as the consortium document states it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from protocol.legal import Contact, LegalIdentity
from protocol.parties import Consortium
from screens.house.problems import N_

_HAN = re.compile(r"[\u3400-\u9fff]")


@dataclass(frozen=True)
class PartyNames:
    """Parties by their id: called in the reader's language where they state that they are called
    something in it (``legal.names``), else as the consortium document names them."""

    parties: Mapping[str, str]
    stated: Mapping[str, LegalIdentity]

    @classmethod
    def of(cls, consortium: Consortium) -> PartyNames:
        """Raises Malformed."""
        stated = {party.id: LegalIdentity.of(party) for party in consortium.parties}
        return cls({party.id: party.name for party in consortium.parties}, stated)

    def of_party(self, party: str, language: str) -> str:
        return self._names(party).get(language) or self.parties.get(party, party)

    def language_of(self, party: str, language: str) -> str:
        """What language the name is in that :meth:`of_party` gives, as far as letters tell."""
        if language in self._names(party):
            return language
        return "zh" if _HAN.search(self.parties.get(party, party)) else "en"

    def ways(self, party: str) -> list[tuple[str, Contact]]:
        """What for, in words, and how they can be reached (PIPL 17(1) and 50; GDPR 13(1)(a) and
        (b))."""
        stated = self.stated.get(party)
        if stated is None:
            return []
        found: list[tuple[str, Contact | None]] = [
            (N_("For questions"), stated.contact),
            (N_("For complaints"), stated.complaints or stated.contact),
            (
                N_("Officer for personal information"),
                None if stated.officer is None else stated.officer.contact,
            ),
        ]
        return [(what, one) for what, one in found if one is not None]

    def _names(self, party: str) -> Mapping[str, str]:
        stated = self.stated.get(party)
        return {} if stated is None else stated.names
