"""What a notice must say before anybody is asked: one function for each rule, each with its
article. Pure.

It is engineering, not legal advice: the rules see that something is said, and that the text says
it; whether it is said well, counsel must see.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from consent.claims import untrue
from consent.notice_text import CAPACITIES, PURPOSES, particulars, printed, spoken
from law.categories import LISTED, DataCategory, consent_for
from law.deadlines import law_of
from law.packs import PACKS
from law.processing import Processing
from law.vocabulary import LANGUAGES
from protocol.legal import LegalIdentity, LegalTerms
from protocol.notices import RIGHTS, Notice, Terms, Words
from protocol.parties import Consortium, Role
from protocol.rules import Rule, rule_name
from protocol.uses import USE_PURPOSES

MIN_WORDS = 10
"""Characters that an explanation has at least, half of them different letters or digits."""


def _says_something(text: str) -> bool:
    signs = {one for one in text if one.isalnum()}
    return len(text.strip()) >= MIN_WORDS and 2 * len(signs) >= MIN_WORDS


_OF_NAMES = "A-Za-z0-9_@-"


def _gives(text: str, way: str) -> bool:
    """Whether a text names this contact, and not a longer one in which it stands."""
    alone = rf"(?<![.+{_OF_NAMES}]){re.escape(way)}(?![{_OF_NAMES}]|\.[{_OF_NAMES}])"
    return re.search(alone, text) is not None


@dataclass(frozen=True)
class Draft:
    """A notice that is to be published, and the consortium it speaks for."""

    notice: Notice
    consortium: Consortium

    @property
    def terms(self) -> Terms:
        return self.notice.terms

    def lacking(self, said: Words) -> list[str]:
        """The languages of the texts in which people read too little of this."""
        read = printed(said)
        tags = {language for language, text in read.items() if _says_something(text)}
        return sorted(tag for tag in self.notice.texts if spoken(tag) not in tags)

    @property
    def countries(self) -> set[str]:
        """Whose law its jurisdictions name, provinces and member states included."""
        return {law_of(code) for code in self.terms.jurisdiction}

    @property
    def sensitive(self) -> list[DataCategory]:
        return [one for one in self.terms.categories if consent_for(one) != "ordinary"]

    @property
    def listed(self) -> list[DataCategory]:
        return [one for one in self.terms.categories if one in LISTED]


def names_its_purpose(draft: Draft) -> str | None:
    """PIPL 6, 17(1)(2); GDPR 5(1)(b), 13(1)(c): what for, in words that everybody reads."""
    purpose = draft.notice.purpose
    return (
        None if purpose in PURPOSES else f"its purpose, {purpose}, has no words that say what for"
    )


def names_categories(draft: Draft) -> str | None:
    """PIPL 17(1)(2); GDPR 13, 14: the kinds of data."""
    return None if draft.terms.categories else "it names no category of data"


def names_jurisdiction(draft: Draft) -> str | None:
    """Which law it was written for, that which the consortium keeps among it: the rules below
    follow from it."""
    if not draft.terms.jurisdiction:
        return "it names no jurisdiction"
    law = LegalTerms.of(draft.consortium).jurisdiction
    kept = law is None or law in draft.countries
    return None if kept else f"the consortium keeps the law of {law}, and it does not name it"


def has_a_lawful_basis_of_its_jurisdiction(draft: Draft) -> str | None:
    """PIPL 13; GDPR 6."""
    basis, named = draft.terms.lawful_basis, draft.countries
    if "CN" in named and basis.jurisdiction != "CN":
        return "its jurisdiction is CN, and its legal basis is none of Chinese law"
    if basis.jurisdiction not in named:
        return f"its legal basis is one of the law of {basis.jurisdiction}, its jurisdiction is not"
    return None


def states_every_basis(draft: Draft) -> str | None:
    """PIPL 13, 17; GDPR 6, 13(1)(c): by what right people are enrolled, linked and recorded who
    have not answered, or said no."""
    bases, ours = draft.terms.bases, draft.terms.lawful_basis.jurisdiction
    for processing in Processing:
        if processing not in bases:
            return f"it does not say on what basis {processing} rests"
        if bases[processing].jurisdiction != ours:
            return f"the basis of {processing} is of another law than that of the consent"
    return None


def names_officers(draft: Draft) -> str | None:
    """GDPR 13(1)(b); PIPL 17, 52: the officer that a recipient states in the consortium document,
    with a contact."""
    stated = {party.id: LegalIdentity.of(party).officer for party in draft.consortium.parties}
    for one in draft.terms.recipients:
        officer = stated.get(one.id)
        if officer is None:
            continue
        ways = officer.contact.model_dump(exclude_none=True).values()
        said = one.officer or ""
        if officer.name not in said or not any(_gives(said, way) for way in ways):
            return f"it does not name the officer of {one.id!r}, {officer.name}, with a contact"
    return None


def explains_decisions(draft: Draft) -> str | None:
    """GDPR 13(2)(f); PIPL 24: the logic of a decision that a machine may make alone."""
    if not draft.terms.automated_decision:
        return None
    missing = draft.lacking(draft.terms.logic)
    return f"it does not say in {missing[0]} how a machine decides" if missing else None


def has_rules_for_children_in_every_language(draft: Draft) -> str | None:
    """PIPL 31(2): where children are among those who are asked, in the language of each text."""
    said = draft.terms.children
    missing = draft.lacking(said) if said else []
    return f"it has no rules for children in {missing[0]}" if missing else None


def names_every_recipient(draft: Draft) -> str | None:
    """PIPL 17(1)(1), 23; 网络数据安全管理条例 21: who gets something, with contact: every lender
    that asks, and whoever of the consortium gets sums, answers, codes or records. Of what is read
    to score an application or for portraits, a coordinator gets nothing, and is not named."""
    if not draft.notice.recipients:
        return "it asks for no recipient"
    roles = {one.id: one.role for one in draft.terms.recipients}
    own = draft.notice.purpose in USE_PURPOSES
    for party in draft.consortium.parties:
        gets = party.role is not Role.LENDER or party.id in draft.notice.recipients
        if own and party.role is Role.COORDINATOR:
            if party.id in roles:
                return f"it names {party.id!r}, who gets nothing of what is read for that"
        elif gets and roles.get(party.id) is not party.role:
            return f"it does not name {party.id!r} as {party.role} that gets something"
    return None


def names_only_parties(draft: Draft) -> str | None:
    """PIPL 23: nobody gets anything who is not of the consortium."""
    known = {party.id for party in draft.consortium.parties}
    strangers = sorted({one.id for one in draft.terms.recipients} - known)
    return f"{strangers[0]!r} is not of the consortium" if strangers else None


def describes_them_as_they_are(draft: Draft) -> str | None:
    """PIPL 17(1)(1), 23; GDPR 13(1)(a): each recipient by the name, a contact and the role in law
    that it states in the consortium document."""
    parties = {party.id: party for party in draft.consortium.parties}
    for one in draft.terms.recipients:
        if (party := parties.get(one.id)) is None:
            continue
        stated = LegalIdentity.of(party)
        ways = stated.contact.model_dump(exclude_none=True).values() if stated.contact else ()
        role = stated.role_for(draft.notice.purpose)
        if one.name != party.name:
            return f"it calls {one.id!r} {one.name!r}, and the consortium {party.name!r}"
        if ways and not any(_gives(one.contact, way) for way in ways):
            return f"it gives no contact of {one.id!r} that the consortium document states"
        if role is not None and role.value in CAPACITIES and role.value != one.capacity:
            return f"it calls {one.id!r} a {one.capacity}, and the consortium a {role.value}"
    return None


def says_where_data_are_kept(draft: Draft) -> str | None:
    """PIPL 17, 38 to 40; 征信业管理条例 24."""
    places = draft.terms.storage_locations
    if not places:
        return "it does not say in which countries data are kept"
    if "CN" in draft.countries and set(places) != {"CN"}:
        return "credit information of China is kept and processed in China (征信业管理条例 24)"
    return None


def explains_sensitive_data(draft: Draft) -> str | None:
    """PIPL 30: necessity, and the effect on the person's rights."""
    if not draft.sensitive:
        return None
    for what, said in (("needed", draft.terms.necessity), ("felt", draft.terms.effect)):
        if missing := draft.lacking(said):
            return f"it does not say in {missing[0]} why sensitive data are {what}"
    return None


def tells_adverse_consequences(draft: Draft) -> str | None:
    """征信业管理条例 14(2)."""
    if draft.listed and (missing := draft.lacking(draft.terms.adverse_consequences)):
        return f"it does not say in {missing[0]} what may follow from giving {draft.listed[0]}"
    return None


def asks_in_writing(draft: Draft) -> str | None:
    """征信业管理条例 14(2): written consent."""
    needed = draft.listed and "CN" in draft.countries
    if needed and not draft.terms.written_form:
        return f"{draft.listed[0]} needs a written consent, and it does not ask for one"
    return None


def tells_how_to_withdraw(draft: Draft) -> str | None:
    """PIPL 15, 17; GDPR 7(3)."""
    missing = draft.lacking(draft.terms.withdrawal_method)
    return f"it does not say in {missing[0]} how to take a yes back" if missing else None


def tells_where_to_complain(draft: Draft) -> str | None:
    """征信业管理条例 26; PIPL 65; GDPR 13(2)(d), 77."""
    missing = draft.lacking(draft.terms.complaint)
    return f"it does not say in {missing[0]} where to complain" if missing else None


def promises_every_right(draft: Draft) -> str | None:
    """PIPL 44 to 50; GDPR 15 to 22: what the law gives, and the registry takes requests for."""
    missing = [one for one in RIGHTS if one not in draft.terms.privacy_rights]
    return f"it leaves out the right of {missing[0]}" if missing else None


def collects_nothing_forbidden(draft: Draft) -> str | None:
    """征信业管理条例 14(1); GDPR 9; Reg B: what no lender may use at all (``law.packs``)."""
    for country, pack in PACKS.items():
        for category in draft.terms.categories if country in draft.countries else ():
            if article := pack.article_against(category):
                return f"{category} may not be used at all in {country} ({article})"
    return None


def is_in_a_language_we_can_check(draft: Draft) -> str | None:
    """PIPL 17: clear. The terms must be sayable in the language of the text."""
    if not draft.notice.texts:
        return "it has no text in any language"
    unknown = sorted(tag for tag in draft.notice.texts if spoken(tag) is None)
    if unknown:
        return f"its terms cannot be said in {unknown[0]!r}, only in {', '.join(LANGUAGES)}"
    return None


def says_its_terms(draft: Draft) -> str | None:
    """PIPL 7, 14, 17: the person reads what is enforced, word for word."""
    for tag, text in sorted(draft.notice.texts.items()):
        language = spoken(tag)
        if language is not None and not text.startswith(particulars(draft.notice, language)):
            return (
                f"its text in {tag!r} does not begin with its particulars, word for word; `tahini "
                "notice show` prints them"
            )
    return None


def claims_nothing_untrue(draft: Draft) -> str | None:
    """PIPL 5, 7, 16; GDPR 5(1)(a): nothing that is known to be untrue, and no threat, in the
    particulars or behind them (``consent.claims``)."""
    for tag, text in sorted(draft.notice.texts.items()):
        if reason := untrue(text):
            return f"its text in {tag!r} says more than is so: {reason}"
    return None


RULES: tuple[Rule[Draft], ...] = (
    is_in_a_language_we_can_check,
    names_its_purpose,
    names_jurisdiction,
    has_a_lawful_basis_of_its_jurisdiction,
    states_every_basis,
    names_categories,
    collects_nothing_forbidden,
    names_every_recipient,
    names_only_parties,
    describes_them_as_they_are,
    names_officers,
    explains_decisions,
    has_rules_for_children_in_every_language,
    says_where_data_are_kept,
    explains_sensitive_data,
    tells_adverse_consequences,
    asks_in_writing,
    promises_every_right,
    tells_how_to_withdraw,
    tells_where_to_complain,
    says_its_terms,
    claims_nothing_untrue,
)


@dataclass(frozen=True)
class BrokenRule:
    """A rule that does not hold."""

    rule: str
    reason: str
    article: str


def _article(rule: Callable[[Draft], str | None]) -> str:
    return " ".join((rule.__doc__ or "").split()).partition(": ")[0].rstrip(".")


def lint(draft: Draft, rules: Sequence[Rule[Draft]] = RULES) -> list[BrokenRule]:
    """Everything that keeps the notice from being published."""
    found = [(rule, rule(draft)) for rule in rules]
    return [BrokenRule(rule_name(rule), reason, _article(rule)) for rule, reason in found if reason]
