"""The registry's ledger: what campaigns cost each person, across lenders. Pure.

A campaign reserves its whole price, spare attempts included, of everybody who gets a place in it;
when it has ended it has cost what the lender of that place committed to. Nobody gets a place that
they could not pay for. Persons are known by ledger pseudonym, so that who borrows at three lenders
has one budget; the node that holds the place keeps a ledger of its own, charges attempt by attempt,
and checks independently (``clients.gate``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from privacy.accounting import epsilon_of
from privacy.charges import Charge
from privacy.filter import TOLERANCE
from privacy.mechanism import Audience
from protocol.campaigns import Campaign
from protocol.parties import Consortium
from protocol.snapshots import Flags

YEAR = timedelta(days=365)
Charges = tuple[Charge, ...]
People = NDArray[Any]
"""A number for each borrower on a lender's roll: the same number at two lenders is the same
person."""


@dataclass(frozen=True)
class Caps:
    """The most that all campaigns together may cost a person; what counts of people may cost is
    taken off already."""

    ever: float
    per_year: float
    delta: float

    @classmethod
    def of(cls, policy: Consortium) -> Caps:
        return cls(policy.campaign_epsilon, policy.campaign_epsilon_per_year, policy.max_delta)


@dataclass(frozen=True)
class Spending:
    """What one campaign costs everybody with a place in it at one lender."""

    lender: str
    flags: Flags
    charges: Charges
    ends: datetime


def price(campaign: Campaign, attempts: Sequence[int], moment: datetime) -> Charges:
    """What a campaign costs a person with a place at one lender.

    Args:
        attempts: the releases that the lender committed, each as often as it was attempted.

    Returns:
        the whole plan until the campaign has ended, then what was committed; of the audience that
        pays most, because who is held out is for the node to know.
    """
    if moment < campaign.expires_at:
        by_audience = [campaign.mechanism.charges(audience) for audience in Audience]
    else:
        made = [campaign.mechanism.releases[release] for release in attempts]
        by_audience = [
            tuple(r.charge for r in made if r.audience is audience) for audience in Audience
        ]
    return max(by_audience, key=lambda charges: epsilon_of(charges, campaign.mechanism.delta))


def cannot_pay(
    people: Mapping[str, People],
    spendings: Iterable[Spending],
    wanted: Charges,
    caps: Caps,
    moment: datetime,
) -> dict[str, Flags]:
    """Who of each lender's borrowers has no budget left for ``wanted``, whatever they spent at
    whichever lender."""
    costing = [spending for spending in spendings if spending.charges]
    persons = np.unique(np.concatenate([*people.values(), np.zeros(0, dtype=np.int64)]))
    paid = np.zeros((len(persons), len(costing)), dtype=bool)
    for at, spending in enumerate(costing):
        numbers = people[spending.lender][: len(spending.flags)]
        paid[np.searchsorted(persons, numbers[spending.flags[: len(numbers)]]), at] = True
    histories, history_of = np.unique(paid, axis=0, return_inverse=True)
    verdicts = [
        not _pays(
            [spending for spending, held in zip(costing, history, strict=True) if held],
            wanted,
            caps,
            moment,
        )
        for history in histories
    ]
    refused = np.array(verdicts, dtype=bool)[history_of.reshape(-1)]
    return {
        lender: refused[np.searchsorted(persons, numbers)] for lender, numbers in people.items()
    }


def _pays(history: Sequence[Spending], wanted: Charges, caps: Caps, moment: datetime) -> bool:
    recent = [spending for spending in history if spending.ends > moment - YEAR]
    for spendings, cap in ((history, caps.ever), (recent, caps.per_year)):
        charges = [charge for spending in spendings for charge in spending.charges]
        if epsilon_of((*charges, *wanted), caps.delta) > cap * (1 + TOLERANCE):
            return False
    return True
