"""The outside view: verify a log without trusting who serves it.

What is checked, in order:

1. the newest checkpoint is signed by the log's key and cosigned by the quorum of witnesses;
2. it extends the checkpoint that the auditor kept from the beginning, and is of one history with
   what each witness cosigned last;
3. every leaf hashes, in its place, into the signed root (recomputed from the raw entries);
4. every roster commitment has an inclusion proof under that root, as a lender would hold it;
5. nothing was used without authority: each roster commitment comes after an authorisation for the
   same lender, which comes after the campaign's activation, which comes after approvals; counts of
   people cost no more than the consortium set aside for them; time never runs backwards;
6. with the auditor's key also what is sealed: the campaign is the coordinator's, every one of its
   lenders signed its approval, the authorisation was in force (at the time that the lender signed:
   a leaf tells the day), the release is one the campaign planned, and the commitment is signed by
   its lender and says what its skeleton says.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from auditlog.entries import day_of
from crypto.errors import CryptoError
from crypto.keys import RecipientKey
from crypto.merkle import leaf_hash, leaves_reader, tree_root
from crypto.notes import Checkpoint
from crypto.sealing import body_context, open_enclosed, open_envelope, unpad, unseal_from
from privacy.filter import TOLERANCE
from protocol.campaigns import Approval, Authorisation, Campaign, Rejection, RosterCommitment
from protocol.client.auditor import AuditorClient
from protocol.errors import AuditFailed, ConsentError
from protocol.gossip import compare_heads
from protocol.holdout import Draw
from protocol.parties import Role
from protocol.requests import CLOCK_SKEW


@dataclass(frozen=True)
class LoggedCommitment:
    """A roster commitment as the log holds it; ``opened`` when the auditor's key was at hand."""

    index: int
    leaf: dict[str, Any]
    opened: RosterCommitment | None


@dataclass(frozen=True)
class Audit:
    """What was verified."""

    checkpoint: Checkpoint
    first: Checkpoint
    by_type: dict[str, int]
    commitments: tuple[LoggedCommitment, ...]
    note: str
    """The checkpoint as it was signed, to be kept until the next time."""

    @property
    def entries(self) -> int:
        return self.checkpoint.size


@dataclass
class _Use:
    """What is known of one campaign at some point of the log."""

    approved: set[str] = field(default_factory=set)
    approvals: list[Approval] = field(default_factory=list)
    rejected: set[str] = field(default_factory=set)
    active: bool = False
    campaign: Campaign | None = None


def open_body(
    client: AuditorClient, name: str, recipient: RecipientKey, leaf: dict[str, Any], body: bytes
) -> bytes:
    """The plaintext of a body that is sealed to party ``name``.

    Raises:
        SealError: it is sealed to somebody else, or was altered.
    """
    context = body_context(leaf["type"])
    if "envelope" not in leaf["body"]:
        return unpad(unseal_from(recipient, body, context))
    key = open_envelope(client.envelope(leaf["body"]["envelope"]), name, recipient)
    return unpad(open_enclosed(key, body, context))


class _Authority:
    """Folds over the leaves in order and refuses a use without authority.

    With the auditor's key every campaign, approval, authorisation and commitment is opened and its
    signature checked; without it, only the order of the skeletons is.
    """

    def __init__(self, client: AuditorClient, auditor: RecipientKey | None) -> None:
        self._client, self._auditor = client, auditor
        self._me = client.consortium.one(Role.AUDITOR).id
        self._consortium = client.consortium
        self._uses: dict[str, _Use] = {}
        self._authorised: dict[tuple[str, str, str], Authorisation | None] = {}
        self._committed: set[tuple[str, str, int, int]] = set()
        self._attempts: dict[tuple[str, str], list[int]] = {}
        self._latest = ""
        self._index, self._counted = 0, 0.0

    def see(self, index: int, leaf: dict[str, Any]) -> RosterCommitment | None:
        """Take the next leaf; returns the opened commitment if it is one."""
        self._index = index
        self._require(day_of(leaf) >= self._latest, "time runs backwards")
        self._latest = day_of(leaf)
        match leaf["type"]:
            case "campaign.proposed":
                self._propose(index, leaf)
            case "campaign.approved":
                self._approve(index, leaf)
            case "campaign.rejected":
                self._reject(index, leaf)
            case "campaign.activated":
                self._activate(leaf)
            case "use.authorised":
                self._authorise(index, leaf)
            case "population.counted":
                self._counted += leaf["epsilon"]
                within = self._counted <= self._consortium.count_epsilon * (1 + TOLERANCE)
                self._require(
                    within, "counts of people have cost more than the consortium set aside for them"
                )
            case "roster.committed":
                return self._commit(index, leaf)
        return None

    def _require(self, holds: bool, what: str) -> None:
        if not holds:
            raise AuditFailed(f"entry {self._index}: {what}")

    def _open(self, index: int, leaf: dict[str, Any]) -> str | None:
        """The signed document in an entry's body, if the auditor's key is at hand."""
        if self._auditor is None:
            return None
        body = self._client.body(index)
        same = hashlib.sha256(body).hexdigest() == leaf["body"]["sha256"]
        self._require(same, "the sealed body is not the one in the leaf")
        return str(
            json.loads(open_body(self._client, self._me, self._auditor, leaf, body))["token"]
        )

    def _known(self, leaf: dict[str, Any]) -> _Use:
        self._require(
            leaf["campaign"] in self._uses, "it speaks of a campaign that was never proposed"
        )
        return self._uses[leaf["campaign"]]

    def _propose(self, index: int, leaf: dict[str, Any]) -> None:
        coordinator = self._consortium.one(Role.COORDINATOR)
        self._require(
            leaf["actor"] == coordinator.id,
            "a campaign was proposed by somebody else than the coordinator",
        )
        use = self._uses[leaf["campaign"]] = _Use()
        if token := self._open(index, leaf):
            use.campaign = Campaign.verify(token, coordinator.key)
            self._require(
                use.campaign.sha256 == leaf["campaign"],
                "the campaign is another than its skeleton says",
            )

    def _approve(self, index: int, leaf: dict[str, Any]) -> None:
        use = self._known(leaf)
        if token := self._open(index, leaf):
            approval = Approval.verify(token, self._consortium.party(leaf["actor"]).key)
            right = (approval.lender, approval.campaign_sha256) == (leaf["actor"], leaf["campaign"])
            self._require(right, "the approval is another lender's or for another campaign")
            use.approvals.append(approval)
        use.approved.add(leaf["actor"])

    def _reject(self, index: int, leaf: dict[str, Any]) -> None:
        use = self._known(leaf)
        if token := self._open(index, leaf):
            rejection = Rejection.verify(token, self._consortium.party(leaf["actor"]).key)
            right = (rejection.lender, rejection.campaign_sha256) == (
                leaf["actor"],
                leaf["campaign"],
            )
            self._require(right, "the rejection is another lender's or of another campaign")
        use.rejected.add(leaf["actor"])

    def _activate(self, leaf: dict[str, Any]) -> None:
        use = self._known(leaf)
        lenders = set(use.campaign.lenders) if use.campaign else use.approved
        missing = ", ".join(sorted(lenders - use.approved)) or (
            "anybody" if not use.approved else ""
        )
        self._require(not missing, f"the campaign became active without the approval of {missing}")
        self._require(
            not lenders & use.rejected, "the campaign became active after a lender rejected it"
        )
        use.active = True

    def _authorise(self, index: int, leaf: dict[str, Any]) -> None:
        use = self._known(leaf)
        self._require(use.active, "a use was authorised before the campaign was active")
        self._require(
            leaf["lender"] not in use.rejected,
            f"{leaf['lender']!r} was authorised after it rejected",
        )
        document = None
        if token := self._open(index, leaf):
            document = Authorisation.verify(token, self._consortium.one(Role.REGISTRY).key)
            stated = (document.use.identifier, document.aud, document.jti)
            right = stated == (leaf["campaign"], leaf["lender"], leaf["authorisation"])
            self._require(right, "the authorisation is for another campaign or lender")
        self._authorised[leaf["campaign"], leaf["lender"], leaf["authorisation"]] = document

    def _commit(self, index: int, leaf: dict[str, Any]) -> RosterCommitment | None:
        held = (leaf["campaign"], leaf["actor"], leaf["authorisation_id"])
        self._require(
            held in self._authorised, f"{leaf['actor']!r} committed a roster without authorisation"
        )
        self._require(
            leaf["actor"] not in self._known(leaf).rejected,
            f"{leaf['actor']!r} was used after it rejected",
        )
        attempt = (leaf["campaign"], leaf["actor"], leaf["release"], leaf["attempt"])
        self._require(
            attempt not in self._committed,
            f"{leaf['actor']!r} committed the same release attempt twice",
        )
        self._committed.add(attempt)
        campaign = self._known(leaf).campaign
        authorisation = self._authorised[held]
        token = self._open(index, leaf)
        if campaign is None or authorisation is None or token is None:
            return None
        planned = campaign.planned(leaf["release"])
        stated = (leaf["kind"], leaf["noise_multiplier"], leaf["sampling_rate"], leaf["steps"])
        agreed = planned and (
            planned.kind,
            planned.noise_multiplier,
            planned.sampling_rate,
            planned.steps,
        )
        self._require(stated == agreed, "the release is not one that the campaign planned")
        attempts = self._attempts.setdefault((leaf["campaign"], leaf["actor"]), [])
        attempts.append(leaf["release"])
        self._require(
            not campaign.why_not(attempts), "a lender made more attempts than the campaign reserved"
        )
        commitment = RosterCommitment.verify(token, self._consortium.party(leaf["actor"]).key)
        fields = commitment.payload()
        fields["campaign"] = fields.pop("campaign_sha256")
        same = {name: fields[name] for name in fields.keys() & leaf.keys()}
        agrees = same == {name: leaf[name] for name in same} and commitment.lender == leaf["actor"]
        self._require(agrees, "the sealed commitment says something else than its skeleton")
        moment = commitment.committed_at or datetime.fromisoformat(leaf["time"])
        live = authorisation.iat - CLOCK_SKEW <= moment < authorisation.exp + CLOCK_SKEW
        self._require(live, "the authorisation was not in force when the roster was committed")
        days = {(moment + skew).date().isoformat() for skew in (-CLOCK_SKEW, CLOCK_SKEW)}
        self._require(
            day_of(leaf) in days, "the roster was not committed on the day that the log says"
        )
        approvals = self._known(leaf).approvals
        lots = any(one.lot for one in approvals)  # campaigns of version 0.5 have none at all
        drawn = Draw.of(campaign, approvals).sha256 if lots else None
        self._require(
            commitment.draw_sha256 == drawn, "who was held out was not drawn by the lots in the log"
        )
        return commitment


def verify_log(
    client: AuditorClient,
    first_note: str,
    auditor: RecipientKey | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Audit:
    """Verify the whole log; raises AuditFailed with the first thing that is wrong.

    Args:
        client: a connection to the registry; only what it serves is used, nothing is taken on
            trust.
        first_note: a checkpoint note the auditor kept from earlier.
        auditor: the auditor's key, to open what is sealed to it.
    """
    try:
        first = client.trust.open(first_note)
        note = client.checkpoint_note()
        head = client.trust.open(note)
        progress("checkpoint is signed by the log and cosigned by its witnesses")
        client.check_consistency(first, head)
        progress(f"the log of {head.size:,} entries extends the log of {first.size:,}")
        heard = compare_heads(client, client.consortium.policy, note)
        unheard = f"; not heard: {', '.join(heard.silent)}" if heard.silent else ""
        progress(f"{len(heard.agree)} witnesses stand in the same history{unheard}")
        raw = client.leaves(head.size)
        if tree_root(head.size, leaves_reader([leaf_hash(leaf) for leaf in raw])) != head.root:
            raise AuditFailed("the entries that are served do not hash to the signed root")
        progress(f"{head.size:,} entries hash to the signed root")
        leaves: list[dict[str, Any]] = [json.loads(leaf) for leaf in raw]
        commitments = _check_authority(client, raw, leaves, auditor)
        how = (
            "authorised, as planned and signed by their lenders"
            if auditor
            else "in order; bodies were not opened"
        )
        progress(f"{len(commitments)} roster commitments included, {how}")
    except (CryptoError, ConsentError, KeyError, ValueError) as error:
        if isinstance(error, AuditFailed):
            raise
        raise AuditFailed(f"the log does not verify: {error}") from error
    by_type: dict[str, int] = {}
    for leaf in leaves:
        by_type[leaf["type"]] = by_type.get(leaf["type"], 0) + 1
    return Audit(head, first, by_type, tuple(commitments), note)


def _check_authority(
    client: AuditorClient,
    raw: list[bytes],
    leaves: list[dict[str, Any]],
    auditor: RecipientKey | None,
) -> list[LoggedCommitment]:
    authority = _Authority(client, auditor)
    commitments = []
    for index, leaf in enumerate(leaves):
        opened = authority.see(index, leaf)
        if leaf["type"] == "roster.committed":
            client.inclusion(index).verify(raw[index], client.trust)
            commitments.append(LoggedCommitment(index, leaf, opened))
    return commitments
