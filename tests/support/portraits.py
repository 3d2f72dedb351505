"""Portraits as a lender writes them."""

from __future__ import annotations

from datetime import date
from typing import Any

from lending.law.features import objection
from lending.portraits import Portrait, PortraitDocument, portrait_from

DAY = date(2026, 11, 28)


def both(en: str, zh: str) -> dict[str, str]:
    return {"en": en, "zh": zh}


def portrait(**changes: Any) -> dict[str, Any]:
    """Of people who were late before and will soon have to pay again."""
    late = {"kind": "integer", "low": 0, "high": 100, "categories": ["repayment"]}
    return {
        "id": "late-before",
        "version": 1,
        "jurisdiction": "CN",
        "name": both("Paid late before", "曾经逾期还款"),
        "purpose": both("We remind you before the next day", "在下一还款日前提醒您"),
        "action": "remind-before-due",
        "owner": "head of servicing",
        "valid_from": "2026-01-01",
        "review_on": "2026-12-31",
        "facts": {"late": {**late, "words": both("late payments", "逾期次数")}},
        "rows": [{"id": "often", "when": {"late": ">= 2"}}],
    } | changes


def fact(words: tuple[str, str], *categories: str, **more: Any) -> dict[str, Any]:
    return {"words": both(*words), "categories": list(categories), **more}


def document(**changes: Any) -> PortraitDocument:
    return PortraitDocument.model_validate(portrait(**changes))


def compiled(day: date = DAY, **changes: Any) -> Portrait:
    return portrait_from(portrait(**changes), objection, day)
