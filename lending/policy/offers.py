"""Which terms somebody may have: limit, price, cost and affordability of one loan, and what else
the product allows where what was asked will not do.

What a loan costs and what the law of the day caps is asked of a :class:`Pricing`; whatever it
answers, no offer leaves here that is larger than was asked or whose cost is not within its cap.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Protocol

from lending.cases import Case, Cost, LoanOffer, PrincipalReason, Step, Value
from lending.policy.document import MOST_BURDEN, CreditPolicy
from lending.policy.tables import Looked, TableRow


@dataclass(frozen=True, slots=True)
class LoanTerms:
    """A loan but for its price."""

    product: str
    amount: int
    term_days: int
    on: date
    """The day of which the law counts."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What a product allows: amounts from ``least`` in whole ``step`` to ``most``, fen; terms in
    days, at least one."""

    least: int
    most: int
    step: int
    terms: tuple[int, ...]

    def floor(self, amount: int) -> int | None:
        """The largest amount that is allowed and no larger; None if there is none."""
        if amount < self.least:
            return None
        return min(amount, self.most) - (min(amount, self.most) - self.least) % self.step


class Pricing(Protocol):
    """What products allow and cost, under the law of a day. Pure: the same answer each time."""

    def choices(self, product: str, on: date) -> Choices:
        """What the product allows."""

    def most_owed(self, product: str, on: date) -> int | None:
        """What the law lets one household owe one lender, fen; None where it says nothing."""

    def lawful_price(self, terms: LoanTerms, most: int) -> tuple[int, Cost] | None:
        """The highest rate, ppm a day, up to ``most`` with which the all-in cost is within the cap
        of the day, and that cost; None if it is not even without interest."""

    def heaviest_month(self, terms: LoanTerms, rate: int) -> int:
        """The most that falls due within any 30 days, fen."""


_ROOM, _COST = (
    {held: Step(table, row, held, reads) for held in (True, False)}
    for table, row, reads in (
        ("exposure", "room", ("amount", "outstanding", "limit")),
        ("cost", "cap", ("amount", "term_days")),
    )
)


@dataclass(frozen=True, slots=True)
class NoTerms:
    """No terms will do, for these reasons."""

    reasons: tuple[PrincipalReason, ...]


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search came to.

    Args:
        outcome: an offer; a refusal; or None, if it is not known whether there could be one.
        counters: why the offer is not what was asked; empty if it is.
        reviews: why a person must look first.
        missing: the facts that are not known and that it depends on.
    """

    outcome: LoanOffer | NoTerms | None
    trace: tuple[Step, ...]
    counters: tuple[PrincipalReason, ...] = ()
    reviews: tuple[PrincipalReason, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One loan, tried: an offer, what is against it, what a person must look at, what is not
    known."""

    trace: tuple[Step, ...]
    offer: LoanOffer | None = None
    against: tuple[PrincipalReason, ...] = ()
    reviews: tuple[PrincipalReason, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        return self.offer is not None and not self.reviews

    @property
    def open(self) -> bool:
        """A person, or a fact that is missing, might allow it."""
        return bool(self.reviews or self.missing)


def rule_reason(row: TableRow, known: Mapping[str, Value]) -> PrincipalReason:
    """A row's own reason, with the facts that it rests on."""
    rests_on = {name: known[name] for name in row.when if name in known}
    return PrincipalReason(str(row.then["reason"]), "rule", detail=rests_on)


@dataclass(frozen=True, slots=True)
class Search:
    """The search for terms for one case. ``most_amount`` bounds it further; None: not at all."""

    case: Case
    policy: CreditPolicy
    pricing: Pricing
    known: Mapping[str, Value]
    most_amount: int | None
    day: date = field(init=False)
    choices: Choices = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "day", self.case.now.date())
        choices = self.pricing.choices(self.case.application.product, self.day)
        object.__setattr__(self, "choices", choices)

    def run(self) -> SearchResult:
        """Look for what was asked, then for the nearest other term, then for a smaller amount."""
        looked = self.policy.tables["limits"].look(self.known)
        if looked.row is None:
            return SearchResult(None, looked.steps, missing=looked.missing)
        limit, room, bound = self._room(int(looked.row.then["limit"]))  # type: ignore[arg-type]
        asked, choices = self.case.application, self.choices
        steps = (*looked.steps, _ROOM[room >= asked.amount])
        top = choices.floor(min(asked.amount, room))
        if top is None:
            code = "amount-too-small" if asked.amount < choices.least else bound
            return SearchResult(NoTerms((PrincipalReason(code, "rule"),)), steps)
        counters: tuple[PrincipalReason, ...] = ()
        if top < asked.amount:
            code = bound if room < asked.amount else "amount-not-offered"
            counters = (PrincipalReason(code, "rule", detail={"limit": limit}),)
        days = asked.term_days
        if days not in choices.terms:
            days = min(choices.terms, key=self._distance)
            counters += (PrincipalReason("term-not-offered", "rule"),)
        return self._tried(top, days, limit, SearchResult(None, steps, counters))

    def _distance(self, days: int) -> tuple[int, int]:
        """From the term that was asked for; of two that are as far, the shorter is nearer."""
        return abs(days - self.case.application.term_days), days

    def _room(self, limit: int) -> tuple[int, int, str]:
        """The limit, how much of it is left, and what binds it."""
        bound = "credit-limit"
        lawful = self.pricing.most_owed(self.case.application.product, self.day)
        if lawful is not None and lawful < limit:
            limit, bound = lawful, "household-limit"
        room = limit - self.case.outstanding
        if self.most_amount is not None and self.most_amount < room:
            room, bound = self.most_amount, "small-first-loan"
        return limit, room, bound

    def _tried(self, top: int, days: int, limit: int, begun: SearchResult) -> SearchResult:
        first = self._attempt(top, days, limit)
        steps = begun.trace + first.trace
        if first.fits:
            return SearchResult(first.offer, steps, begun.counters)
        if first.open:
            return SearchResult(None, steps, (), first.reviews, first.missing)
        reasons = {one.code: one for one in first.against}
        left: list[_Attempt] = []
        for other in self._others(top, days, limit, first):
            if other.fits:
                counters = begun.counters + first.against
                return SearchResult(other.offer, steps + other.trace, counters)
            for one in other.against:
                reasons.setdefault(one.code, one)
            left += [other] if other.open else []
        if left:
            return SearchResult(None, steps + left[0].trace, (), left[0].reviews, left[0].missing)
        return SearchResult(NoTerms(tuple(reasons.values())), steps)

    def _others(self, top: int, days: int, limit: int, first: _Attempt) -> Iterator[_Attempt]:
        """Other terms for the same amount, then for each term the largest amount that fits."""
        whole = [(days, first)]
        for other in sorted(self.choices.terms, key=self._distance):
            if other != days:
                whole.append((other, self._attempt(top, other, limit)))
                yield whole[-1][1]
        for term, attempt in whole:
            if any(one.kind != "cost" for one in attempt.against):
                yield from self._smaller(top, term, limit)

    def _smaller(self, top: int, days: int, limit: int) -> Iterator[_Attempt]:
        """By halves: the largest amount that fits, if whatever is smaller than one that fits does
        too; some amount that fits, in any case."""
        choices = self.choices
        low, high = 0, (top - choices.least) // choices.step - 1
        best = None
        while low <= high:
            middle = (low + high) // 2
            attempt = self._attempt(choices.least + middle * choices.step, days, limit)
            if attempt.fits:
                best, low = attempt, middle + 1
            else:
                high = middle - 1
                yield attempt
        if best is not None:
            yield best

    def _attempt(self, amount: int, days: int, limit: int) -> _Attempt:
        asked = self.case.application
        terms = LoanTerms(asked.product, amount, days, self.day)
        known: dict[str, Value] = {
            **self.known,
            "amount": amount,
            "term_days": days,
            "exposure": self.case.outstanding + amount,
        }
        priced = self.policy.tables["pricing"].look(known)
        if priced.row is None:
            return _Attempt(priced.steps, missing=priced.missing)
        price = self._price(terms, priced.row)
        step = _COST[price is not None]
        if price is None:
            dear = PrincipalReason("cost-cap", "cost", detail={"term_days": days})
            return _Attempt((*priced.steps, step), against=(dear,))
        rate, cost = price
        looked = self._afforded(terms, rate, known)
        trace = (*priced.steps, step, *looked.steps)
        if looked.row is None:
            return _Attempt(trace, missing=looked.missing)
        if looked.row.then["outcome"] == "decline":
            return _Attempt(trace, against=(rule_reason(looked.row, known),))
        until = self.case.now + timedelta(days=self.policy.document.offer_days)
        offer = LoanOffer(asked.product, amount, days, rate, limit, cost, until)
        if looked.row.then["outcome"] == "review":
            return _Attempt(trace, offer, reviews=(rule_reason(looked.row, known),))
        return _Attempt(trace, offer)

    def _price(self, terms: LoanTerms, row: TableRow) -> tuple[int, Cost] | None:
        """The price, lowered until its cost is within the cap; None if it cannot be."""
        most, floor = int(row.then["rate"]), int(row.then.get("floor", 0))  # type: ignore[arg-type]
        found = self.pricing.lawful_price(terms, most)
        if found is None or not (floor <= found[0] <= most and found[1].within):
            return None
        return found

    def _afforded(self, terms: LoanTerms, rate: int, known: dict[str, Value]) -> Looked:
        """What the table says of the burden, which is worked out if income and obligations are
        known; they are missing if it is."""
        policy = self.policy
        table, names = policy.tables["affordability"], policy.document.burden
        if not policy.reads_burden:
            return table.look(known)
        income, owed = (policy.covered(one, known) for one in (names.income, names.obligations))
        if income is not None and owed is not None:
            due = owed + self.pricing.heaviest_month(terms, rate)
            share = -(-1000 * due // income) if income > 0 else MOST_BURDEN
            known["burden"] = min(share, MOST_BURDEN)
            return table.look(known)
        looked = table.look(known)
        behind = [names.income] if income is None else []
        behind += [names.obligations] if owed is None else []
        others = [one for one in looked.missing if one != "burden"]
        worked_out = "burden" in looked.missing
        return replace(looked, missing=(*others, *behind) if worked_out else looked.missing)
