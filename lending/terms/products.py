"""A product as data: what a lender offers, written by its risk officer in TOML.

Money in fen, rates in parts per million a day, shares in parts per million. Whatever is wrong with
a product is said in one sentence each, all of it at once (:class:`ProductError`).
"""

from __future__ import annotations

import tomllib
from datetime import date
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from crypto.documents import document_hash
from crypto.sentences import sentences
from law.packs import Jurisdiction
from lending.account.allocation import Payee
from lending.days import DayCount
from lending.errors import LawSilent, ProductError, TermsError
from lending.law.caps import LenderKind
from lending.law.rows import LAWS, Laws
from lending.money import PPM, YEAR, Rounding

ProductKind = Literal["annuity", "equal-principal", "bullet", "revolving"]
"""``annuity``: equal dues; ``equal-principal``: equal parts of the principal; ``bullet``: the
principal last; ``revolving``: a balance that is drawn and repaid at will, interest by the day."""
Method = Literal["amount", "of-principal", "of-balance", "of-overdue-a-day"]
"""``value`` is fen, or a share in ppm of what was lent, of what is still outstanding, or, for every
day, of what is overdue."""
When = Literal["start", "each-due", "last-due", "late", "extension", "early"]
"""The first three are charged of everybody; the others only of whom it concerns."""
Item = Literal["penalty", "fee", "interest", "principal"]
MONTHS = 12

Whole = Annotated[int, Field(strict=True, ge=0, le=10**15)]
Share = Annotated[int, Field(strict=True, ge=0, le=PPM)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Fee(_Part):
    """Something that the borrower pays beyond interest, and to whom."""

    code: str = Field(pattern="^[a-z0-9-]+$")
    en: str = Field(min_length=1)
    zh: str = Field(min_length=1)
    payee: Payee
    method: Method
    value: Whole
    when: When

    @model_validator(mode="after")
    def _makes_sense(self) -> Fee:
        if self.method != "amount" and self.value > PPM:
            raise ValueError(f"a share is at most {PPM} ppm, which is all of it")
        if self.method == "of-overdue-a-day" and self.when != "late":
            raise ValueError("only who is late pays for every day overdue; write when = 'late'")
        if self.when == "late" and self.method != "of-overdue-a-day":
            raise ValueError(
                "who is late pays for every day overdue; write method = 'of-overdue-a-day'"
            )
        if self.method == "of-overdue-a-day" and self.payee != "lender":
            raise ValueError(
                "what is overdue is so with the lender, whose penalty it bears; write payee = "
                "'lender'"
            )
        return self


class Amounts(_Part):
    """What may be lent: from ``least`` to ``most``, in steps."""

    least: Whole = Field(gt=0)
    most: Whole
    step: Whole = Field(default=1, gt=0)

    @model_validator(mode="after")
    def _in_order(self) -> Amounts:
        if self.most < self.least:
            raise ValueError(f"most ({self.most}) is below least ({self.least})")
        return self


class DailyRates(_Part):
    """The interest that may be agreed, ppm a day."""

    least: Share
    most: Share

    @model_validator(mode="after")
    def _in_order(self) -> DailyRates:
        if self.most < self.least:
            raise ValueError(f"most ({self.most}) is below least ({self.least})")
        return self


class ExtensionRules(_Part):
    """On which terms the end may be put off. The law of the day caps it as well."""

    times: Whole
    days: Whole
    """All extensions together."""
    asked_before_days: Whole = 1
    """The latest that one may be asked for, days before what is put off falls due."""


class Product(_Part):
    """What a lender offers."""

    name: str = Field(pattern="^[a-z0-9-]+$")
    en: str = Field(min_length=1)
    zh: str = Field(min_length=1)
    kind: ProductKind
    jurisdiction: Jurisdiction
    lender_kind: LenderKind
    use: Literal["consumption", "business"]
    amounts: Amounts
    terms: tuple[Annotated[int, Field(strict=True, ge=1, le=3660)], ...] = Field(min_length=1)
    """Days, as they are asked for; where dues are monthly, 30 days or a twelfth of 365 are one."""
    dues: Literal["once", "monthly"]
    """``once``: everything on the last day."""
    rates: DailyRates
    fees: tuple[Fee, ...] = ()
    day_count: DayCount = "ACT/365F"
    rounding: Rounding = "half-up"
    grace_days: Annotated[int, Field(strict=True, ge=0, le=90)] = 0
    """No penalty is charged for so long; nothing else is put off by it."""
    extension: ExtensionRules | None = None
    payout_days: Annotated[int, Field(strict=True, ge=1, le=90)] = 14
    """For how many days, from the moment at which it is accepted, an offer may be paid out; then
    the acceptance lapses. Two weeks: longer than the longest bank holidays."""
    allocation: tuple[Item, ...] = ("penalty", "fee", "interest", "principal")
    """What a payment is set against first."""

    @model_validator(mode="after")
    def _fits_together(self) -> Product:
        if misfits := self._misfits():
            raise ValueError("; ".join(misfits))
        return self

    def _misfits(self) -> list[str]:
        found = []
        codes = [fee.code for fee in self.fees]
        if len(set(codes)) < len(codes):
            found.append("two fees have one code; give each its own")
        if sorted(self.allocation) != ["fee", "interest", "penalty", "principal"]:
            found.append("allocation names penalty, fee, interest and principal once each")
        if len(set(self.terms)) < len(self.terms) or list(self.terms) != sorted(self.terms):
            found.append("terms are different days, the shortest first")
        if self.dues == "once" and self.kind in {"annuity", "equal-principal"}:
            found.append(f"{self.kind} has dues every month; write dues = 'monthly'")
        if self.dues == "monthly" and self.terms[0] < 28:
            found.append(f"a term of {self.terms[0]} days has no monthly due")
        if (self.lender_kind == "creditor") == (self.jurisdiction == "CN"):
            found.append(f"no lender in {self.jurisdiction} is of kind {self.lender_kind}")
        return found

    def instalments(self, term_days: int) -> int:
        """How many dues a term has: of a term in days the nearest whole number of months.

        >>> [round(days * 12 / 365) for days in (30, 90, 180, 360, 365)]
        [1, 3, 6, 12, 12]
        """
        if self.dues == "once":
            return 1
        return max(1, (2 * term_days * MONTHS + YEAR) // (2 * YEAR))

    @cached_property
    def fees_by_moment(self) -> dict[When, tuple[Fee, ...]]:
        moments = dict.fromkeys(fee.when for fee in self.fees)
        return {when: tuple(fee for fee in self.fees if fee.when == when) for when in moments}

    @cached_property
    def usual_fees(self) -> tuple[Fee, ...]:
        """Charged of everybody."""
        return tuple(fee for fee in self.fees if fee.when in {"start", "each-due", "last-due"})

    @cached_property
    def contingent_fees(self) -> tuple[Fee, ...]:
        """Charged only of who is late, extends or repays early."""
        return tuple(fee for fee in self.fees if fee not in self.usual_fees)

    def payload(self) -> dict[str, Any]:
        """What is hashed."""
        return self.model_dump(mode="json")

    @cached_property
    def hash(self) -> str:
        return document_hash(self.payload())

    def require(self, principal: int, term_days: int, rate_ppm_day: int) -> None:
        """Raises TermsError: the product does not offer these."""
        amounts, rates = self.amounts, self.rates
        if isinstance(principal, bool) or not isinstance(principal, int):
            raise TermsError(f"{self.name} lends whole fen, not {principal!r}")
        if not amounts.least <= principal <= amounts.most:
            raise TermsError(
                f"{self.name} lends {amounts.least} to {amounts.most} fen, not {principal}"
            )
        if (principal - amounts.least) % amounts.step:
            raise TermsError(f"{self.name} lends in steps of {amounts.step} fen, not {principal}")
        if term_days not in self.terms:
            raise TermsError(f"{self.name} has terms of {list(self.terms)} days, not {term_days}")
        if not rates.least <= rate_ppm_day <= rates.most:
            raise TermsError(
                f"{self.name} costs {rates.least} to {rates.most} ppm a day, not {rate_ppm_day}"
            )

    def against_law(self, day: date, laws: Laws = LAWS) -> tuple[str, ...]:
        """What the law of ``day`` forbids of it, a sentence each; what it may cost is asked of each
        loan."""
        deduction = laws.find(self.jurisdiction, "advance-deduction", day)
        if deduction is None or deduction.value != "forbidden":
            return ()
        return tuple(
            f"{self.name} takes the fee {fee.code} for the lender before the borrower had the "
            f"money, which is a deduction in advance ({deduction.article}); charge it when due"
            for fee in self.usual_fees
            if fee.when == "start" and fee.payee == "lender" and fee.value
        )


def read_product(text: str, day: date, laws: Laws = LAWS) -> Product:
    """A product from TOML, as it may be offered on ``day``.

    Raises:
        ProductError: it makes no sense, or the law of the day forbids it; one sentence for each
            thing that is wrong.
    """
    try:
        product = Product.model_validate(tomllib.loads(text))
        laws.at(product.jurisdiction, f"cap.{product.lender_kind}", day)
    except tomllib.TOMLDecodeError as error:
        raise ProductError(f"the product is no TOML: {error}") from error
    except ValidationError as error:
        said = "; ".join(sentences(error))
        raise ProductError(f"the product makes no sense: {said}") from error
    except LawSilent as error:
        raise ProductError(f"the product cannot be offered: {error}") from error
    if forbidden := product.against_law(day, laws):
        raise ProductError("; ".join(forbidden))
    return product
