"""Roster proofs at the lender's: for every release, whether one person was in it.

What is made here is for that person alone: it is handed over sealed, with the answer to their
request. Nothing here is part of what a node runs in a campaign.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from clients.home import LEDGER_FILE, Node
from clients.opening import Committed, Prover, Watch, nobody_watches
from protocol.client.lenders import LenderClient
from protocol.errors import RegistryUnavailable
from protocol.roster_proofs import RosterProof, verify_roster_proof
from protocol.schema import now

ROSTERS_FOLDER = "rosters"


@dataclass(frozen=True)
class Proofs:
    """What a lender can hand to one person."""

    tokens: tuple[str, ...]
    """Signed :class:`RosterProof` documents, in the order of the releases. Where the person stood
    in a roster, one for the name they had then; where not, one for each name that they ever had."""
    never_committed: tuple[Committed, ...]
    """Reserved in the ledger and never committed to in the log: no row was read for them."""


def prover_of(node: Node, watch: Watch = nobody_watches) -> Prover:
    """Of the node's own ledger."""
    return Prover(node.home / LEDGER_FILE, node.home / ROSTERS_FOLDER, watch)


def prove(
    node: Node, client: LenderClient, prover: Prover, name: str, releases: Sequence[Committed]
) -> Proofs:
    """Whether the person of this name, or of one they had before or since, was in these releases.

    Raises:
        NodeError: the ledger knows another roster than was committed to.
        RegistryUnavailable, ConsentError: the registry does not show the commitments.
    """
    logged = {
        campaign: _entries(client, campaign)
        for campaign in dict.fromkeys(one.campaign for one in releases)
    }
    tokens: list[str] = []
    never: list[Committed] = []
    prover.prepare(releases)
    for release in releases:
        index = logged[release.campaign].get((release.release, release.attempt))
        if index is not None:
            tokens += _proofs(node, client, prover, release, index, prover.names(name))
        elif release.settled_at is None:
            never.append(release)
        else:
            raise RegistryUnavailable(
                f"release {release.release} of campaign {release.campaign[:12]}… left this node, "
                "and the consent registry does not show its roster commitment"
            )
    return Proofs(tuple(tokens), tuple(never))


def _proofs(
    node: Node,
    client: LenderClient,
    prover: Prover,
    release: Committed,
    index: int,
    names: Sequence[str],
) -> list[str]:
    leaf, proof = client.proved_leaf(index, wait=True)
    absent: list[str] = []
    for name in names:
        made = RosterProof.of(
            prover.open(release, name),
            leaf,
            proof,
            pii_principal_id=name,
            campaign_sha256=release.campaign,
            lender=node.lender,
            release=release.release,
            attempt=release.attempt,
            issued_at=now(),
        )
        token = made.sign(node.key)
        if verify_roster_proof(token, node.consortium).used:
            return [token]
        absent.append(token)
    return absent


def _entries(client: LenderClient, campaign: str) -> dict[tuple[int, int], int]:
    """Where the lender's own commitments for a campaign stand in the log, by release and
    attempt."""
    found: dict[tuple[int, int], int] = {}
    cursor: str | None = ""
    while cursor is not None:
        more = f"&cursor={cursor}" if cursor else ""
        page = client.get(f"/v1/campaigns/{campaign}/commitments?limit=1000{more}")
        try:
            answer = page.json()
            for one in answer["items"]:
                found[int(one["release"]), int(one["attempt"])] = int(one["entry_index"])
            cursor = answer["next"]
        except (ValueError, KeyError, TypeError) as error:
            raise RegistryUnavailable(
                "the consent registry's answer is no list of roster commitments"
            ) from error
    return found
