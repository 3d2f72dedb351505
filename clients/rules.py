"""What must hold before a row is read. Each rule is a few lines; all must succeed.

>>> from clients.rules import Success, Failure
>>> bool(Success()), bool(Failure("because"))
(True, False)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from clients.errors import GateClosed
from crypto.documents import document_hash
from privacy.charges import Charge
from protocol.campaigns import Approval, Authorisation, Campaign, ReleaseRequest
from protocol.snapshots import ConsentState, Places

CLOCK_SKEW = timedelta(seconds=30)
STATE_AGE = timedelta(minutes=2)


@dataclass(frozen=True)
class Success:
    """The rule holds."""


@dataclass(frozen=True)
class Failure:
    """The rule does not hold, and why."""

    reason: str

    def __bool__(self) -> bool:
        return False


Verdict = Success | Failure


@dataclass(frozen=True)
class Use:
    """One intended use of data: everything a rule may look at."""

    lender: str
    node_key: str
    code_sha256: str
    moment: datetime
    campaign: Campaign
    approval: Approval | None
    request: ReleaseRequest
    charge: Charge
    authorisation: Authorisation
    authorisation_size: int
    """Size of the log at the checkpoint that the authorisation names."""
    state: ConsentState
    state_size: int
    """Size of the log at the checkpoint that the consent state is bound to."""
    places: Places


class Rule(Protocol):
    def verify(self, use: Use) -> Verdict: ...


def _equal(what: str, found: object, expected: object) -> Verdict:
    return Success() if found == expected else Failure(f"{what} does not match")


@dataclass(frozen=True)
class ApprovedByOwnOperator:
    def verify(self, use: Use) -> Verdict:
        if use.approval is None:
            return Failure(f"the operator of {use.lender!r} has not approved this campaign")
        return _equal("the approved campaign", use.approval.campaign_sha256, use.campaign.sha256)


@dataclass(frozen=True)
class IssuedToThisNode:
    def verify(self, use: Use) -> Verdict:
        if use.authorisation.aud != use.lender:
            return Failure(f"the authorisation was issued to {use.authorisation.aud!r}, not to {use.lender!r}")
        return _equal("the authorisation's node key", use.authorisation.use.node_key, use.node_key)


@dataclass(frozen=True)
class ForThisCampaign:
    def verify(self, use: Use) -> Verdict:
        named = {use.authorisation.use.identifier, use.request.campaign_sha256, use.places.campaign_sha256}
        return _equal("the campaign", named, {use.campaign.sha256})


@dataclass(frozen=True)
class LenderTakesPart:
    def verify(self, use: Use) -> Verdict:
        return (
            Success() if use.lender in use.campaign.lenders else Failure(f"{use.lender!r} is not part of the campaign")
        )


@dataclass(frozen=True)
class InForceNow:
    def verify(self, use: Use) -> Verdict:
        if use.moment >= use.authorisation.exp:
            return Failure(f"the authorisation expired at {use.authorisation.exp.isoformat()}")
        if use.moment < use.authorisation.iat - CLOCK_SKEW:
            return Failure("the authorisation is from the future; check the clock of this machine")
        if use.moment >= use.campaign.expires_at:
            return Failure(f"the campaign expired at {use.campaign.expires_at.isoformat()}")
        return Success()


@dataclass(frozen=True)
class ReleaseInRange:
    def verify(self, use: Use) -> Verdict:
        if not use.authorisation.use.first_release <= use.request.release <= use.authorisation.use.last_release:
            return Failure(f"release {use.request.release} is outside the authorised range")
        planned = use.campaign.planned(use.request.release)
        return _equal("the kind of release", use.request.kind, planned and planned.kind)


@dataclass(frozen=True)
class ForThisPurpose:
    def verify(self, use: Use) -> Verdict:
        return _equal("the purpose", {use.authorisation.use.purpose, use.state.purpose}, {use.campaign.purpose})


@dataclass(frozen=True)
class OnTheseFeatures:
    def verify(self, use: Use) -> Verdict:
        wanted = tuple(feature["name"] for feature in use.campaign.features["features"])
        return _equal("the authorised feature set", use.authorisation.use.datatypes, wanted)


@dataclass(frozen=True)
class ByThisCode:
    def verify(self, use: Use) -> Verdict:
        named = {use.authorisation.use.code_sha256, use.campaign.code_sha256}
        if named != {use.code_sha256}:
            return Failure("the code installed on this node is not the code that was approved")
        return Success()


@dataclass(frozen=True)
class ByThisMechanism:
    def verify(self, use: Use) -> Verdict:
        expected = document_hash(use.campaign.mechanism.model_dump(mode="json"))
        return _equal("the mechanism", use.authorisation.use.mechanism_sha256, expected)


@dataclass(frozen=True)
class NoLessNoise:
    def verify(self, use: Use) -> Verdict:
        planned = use.campaign.planned(use.request.release)
        return _equal("the charge of the release", use.charge, planned and planned.charge)


@dataclass(frozen=True)
class WithinAuthorisedSpend:
    def verify(self, use: Use) -> Verdict:
        mechanism = use.campaign.mechanism
        within = (
            mechanism.epsilon <= use.authorisation.use.max_epsilon and mechanism.delta <= use.authorisation.use.delta
        )
        return Success() if within else Failure("the campaign may cost a borrower more than was authorised")


@dataclass(frozen=True)
class KindIsAuthorised:
    def verify(self, use: Use) -> Verdict:
        named = use.request.kind in use.authorisation.use.actions
        return Success() if named else Failure("the authorisation is not for this kind of release")


@dataclass(frozen=True)
class ConsentIsFresh:
    """The state was asked for now, and holds everything that the authorisation was computed from."""

    def verify(self, use: Use) -> Verdict:
        if use.state.sequence < use.authorisation.use.consent_sequence or use.state_size < use.authorisation_size:
            return Failure("the consent state is older than the authorisation")
        if {use.state.lender, use.places.lender} != {use.lender}:
            return Failure("the consent state is another lender's")
        age = use.moment - use.state.issued_at
        if not -CLOCK_SKEW <= age <= STATE_AGE:
            return Failure(f"the consent state is {int(age.total_seconds())} seconds old")
        return Success()


RULES: tuple[Rule, ...] = (
    LenderTakesPart(),
    ApprovedByOwnOperator(),
    ForThisCampaign(),
    IssuedToThisNode(),
    InForceNow(),
    ReleaseInRange(),
    KindIsAuthorised(),
    ForThisPurpose(),
    OnTheseFeatures(),
    ByThisCode(),
    ByThisMechanism(),
    NoLessNoise(),
    WithinAuthorisedSpend(),
    ConsentIsFresh(),
)


def require(use: Use, rules: Sequence[Rule] = RULES) -> None:
    """Raises GateClosed with the first rule that fails and its reason."""
    for rule in rules:
        verdict = rule.verify(use)
        if isinstance(verdict, Failure):
            what = f"{use.lender}: release {use.request.release} refused, {verdict.reason}"
            raise GateClosed(f"{what} ({type(rule).__name__}); no row was read")
