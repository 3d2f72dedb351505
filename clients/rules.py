"""What must hold before a row is read: one function for each rule, all of which must hold.

The first that does not closes the gate, and the refusal names it (:mod:`protocol.rules`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from clients.errors import GateClosed
from crypto.documents import document_hash
from privacy.charges import Charge
from protocol.campaigns import Approval, Authorisation, Campaign, ReleaseRequest
from protocol.rules import Rule, first_broken
from protocol.snapshots import ConsentSnapshot, Places

CLOCK_SKEW = timedelta(seconds=30)
STATE_AGE = timedelta(minutes=2)


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
    state: ConsentSnapshot
    state_size: int
    """Size of the log at the checkpoint that the consent state is bound to."""
    places: Places
    consortium_sha256: str
    """The document that this node pinned."""


def _same(what: str, found: object, expected: object) -> str | None:
    return None if found == expected else f"{what} does not match"


def lender_takes_part(use: Use) -> str | None:
    if use.lender not in use.campaign.lenders:
        return f"{use.lender!r} is not part of the campaign"
    return None


def approved_by_own_operator(use: Use) -> str | None:
    if use.approval is None:
        return f"the operator of {use.lender!r} has not approved this campaign"
    return _same("the approved campaign", use.approval.campaign_sha256, use.campaign.sha256)


def under_the_pinned_consortium(use: Use) -> str | None:
    return _same("the consortium document", use.campaign.consortium_sha256, use.consortium_sha256)


def for_this_campaign(use: Use) -> str | None:
    named = {
        use.authorisation.use.identifier,
        use.request.campaign_sha256,
        use.places.campaign_sha256,
    }
    return _same("the campaign", named, {use.campaign.sha256})


def issued_to_this_node(use: Use) -> str | None:
    if use.authorisation.aud != use.lender:
        issued_to = use.authorisation.aud
        return f"the authorisation was issued to {issued_to!r}, not to {use.lender!r}"
    return _same("the authorisation's node key", use.authorisation.use.node_key, use.node_key)


def in_force_now(use: Use) -> str | None:
    if use.moment >= use.authorisation.exp:
        return f"the authorisation expired at {use.authorisation.exp.isoformat()}"
    if use.moment < use.authorisation.iat - CLOCK_SKEW:
        return "the authorisation is from the future; check the clock of this machine"
    if use.moment >= use.campaign.expires_at:
        return f"the campaign expired at {use.campaign.expires_at.isoformat()}"
    return None


def release_in_range(use: Use) -> str | None:
    release = use.request.release
    authorised = use.authorisation.use
    if not authorised.first_release <= release <= authorised.last_release:
        return f"release {release} is outside the authorised range"
    planned = use.campaign.planned(release)
    return _same("the kind of release", use.request.kind, planned and planned.kind)


def kind_is_authorised(use: Use) -> str | None:
    if use.request.kind not in use.authorisation.use.actions:
        return "the authorisation is not for this kind of release"
    return None


def for_this_purpose(use: Use) -> str | None:
    named = {use.authorisation.use.purpose, use.state.purpose}
    return _same("the purpose", named, {use.campaign.purpose})


def on_these_features(use: Use) -> str | None:
    wanted = tuple(feature["name"] for feature in use.campaign.features["features"])
    return _same("the authorised feature set", use.authorisation.use.datatypes, wanted)


def by_this_code(use: Use) -> str | None:
    named = {use.authorisation.use.code_sha256, use.campaign.code_sha256}
    if named != {use.code_sha256}:
        return "the code installed on this node is not the code that was approved"
    return None


def by_this_mechanism(use: Use) -> str | None:
    expected = document_hash(use.campaign.mechanism.model_dump(mode="json"))
    return _same("the mechanism", use.authorisation.use.mechanism_sha256, expected)


def no_less_noise(use: Use) -> str | None:
    """The charge is the one that every lender approved for this release."""
    planned = use.campaign.planned(use.request.release)
    return _same("the charge of the release", use.charge, planned and planned.charge)


def within_authorised_spend(use: Use) -> str | None:
    mechanism, authorised = use.campaign.mechanism, use.authorisation.use
    if mechanism.epsilon > authorised.max_epsilon or mechanism.delta > authorised.delta:
        return "the campaign may cost a borrower more than was authorised"
    return None


def consent_is_fresh(use: Use) -> str | None:
    """The state was asked for now, and holds everything that the authorisation was computed
    from."""
    needed = use.authorisation.use.consent_sequence
    if use.state.sequence < needed or use.state_size < use.authorisation_size:
        return "the consent state is older than the authorisation"
    if {use.state.lender, use.places.lender} != {use.lender}:
        return "the consent state is another lender's"
    age = use.moment - use.state.issued_at
    if not -CLOCK_SKEW <= age <= STATE_AGE:
        return f"the consent state is {int(age.total_seconds())} seconds old"
    return None


RULES: tuple[Rule[Use], ...] = (
    lender_takes_part,
    approved_by_own_operator,
    under_the_pinned_consortium,
    for_this_campaign,
    issued_to_this_node,
    in_force_now,
    release_in_range,
    kind_is_authorised,
    for_this_purpose,
    on_these_features,
    by_this_code,
    by_this_mechanism,
    no_less_noise,
    within_authorised_spend,
    consent_is_fresh,
)


def require(use: Use, rules: Sequence[Rule[Use]] = RULES) -> None:
    """Raises GateClosed with the first rule that does not hold and its reason."""
    broken = first_broken(rules, use)
    if broken is not None:
        name, reason = broken
        refused = f"{use.lender}: release {use.request.release} refused, {reason}"
        raise GateClosed(f"{refused} ({name}); no row was read")
