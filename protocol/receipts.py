"""What a borrower keeps, verified offline: receipts of consents, of requests and of decisions, and
proofs of who was in a release.

One signed document a line. Nobody is asked: all that is believed is the consortium document, which
names every key and the log's policy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from crypto.errors import CryptoError, ProofError, SignatureError
from crypto.keys import unb64
from protocol.client.borrowers import check_receipt
from protocol.consents import Receipt
from protocol.parties import Consortium, Role
from protocol.rights import RequestEvent, RightsReceipt, check_rights_receipt
from protocol.roster_proofs import Head, RosterProof, verify_roster_proof
from protocol.uses import DecisionReceipt, check_decision_receipt

MAX_FILE_BYTES = 64 << 20
_PAGE_BEGINS = 100
_IN_PAGE = re.compile(r'<data id="receipt" value="([A-Za-z0-9._-]+)">')


@dataclass(frozen=True)
class VerifiedReceipt:
    """What one document proves, in a sentence and in facts."""

    sentence: str
    about: str
    """The pseudonym of whom it speaks."""
    facts: dict[str, Any]


def kept(text: str) -> list[str]:
    """The documents in a file's text; of a page that was saved as one file, the one that it
    holds.

    Raises:
        SignatureError: there is none.
    """
    if text[:_PAGE_BEGINS].lstrip().lower().startswith("<!doctype html>"):
        tokens = _IN_PAGE.findall(text)[:1]
    else:
        tokens = [line.strip() for line in text.splitlines() if line.strip()]
    if not tokens:
        raise SignatureError("the file holds no receipt and no proof")
    return tokens


def verify_kept(token: str, consortium: Consortium, people: Iterable[str] = ()) -> VerifiedReceipt:
    """
    Args:
        people: the pseudonyms of whoever checks; what speaks of somebody else is refused. Of
            anybody if there are none. A later step of a request names nobody.

    Raises:
        CryptoError: it proves nothing; the message says why.
    """
    kinds = {
        Receipt.typ: _receipt,
        RightsReceipt.typ: _rights_receipt,
        RosterProof.typ: _roster_proof,
        DecisionReceipt.typ: _decision_receipt,
    }
    kind = _type_of(token)
    if kind not in kinds:
        raise SignatureError(f"a document of type {kind!r} is neither a receipt nor a proof")
    found = kinds[kind](token, consortium)
    mine = set(people)
    if mine and found.about and found.about not in mine:
        raise ProofError("it speaks of somebody else")
    return found


def _type_of(token: str) -> object:
    """What a document says that it is, before its signature is checked. Raises SignatureError."""
    try:
        return json.loads(unb64(token.partition(".")[0]))["typ"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise SignatureError("not a signed document") from error


def _receipt(token: str, consortium: Consortium) -> VerifiedReceipt:
    receipt = Receipt.verify(token, consortium.one(Role.REGISTRY).key)
    try:
        proof = check_receipt(receipt, consortium.policy)
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, CryptoError):
            raise
        raise ProofError("the receipt's log entry is not that of a decision") from error
    head = Head.of(proof.checkpoint_note, consortium)
    states = ", ".join(f"{what} {state}" for what, state in receipt.states.items())
    return VerifiedReceipt(
        f"Your answer is on record: {states}; entry {proof.index} under {head.words}.",
        receipt.pii_principal_id,
        {
            "kind": Receipt.typ,
            "pii_principal_id": receipt.pii_principal_id,
            "states": receipt.states,
            "decision_sha256": receipt.decision_sha256,
            "entry_index": proof.index,
            "head": asdict(head),
            "issued_at": receipt.issued_at.isoformat(),
        },
    )


def _rights_receipt(token: str, consortium: Consortium) -> VerifiedReceipt:
    receipt = RightsReceipt.verify(token, consortium.one(Role.REGISTRY).key)
    proof = check_rights_receipt(receipt, consortium.policy)
    head, step = Head.of(proof.checkpoint_note, consortium), receipt.step
    mine = step.request() if step.event is RequestEvent.RECEIVE else None
    due = "" if step.due_at is None else f", due by {step.due_at.date()} ({step.law})"
    return VerifiedReceipt(
        f"The request {step.request_sha256[:12]}… is on record: {step.event}{due}; entry "
        f"{proof.index} under {head.words}.",
        "" if mine is None else mine.pii_principal_id,
        {
            "kind": RightsReceipt.typ,
            "request_sha256": step.request_sha256,
            "event": step.event,
            "at": step.at.isoformat(),
            "due_at": None if step.due_at is None else step.due_at.isoformat(),
            "entry_index": proof.index,
            "head": asdict(head),
            "issued_at": receipt.issued_at.isoformat(),
        },
    )


def _roster_proof(token: str, consortium: Consortium) -> VerifiedReceipt:
    answer = verify_roster_proof(token, consortium)
    proof, name = answer.proof, f"{answer.proof.pii_principal_id[:12]}…"
    who = "Your data were" if answer.used else f"The name {name} was NOT"
    return VerifiedReceipt(
        f"{who} among those for release {proof.release} (attempt {proof.attempt}) of campaign "
        f"{proof.campaign_sha256[:12]}… by {proof.lender}: its roster, committed to the log on "
        f"{answer.day}, {'holds' if answer.used else 'does not hold'} {name}; entry "
        f"{answer.entry_index} under {answer.head.words}.",
        proof.pii_principal_id,
        {
            "kind": RosterProof.typ,
            "used": answer.used,
            "pii_principal_id": proof.pii_principal_id,
            "campaign_sha256": proof.campaign_sha256,
            "lender": proof.lender,
            "release": proof.release,
            "attempt": proof.attempt,
            "release_kind": answer.kind,
            "committed_on": answer.day,
            "entry_index": answer.entry_index,
            "head": asdict(answer.head),
            "issued_at": proof.issued_at.isoformat(),
        },
    )


def _decision_receipt(token: str, consortium: Consortium) -> VerifiedReceipt:
    lender = consortium.party(DecisionReceipt.claimed(token).lender)
    if lender.role is not Role.LENDER:
        raise SignatureError(f"{lender.id!r} is no lender, and decides about no application")
    receipt = DecisionReceipt.verify(token, lender.key)
    steps = check_decision_receipt(receipt, lender.key, consortium.log_origin, consortium.policy)
    read, scored = steps["use.read"], steps["use.scored"]
    head = Head.of(scored.proof.checkpoint_note, consortium)
    outcome, case = receipt.decision.get("outcome"), scored.said
    whose = "a machine alone" if case.automated else "a person"
    first = receipt.blinding.first
    part = "" if first is None else f", as part of the use of application {first.application}"
    kinds = ", ".join(sorted({one for used in read.said.consents for one in used.categories}))
    return VerifiedReceipt(
        f"{receipt.lender} decided {outcome!r} about application {receipt.application} ({whose})"
        f"{part}, "
        f"on your consent to {kinds}: named before anybody was asked (entry {read.proof.index}), "
        f"and before it took effect (entry {scored.proof.index}), under {head.words}.",
        receipt.pii_principal_id,
        {
            "kind": DecisionReceipt.typ,
            "pii_principal_id": receipt.pii_principal_id,
            "lender": receipt.lender,
            "application": receipt.application,
            "follows": case.follows,
            "decision": receipt.decision,
            "automated": case.automated,
            "consents": [one.model_dump(mode="json") for one in read.said.consents],
            "sources": {name: str(about) for name, about in case.sources.items()},
            "model": case.model,
            "policy": case.policy,
            "law": case.law,
            "entries": {step: one.proof.index for step, one in steps.items()},
            "head": asdict(head),
            "issued_at": receipt.issued_at.isoformat(),
        },
    )
