"""What makes a decision acceptable: whose it is, which text it answers, when it was made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from consent.languages import lookup
from consent.notices import Notices
from consent.storage.consents import ConsentKey
from consent.storage.subjects import Subject
from crypto.documents import unverified_payload
from crypto.errors import SignatureError
from crypto.keys import PublicKey
from law.categories import Sensitivity
from protocol.changes import CLOCK_SKEW, CurrentConsent
from protocol.consents import (
    Action,
    Authority,
    Channel,
    Choice,
    ConsentDecision,
    Presentation,
)
from protocol.errors import Conflict, NotAuthenticated
from protocol.notices import Notice

MAX_AGE = timedelta(days=7)
OFF_SCREEN = frozenset({"branch", "phone", "paper"})
"""Channels over which nothing is shown on a screen."""
_YES = frozenset({Action.GIVE, Action.RESUME})
_PSEUDONYM = re.compile(r"v[0-9]{1,3}\.[A-Za-z0-9_-]{43}")


@dataclass(frozen=True)
class Stated:
    """A decision as it was handed in: signed with the borrower's own key, or made in a login (by
    its token's hash)."""

    decision: ConsentDecision
    token: str | None = None
    login_sha256: str | None = None

    @property
    def evidence(self) -> dict[str, Any]:
        """What the sealed body keeps to show that the borrower decided so."""
        if self.token is not None:
            return {"token": self.token}
        return {"decision": self.decision.payload(), "login_sha256": self.login_sha256}


def claimed_subject(token: str) -> str:
    """Whose key to look for: a well-formed pseudonym, or nobody's."""
    try:
        claimed = str(unverified_payload(token).get("pii_principal_id"))
    except SignatureError as error:
        raise NotAuthenticated("not a signed decision") from error
    return claimed if _PSEUDONYM.fullmatch(claimed) else ""


def claimed_or_nobody(token: str) -> str:
    try:
        return claimed_subject(token)
    except NotAuthenticated:
        return ""


def verified(token: str, key: PublicKey | None, where: str) -> Stated:
    """The decision and who made it. Whether the subject is unknown, and has no key, or the
    signature is wrong is not told apart."""
    try:
        if key is not None:
            return Stated(ConsentDecision.verify(token, key), token=token)
    except SignatureError as error:
        raise NotAuthenticated(f"{where} is not signed by an enrolled borrower") from error
    raise NotAuthenticated(f"{where} is not signed by an enrolled borrower")


def check_notice(notice: Notice, language: str, text_sha256: str) -> None:
    """What was answered is the very text that was published, in the language that was asked for or
    the one that stands in for it (``zh`` for ``zh-CN``); raises Conflict."""
    shown = lookup([language], list(notice.texts))
    if shown is None:
        raise Conflict(
            f"notice {notice.id!r} has no text in {language!r}, only in "
            f"{', '.join(sorted(notice.texts))}"
        ).because("no-text-in-language", notice=notice.id, languages=sorted(notice.texts))
    if notice.text_sha256(shown) != text_sha256:
        raise Conflict("the decision answers another text than the one that was published").because(
            "another-text", notice=notice.id
        )


def check_choice(choice: Choice, notice: Notice, subject: Subject, channel: Channel) -> None:
    """That the notice asks this, for this lender, and of this kind. Raises Conflict."""
    if choice.purpose != notice.purpose or choice.recipient not in notice.recipients:
        raise Conflict(
            "the decision speaks of a purpose or recipient that the notice does not name"
        ).because("not-named-by-notice", notice=notice.id)
    if choice.recipient != subject.lender:
        raise Conflict("a pseudonym can only decide about the lender that enrolled it").because(
            "not-enrolled-there"
        )
    if choice.action is Action.GIVE:
        check_yes(choice.sensitivity, notice)
    if choice.action in _YES:
        check_form(notice, channel)


def check_yes(kind: Sensitivity, notice: Notice) -> None:
    """That there is something to say yes to. Whatever a lender declares sensitive, and everything
    of a child's, is ``sensitive``. Raises Conflict."""
    terms = notice.terms
    if not terms.categories or (kind != "sensitive" and kind not in terms.asked()):
        raise Conflict(f"notice {notice.id!r} asks for no consent to {kind} data").because(
            "kind-not-asked", notice=notice.id, sensitivity=kind
        )
    if kind == "sensitive" and not (terms.necessity and terms.effect):
        raise Conflict(f"notice {notice.id!r} does not explain the use of sensitive data").because(
            "kind-not-asked", notice=notice.id, sensitivity=kind
        )


def check_form(notice: Notice, channel: Channel) -> None:
    """That a yes, to whatever kind of data, is in writing where the notice says so. Raises
    Conflict.

    Source: 征信业管理条例 article 14(2) for the written form; 电子签名法 for what counts as one.
    """
    if notice.terms.written_form and channel == "phone":
        raise Conflict(
            f"notice {notice.id!r} says that a yes must be in writing; by telephone there is none"
        ).because("must-be-in-writing", notice=notice.id)


def check_resumed(choice: Choice, answered: Notice | None, channel: Channel) -> None:
    """That whoever goes on says so in the form that the version asks for which they answered.
    Raises Conflict."""
    if choice.action is Action.RESUME and answered is not None:
        check_form(answered, channel)


def check_published(notice: Notice, event_time: datetime) -> None:
    """That a yes is no older than what it answers, as far as clocks agree. Raises Conflict."""
    if event_time < notice.published_at - CLOCK_SKEW:
        raise Conflict(
            f"the yes is older than notice {notice.id!r} version {notice.version}, which was "
            f"published at {notice.published_at.isoformat()}"
        ).because("older-than-notice", notice=notice.id, version=notice.version)


def check_answer(decision: ConsentDecision, notice: Notice, *, in_a_login: bool) -> None:
    """That the decision answers this text, and that a yes came after it, as it was shown; a no is
    always heard. Raises Conflict."""
    check_notice(notice, decision.notice_language, decision.notice_sha256)
    if any(one.action in _YES for one in decision.choices):
        check_published(notice, decision.event_time)
        on_screen = in_a_login or decision.channel not in OFF_SCREEN
        check_shown(notice, decision.presentation, on_screen=on_screen)


def check_shown(notice: Notice, shown: Presentation | None, *, on_screen: bool) -> None:
    """That a yes on a screen was given after the notice was shown as it asks to be. Whoever is
    logged in has one before them, whatever channel is said. Raises Conflict.

    Source: 征信业管理条例 article 19.
    """
    least = notice.terms.reading_seconds
    if least is None or not on_screen:
        return
    if shown is None or not shown.to_the_end or not shown.own_controls or shown.seconds < least:
        raise Conflict(
            f"notice {notice.id!r} must be shown for {least} seconds, to its end, with a control "
            "for each choice, before a yes; say how it was (presentation)"
        ).because("not-shown-long-enough", notice=notice.id, seconds=least)


def check_return(stated: Stated, returned_at: datetime | None) -> None:
    """What somebody signed before they were erased gives nothing after they have come back; raises
    Conflict."""
    early = returned_at is not None and stated.decision.event_time <= returned_at
    if stated.token is not None and early:
        raise Conflict("the borrower was erased and has come back since; ask them anew").because(
            "erased-since"
        )


def is_young(before: bool, authority: Authority) -> bool:
    """Whether the person is under 14 after this was said under their own key or login. Once it was
    said it stays, whoever leaves it out later, until a guardian says with evidence that they are
    older, or the lender has seen that they are (:func:`is_shown_older`; PIPL article 31)."""
    older = authority.age_band == "14-17"
    return authority.age_band == "under-14" or (before and not older)


def is_shown_older(authority: Authority) -> bool:
    """Whether a lender hands in that somebody is not under 14, with the hash of what it has seen of
    themselves or of their guardian. A delegate's right shows nobody's age."""
    alone = authority.guardian_entity_id is None and authority.authority_evidence_hash is not None
    return authority.age_band == "14-17" or (authority.age_band == "adult" and alone)


def besides(
    decision: ConsentDecision, presents: Mapping[ConsentKey, CurrentConsent], known: Notices
) -> dict[ConsentKey, CurrentConsent]:
    """The consents that a decision does not itself end, suspend or resume."""
    named = {
        (known.scope(one.purpose, one.recipient), one.sensitivity)
        for one in decision.choices
        if one.action not in {Action.GIVE, Action.REFUSE}
    }
    return {key: held for key, held in presents.items() if (key[0], key[2]) not in named}


def refuse_alone(action: str, young: bool, authority: Authority, notice: Notice) -> None:
    """A child's own yes is none, and neither is a guardian's to rules that were not written for
    children (PIPL article 31); raises Conflict. A no is always heard."""
    if not young or action not in _YES:
        return
    if authority.guardian_entity_id is None:
        raise Conflict(
            "for a child under 14 a guardian says yes, and shows by what right; that somebody is "
            "older a guardian says, or the lender that has seen it hands it in"
        ).because("guardian-needed")
    if not notice.terms.children:
        raise Conflict(
            f"notice {notice.id!r} has no rules of their own for children under 14"
        ).because("no-rules-for-children", notice=notice.id)


def refuse_unsigned(stated: Stated, only_keys: bool) -> None:
    """Raises Conflict for a yes in a login, of who wants only keys of their own to say yes. A no is
    always heard."""
    unsigned = only_keys and stated.token is None
    if unsigned and any(one.action in _YES for one in stated.decision.choices):
        raise Conflict("only a key of the borrower's says yes here").because("key-needed")


def check_time(event_time: datetime, expiry_time: datetime | None, moment: datetime) -> None:
    """Raises Conflict."""
    if not moment - MAX_AGE <= event_time <= moment + CLOCK_SKEW:
        raise Conflict(
            "the decision is dated in the future or is more than seven days old; ask the borrower "
            "again"
        ).because("dated-wrongly", days=MAX_AGE.days)
    if expiry_time is not None and expiry_time <= moment:
        raise Conflict("the decision has expired already").because("ends-in-the-past")
