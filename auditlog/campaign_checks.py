"""Campaigns in the log: proposed, approved, active, authorised, committed, released; in that order,
and each signed by whom it is of."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from auditlog.authority import AuditState, CampaignUse, LoggedCommitment, ServedState
from auditlog.entries import day_of
from privacy.accounting import epsilon_of
from privacy.charges import Charge
from privacy.filter import TOLERANCE
from privacy.mechanism import Audience
from protocol.beginnings import begins_unlike
from protocol.campaigns import Approval, Authorisation, Campaign, Rejection, RosterCommitment
from protocol.cards import ModelCard
from protocol.holdout import Draw
from protocol.parties import Role
from protocol.requests import CLOCK_SKEW
from protocol.snapshots import ConsentSnapshot

Leaf = Mapping[str, Any]
STATE_AGE = timedelta(minutes=2)
"""How old a consent snapshot may be when a roster is drawn from it, as nodes have it."""


def proposed(know: AuditState, leaf: Leaf) -> None:
    know.require(leaf["campaign"] not in know.uses, "a campaign was proposed twice")
    use = know.uses[leaf["campaign"]] = CampaignUse()
    campaign = use.campaign = know.document(leaf, Campaign, leaf["actor"])
    if campaign is None:
        return
    know.require(
        campaign.sha256 == leaf["campaign"], "the campaign is another than its skeleton says"
    )
    known = {consortium.sha256 for consortium in know.consortiums}
    stated = campaign.consortium_sha256
    know.require(
        stated in known if stated is not None else not know.bound,
        "the campaign rests on another consortium document than any that is pinned here",
    )
    know.bound = know.bound or stated is not None
    for model in filter(None, (campaign.watched, campaign.begins_with)):
        earlier = know.uses.get(model.campaign_sha256)
        know.require(
            earlier is not None and earlier.may_have_released(model.model_sha256),
            "the campaign rests on a model that was not released before it",
        )
    _begins(know, campaign)


def _begins(know: AuditState, campaign: Campaign) -> None:
    """As the registry should have checked: a warm start is like the campaign whose model it begins
    with, and no model in that chain was recalled by then."""
    begins, follows = campaign.begins_with, campaign
    while begins is not None and (use := know.uses.get(begins.campaign_sha256)) is not None:
        know.require(not use.recalled, "the campaign begins with a model that was recalled")
        earlier = use.campaign
        if earlier is None:
            return
        know.require(
            earlier.coordinator == follows.coordinator and begins_unlike(follows, earlier) is None,
            "the campaign begins with a model of another kind, outcome, coordinator or lender",
        )
        begins, follows = earlier.begins_with, earlier


def approved(know: AuditState, leaf: Leaf) -> None:
    use = know.use(leaf)
    if approval := know.document(leaf, Approval, leaf["actor"]):
        right = (approval.lender, approval.campaign_sha256) == (leaf["actor"], leaf["campaign"])
        know.require(right, "the approval is another lender's or for another campaign")
        use.approvals.append(approval)
    use.approved.add(leaf["actor"])


def rejected(know: AuditState, leaf: Leaf) -> None:
    use = know.use(leaf)
    if no := know.document(leaf, Rejection, leaf["actor"]):
        right = (no.lender, no.campaign_sha256) == (leaf["actor"], leaf["campaign"])
        know.require(right, "the rejection is another lender's or of another campaign")
    use.rejected.add(leaf["actor"])


def activated(know: AuditState, leaf: Leaf) -> None:
    use = know.use(leaf)
    know.require(not use.active, "the campaign became active twice")
    lenders = set(use.campaign.lenders) if use.campaign else use.approved
    missing = ", ".join(sorted(lenders - use.approved)) or ("anybody" if not use.approved else "")
    know.require(not missing, f"the campaign became active without the approval of {missing}")
    know.require(
        not lenders & use.rejected, "the campaign became active after a lender rejected it"
    )
    use.active = True
    body = know.opened(leaf)
    if body is None or use.campaign is None or use.campaign.consortium_sha256 is None:
        return
    use.places = dict(body.get("places", {}))
    know.require(
        set(use.places) == lenders, "the activation does not say which places each lender has"
    )


def authorised(know: AuditState, leaf: Leaf) -> None:
    use = know.use(leaf)
    know.require(use.active, "a use was authorised before the campaign was active")
    know.require(
        leaf["lender"] not in use.rejected, f"{leaf['lender']!r} was authorised after it rejected"
    )
    document = know.document(leaf, Authorisation, leaf["actor"])
    if document is not None:
        stated = (document.use.identifier, document.aud, document.jti)
        right = stated == (leaf["campaign"], leaf["lender"], leaf["authorisation"])
        know.require(right, "the authorisation is for another campaign or lender")
    know.authorised[leaf["campaign"], leaf["lender"], leaf["authorisation"]] = document


def state_served(know: AuditState, leaf: Leaf) -> None:
    """The registry states which consent snapshot it serves, before it does."""
    know.require(
        know.has_role(leaf["lender"], frozenset({Role.LENDER})), "a state was served to no lender"
    )
    body = know.opened(leaf)
    snapshot = None
    if body is not None:
        token = str(body["token"])
        snapshot = know.verified(ConsentSnapshot, token, leaf["actor"])
        right = (hashlib.sha256(token.encode()).hexdigest(), snapshot.lender)
        know.require(
            right == (leaf["state"], leaf["lender"]), "the consent state is another than was stated"
        )
        head = know.bodies.client.trust.open(snapshot.checkpoint)
        know.require(head.size <= know.index, "the consent state names a checkpoint of the future")
    know.states[leaf["state"]] = ServedState(know.index, leaf["lender"], snapshot)


def committed(know: AuditState, leaf: Leaf) -> None:
    use, lender = know.use(leaf), leaf["actor"]
    held = (leaf["campaign"], lender, leaf["authorisation_id"])
    know.require(held in know.authorised, f"{lender!r} committed a roster without authorisation")
    know.require(lender not in use.rejected, f"{lender!r} was used after it rejected")
    attempt = (lender, leaf["release"], leaf["attempt"])
    know.require(
        attempt not in use.committed, f"{lender!r} committed the same release attempt twice"
    )
    use.committed.add(attempt)
    use.attempts.setdefault(lender, []).append(leaf["release"])
    opened = _opened_commitment(know, use, leaf)
    know.commitments.append(LoggedCommitment(know.index, leaf, opened))


def _opened_commitment(know: AuditState, use: CampaignUse, leaf: Leaf) -> RosterCommitment | None:
    campaign, lender = use.campaign, leaf["actor"]
    authorisation = know.authorised[leaf["campaign"], lender, leaf["authorisation_id"]]
    commitment = know.document(leaf, RosterCommitment, lender)
    if campaign is None or authorisation is None or commitment is None:
        return None
    planned = campaign.planned(leaf["release"])
    charged = ("kind", "noise_multiplier", "sampling_rate", "steps")
    agreed = planned and tuple(getattr(planned, name) for name in charged)
    know.require(
        tuple(leaf[name] for name in charged) == agreed,
        "the release is not one that the campaign planned",
    )
    know.require(
        not campaign.why_not(use.attempts[lender]),
        "a lender made more attempts than the campaign reserved",
    )
    fields = commitment.payload()
    fields["campaign"] = fields.pop("campaign_sha256")
    same = {name: fields[name] for name in fields.keys() & leaf.keys()}
    agrees = same == {name: leaf[name] for name in same} and commitment.lender == lender
    know.require(agrees, "the sealed commitment says something else than its skeleton")
    moment = commitment.committed_at or datetime.fromisoformat(leaf["time"])
    live = authorisation.iat - CLOCK_SKEW <= moment < authorisation.exp + CLOCK_SKEW
    know.require(live, "the authorisation was not in force when the roster was committed")
    days = {(moment + skew).date().isoformat() for skew in (-CLOCK_SKEW, CLOCK_SKEW)}
    know.require(day_of(leaf) in days, "the roster was not committed on the day that the log says")
    lots = any(one.lot for one in use.approvals)  # campaigns of version 0.5 have none at all
    drawn = Draw.of(campaign, use.approvals).sha256 if lots else None
    know.require(
        commitment.draw_sha256 == drawn, "who was held out was not drawn by the lots in the log"
    )
    if campaign.consortium_sha256 is not None:  # before that, nothing was bound
        _bound(know, use, authorisation, commitment)
    return commitment


def _bound(
    know: AuditState, use: CampaignUse, authorisation: Authorisation, commitment: RosterCommitment
) -> None:
    """The roster was drawn from a state that was logged as served, and from the places that were
    fixed when the campaign became active."""
    places = (use.places or {}).get(commitment.lender)
    know.require(
        commitment.places_sha256 == places,
        "the lender was shown other places than those that were fixed at the activation",
    )
    state = know.states.get(commitment.state_sha256)
    know.require(
        state is not None and state.lender == commitment.lender,
        "the roster was drawn from a consent state that the registry never logged as served",
    )
    snapshot = None if state is None else state.opened
    if snapshot is None or use.campaign is None:
        return
    know.require(
        snapshot.purpose == use.campaign.purpose, "the consent state is of another purpose"
    )
    age = (commitment.committed_at or snapshot.issued_at) - snapshot.issued_at
    fresh = -CLOCK_SKEW <= age <= STATE_AGE + CLOCK_SKEW
    know.require(
        fresh and snapshot.sequence >= authorisation.use.consent_sequence,
        "the consent state was older than the authorisation, or than two minutes",
    )


def released(know: AuditState, leaf: Leaf) -> None:
    """A model card: the coordinator's, of an active campaign, saying what was approved and what
    the log shows that it cost."""
    use = know.use(leaf)
    know.require(use.active, "a model was released of a campaign that was not active")
    know.require(leaf["model_card"] not in use.cards, "the same model card was released twice")
    use.cards.add(leaf["model_card"])
    card = know.document(leaf, ModelCard, leaf["actor"])
    campaign = use.campaign
    if card is None:
        use.models = None
    elif card.watched is None and use.models is not None:
        use.models.add(card.model_sha256)
    if card is None or campaign is None:
        return
    named = (card.sha256, card.campaign_sha256)
    know.require(
        named == (leaf["model_card"], campaign.sha256), "the model card is another, or of another"
    )
    mechanism = campaign.mechanism
    approved = {
        "purpose": campaign.purpose,
        "legal_basis": campaign.legal_basis,
        "model": campaign.model,
        "features": tuple(feature["name"] for feature in campaign.features["features"]),
        "watched": campaign.watched,
        "begins_with": campaign.begins_with,
        "mechanism": mechanism.model_dump(mode="json"),
        "releases": len(mechanism.releases),
        "epsilon": mechanism.epsilon,
        "delta": mechanism.delta,
    }
    wrong = [name for name, value in approved.items() if getattr(card, name) != value]
    know.require(not wrong, f"the model card says another {wrong and wrong[0]} than was approved")
    had: set[str] = set()
    for release in range(card.releases):
        had = {lender for lender, releases in use.attempts.items() if release in releases}
        know.require(
            len(had) >= mechanism.threshold,
            f"the model card counts release {release}, which too few lenders committed to",
        )
    know.require(
        set(card.lenders) <= had,
        "the model card names a lender without a roster in its last release",
    )
    if card.epsilon_spent is not None:
        cost = max((_cost(campaign, releases) for releases in use.attempts.values()), default=0.0)
        most = mechanism.epsilon * (1 + TOLERANCE)
        told = cost <= card.epsilon_spent * (1 + TOLERANCE) and card.epsilon_spent <= most
        know.require(told, "the model card says another epsilon than the rosters in the log cost")


def _cost(campaign: Campaign, releases: list[int]) -> float:
    """Epsilon of a person who was in every one of these attempts, on the side that paid most."""
    by_side: dict[Audience, list[Charge]] = {}
    for release in releases:
        planned = campaign.mechanism.releases[release]
        by_side.setdefault(planned.audience, []).append(planned.charge)
    return max(epsilon_of(charges, campaign.mechanism.delta) for charges in by_side.values())
