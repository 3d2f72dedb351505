"""A lender opens the drawn cells of its rosters to the auditor, and nobody else's.

No node imports this: the lender's operator runs it, after looking at whom it is asked for.
"""

from __future__ import annotations

import json
from hashlib import sha256

from clients.errors import NodeError
from clients.home import Node
from clients.opening import Prover
from clients.proving import prover_of
from crypto.keys import RecipientPublicKey
from crypto.notes import Checkpoint
from crypto.rosters import depth_for
from crypto.sealing import pad, seal_to
from protocol.client.lenders import LenderClient
from protocol.parties import Role
from protocol.samples import (
    OPENED_CONTEXT,
    Draw,
    DrawnRoster,
    OpenedCellOfRoster,
    OpenedRoster,
    OpenedSample,
    cells,
    seed_of,
)
from protocol.schema import now


def verified_draw(node: Node, client: LenderClient, token: str) -> Draw:
    """The draw, if it is the auditor's, of this lender, and as the log seeds it.

    Raises:
        NodeError: somebody was chosen rather than drawn, or it is another lender's. SignatureError:
            it is not the auditor's. RegistryUnavailable, SplitView: the log does not show the root.
    """
    draw = Draw.verify(token, node.consortium.one(Role.AUDITOR).key)
    if draw.lender != node.lender:
        raise NodeError(f"the draw is for {draw.lender!r}, not for {node.lender!r}")
    leaf, proof = client.proved_leaf(draw.entry_index, wait=True)
    stated = json.loads(leaf)
    announced = (stated.get("type"), stated.get("campaign"), stated.get("nonce"))
    nonce = sha256(bytes.fromhex(draw.nonce)).hexdigest()
    if announced != ("evidence.sampled", draw.campaign_sha256, nonce):
        raise NodeError(f"entry {draw.entry_index} of the log announces no such sample")
    head = client.trust.open(proof.checkpoint_note)
    then = Checkpoint(head.origin, draw.entry_index + 1, bytes.fromhex(draw.root))
    client.check_consistency(then, head)
    seed = seed_of(draw.root, draw.nonce, draw.campaign_sha256)
    for one in draw.rosters:
        which = (one.release, one.attempt)
        if one.cells != cells(seed, node.lender, which, one.size, len(one.cells)):
            raise NodeError(f"the cells of release {one.release} were chosen, not drawn")
    if sum(len(one.cells) for one in draw.rosters) > stated["people"]:
        raise NodeError(f"the draw has more cells than entry {draw.entry_index} announces")
    return draw


def open_sample(node: Node, draw: Draw) -> bytes:
    """Who stands in the drawn cells, with the cells' proofs, signed, sealed to the auditor.

    Raises:
        NodeError: the ledger does not give such a roster. ProofError: too many stand in a cell.
    """
    with prover_of(node) as prover:
        rosters = tuple(_opened(prover, draw.campaign_sha256, one) for one in draw.rosters)
    opened = OpenedSample(
        campaign_sha256=draw.campaign_sha256,
        lender=node.lender,
        draw_sha256=draw.sha256,
        entry_index=draw.entry_index,
        rosters=rosters,
        opened_at=now(),
    )
    auditor = node.consortium.one(Role.AUDITOR)
    recipient = RecipientPublicKey.from_text(auditor.recipient_key or "")
    return seal_to(recipient, pad(opened.sign(node.key).encode()), OPENED_CONTEXT)


def _opened(prover: Prover, campaign: str, drawn: DrawnRoster) -> OpenedRoster:
    kept = next(
        (
            one
            for one in prover.releases(campaign)
            if (one.release, one.attempt) == (drawn.release, drawn.attempt)
        ),
        None,
    )
    if kept is None:
        raise NodeError(f"this node's ledger has no release {drawn.release} of that campaign")
    opened = []
    for number in drawn.cells:
        cell, names = prover.cell(kept, number)
        if len(cell.path) != depth_for(drawn.size):
            raise NodeError(
                f"the roster of release {drawn.release} has not the size that the draw supposes"
            )
        opened.append(
            OpenedCellOfRoster(
                number=number,
                salt=cell.salt.hex(),
                names=tuple(names),
                path=tuple(step.hex() for step in cell.path),
            )
        )
    return OpenedRoster(release=drawn.release, attempt=drawn.attempt, cells=tuple(opened))
