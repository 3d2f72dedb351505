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
    "fresh-login-needed": N_(
        "This needs a log-in that is not older than two minutes. Log in again."
    ),
    "another-person": N_("This form was opened by somebody else's visit. Nothing was changed."),
    "notice-unsigned": N_(
        "This text is not the one that the registry has signed, so it is not shown. Nothing was "
        "recorded."
    ),
    "key-refused": N_(
        "The key of this device does not count here. Nothing was recorded; answer without it."
    ),
    "ticket-refused": N_(
        "This invitation is not valid any more, or not for you. Ask your lender for a new one."
    ),
    "not-linked": N_(
        "Your log-in is linked to no lender yet. Ask your lender for an invitation, and open it."
    ),
    "linked-already": N_("You are linked to this lender already."),
    "linked-to-another": N_(
        "Your log-in is linked to another customer of this lender. End that link first."
    ),
    "too-many-keys": N_("You have as many keys as there can be. End one first."),
    "nothing-kept": N_("Nothing is kept that you could go on with. Nothing was changed."),
    "foreign-form": N_("This form did not come from this page. Nothing was changed."),
    "login-failed": N_("The log-in did not succeed. Nothing was changed; try again."),
    "invalid-grant": N_("The log-in did not succeed. Nothing was changed; try again."),
    "service-away": N_("The consent registry does not answer now. Nothing is lost; try again."),
    "registry-unavailable": N_(
        "The consent registry does not answer now. Nothing is lost; try again."
    ),
    "storage-failed": N_("The consent registry does not answer now. Nothing is lost; try again."),
    "not-found": N_("There is no such page, or it is not about you."),
    "nothing-released": N_("Nothing was released by it yet, or no lender of yours takes part."),
    "not-allowed": N_("This is not for you to see or to do."),
    "malformed": N_("What was sent could not be read. Nothing was changed."),
    "misfit": N_("What was sent could not be read. Nothing was changed."),
    "conflict": N_("This cannot be done as things stand now. Look at the page again."),
    "precondition-failed": N_(
        "Something changed since you opened the page. Look at it again and decide then."
    ),
    "too-many-requests": N_("That was too often. Wait a minute and try again."),
    "changed-since": N_(
        "Something changed since you opened the page. Look at it again and decide then."
    ),
    "price-changed": N_("By now it costs something else than you were shown. Look at it again."),
    "decided-since": N_(
        "Something changed since you opened the page. Look at it again and decide then."
    ),
    "erased-since": N_("You have been forgotten here since you opened the page."),
    "recorded-before": N_("This was recorded before. Nothing was done twice."),
    "acted-before": N_("This was recorded before. Nothing was done twice."),
    "guardian-needed": N_("A guardian must answer this, and show by what right."),
    "must-be-in-writing": N_("This needs your answer in writing; ask your lender."),
    "key-needed": N_("You chose that only your key may say yes. Use the device that has it."),
    "no-key-there": N_("No key of yours counts there yet. Add one first."),
    "several-there": N_(
        "Your log-in speaks for several customers of this lender. End one of the links first."
    ),
    "not-enrolled-there": N_("You are not known there. Ask your lender."),
    "no-such-filter": N_("That is nothing to look for. Nothing was changed."),
    "cannot-open": N_("It could not be opened, and nothing of it was shown."),
    "session-over": N_("You are not logged in, or your visit has ended. Log in again."),
    "too-large": N_("What was sent is too long."),
    "not-witnessed": N_(
        "It is recorded and in force. Its proof is not there yet; look again in a minute."
    ),
    "issuer-unavailable": N_("The log-in service does not answer now. Try again later."),
    "clock-wrong": N_("The registry's clock is being repaired. Nothing was changed; try later."),
    "staff-unknown": N_(
        "Who may come in cannot be looked up now, so nobody may. Ask whoever runs these pages."
    ),
    "home-damaged": N_("A file that this page needs is damaged. The doctor says which."),
    "lender-away": N_("The lender's service does not answer now. Nothing is lost; try again."),
    "not-a-customer": N_(
        "You are not known here as a customer. Ask the lender to link your log-in."
    ),
    "consent-missing": N_(
        "You have not agreed that your data are used for this, or took it back. Nothing was done."
    ),
    "consents-unavailable": N_(
        "What you agreed to cannot be looked up now. Nothing was read; try again."
    ),
    "not-logged-yet": N_("It is not in the log yet, so it has no effect. Look again in a moment."),
    "not-read-yet": N_("Take the time to read what it costs; in a few seconds you can accept."),
    "offer-expired": N_("The offer has run out. Nothing was changed; you can apply again."),
    "above-cap": N_("That would cost more than the law allows. Nothing was changed."),
    "rules-missing": N_("Nothing can be decided here now. Nothing was read."),
    "assessment-missing": N_("Nothing can be decided here now. Nothing was read."),
    "forgotten": N_("What this rested on was forgotten, so it cannot be shown any more."),
    "nothing-asked": N_("This lender asks for no consent to score you, so you cannot apply here."),
    "nothing-begun": N_("You have not begun an application, or your visit has ended. Begin again."),
    "another-text": N_("The text has changed since it was shown. Read it again, then answer."),
    "older-than-notice": N_("The text has changed since it was shown. Read it again, then answer."),
    "no-text-in-language": N_("There is no such text in this language. Choose the other one."),
    "not-shown-long-enough": N_(
        "The text was not shown for as long as it asks before a yes. Read it, then answer. A no "
        "counts at once."
    ),
    "cannot-change": N_("As it stands now, this cannot be done with it. Look at it again."),
    "dated-wrongly": N_("It is dated too early or too late. Check the clock of your device."),
    "ends-in-the-past": N_("It would have ended already. Choose a later day."),
    "issuer-not-for-lender": N_("This log-in is not one that this lender accepts."),
    "key-known": N_("This key is registered already."),
    "key-used-otherwise": N_("This key serves for something else. Make another."),
    "kind-not-asked": N_("This text does not ask about such data."),
    "not-named-by-notice": N_("This text does not ask for this lender."),
    "no-rules-for-children": N_("This text has no rules for children, so no child can answer it."),
    "ticket-expired": N_("This invitation has run out. Ask your lender for a new one."),
    "too-many-links": N_("Your log-in is linked as often as it can be. End a link first."),
    "twice": N_("One thing was said twice. Nothing was changed."),
    "too-many-requests-open": N_("You have as many open requests as there can be."),
    "use-refused": N_("This use is not allowed. Nothing was read."),
    "internal": N_("Something went wrong here. Nothing was acknowledged; try again."),
}
FULLER: Mapping[str, str] = {
    "dated-wrongly": N_(
        "It is dated too early or too late: at most %(days)s days back. Check the clock of your "
        "device."
    ),
    "fresh-login-needed": N_("This needs a log-in of the last %(seconds)s seconds. Log in again."),
    "not-shown-long-enough": N_(
        "The text must be shown for %(seconds)s seconds before a yes. Read it, then answer. A no "
        "counts at once."
    ),
    "older-than-notice": N_(
        "The text is by now in version %(version)s. Read it again, then answer."
    ),
    "too-many-keys": N_("You have %(most)s keys, as many as there can be. End one first."),
    "too-many-links": N_(
        "Your log-in is linked %(most)s times, as often as it can be. End a link first."
    ),
    "too-many-requests": N_("That was too often. Try again in %(seconds)s seconds."),
}
"""The same with the figures that a refusal states, where it states them."""
FIGURES = frozenset({"days", "seconds", "most", "version"})
