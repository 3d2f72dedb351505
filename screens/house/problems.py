"""What problem codes mean for whoever reads a page, in English; the catalogue has the Chinese.

Codes are those of the problem documents (RFC 9457) of our services, and those of the pages' own
errors (:mod:`screens.house.errors`). What was sent is never repeated.
"""

from __future__ import annotations

from collections.abc import Mapping


def N_(sentence: str) -> str:  # noqa: N802 - gettext's own name for a sentence that is marked only
    """Marks a sentence for the catalogue."""
    return sentence


SENTENCES: Mapping[str, str] = {
    "not-logged-in": N_("You are not logged in, or your visit has ended. Log in again."),
    "not-authenticated": N_("You are not logged in, or your visit has ended. Log in again."),
    "log-in-once-more": N_(
        "This is done in your institution's name. Log in once more and do it within two minutes."
    ),
    "foreign-form": N_("This form did not come from this page. Nothing was changed."),
    "login-failed": N_("The log-in did not succeed. Nothing was changed; try again."),
    "invalid_grant": N_("The log-in did not succeed. Nothing was changed; try again."),
    "service-away": N_("The consent registry does not answer now. Nothing is lost; try again."),
    "registry-unavailable": N_(
        "The consent registry does not answer now. Nothing is lost; try again."
    ),
    "storage-failed": N_("The consent registry does not answer now. Nothing is lost; try again."),
    "not-found": N_("There is no such page, or it is not about you."),
    "not-allowed": N_("This is not for you to see or to do."),
    "malformed": N_("What was sent could not be read. Nothing was changed."),
    "conflict": N_("This cannot be done as things stand now. Look at the page again."),
    "precondition-failed": N_(
        "Something changed since you opened the page. Look at it again and decide then."
    ),
    "too-many-requests": N_("That was too often. Wait a minute and try again."),
    "changed-since": N_(
        "Something changed since you opened the page. Look at it again and decide then."
    ),
    "decided-since": N_(
        "Something changed since you opened the page. Look at it again and decide then."
    ),
    "erased-since": N_("You have been forgotten here since you opened the page."),
    "recorded-before": N_("This was recorded before. Nothing was done twice."),
    "acted-before": N_("This was recorded before. Nothing was done twice."),
    "guardian-needed": N_("A guardian must answer this, and show by what right."),
    "must-be-in-writing": N_("This needs your answer in writing; ask your lender."),
    "not-enrolled-there": N_("You are not known there. Ask your lender."),
    "session-over": N_("You are not logged in, or your visit has ended. Log in again."),
    "too-large": N_("What was sent is too long."),
    "not-witnessed": N_(
        "It is recorded and in force. Its proof is not there yet; look again in a minute."
    ),
    "issuer-unavailable": N_("The log-in service does not answer now. Try again later."),
    "clock-wrong": N_("The registry's clock is being repaired. Nothing was changed; try later."),
    "internal": N_("Something went wrong here. Nothing was acknowledged; try again."),
}
