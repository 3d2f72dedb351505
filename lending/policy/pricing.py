"""What products allow and cost under the law of a day: the
:class:`lending.policy.offers.Pricing` of real products. Pure, and the same answer each time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import cached_property, lru_cache

from lending.account.allocation import BUCKETS, Component, Order
from lending.account.balances import Account
from lending.account.early import (
    EarlyCharge,
    EarlyLimits,
    EarlySettlement,
    early_settlement,
    interest_to_come,
)
from lending.account.events import ContractDue, Extended, LoanContract, Restructured, by_payee
from lending.account.extension import (
    ExtensionAnswer,
    ExtensionLimits,
    ExtensionRequest,
    LifeFlow,
    answer,
    cost_after,
)
from lending.account.fold import happened
from lending.cases import Cost, LoanOffer
from lending.errors import LawSilent, TermsError
from lending.law.caps import Cap, cap, longest_extension
from lending.law.rows import LAWS, Laws
from lending.money import EXACT, PPM, YEAR, part
from lending.policy.offers import Choices, LoanTerms
from lending.terms.cost import CashFlow, cap_of, cost, cost_of, highest_rate
from lending.terms.disclosure import DisclosureTable, disclose
from lending.terms.products import Amounts, Item, Product
from lending.terms.schedule import Schedule, charge_of, schedule

MONTH = timedelta(days=30)
AT_HAND = 4096
"""Of so many terms, what they cost is held: applicants of a day ask for the same few."""
_COMPONENTS: Mapping[Item, Component] = {
    "penalty": "penalty",
    "fee": "fees",
    "interest": "interest",
    "principal": "principal",
}


@dataclass(frozen=True)
class Agreed:
    """A loan as it is agreed when the money is there: its contract, what it costs a year against
    the cap of that day, what the lender charges beside the principal on the first day, fen, and the
    product that it is made under, which is kept with it. What others charge on the first day is a
    part of the cost, but owed to them."""

    contract: LoanContract
    cost: Cost
    upfront: int
    product: Product


@dataclass(frozen=True)
class Extending:
    """What a borrower asks for, and the lender agrees to."""

    id: str
    asked_on: date
    days: int
    in_difficulty: bool = False


@dataclass(frozen=True)
class ProductPricing:
    """Of these products, by name, under these laws."""

    products: Mapping[str, Product]
    laws: Laws = LAWS

    def product(self, name: str) -> Product:
        """Raises TermsError: there is none of this name."""
        found = self.products.get(name)
        if found is None:
            raise TermsError(f"there is no product {name!r} here; there is {sorted(self.products)}")
        return found

    def choices(self, product: str, on: date) -> Choices:
        """What the product allows, in terms of which the law of the day says what they may cost.
        Raises LawSilent: it says so of none."""
        return self._choices(product, on)

    @cached_property
    def _choices(self) -> Callable[[str, date], Choices]:
        return lru_cache(maxsize=AT_HAND)(self._allowed)

    def _allowed(self, name: str, on: date) -> Choices:
        found, silent = self.product(name), None
        amounts, terms = found.amounts, []
        for days in found.terms:
            shortest = LoanTerms(name, amounts.least, days, on)
            try:
                cap_of(found, self._scheduled(shortest, found.rates.least), on, self.laws)
                terms.append(days)
            except LawSilent as error:
                silent = error
        if silent is not None and not terms:
            raise silent
        return Choices(amounts.least, amounts.most, amounts.step, tuple(terms))

    def most_owed(self, product: str, on: date) -> int | None:
        """What the law lets one household owe one lender for this use, fen."""
        found = self.product(product)
        row = self.laws.find(found.jurisdiction, f"exposure.{found.use}", on)
        return None if row is None else int(row.number)

    def lawful_price(self, terms: LoanTerms, most: int) -> tuple[int, Cost] | None:
        """The highest rate up to ``most`` that keeps the cost within the cap of the day, and that
        cost."""
        return self._prices(terms, most)

    @cached_property
    def _prices(self) -> Callable[[LoanTerms, int], tuple[int, Cost] | None]:
        return lru_cache(maxsize=AT_HAND)(self._price)

    def _price(self, terms: LoanTerms, most: int) -> tuple[int, Cost] | None:
        product = self.product(terms.product)
        rate = highest_rate(product, terms.amount, terms.term_days, terms.on, most, self.laws)
        if rate is None:
            return None
        return rate, cost(product, self._scheduled(terms, rate), self.laws)

    def heaviest_month(self, terms: LoanTerms, rate: int) -> int:
        """The most that falls due within any 30 days, fen."""
        return self._months(terms, rate)

    @cached_property
    def _months(self) -> Callable[[LoanTerms, int], int]:
        return lru_cache(maxsize=AT_HAND)(self._heaviest_month)

    def _heaviest_month(self, terms: LoanTerms, rate: int) -> int:
        loan = self._scheduled(terms, rate)
        first = loan.terms.start
        paid = [(first, sum(one.amount for one in loan.upfront))]
        paid += [(due.day, due.total) for due in loan.dues]
        return max(
            sum(total for day, total in paid if begin <= day < begin + MONTH) for begin, _ in paid
        )

    def agreed(self, offer: LoanOffer, loan: str, principal: int, starts: date) -> Agreed:
        """What is owed when, of the money that was received on the day on which it was (Civil Code
        670): its amount is a fact, whatever amounts the product offers.

        Raises:
            TermsError: the product does not have this term or rate. LawSilent: no law of that day
                says what it may cost.
        """
        product = self.product(offer.product)
        received = Amounts(least=principal, most=principal)
        lent = product.model_copy(update={"amounts": received})
        made = schedule(lent, principal, offer.rate_ppm_day, starts, offer.term_days)
        dues = tuple(map(ContractDue.of, made.dues))
        contract = LoanContract(
            id=loan,
            principal=principal,
            starts=starts,
            dues=dues,
            rate_ppm_day=offer.rate_ppm_day,
            penalty_ppm_day=sum(
                fee.value for fee in product.fees if fee.method == "of-overdue-a-day"
            ),
            grace_days=product.grace_days,
            day_count=product.day_count,
            order=order_of(product),
        )
        upfront = by_payee(made.upfront)[0]
        return Agreed(contract, cost(product, made, self.laws), upfront, product)

    def extension(self, product: Product, account: Account, asked: Extending) -> ExtensionAnswer:
        """Whether the end of a loan may be put off, and what its whole life costs then.

        Args:
            product: as it was when the loan was made: it says whether, for how long, what is
                charged for it and by whom. The cap is that of the day on which it is asked for.

        Raises:
            LawSilent: the law of the day does not say what such a loan may cost.
        """
        owed = account.outstanding.principal
        fee, others = by_payee(
            charge_of(one, account.contract.principal, owed, product.rounding)
            for one in product.fees_by_moment.get("extension", ())
        )
        request = ExtensionRequest(
            asked.id, asked.asked_on, asked.days, fee, others, asked.in_difficulty, consented=True
        )
        # for how long the loan then lasts, and by the cap of the day on which it is asked for
        before = sum(one.days for one in happened(account.events) if isinstance(one, Extended))
        lasts = account.contract.term_days + before + asked.days
        limit = cap(asked.asked_on, product.jurisdiction, lasts, product.lender_kind, self.laws)
        return answer(
            account,
            request,
            self._extension_limits(product, account.contract.term_days, asked.asked_on),
            lambda flows: cost_of([CashFlow(*flow) for flow in flows], limit),
            [_paid_to_others(product, account.contract)],
        )

    def restructuring(self, product: Product, account: Account, event: Restructured) -> Cost:
        """What the whole life of a loan costs with another plan, if that is kept, beside the cap of
        its day; ``product`` as it was when the loan was made.

        Raises:
            LawSilent: the law of the day does not say what such a loan may cost. AccountError: the
            loan cannot be given this plan.
        """
        contract = account.contract
        lasts = (event.dues[-1].day - contract.starts).days
        limit = cap(event.day, product.jurisdiction, lasts, product.lender_kind, self.laws)
        return cost_after(
            account,
            event,
            lambda flows: cost_of([CashFlow(*flow) for flow in flows], limit),
            [_paid_to_others(product, contract)],
        )

    def settlement(self, product: Product, account: Account) -> EarlySettlement:
        """What repays a loan before its end, at the end of the account's day.

        Args:
            product: as it was when the loan was made: it says what is charged for it. What may be
                is asked of the law of the day, by the term that the loan would have had; where the
                tables are silent, nothing is charged.

        Raises:
            AccountError: nothing of it falls due later, or it cannot be repaid any more.
        """
        contract, balance = account.contract, account.not_due.principal
        charges = [
            EarlyCharge(one.code, one.payee, charged.amount, charged.amount)
            for one in product.fees_by_moment.get("early", ())
            for charged in (charge_of(one, contract.principal, balance, product.rounding),)
        ]
        ends = max((row.due for row in account.rows), default=contract.matures)
        left = max((ends - account.day).days, 0)
        return early_settlement(
            account,
            charges,
            self._early_limits(product, account, ends),
            self._rebate(product, account, left),
            [_paid_to_others(product, contract)],
        )

    def _early_limits(self, product: Product, account: Account, ends: date) -> EarlyLimits:
        place, day, starts = product.jurisdiction, account.day, account.contract.starts
        right = self.laws.find(place, "early-repayment", day)
        try:
            limit = cap(day, place, (ends - starts).days, product.lender_kind, self.laws)
        except LawSilent:
            limit = None
        if right is None or limit is None:
            return EarlyLimits(0, None, () if right is None else (right.article,))
        long = (ends - day).days > YEAR
        key = "early-repayment.most" if long else "early-repayment.most-short"
        row = self.laws.find(place, key, day)
        most = None
        if row is not None:
            share = int(EXACT.multiply(row.number, Decimal(PPM)))
            balance = part(account.not_due.principal, share, "down")
            most = min(balance, interest_to_come(account))
        capped: Cap = limit
        return EarlyLimits(
            most,
            lambda flows: cost_of([CashFlow(*flow) for flow in flows], capped),
            tuple(one.article for one in (right, row) if one is not None),
        )

    def _rebate(self, product: Product, account: Account, left: int) -> int:
        """Of what the lender charged on the first day, the part for the days that are ``left``,
        where the law of the day gives it back; in the borrower's favour, to the fen."""
        contract = account.contract
        row = self.laws.find(product.jurisdiction, "early-repayment.rebate", account.day)
        if row is None or row.value != "proportional":
            return 0
        taken, _ = by_payee(
            charge_of(one, contract.principal, contract.principal, product.rounding)
            for one in product.fees_by_moment.get("start", ())
        )
        days = left + (account.day - contract.starts).days
        return -(-taken * left // days) if days else 0

    def _extension_limits(self, product: Product, term_days: int, day: date) -> ExtensionLimits:
        """The lesser of product and law; nothing where either says nothing."""
        rules = product.extension
        if rules is None:
            return ExtensionLimits(0, 0)
        try:
            lawful = longest_extension(day, product.jurisdiction, term_days, self.laws)
        except LawSilent:
            return ExtensionLimits(None, rules.times, rules.asked_before_days)
        return ExtensionLimits(min(lawful, rules.days), rules.times, rules.asked_before_days)

    def disclosure(self, offer: LoanOffer, day: date) -> DisclosureTable:
        """What the borrower is shown of an offer, as if it were paid out on ``day``."""
        terms = LoanTerms(offer.product, offer.amount, offer.term_days, day)
        made = self._scheduled(terms, offer.rate_ppm_day)
        return disclose(self.product(offer.product), made, self.laws)

    def _scheduled(self, terms: LoanTerms, rate: int) -> Schedule:
        return schedule(self.product(terms.product), terms.amount, rate, terms.on, terms.term_days)


def _paid_to_others(product: Product, contract: LoanContract) -> LifeFlow:
    """What the account of a loan does not have, because the lender does not collect it: what others
    charged on the first day."""
    _, others = by_payee(
        charge_of(one, contract.principal, contract.principal, product.rounding)
        for one in product.fees_by_moment.get("start", ())
    )
    return LifeFlow(contract.starts, charges=sum(amount for _, amount in others))


def order_of(product: Product) -> Order:
    """In which order a payment is used: what is past due first, within it as the product says."""
    return Order(
        tuple((bucket, _COMPONENTS[item]) for bucket in BUCKETS for item in product.allocation)
    )
