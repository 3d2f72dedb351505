"""A lender's answer to a campaign: what was offered, what it would change, a signed yes or no.

Command and page are both shells around this. No module that a node runs imports it, so it can
change without a new signature.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from clients.home import Node, approve, campaign_cost
from crypto.keys import replace_file
from fleet.bundle import Change, changes, files_of
from fleet.code import installed_files
from protocol.assessments import ImpactAssessment, uncovered
from protocol.campaigns import Approval, Campaign, Rejection
from protocol.client.filing import fetch_assessment
from protocol.client.lenders import LenderClient
from protocol.errors import Conflict, ConsentError, RegistryUnavailable
from protocol.parties import Role
from protocol.proposals import Proposed
from protocol.schema import now

CODE_FILE = "approved-code.zip"
"""What the operator signed last: every file of a node's rooms as it was then."""
FOLDER = "approved"
Answer = Literal["none", "approved", "rejected"]


@dataclass(frozen=True)
class Offered:
    """A campaign at the registry, as one lender sees it."""

    proposed: Proposed
    answer: Answer

    @property
    def campaign(self) -> Campaign:
        return self.proposed.campaign

    def waits(self, moment: datetime) -> bool:
        """Whether an answer of this lender would still change something."""
        undecided = self.answer == "none" and not self.proposed.rejected_by
        return undecided and moment < self.campaign.expires_at


def offered(node: Node) -> list[Offered]:
    """Every campaign that was proposed to this lender, the newest last. Raises ConsentError."""
    with node.connected(LenderClient) as client:
        return [_offered(node, client.proposed(sha256)) for sha256 in client.campaigns()]


def offer(node: Node, sha256: str) -> Offered:
    """One of them, as the registry has it now. Raises ConsentError."""
    with node.connected(LenderClient) as client:
        return _offered(node, client.proposed(sha256))


def _offered(node: Node, found: Proposed) -> Offered:
    if node.lender in found.rejected_by:
        return Offered(found, "rejected")
    return Offered(found, "approved" if node.lender in found.approved_by else "none")


def covering_assessment(node: Node, campaign: Campaign) -> tuple[ImpactAssessment, str]:
    """The impact assessment that a campaign names, fetched and verified here, and its token.

    Raises:
        ConsentError: the campaign names none, it cannot be had, or it does not cover the campaign:
            what an operator has not seen is not approved.
    """
    if campaign.assessment_sha256 is None:
        raise ConsentError(
            f"campaign {campaign.id!r} names no impact assessment; nothing was signed"
        )
    with node.connected(LenderClient) as client:
        assessment, token = fetch_assessment(client, campaign.assessment_sha256)
    reason = uncovered(campaign, assessment, now())
    if reason is not None:
        raise ConsentError(f"campaign {campaign.id!r}: {reason}; nothing was signed")
    return assessment, token


# --- what it would change


def changed_code(node: Node) -> list[Change]:
    """What is other in the installed code than in what this operator signed last; everything, the
    first time."""
    path = node.home / CODE_FILE
    before = files_of(path.read_bytes()) if path.exists() else {}
    return changes(before, installed_files())


def lines_changed(change: Change) -> tuple[int, int]:
    """How many lines came, and how many went."""
    lines = [line for line in change.diff if not line.startswith(("+++", "---"))]
    more, less = (sum(line.startswith(sign) for line in lines) for sign in "+-")
    return more, less


def last_signed(node: Node, but: str = "") -> Campaign | None:
    """The campaign that this operator approved last, other than the one whose hash is ``but``;
    both signatures are checked again. None if there is none that is in force here.

    Raises:
        SignatureError: a file was altered.
    """
    newest: tuple[datetime, Campaign] | None = None
    for path in (node.home / FOLDER).glob("*.approval.jws"):
        token = path.read_text(encoding="utf-8")
        approval = Approval.verify(token, node.key.public)
        beside = node.home / FOLDER / f"{approval.campaign_sha256}.campaign.jws"
        if approval.campaign_sha256 == but or not beside.exists():
            continue
        if newest is None or approval.approved_at > newest[0]:
            signed = beside.read_text(encoding="utf-8")
            campaign = Campaign.verify(signed, node.consortium.one(Role.COORDINATOR).key)
            newest = approval.approved_at, campaign
    return None if newest is None else newest[1]


@dataclass(frozen=True)
class FeatureChange:
    """One feature that a campaign uses, and how that differs from the one before."""

    name: str
    kind: Literal["added", "removed", "changed", "same"]
    stated: Mapping[str, Any]
    """As the newer campaign states it; of one that went, as the older did."""


def changed_features(before: Campaign | None, after: Campaign) -> list[FeatureChange]:
    """Every feature of either campaign, in the order of their names."""
    old = {} if before is None else _features(before)
    new = _features(after)
    found = []
    for name in sorted(old.keys() | new.keys()):
        kind: Literal["added", "removed", "changed", "same"] = "same"
        if name not in new:
            kind = "removed"
        elif name not in old:
            kind = "added"
        elif old[name] != new[name]:
            kind = "changed"
        found.append(FeatureChange(name, kind, new.get(name) or old[name]))
    return found


def _features(campaign: Campaign) -> dict[str, Mapping[str, Any]]:
    return {one["name"]: one for one in campaign.features["features"]}


@dataclass(frozen=True)
class CampaignFigures:
    """What a campaign costs and how it is protected, in figures that can be compared."""

    cost: float
    """Epsilon that it tells about one borrower at most, by our own accountant."""
    stated: float
    """The same, as the campaign says it."""
    delta: float
    releases: int
    spare_attempts: int
    least_noise: float
    """The smallest noise of any release: standard deviation in multiples of one person's most."""
    hold_out: float
    """Share of the people that is held out for evaluation."""
    collusion_bound: int
    threshold: int

    @classmethod
    def of(cls, campaign: Campaign) -> CampaignFigures:
        mechanism = campaign.mechanism
        return cls(
            campaign_cost(campaign),
            mechanism.epsilon,
            mechanism.delta,
            len(mechanism.releases),
            mechanism.spare_attempts,
            min(one.noise_multiplier for one in mechanism.releases),
            mechanism.hold_out,
            mechanism.collusion_bound,
            mechanism.threshold,
        )


def changed_lenders(before: Campaign | None, after: Campaign) -> tuple[list[str], list[str]]:
    """Who takes part that did not, and who does not that did."""
    old = set() if before is None else set(before.lenders)
    return sorted(set(after.lenders) - old), sorted(old - set(after.lenders))


# --- the answer


def sign_yes(node: Node, sha256: str, operator: str | None = None) -> bool:
    """Sign a campaign for this lender and tell the registry; returns whether it is active now.

    Where the signature lies here already and the registry does not know it, as after a lost answer,
    the same one is sent again.

    Raises:
        NodeError, FeatureError, SignatureError: it is not to be signed, see
            :func:`clients.home.approve`. ConsentError: its assessment does not cover it, or the
            registry refuses or does not answer. Conflict: this lender has said no; that stays.
    """
    found = offer(node, sha256)
    if found.answer == "approved":
        return found.proposed.active
    if found.answer == "rejected" or _rejection(node, sha256).exists():
        raise Conflict(f"{node.lender!r} has said no to this campaign, and a no stays")
    assessment, token = covering_assessment(node, found.campaign)
    approval = _signed(node, sha256) or approve(node, found.proposed.token, operator)
    _remember_code(node)
    beside = node.home / FOLDER / f"{assessment.sha256}.assessment.jws"
    replace_file(beside, token.encode())
    with node.connected(LenderClient) as client:
        return client.approve(approval, node.key)


def _signed(node: Node, sha256: str) -> Approval | None:
    """What this operator signed before."""
    path = node.home / FOLDER / f"{sha256}.approval.jws"
    if not path.exists():
        return None
    return Approval.verify(path.read_text(encoding="utf-8"), node.key.public)


def _remember_code(node: Node) -> None:
    """Keep what was signed, for the next review."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(installed_files().items()):
            archive.writestr(name, content)
    replace_file(node.home / CODE_FILE, buffer.getvalue())


def sign_no(node: Node, sha256: str, reason: str, operator: str | None = None) -> None:
    """Take no part in a campaign, or no longer: from now on this node answers no release of it.

    Raises:
        RegistryUnavailable: the registry does not know yet; this node keeps to it already.
    """
    rejection = Rejection(
        campaign_sha256=sha256,
        lender=node.lender,
        reason=reason.strip(),
        operator=operator,
        rejected_at=now(),
    )
    replace_file(_rejection(node, sha256), json.dumps({"reason": reason}).encode())
    try:
        with node.connected(LenderClient) as client:
            client.reject(rejection, node.key)
    except ConsentError as error:
        if error.status != Conflict.status:  # it knew already: an answer was lost
            raise RegistryUnavailable(
                f"this node answers nothing of it, but the registry does not know yet: {error}"
            ) from error


def _rejection(node: Node, sha256: str) -> Path:
    return node.home / FOLDER / f"{sha256}.rejected.json"


def own_reason(node: Node, sha256: str) -> str | None:
    """Why this operator said no, as it is kept here; the registry tells nobody but coordinator and
    auditor."""
    path = _rejection(node, sha256)
    if not path.exists():
        return None
    return str(json.loads(path.read_text(encoding="utf-8"))["reason"])


def approved_here(node: Node) -> dict[str, str]:
    """Hash and id of every campaign that this node's operator approved."""
    tokens: Sequence[Path] = list((node.home / FOLDER).glob("*.campaign.jws"))
    return {
        path.name.partition(".")[0]: Campaign.claimed(path.read_text(encoding="utf-8")).id
        for path in tokens
    }
