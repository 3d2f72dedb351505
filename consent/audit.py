"""The outside view: verify a log without trusting who serves it.

What is checked, in order:

1. the newest checkpoint is signed by the log's key;
2. it extends the checkpoint that the auditor kept from the beginning;
3. every leaf hashes, in its place, into the signed root (recomputed from the raw entries);
4. every roster commitment has an inclusion proof under that root, as a lender would hold it;
5. nothing was used without authority: each roster commitment comes after a live authorisation for the same lender,
   which comes after the campaign's activation, which comes after every lender's approval;
6. with the auditor's key: each commitment's sealed body is signed by its lender and says what the skeleton says.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from consent.client import RegistryClient
from consent.documents import Authorisation, Campaign, Role, RosterCommitment
from consent.errors import AuditFailed, ConsentError
from consent.log import body_context
from crypto.errors import CryptoError
from crypto.keys import RecipientKey
from crypto.merkle import leaf_hash, leaves_reader, tree_root
from crypto.notes import Checkpoint, open_checkpoint
from crypto.sealing import unseal_from


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

    @property
    def entries(self) -> int:
        return self.checkpoint.size


class _Authority:
    """Folds over the leaves in order and refuses a use without authority."""

    def __init__(self, coordinator: str, registry: str) -> None:
        self._coordinator, self._registry = coordinator, registry
        self._proposed: set[str] = set()
        self._approved: dict[str, set[str]] = {}
        self._activated: set[str] = set()
        self._authorised: set[tuple[str, str, str]] = set()
        self._committed: set[tuple[str, str, int, int]] = set()

    def see(self, index: int, leaf: dict[str, Any]) -> None:
        kind, actor, campaign = leaf["type"], leaf["actor"], leaf.get("campaign", "")
        if kind == "campaign.proposed":
            self._require(
                actor == self._coordinator, index, "a campaign was proposed by somebody else than the coordinator"
            )
            self._proposed.add(campaign)
        elif kind == "campaign.approved":
            self._require(campaign in self._proposed, index, "an approval precedes its campaign")
            self._approved.setdefault(campaign, set()).add(actor)
        elif kind == "campaign.activated":
            self._require(bool(self._approved.get(campaign)), index, "a campaign became active without approval")
            self._activated.add(campaign)
        elif kind == "use.authorised":
            self._require(campaign in self._activated, index, "a use was authorised before the campaign was active")
            self._authorised.add((campaign, leaf["lender"], leaf["authorisation"]))
        elif kind == "roster.committed":
            held = (campaign, actor, leaf["authorisation_id"]) in self._authorised
            self._require(held, index, f"{actor!r} committed a roster without authorisation")
            key = (campaign, actor, leaf["release"], leaf["attempt"])
            self._require(key not in self._committed, index, f"{actor!r} committed the same release attempt twice")
            self._committed.add(key)

    @staticmethod
    def _require(holds: bool, index: int, what: str) -> None:
        if not holds:
            raise AuditFailed(f"entry {index}: {what}")


def verify_log(
    client: RegistryClient,
    first_note: str,
    auditor: RecipientKey | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Audit:
    """Verify the whole log; raises AuditFailed with the first thing that is wrong.

    Args:
        client: a connection to the registry; only what it serves is used, nothing is taken on trust.
        first_note: a checkpoint note the auditor kept from earlier.
        auditor: the auditor's key, to open what is sealed to it.
    """
    try:
        first = open_checkpoint(first_note, client.log)
        head = open_checkpoint(client.checkpoint_note(), client.log)
        progress("checkpoint is signed by the log")
        client.check_consistency(first, head)
        progress(f"the log of {head.size:,} entries extends the log of {first.size:,}")
        raw = client.leaves(head.size)
        if tree_root(head.size, leaves_reader([leaf_hash(leaf) for leaf in raw])) != head.root:
            raise AuditFailed("the entries that are served do not hash to the signed root")
        progress(f"{head.size:,} entries hash to the signed root")
        leaves: list[dict[str, Any]] = [json.loads(leaf) for leaf in raw]
        commitments = _check_authority(client, raw, leaves, auditor)
        progress(f"{len(commitments)} roster commitments included, authorised and signed by their lenders")
    except (CryptoError, ConsentError, KeyError, ValueError) as error:
        if isinstance(error, AuditFailed):
            raise
        raise AuditFailed(f"the log does not verify: {error}") from error
    by_type: dict[str, int] = {}
    for leaf in leaves:
        by_type[leaf["type"]] = by_type.get(leaf["type"], 0) + 1
    return Audit(head, first, by_type, tuple(commitments))


def _check_authority(
    client: RegistryClient, raw: list[bytes], leaves: list[dict[str, Any]], auditor: RecipientKey | None
) -> list[LoggedCommitment]:
    consortium = client.consortium
    authority = _Authority(consortium.one(Role.COORDINATOR).id, consortium.one(Role.REGISTRY).id)
    commitments = []
    for index, leaf in enumerate(leaves):
        authority.see(index, leaf)
        if leaf["type"] == "roster.committed":
            client.inclusion(index).verify(raw[index], client.log)
            opened = _open_commitment(client, index, leaf, auditor) if auditor else None
            commitments.append(LoggedCommitment(index, leaf, opened))
        elif auditor and leaf["type"] in {"campaign.activated", "use.authorised"}:
            _check_sealed_documents(client, index, leaf, auditor)
    return commitments


def _open_body(client: RegistryClient, index: int, leaf: dict[str, Any], auditor: RecipientKey) -> dict[str, Any]:
    body = client.body(index)
    if hashlib.sha256(body).hexdigest() != leaf["body"]["sha256"]:
        raise AuditFailed(f"entry {index}: the sealed body is not the one in the leaf")
    opened: dict[str, Any] = json.loads(unseal_from(auditor, body, body_context(leaf["type"])))
    return opened


def _open_commitment(
    client: RegistryClient, index: int, leaf: dict[str, Any], auditor: RecipientKey
) -> RosterCommitment:
    token = _open_body(client, index, leaf, auditor)["token"]
    commitment = RosterCommitment.verify(token, client.consortium.party(leaf["actor"]).key)
    fields = commitment.payload()
    fields["campaign"] = fields.pop("campaign_sha256")
    stated = {name: leaf[name] for name in fields.keys() & leaf.keys()}
    if {name: fields[name] for name in stated} != stated or commitment.lender != leaf["actor"]:
        raise AuditFailed(f"entry {index}: the sealed commitment says something else than its skeleton")
    return commitment


def _check_sealed_documents(client: RegistryClient, index: int, leaf: dict[str, Any], auditor: RecipientKey) -> None:
    """An activation lists the approvals of all lenders; an authorisation is the registry's and for this campaign."""
    opened = _open_body(client, index, leaf, auditor)
    if leaf["type"] == "use.authorised":
        document = Authorisation.verify(opened["token"], client.consortium.one(Role.REGISTRY).key)
        if (document.campaign_sha256, document.lender) != (leaf["campaign"], leaf["lender"]):
            raise AuditFailed(f"entry {index}: the authorisation is for another campaign or lender")
        return
    campaign, _ = client.campaign(leaf["campaign"])
    _check_quorum(index, campaign, set(opened["approved"]))


def _check_quorum(index: int, campaign: Campaign, approved: set[str]) -> None:
    if approved != set(campaign.lenders):
        missing = ", ".join(sorted(set(campaign.lenders) - approved))
        raise AuditFailed(f"entry {index}: the campaign became active without the approval of {missing}")
