"""The registry's answers in words: what a consent is about, how it stands, who is who. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from crypto.errors import CryptoError
from crypto.keys import PublicKey
from law.categories import DataCategory
from law.vocabulary import iri, words
from protocol.parties import Consortium, Role
from protocol.terms import TRAINING_PURPOSE
from protocol.tickets import LinkTicket
from protocol.uses import PORTRAIT_PURPOSE, SCORING_PURPOSE
from protocol.watched import WATCHING_PURPOSE
from screens.common.parties import PartyNames
from screens.house.problems import N_
from screens.house.words import PageWords

STATES: Mapping[str, str] = {
    "given": N_("You said yes"),
    "refused": N_("You said no"),
    "withdrawn": N_("You took it back"),
    "suspended": N_("Paused by you"),
    "expired": N_("It has ended"),
    "superseded": N_("Replaced by a later answer"),
    "none": N_("You have not answered"),
}
USES: Mapping[str, str] = {
    "use.read": N_("read your data for a decision"),
    "use.scored": N_("computed your score"),
    "use.explained": N_("explained a decision about you"),
    "use.portrayed": N_("read your data to sort you into groups of customers"),
}
_CATEGORIES = {iri(one): one for one in DataCategory}


@dataclass(frozen=True)
class PortalParties(PartyNames):
    """The same, and who signs invitations."""

    signing: Mapping[str, Mapping[str, str]]
    """Name and key of each lender, for whoever checks what a lender has signed."""

    @classmethod
    def known(cls, consortium: Consortium) -> PortalParties:
        names = PartyNames.of(consortium)
        signing = {
            party.id: {"name": party.name, "key": party.signing_key}
            for party in consortium.parties
            if party.role is Role.LENDER
        }
        return cls(names.parties, names.stated, signing)

    def inviter(self, ticket: str) -> str | None:
        """The lender that has signed an invitation; None where none that is known here has."""
        try:
            lender = LinkTicket.claimed(ticket).lender
            known = self.signing[lender]
            LinkTicket.verify(ticket, PublicKey.from_text(known["key"]))
        except (KeyError, CryptoError):
            return None
        return known["name"]


def data_of(iris: Iterable[str], language: str) -> list[str]:
    """What the terms of DPV are called to the people whom they concern."""
    return [words(_CATEGORIES[one], language) for one in iris if one in _CATEGORIES]


def state_of(record: Mapping[str, Any], words_: PageWords) -> str:
    event = record["event"]
    if event["usable"] == "notice-changed":
        return words_.say(N_("You said yes, to an earlier text"))
    return words_.say(STATES.get(event["event_state"], event["event_state"]))


def key_of(record: Mapping[str, Any]) -> tuple[str, str, str]:
    """Purpose, recipient, kind: what a consent is told apart by."""
    about = record["pii_processing"]
    return about["purpose"], about["pii_controllers"][0], about["sensitivity"]


def given(record: Mapping[str, Any]) -> bool:
    return bool(record["event"]["event_state"] == "given")


@dataclass(frozen=True)
class AskedQuestion:
    """What one notice asks about one lender and one kind of data."""

    recipient: str
    sensitivity: str
    data: Sequence[str]
    """What it is about, in the page's language."""
    state: str
    """How it stands: a key of :data:`STATES`."""
    open: str | None
    """Why it waits for an answer: ``unanswered``, ``changed``, ``expired``."""
    of_this_text: bool = False
    """Whether it was answered to this very version."""

    @property
    def field(self) -> str:
        return f"{self.recipient}.{self.sensitivity}"

    @property
    def yes(self) -> str:
        """What a yes is here: after a pause one goes on with what one answered; to another text it
        is a new yes."""
        return "resume" if self.state == "suspended" and self.of_this_text else "give"

    @property
    def no(self) -> str:
        """What a no is here: after a yes it takes that back."""
        return "withdraw" if self.state in ("given", "suspended") else "refuse"


def questions(notice: Mapping[str, Any], language: str) -> list[AskedQuestion]:
    """Everything that a notice asks this person, as the registry tells it."""
    found = []
    for one in notice["questions"]:
        about = notice["asks"].get(one["sensitivity"], [])
        data = [words(DataCategory(kind), language) for kind in about]
        of_this = one["answered"] == {"id": notice["id"], "version": notice["version"]}
        asked = AskedQuestion(one["recipient"], one["sensitivity"], data, one["state"], one["open"])
        found.append(replace(asked, of_this_text=of_this))
    return found


EVENTS: Mapping[str, str] = {
    "give": N_("You said yes"),
    "refuse": N_("You said no"),
    "withdraw": N_("You took it back"),
    "suspend": N_("Paused by you"),
    "resume": N_("Resumed by you"),
    "expire": N_("It has ended"),
    "reconfirm": N_("You said yes again"),
    "supersede": N_("Replaced by a later answer"),
}
WAYS: Mapping[str, str] = {
    "import": N_("Your lender says that you said it."),
    "signature": N_("Signed with a key of your own."),
    "login": N_("By you, logged in."),
    "registry": N_("By the registry: its time was over, or who said yes could not."),
    "unreadable": N_("How, cannot be read any more."),
}


PURPOSES: Mapping[str, str] = {
    TRAINING_PURPOSE: N_("to train one credit model together with other lenders"),
    SCORING_PURPOSE: N_("to score you when you apply for a loan"),
    PORTRAIT_PURPOSE: N_("to sort you into named groups of customers, by written rules"),
    WATCHING_PURPOSE: N_("to watch, with other lenders, whether a credit model still fits"),
}


def watches(iri_: str | None) -> bool:
    """Whether the purpose is to watch a released model."""
    return iri_ == WATCHING_PURPOSE


SUMS = frozenset({TRAINING_PURPOSE, WATCHING_PURPOSE})


def leaves(purpose: str, words_: PageWords) -> str:
    """What leaves the lender's house for a purpose."""
    if purpose in SUMS:
        return words_.say(N_("one sum over many people, with noise; no row of yours"))
    if purpose in PURPOSES:
        return words_.say(N_("nothing, beyond what the text says"))
    return words_.say(N_("what the text says"))


def purpose_of(iri_: str, words_: PageWords) -> str:
    """What a purpose is in words; one that is not known here is named as it is."""
    return words_.say(PURPOSES[iri_]) if iri_ in PURPOSES else iri_
