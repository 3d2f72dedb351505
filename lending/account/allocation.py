"""In which order a payment is used: data, as Apache Fineract's payment allocation has it. Pure.

A step names when something was due (past due, due today, in advance) and what it is (penalty, fee,
interest, principal); an order lists all twelve, so that every fen of a payment finds its claim or
is left over, and none is lost between two steps. What a guarantor, an insurer or a platform charges
with a due is a fee of it that is owed to them: the lender collects it, and it is never the
lender's. Of the fees of one step the lender's own are met first, because they alone make a loan
late.

>>> Order.read(STANDARD.written()) == STANDARD
True
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal, get_args

from lending.errors import AccountError

Bucket = Literal["past-due", "due", "advance"]
Component = Literal["penalty", "fees", "interest", "principal"]
ThirdParty = Literal["guarantor", "insurer", "platform"]
Payee = Literal["lender", ThirdParty]
Head = Literal[Component, ThirdParty]
"""To whom what is owed: the lender's four components, and what each of the others charges."""
Others = tuple[tuple[ThirdParty, int], ...]
"""What goes to others than the lender, fen: each of them once, and more than nothing."""
BUCKETS: tuple[Bucket, ...] = get_args(Bucket)
COMPONENTS: tuple[Component, ...] = get_args(Component)
THIRD_PARTIES: tuple[ThirdParty, ...] = get_args(ThirdParty)
HEADS: tuple[Head, ...] = (*COMPONENTS, *THIRD_PARTIES)
STEPS = tuple(product(BUCKETS, COMPONENTS))


@dataclass(frozen=True, slots=True)
class OpenClaim:
    """What a payment may be used for: so many fen of one component of one due."""

    place: int
    """Of the due in its account; the earlier the older."""
    bucket: Bucket
    component: Component
    amount: int
    payee: Payee = "lender"

    @property
    def head(self) -> Head:
        return self.component if self.payee == "lender" else self.payee


@dataclass(frozen=True, slots=True)
class Order:
    """An allocation order.

    Raises:
        AccountError: a step is missing or twice there.
    """

    steps: tuple[tuple[Bucket, Component], ...]
    by_due: bool = True
    """Everything of one due before the next one of the same bucket (Fineract: horizontal);
    otherwise each step over all dues before the next step (vertical)."""
    last_first: bool = False
    """What is paid in advance shortens the loan from its end, not its next due."""

    def __post_init__(self) -> None:
        if sorted(self.steps) != sorted(STEPS):
            odd = sorted(set(STEPS) ^ set(self.steps)) or sorted(self.steps)
            raise AccountError(
                f"an allocation order names each of its {len(STEPS)} steps once: look at "
                f"{'-'.join(odd[0])}"
            )

    @classmethod
    def read(cls, steps: Iterable[str], by_due: bool = True, last_first: bool = False) -> Order:
        """Of steps as a table writes them: ``past-due-penalty``."""
        apart = (step.rpartition("-") for step in steps)
        return cls(tuple((bucket, what) for bucket, _, what in apart), by_due, last_first)  # type: ignore[misc]

    @classmethod
    def alike(cls, components: Sequence[Component], last_first: bool = False) -> Order:
        """Past due, due, in advance, and in each of them the same order."""
        return cls(tuple(product(BUCKETS, components)), last_first=last_first)

    def written(self) -> tuple[str, ...]:
        """The steps as a table writes them."""
        return tuple("-".join(step) for step in self.steps)


STANDARD = Order(STEPS)
"""The oldest due first, of each what was added last first (Fineract's default strategy)."""


def allocate(
    amount: int, claims: Sequence[OpenClaim], order: Order
) -> tuple[tuple[tuple[OpenClaim, int], ...], int]:
    """Which claims a payment meets, and with how much each; and what is left of it. Together they
    are the payment, to the fen."""
    rank = {step: at for at, step in enumerate(order.steps)}
    first = {bucket: min(rank[bucket, what] for what in COMPONENTS) for bucket in BUCKETS}

    def key(claim: OpenClaim) -> tuple[int, int, int]:
        step = rank[claim.bucket, claim.component]
        backwards = order.last_first and claim.bucket == "advance"
        place = -claim.place if backwards else claim.place
        return (first[claim.bucket], place, step) if order.by_due else (step, place, 0)

    met = []
    for claim in sorted(claims, key=key):
        if part := min(amount, claim.amount):
            met.append((claim, part))
            amount -= part
    return tuple(met), amount
