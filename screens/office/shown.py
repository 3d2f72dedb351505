"""Terms of the office in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from screens.house.problems import N_
from screens.house.words import PageWords

KINDS: Mapping[str, str] = {
    "campaign": N_("A campaign waits for your answer"),
    "revocations": N_("Somebody has taken back a consent"),
    "review": N_("A case waits for a person"),
    "request": N_("A borrower has asked something"),
    "finding": N_("Something here is not in order"),
}
"""Of things to do."""
REQUESTS: Mapping[str, str] = {
    "access": N_("to see their data"),
    "correct": N_("to put something right"),
    "object": N_("disputes something"),
    "statement": N_("to add their own words"),
    "explain": N_("how a decision came about"),
    "review": N_("for a person to look at it"),
    "refuse-automated": N_("for no decision by a machine alone"),
    "complain": N_("complains"),
    "erase": N_("to be erased"),
    "transfer": N_("to take their data elsewhere"),
    "restrict": N_("for their data to be left alone"),
    "prove": N_("for proof of what they were used for"),
}
STANDINGS: Mapping[str, str] = {
    "given": N_("may be used"),
    "not-enrolled": N_("not enrolled"),
    "never-asked": N_("never answered"),
    "refused": N_("said no"),
    "withdrawn": N_("took it back"),
    "expired": N_("the time is over"),
    "suspended": N_("paused by the person"),
    "superseded": N_("replaced by a later answer"),
    "notice-changed": N_("the text has changed; to be asked again"),
    "used-up": N_("as often used as was agreed"),
    "child": N_("under 14, and the guardian's consent is missing"),
}
"""How a borrower stands, and so whether they may be used."""
REVOKED: Mapping[str, str] = {
    "withdraw": N_("taken back"),
    "suspend": N_("paused"),
    "erase": N_("to be erased"),
}
DONE_WITH: Mapping[str, str] = {
    "remind-before-due": N_("Remind them before a payment falls due."),
    "offer-extension-talk": N_("Offer to talk with them about more time."),
    "financial-education": N_("Send them something to read about handling money."),
    "limit-review-by-a-person": N_("Have a person look at their limit; no machine changes it."),
    "marketing": N_("Tell them about this product:"),
}
"""What is done with the people in a portrait."""
WAYS: Mapping[str, str] = {
    "node": N_("by the node itself, before a release"),
    "inbox": N_("by the inbox, when it was delivered"),
    "hand": N_("by hand"),
}
"""How revocations were acknowledged."""
ANSWERS: Mapping[str, str] = {
    "approved": N_("You said yes"),
    "rejected": N_("You said no"),
    "none": N_("You have not answered"),
}
CHANGES: Mapping[str, str] = {
    "added": N_("new"),
    "removed": N_("gone"),
    "changed": N_("changed"),
    "same": N_("as before"),
}
RELEASES: Mapping[str, str] = {
    "histogram": N_("counts by bin"),
    "gram": N_("how features go together"),
    "gradient": N_("a step of learning"),
    "train": N_("a model trained at each lender"),
    "pairs": N_("pairs of features"),
    "evaluation": N_("how good the model is"),
    "calibration": N_("how well it is calibrated"),
    "intake": N_("who applied"),
    "outcomes": N_("what became of loans"),
}
"""Kinds of releases."""
OUTCOMES: Mapping[str, str] = {
    "approve": N_("a loan is offered"),
    "counter": N_("less is offered than was asked for"),
    "review": N_("a person shall decide"),
    "decline": N_("no loan is offered"),
}
EVENTS: Mapping[str, str] = {
    "decide": N_("decided"),
    "propose": N_("proposed"),
    "agree": N_("agreed"),
    "disagree": N_("did not agree; somebody else looks at it anew"),
}
"""What people say in a review."""
STATUSES: Mapping[str, str] = {
    "waiting": N_("waits for somebody"),
    "taken": N_("somebody is at it"),
    "proposed": N_("waits for a second person"),
    "decided": N_("decided"),
    "void": N_("nobody decides it any more"),
}
FACTS: Mapping[str, str] = {
    "present": "",
    "absent": N_("the source knows nothing"),
    "refused": N_("the applicant did not let us ask"),
    "late": N_("the source did not answer in time"),
    "disputed": N_("the applicant disputes it"),
}
GROUPS: Mapping[str, str] = {
    "everybody": N_("everybody"),
    "thin file": N_("thin file"),
    "thick file": N_("thick file"),
}
"""Thin: the bureau was asked, and knows nothing of the person."""
BOX: Mapping[str, str] = {
    "not-whole": N_("Choose yes or no; an amount is in yuan, a term in whole days."),
    "no-reason": N_("Give one to four reasons of your own, one a line."),
    "no-name": N_("That is no customer's pseudonym. It begins with v and a number."),
    "not-ours": N_("No customer of ours has this pseudonym, by our copy of the list."),
}
"""What is said beside a form."""


PROBLEMS: Mapping[str, str] = {
    "registry-unavailable": N_("The registry does not answer now. Try again in a minute."),
    "refused-here": N_("Your own machine refused it. Nothing was signed or changed."),
    "no-desk": N_("These pages know of no desk. Start them with the desk's home."),
    "shown-before": N_("This code was shown already, or its time is over. Make another."),
    "consent-missing": N_("The applicant has taken back what this case rests on. Nobody reads it."),
}
"""What codes mean in this office; the house's own words stand behind them."""


def value_in_words(words: PageWords, stored: Any, kind: str | None = None) -> str:
    """A fact's value, as a case keeps it (``lending.records``). One of kind ``fen`` is money."""
    if kind == "fen" and isinstance(stored, int):
        return words.money(stored)
    if isinstance(stored, Mapping):
        ((named, text),) = stored.items()
        return words.day(text) if named == "date" else words.number(float(text))
    if isinstance(stored, bool):
        return words.say(N_("yes")) if stored else words.say(N_("no"))
    return words.number(stored) if isinstance(stored, int) else str(stored)


def fact_value(stored: Any, kind: str, words: PageWords) -> str:
    """A value that a portrait's rule held on."""
    return value_in_words(words, stored, kind)


def share(value: float) -> str:
    """A share as per cent, one decimal."""
    return f"{100 * value:.1f}%"


def small(value: float) -> str:
    """A figure with four digits that count: an epsilon, a delta."""
    return f"{value:.4g}"
