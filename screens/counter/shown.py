"""The desk's answers in words: how an application and a loan stand, what a value is. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from law.categories import DataCategory
from law.vocabulary import words
from lending.money import percent as _percent
from screens.house.problems import N_
from screens.house.words import PageWords

PPM = Decimal(1_000_000)
STANDS: Mapping[str, str] = {
    "pending": N_("It is being recorded. Look again in a moment; nothing has effect before."),
    "void": N_("Nothing was decided: a consent that it rested on was taken back meanwhile."),
    "offered": N_("Yes: this is offered to you"),
    "in-review": N_("A person looks at it"),
    "declined": N_("No: nothing is offered to you now"),
    "accepted": N_("You have accepted; the money is not paid out yet"),
    "disbursed": N_("The money was paid out"),
    "expired": N_("The offer has run out; you can apply again"),
    "withdrawn": N_("You took it back"),
}
OUTCOMES: Mapping[str, str] = {
    "approve": N_("A loan was offered"),
    "counter": N_("Another loan was offered than was asked for"),
    "decline": N_("Nothing was offered"),
    "review": N_("It was passed on to a person"),
}
"""What a decision says, on its receipt."""
LOANS: Mapping[str, str] = {
    "agreed": N_("Agreed, and not paid out yet"),
    "active": N_("Running"),
    "extended": N_("Running, with more time"),
    "restructured": N_("Running, by another plan"),
    "charged-off": N_("Written off in the lender's books; you still owe it"),
    "settled": N_("Paid back"),
}
REPAYABLE = ("active", "extended", "restructured")
"""How loans stand that can be repaid before their end."""
SAID: Mapping[str, str] = {
    "given": N_("You said yes"),
    "refused": N_("You said no"),
    "withdrawn": N_("You took it back"),
    "suspended": N_("Paused by you"),
    "expired": N_("It has ended"),
    "superseded": N_("Replaced by a later answer"),
    "none": N_("You have not answered"),
}
OBSTACLES: Mapping[str, str] = {
    "status": N_("A loan that stands so is given no more time."),
    "overdue": N_("Something is late. Pay that first."),
    "asked-late": N_("It had to be asked for earlier, before what it puts off falls due."),
    "no-consent": N_("The lender does not agree."),
    "too-often": N_("It was given more time already as often as it may be."),
    "law-silent": N_("The law says nothing of giving such a loan more time."),
    "too-long": N_("All in all that would be longer than product and law allow."),
    "above-cap": N_("The loan would cost more than the law allows."),
}
ACTIONS: Mapping[str, str] = {
    "remind-before-due": N_("We remind you before a payment falls due."),
    "offer-extension-talk": N_("We offer to talk with you about more time."),
    "financial-education": N_("We send you something to read about handling money."),
    "limit-review-by-a-person": N_("A person looks at your limit; no machine changes it."),
    "marketing": N_("We tell you about one of our products:"),
}
RULES: Mapping[str, str] = {
    "<": N_("less than %(value)s"),
    "<=": N_("%(value)s or less"),
    ">": N_("more than %(value)s"),
    ">=": N_("%(value)s or more"),
}
_COMPARED = re.compile(r"(<=|>=|<|>) (.+)")
_BETWEEN = re.compile(r"([\[(])(.+)\.\.(.+)([\])])")
WITHIN: Mapping[str, str] = {
    "[]": N_("between %(least)s and %(most)s"),
    "[)": N_("%(least)s or more and less than %(most)s"),
    "(]": N_("more than %(least)s and %(most)s or less"),
    "()": N_("more than %(least)s and less than %(most)s"),
}
"""By its brackets: a parenthesis leaves its bound out."""
NOT_USED: Mapping[str, str] = {
    "absent": N_("nothing is known"),
    "refused": N_("not used: you did not allow it, and that counts neither for nor against you"),
    "late": N_("not used: the source did not answer in time"),
    "disputed": N_("not used: you have said that it is wrong"),
}


def data_of(categories: list[str], language: str) -> list[str]:
    """What kinds of data are called to the people whom they concern."""
    return [words(DataCategory(one), language) for one in categories]


def percent(fraction: str) -> str:
    """A decimal fraction, as text, with two decimals, never below what it is."""
    return _percent(Decimal(fraction))


def a_day(ppm: int) -> str:
    """Parts per million a day, exactly: ``0.045%``."""
    return f"{(Decimal(ppm) / PPM * 100).normalize():f}%"


def of_a_thousand(ppm: int) -> int:
    """Fen a day on a thousand of the currency's units, half up."""
    return int((Decimal(ppm) * 100_000 / PPM).quantize(Decimal(1), ROUND_HALF_UP))


def value_of(fact: Mapping[str, Any], words_: PageWords) -> str:
    """What was used of somebody, as people write it; or that it was not, and why."""
    if fact["status"] != "present" or fact["value"] is None:
        return words_.say(NOT_USED.get(fact["status"], fact["status"]))
    value = str(fact["value"])
    if fact.get("kind") == "code":  # however much it looks like a number
        return value
    if value in {"True", "False", "true", "false"}:
        return words_.say(N_("yes") if value in {"True", "true"} else N_("no"))
    if fact.get("kind") == "fen" and value.lstrip("-").isdecimal():
        return words_.money(int(value))
    try:
        return words_.number(float(value))
    except ValueError:
        return value


def rule_of(fact: Mapping[str, Any], words_: PageWords) -> str:
    """The condition on a value, as a decision table has it, in words."""

    def value(text: str) -> str:
        return value_of({**fact, "value": text.strip()}, words_)

    found, rule = [], str(fact["condition"])
    for term in rule.removeprefix("not ").split(", "):
        if compared := _COMPARED.fullmatch(term):
            found.append(words_.say(RULES[compared[1]], value=value(compared[2])))
        elif between := _BETWEEN.fullmatch(term):
            least, most = value(between[2]), value(between[3])
            found.append(words_.say(WITHIN[between[1] + between[4]], least=least, most=most))
        else:
            found.append(value(term))
    either = words_.say(N_(" or ")).join(found)
    if not rule.startswith("not "):
        return either
    return words_.say(N_("anything but %(value)s"), value=either)


def name_of(fact: Mapping[str, Any], language: str) -> str | None:
    """What a fact is called: the lender's own words for it, else the kinds of data that it is made
    of; None where neither is known."""
    own = fact["words"].get(language)
    if own and own != fact["words"].get("en" if language == "zh" else "zh"):
        return str(own)
    data = data_of(fact.get("data", []), language)
    if language == "en" and own:
        return str(own)
    return words_list(data) or (None if not own else str(own))


def told_apart(fact: Mapping[str, Any], language: str) -> str | None:
    """The lender's own words in the other language, where :func:`name_of` has the kinds of data
    alone: several facts are of one kind."""
    own = fact["words"].get("en")
    if language == "en" or not own or own != fact["words"].get(language, own):
        return None
    return str(own) if fact.get("data") else None


def words_list(names: list[str]) -> str | None:
    return ", ".join(names) or None


def date_of(day: str) -> date:
    """A calendar day as the desk writes it; it has no time and no zone."""
    return date.fromisoformat(day)
