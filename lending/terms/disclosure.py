"""The table that a borrower is shown, and confirms, before a personal loan (综合融资成本明示表;
个人贷款业务明示综合融资成本规定, since 2026-08-01).

In the Union it has the APRC besides, in the United States the APR (:mod:`lending.terms.apr`), of
everything that is charged.

The principal; every charge with how it is computed, its rate and who gets it; what that costs a
year if everything is paid when due; what is charged only if it is not; and that nothing else will
be. It is data first (:meth:`DisclosureTable.payload`, whole numbers and texts only, which can be
signed), then rows in Chinese or English.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Literal, get_args

from crypto.documents import document_hash
from lending.account.allocation import Payee
from lending.cases import Cost
from lending.errors import CostError
from lending.law.rows import LAWS, Laws
from lending.money import PPM, YEAR, nominal_year, percent, shown
from lending.terms.apr import apr, aprc
from lending.terms.cost import cost, flows_of
from lending.terms.products import Fee, Method, Product, When
from lending.terms.schedule import Schedule

ShownIn = Literal["zh", "en"]
LANGUAGES: tuple[ShownIn, ...] = get_args(ShownIn)
INTEREST = "interest"

PAYEES: dict[Payee, dict[ShownIn, str]] = {
    "lender": {"zh": "贷款人", "en": "the lender"},
    "guarantor": {"zh": "担保机构", "en": "the guarantor"},
    "insurer": {"zh": "保险机构", "en": "the insurer"},
    "platform": {"zh": "平台机构", "en": "the platform"},
}
METHODS: dict[Method, dict[ShownIn, str]] = {
    "amount": {"zh": "固定金额 {amount}", "en": "a fixed amount of {amount}"},
    "of-principal": {"zh": "按贷款本金的 {share}", "en": "{share} of what was lent"},
    "of-balance": {"zh": "按剩余本金的 {share}", "en": "{share} of what is outstanding"},
    "of-overdue-a-day": {"zh": "按逾期金额每日 {share}", "en": "{share} a day of what is overdue"},
}
WHENS: dict[When, dict[ShownIn, str]] = {
    "start": {"zh": "放款日收取", "en": "on the day the loan is paid out"},
    "each-due": {"zh": "每期收取", "en": "with each due"},
    "last-due": {"zh": "最后一期收取", "en": "with the last due"},
    "late": {"zh": "逾期时收取", "en": "if a payment is late"},
    "extension": {"zh": "展期时收取", "en": "if the loan is extended"},
    "early": {"zh": "提前还款时收取", "en": "if it is repaid early"},
}
WORDS: dict[str, dict[ShownIn, str]] = {
    "title": {"zh": "综合融资成本明示表", "en": "What this loan costs in all"},
    "product": {"zh": "产品", "en": "Product"},
    "principal": {"zh": "贷款本金", "en": "Amount lent, which you receive in full"},
    "from-to": {"zh": "贷款期限", "en": "From, to, and number of payments"},
    "dues": {"zh": "{start} 至 {end}，共 {count} 期", "en": "{start} to {end}, {count} payments"},
    "interest": {"zh": "利息", "en": "Interest"},
    "interest-how": {
        "zh": "按剩余本金按日计息，年利率（单利）{year}（日利率 {day}，{basis}）；收取方：{payee}",
        "en": "{year} a year (simple), by the day on what is outstanding ({day} a day, {basis}); "
        "paid to {payee}",
    },
    "fee-how": {
        "zh": "{method}，{when}；收取方：{payee}",
        "en": "{method}, {when}; paid to {payee}",
    },
    "line": {"zh": "{amount}（{how}）", "en": "{amount} ({how})"},
    "total": {"zh": "息费合计", "en": "Interest and fees in all"},
    "yearly": {
        "zh": "正常履约情形下的年化综合融资成本",
        "en": "Cost a year if everything is paid when due",
    },
    "both": {
        "zh": "{higher}（复利，内部收益率：{compound}；单利：{simple}）",
        "en": "{higher} (compound, internal rate of return: {compound}; simple: {simple})",
    },
    "aprc": {
        "zh": "年度百分比费率（APRC，欧盟指令 2023/2225 附件三）",
        "en": "Annual percentage rate of charge (APRC)",
    },
    "apr": {
        "zh": "年百分率（APR，美国 Z 条例附录 J）",
        "en": "Annual percentage rate (APR)",
    },
    "cap": {"zh": "当日上限", "en": "The most that the law of the day allows"},
    "no-cap": {"zh": "无统一上限（{source}）", "en": "none in general ({source})"},
    "the-cap": {"zh": "{cap}（{source}）", "en": "{cap} ({source})"},
    "contingent": {
        "zh": "违约等情形下可能收取：{label}",
        "en": "Charged only in this case: {label}",
    },
    "no-contingent": {
        "zh": "违约等情形下可能收取的费用",
        "en": "Charged if you are late, extend or repay early",
    },
    "none": {"zh": "无", "en": "nothing"},
    "payout": {"zh": "放款时限", "en": "Paid out"},
    "payout-days": {
        "zh": "您确认后 {days} 日内放款；逾期未放款的，您的接受失效，您无需支付任何费用。",
        "en": "within {days} days of your acceptance; if not, it lapses and you owe nothing.",
    },
    "else": {"zh": "声明", "en": "And nothing else"},
    "nothing-else": {
        "zh": "除上述明示项目外，不再收取其他任何利息和费用。",
        "en": "Beyond what is listed here you will be charged nothing, by nobody.",
    },
}


@dataclass(frozen=True, slots=True)
class ChargeLine:
    """One charge: what it is called, how and when it is computed, who gets it."""

    code: str
    label: dict[ShownIn, str]
    payee: Payee
    how: dict[ShownIn, str]
    amount: int | None
    """Fen over the whole loan, everything paid when due; None of what is contingent."""


@dataclass(frozen=True, slots=True)
class LegalRate:
    """The annual rate that the law of a place has shown, as a decimal fraction; nothing is held
    against it."""

    name: Literal["aprc", "apr"]
    rate: Decimal

    def payload(self) -> dict[str, str]:
        return {self.name: str(self.rate)}


@dataclass(frozen=True, slots=True)
class DisclosureTable:
    """What a borrower is shown and confirms."""

    product: dict[ShownIn, str]
    product_hash: str
    principal: int
    start: date
    end: date
    dues: int
    charges: tuple[ChargeLine, ...]
    """Interest first."""
    cost: Cost
    contingent: tuple[ChargeLine, ...]
    legal_rate: LegalRate | None = None
    payout_days: int = 14
    """For how long after it is confirmed it may be paid out."""

    def payload(self) -> dict[str, Any]:
        """Whole numbers and texts only: what is signed and hashed."""
        return {
            "product": self.product,
            "product_hash": self.product_hash,
            "principal": self.principal,
            "start": self.start.isoformat(),
            "end": self.end.isoformat(),
            "dues": self.dues,
            "charges": [_line(one) for one in self.charges],
            "compound": str(self.cost.compound),
            "simple": str(self.cost.simple),
            "cap": None if self.cost.cap is None else str(self.cost.cap),
            "cap_source": self.cost.cap_source,
            **({} if self.legal_rate is None else self.legal_rate.payload()),
            "total": self.cost.total,
            "contingent": [_line(one) for one in self.contingent],
            "payout_days": self.payout_days,
            "nothing_else": WORDS["nothing-else"],
        }

    @property
    def hash(self) -> str:
        return document_hash(self.payload())

    def rows(self, language: ShownIn) -> Iterator[tuple[str, str]]:
        """What is shown, in its order: label and text."""

        def said(key: str, **values: object) -> str:
            return WORDS[key][language].format(**values)

        yield said("product"), self.product[language]
        yield said("principal"), shown(self.principal)
        yield said("from-to"), said("dues", start=self.start, end=self.end, count=self.dues)
        for one in self.charges:
            amount = shown(one.amount or 0)
            yield one.label[language], said("line", amount=amount, how=one.how[language])
        yield said("total"), shown(self.cost.total)
        figures = (self.cost.compound, self.cost.simple)
        higher, compound, simple = (percent(rate) for rate in (max(figures), *figures))
        yield said("yearly"), said("both", higher=higher, compound=compound, simple=simple)
        if self.legal_rate is not None:
            yield said(self.legal_rate.name), percent(self.legal_rate.rate)
        source = self.cost.cap_source
        if self.cost.cap is None:
            yield said("cap"), said("no-cap", source=source)
        else:
            yield said("cap"), said("the-cap", cap=percent(self.cost.cap), source=source)
        for one in self.contingent:
            yield said("contingent", label=one.label[language]), one.how[language]
        if not self.contingent:
            yield said("no-contingent"), said("none")
        yield said("payout"), said("payout-days", days=self.payout_days)
        yield said("else"), said("nothing-else")

    def text(self, language: ShownIn) -> str:
        """The rows, one a line, under the title."""
        lines = [f"{label}: {value}" for label, value in self.rows(language)]
        return "\n".join((WORDS["title"][language], *lines)) + "\n"


def _line(one: ChargeLine) -> dict[str, Any]:
    return {
        "code": one.code,
        "label": one.label,
        "payee": one.payee,
        "how": one.how,
        "amount": one.amount,
    }


def _share(ppm: int) -> str:
    return f"{(Decimal(ppm) * 100 / PPM).normalize():f}%"


def _of_fee(fee: Fee, amount: int | None) -> ChargeLine:
    values = {"amount": shown(fee.value), "share": _share(fee.value)}
    how = {
        language: WORDS["fee-how"][language].format(
            method=METHODS[fee.method][language].format(**values),
            when=WHENS[fee.when][language],
            payee=PAYEES[fee.payee][language],
        )
        for language in LANGUAGES
    }
    return ChargeLine(fee.code, {"zh": fee.zh, "en": fee.en}, fee.payee, how, amount)


def _of_interest(loan: Schedule) -> ChargeLine:
    rate, basis = loan.terms.rate_ppm_day, loan.terms.day_count
    how = {
        language: WORDS["interest-how"][language].format(
            day=_share(rate),
            basis=basis,
            year=percent(nominal_year(rate, YEAR)),
            payee=PAYEES["lender"][language],
        )
        for language in LANGUAGES
    }
    return ChargeLine(INTEREST, WORDS["interest"], "lender", how, loan.interest)


def disclose(product: Product, loan: Schedule, laws: Laws = LAWS) -> DisclosureTable:
    """The table of a loan.

    Raises:
        CostError: it has no annual cost, or costs more than the law of its day allows: such a loan
            is not offered, so there is nothing to show. LawSilent: nobody knows what it may cost.
    """
    found = cost(product, loan, laws)
    if not found.within:
        raise CostError(
            f"{product.name} would cost {percent(max(found.compound, found.simple))} a year, above "
            f"{percent(found.cap or Decimal(0))} ({found.cap_source}): lower its rate or its fees"
        )
    charged: dict[str, int] = {}
    for charge in (*loan.upfront, *(one for due in loan.dues for one in due.charges)):
        charged[charge.code] = charged.get(charge.code, 0) + charge.amount
    fees = tuple(_of_fee(fee, charged.get(fee.code, 0)) for fee in product.usual_fees)
    return DisclosureTable(
        product={"zh": product.zh, "en": product.en},
        product_hash=product.hash,
        principal=loan.principal,
        start=loan.terms.start,
        end=loan.end,
        dues=len(loan.dues),
        charges=(_of_interest(loan), *fees),
        cost=found,
        contingent=tuple(_of_fee(fee, None) for fee in product.contingent_fees),
        legal_rate=_legal_rate(product, loan),
        payout_days=product.payout_days,
    )


def _legal_rate(product: Product, loan: Schedule) -> LegalRate | None:
    match product.jurisdiction:
        case "EU":
            return LegalRate("aprc", aprc(flows_of(loan)))
        case "US":
            return LegalRate("apr", apr(loan))
        case _:
            return None
