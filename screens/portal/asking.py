"""Requests in words: what can be asked here, how one stands, and what was said in each step. Pure.

Two kinds are not asked on these pages: a transfer, which names where to, and a proof of who was in
a release (``tahini borrower request``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crypto.errors import SignatureError
from protocol.rights import RequestEvent, RequestKind, RequestStatus, RightsAnswer
from screens.house.problems import N_

KINDS: Mapping[RequestKind, tuple[str, str]] = {
    RequestKind.ACCESS: (N_("See my data"), N_("which data of mine the lender has, and why")),
    RequestKind.CORRECT: (
        N_("Correct something"),
        N_("what is wrong or missing, and what is right"),
    ),
    RequestKind.OBJECT: (
        N_("Object"),
        N_("I dispute something; until it is answered it is not used"),
    ),
    RequestKind.STATEMENT: (N_("Add my own words"), N_("they are kept with the record")),
    RequestKind.EXPLAIN: (N_("Explain"), N_("how a decision came about, or how data are used")),
    RequestKind.REVIEW: (N_("Let a person look at it"), N_("not a machine alone")),
    RequestKind.REFUSE_AUTOMATED: (
        N_("No machine alone"),
        N_("from now on no decision about me by a machine alone"),
    ),
    RequestKind.RESTRICT: (N_("Keep it, use it for nothing"), N_("until I say otherwise")),
    RequestKind.ERASE: (N_("Delete it at the lender"), N_("what need not be kept by law")),
    RequestKind.COMPLAIN: (N_("Complain"), N_("about how I was treated")),
}
"""What each is called, and what it means."""
NEEDS_WORDS = frozenset({RequestKind.CORRECT, RequestKind.STATEMENT, RequestKind.COMPLAIN})
STANDS: Mapping[str, str] = {
    RequestStatus.RECEIVED: N_("Waits for an answer"),
    RequestStatus.MARKED: N_("Waits for an answer; marked as disputed at the lender"),
    RequestStatus.ANSWERED: N_("Answered"),
    RequestStatus.REFUSED: N_("Refused, with a reason"),
    RequestStatus.CLOSED: N_("Over"),
}
SAID: Mapping[str, str] = {
    RequestEvent.RECEIVE: N_("You asked"),
    RequestEvent.MARK: N_("The lender has marked it in its own systems"),
    RequestEvent.ANSWER: N_("The lender answered"),
    RequestEvent.REFUSE: N_("The lender refused"),
    RequestEvent.CLOSE: N_("It is over"),
}
REASONS: Mapping[str, str] = {
    "not-identified": N_("It does not know for sure that it was you."),
    "no-authority": N_("The right to ask for somebody else was not shown."),
    "verified-correct": N_("It checked, and says that it is right."),
    "not-held": N_("It does not have that."),
    "legal-retention": N_("It must keep it by law."),
    "secrecy": N_("A law forbids it to tell."),
    "rights-of-others": N_("Somebody else's rights would be hurt."),
    "impossible": N_("It cannot, technically."),
    "unfounded": N_("It holds that there is no ground for it."),
}


def steps_of(asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each step: what happened, when, and in which words of whom. A lender's answer is read as it
    was signed; that it verifies is what its receipt is for."""
    found = []
    for one in asked["steps"]:
        step, text, language, reason = one["step"], "", "", ""
        evidence = step["evidence"]
        if step["event"] == RequestEvent.RECEIVE and "request" in evidence:
            text, language = (evidence["request"]["asked"][name] for name in ("text", "language"))
        if step["event"] in (RequestEvent.ANSWER, RequestEvent.REFUSE):
            text, language, reason = _answer(str(evidence.get("token")))
        told = {"said": SAID[step["event"]], "at": step["at"], "number": one["number"]}
        told |= {"text": text, "language": language, "reason": REASONS.get(reason, "")}
        found.append(told)
    return found


def _answer(token: str) -> tuple[str, str, str]:
    try:
        said = RightsAnswer.claimed(token)
    except SignatureError:
        return "", "", ""
    return said.text, said.language, said.reason or ""
