"""What a customer is told of a loan of their own: what was paid, what is due when, what is late;
and what its whole life would cost if its end were put off. Money in fen."""

from __future__ import annotations

from datetime import date
from typing import Any

from desk.api.loans import loan_view
from desk.commands.extend import contracted, terms_sha256
from desk.office import Desk
from lending.account.allocation import HEADS
from lending.account.balances import Account
from lending.account.events import Extended
from lending.account.fold import resume
from lending.account.rows import Claim, DueRow
from lending.policy.pricing import Extending

SOME_DAYS = (7, 14, 30, 60, 90, 180)


def owing(account: Account) -> dict[str, Any]:
    """As :func:`desk.api.loans.loan_view`, with each due as the plan has it now."""
    dues = [_due(row, account.day) for row in account.rows]
    return loan_view(account) | {"dues": dues}


def _due(row: DueRow, day: date) -> dict[str, Any]:
    """``open``: what is owed of it by ``day``; nothing of what falls due later."""
    claims: list[Claim] = [getattr(row, head) for head in HEADS]
    later = row.due > day
    interest = max(row.planned_interest, row.interest.whole) if later else row.interest.whole
    total = sum(one.whole for one in claims) - row.interest.whole + interest
    return {
        "due": row.due.isoformat(),
        "total": total,
        "paid": sum(one.settled for one in claims),
        "open": 0 if later else sum(one.open for one in claims),
        "later": later,
    }


def choices(desk: Desk, loan: str, account: Account) -> list[int]:
    """For how many days the product that the loan was made under lets the end be put off yet; the
    law of the day may say less."""
    rules = contracted(desk, loan).extension
    before = [one for one in account.events if isinstance(one, Extended)]
    if rules is None or len(before) >= rules.times:
        return []
    most = rules.days - sum(one.days for one in before)
    return sorted({*(one for one in SOME_DAYS if one < most), most}) if most > 0 else []


def extension_view(desk: Desk, loan: str, account: Account, days: int) -> dict[str, Any]:
    """What an extension that is asked for today would cost over the whole life, and its plan; or
    what is against it. Nothing is booked."""
    asked = Extending("preview", account.day, days)
    found = desk.lending.extension(contracted(desk, loan), account, asked)
    told: dict[str, Any] = {"days": days, "obstacles": list(found.obstacles), "cost": None}
    told["terms_sha256"] = terms_sha256(found)
    if found.cost is not None:
        cap = found.cost.cap
        told["cost"] = {
            "compound": str(found.cost.compound),
            "simple": str(found.cost.simple),
            "cap": None if cap is None else str(cap),
            "cap_source": found.cost.cap_source,
            "total": found.cost.total,
        }
    if found.event is not None and not found.obstacles:
        after = resume(account, [found.event], account.day)
        told["fee"] = found.event.amount + sum(amount for _, amount in found.event.others)
        told["dues"] = [_due(row, account.day) for row in after.rows]
    return told
