"""Portraits as a lender writes them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from consent.notice_text import with_particulars
from demo.scoring_notice import make_scoring_notice
from law.categories import DataCategory
from lending.law.features import objection
from lending.portraits import Portrait, PortraitDocument, portrait_from
from protocol.notices import Notice
from protocol.parties import Consortium
from protocol.uses import PORTRAIT_PURPOSE

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


def portrait_notice(consortium: Consortium, lenders: Sequence[str], categories: Sequence[DataCategory]) -> Notice:
    """What people are shown before they are placed in groups."""
    scoring = make_scoring_notice(consortium, lenders, categories)
    terms = scoring.terms.model_copy(update={"automated_decision": False, "logic": {}})
    said = {"en": "We sort customers into groups by rules.", "zh": "我们按规则对客户分组。"}
    about = {"id": "portraits", "purpose": PORTRAIT_PURPOSE, "terms": terms, "texts": said}
    return with_particulars(scoring.model_copy(update=about))
