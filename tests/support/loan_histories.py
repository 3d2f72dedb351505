"""Loans to which anything may happen: contracts and events at random, played against the account as they come."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from random import Random
from typing import Any

from hypothesis import strategies as st

from lending.account.allocation import COMPONENTS, STEPS, THIRD_PARTIES, Order, Others
from lending.account.balances import Account
from lending.account.events import (
    ChargedOff,
    ContractDue,
    Corrected,
    Disbursed,
    Extended,
    FeeCharged,
    GraceGranted,
    LoanContract,
    LoanEvent,
    Recovered,
    Refunded,
    Repaid,
    Restructured,
    SettledEarly,
    Waived,
)
from lending.account.fold import resume, state
from lending.errors import AccountError

START = date(2026, 1, 31)


def day(number: int) -> date:
    return START + timedelta(days=number)


def contract(*dues: tuple[Any, ...], **terms: object) -> LoanContract:
    """Of (day, principal, interest, fees), and what others get."""
    made = tuple(ContractDue(day(at), *rest) for at, *rest in dues)
    usual: dict[str, object] = {"rate_ppm_day": 500, "penalty_ppm_day": 750}
    total = sum(one.principal for one in made)
    return LoanContract("loan-1", total, START, made, **{**usual, **terms})  # type: ignore[arg-type]


def disbursed(loan: LoanContract) -> Disbursed:
    return Disbursed(id="out", day=loan.starts, amount=loan.principal)


def paid(at: int, amount: int, **more: object) -> Repaid:
    return Repaid(id=f"paid-{at}-{amount}", day=day(at), amount=amount, **more)  # type: ignore[arg-type]


def random_others(rng: Random) -> Others:
    """Most loans are between two."""
    return tuple((who, rng.randint(1, 400)) for who in THIRD_PARTIES if rng.random() < 0.2)


def random_contract(rng: Random) -> LoanContract:
    at, dues = 0, []
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        at += rng.randint(1, 45)
        dues.append((at, rng.choice((0, rng.randint(1, 400_000))), rng.randint(0, 9_000), rng.choice((0, 150)),
                     random_others(rng)))  # fmt: skip
    last = dues[-1]
    dues[-1] = (last[0], max(1, last[1]), *last[2:])
    order = Order(tuple(rng.sample(STEPS, len(STEPS))), rng.random() < 0.5, rng.random() < 0.5)
    return contract(
        *dues,
        rate_ppm_day=rng.choice((0, 330, 590)),
        penalty_ppm_day=rng.choice((0, 495, 900)),
        grace_days=rng.choice((0, 0, 3, 10)),
        order=order,
        day_count=rng.choice(("ACT/365F", "ACT/360", "30/360", "ACT/ACT")),
    )


def _plan(rng: Random, account: Account) -> tuple[ContractDue, ...]:
    left, at, dues = account.outstanding.principal, 0, []
    for _ in range(rng.randint(0, 3)):
        at += rng.randint(1, 30)
        part = rng.randint(0, left - 1) if left else 0
        dues.append(ContractDue(account.day + timedelta(days=at), part, rng.randint(0, 500)))
        left -= part
    last = account.day + timedelta(days=at + rng.randint(1, 60))
    return (*dues, ContractDue(last, left, 99, 7, random_others(rng)))


def random_event(rng: Random, account: Account, name: str) -> LoanEvent:
    """Something that may or may not be possible."""
    this = {"id": name, "day": account.day}
    owed = rng.choice((account.outstanding.lender, account.outstanding.total))
    hard = rng.random() < 0.2
    match rng.randrange(21):
        case 0 | 1 | 2 | 3:
            return Repaid(**this, amount=rng.choice((account.due.total, rng.randint(0, account.due.total + 1))))
        case 4 | 5:
            return Repaid(**this, amount=rng.randint(0, owed + owed // 3 + 1), prepays=rng.random() < 0.7)
        case 6:
            payer = rng.choice(("guarantor", "insurer", "lender"))
            return Repaid(**this, amount=rng.choice((owed, owed // 2, owed + 1)), payer=payer)
        case 7 | 8:
            return Extended(**this, days=rng.randint(1, 40), amount=rng.choice((0, 300)), in_difficulty=hard,
                            others=random_others(rng))  # fmt: skip
        case 9 | 10:
            dues = _plan(rng, account)
            total = sum(one.principal for one in dues)
            return Restructured(**this, amount=total, dues=dues, in_difficulty=hard)
        case 11 | 12:
            until = account.day + timedelta(days=rng.randint(0, 30))
            return GraceGranted(**this, until=until, in_difficulty=hard)
        case 13:
            return FeeCharged(**this, amount=rng.randint(0, 500), payee=rng.choice(("lender", *THIRD_PARTIES)))
        case 14 | 15:
            component, payee = rng.choice(
                (*((one, "lender") for one in COMPONENTS), ("fees", rng.choice(THIRD_PARTIES)))
            )
            most = getattr(account.outstanding, component if payee == "lender" else payee)
            return Waived(**this, amount=rng.choice((most, most // 3, most + 1)), component=component, payee=payee)
        case 16:
            return ChargedOff(**this)
        case 17:
            return Recovered(**this, amount=rng.randint(0, owed + 5))
        case 18:
            return Refunded(**this, amount=rng.choice((account.held, account.held // 2, account.held + 1)))
        case 19:
            fees, others, back = rng.choice((0, 200)), random_others(rng), rng.choice((0, 0, 9))
            asked = account.outstanding.total + fees + sum(amount for _, amount in others) - account.held - back
            came = max(asked + rng.choice((0, 0, 0, 0, 90, -1)), 0)
            return SettledEarly(**this, amount=came, fees=fees, others=others, rebate=back)
        case _:
            money = [one.id for one in account.events if isinstance(one, Repaid | SettledEarly)]
            return Corrected(**this, corrects=tuple(rng.sample(money, min(1, len(money)))))


@dataclass
class History:
    """What was accepted, and the account before and after each of it."""

    loan: LoanContract
    events: list[LoanEvent] = field(default_factory=list)
    steps: list[tuple[Account, LoanEvent, Account]] = field(default_factory=list)
    refused: int = 0
    last: date = START


def played(seed: int, length: int) -> History:
    """A contract, and events at it, of which the account takes those that are possible."""
    rng = Random(seed)
    loan = random_contract(rng)
    history = History(loan, [disbursed(loan)])
    account = state(loan, history.events, loan.starts)
    for number in range(length):
        today = account.day + timedelta(days=rng.choice((0, 1, 1, 7, rng.randint(0, 45))))
        before = resume(account, (), today)
        try:
            event = random_event(rng, before, f"e{number}")
            account = resume(before, [event], today)
        except AccountError:
            history.refused += 1
            account = before
            continue
        history.events.append(event)
        history.steps.append((before, event, account))
    history.last = account.day + timedelta(days=rng.randint(0, 120))
    return history


histories = st.builds(played, st.integers(0, 2**63), st.integers(0, 14))
