"""The answers of people in a sample, as the registry shows them and the log proves them.

What is shown of somebody counts for nobody else. A decision names whom it is of: by the name that
was drawn, or by one that belongs to it after a renaming that the log holds. A record that a lender
handed in names a number on the roll, and whose that is only the registry says; but a number, a
record and an entry stand for one person of a lender's, so that no yes covers two.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from auditlog.authority import AuditState
from crypto.documents import canonical_json
from crypto.errors import CryptoError, ProofError, SignatureError
from crypto.keys import PublicKey
from crypto.merkle import leaf_hash, verify_inclusion
from law.categories import Sensitivity
from protocol.campaigns import Campaign
from protocol.changes import YES
from protocol.consents import (
    Action,
    AgeBand,
    Authority,
    Channel,
    ConsentDecision,
    Presentation,
    decision_commitment,
)
from protocol.errors import ConsentError
from protocol.snapshots import ConsentSnapshot

_EVENTS_OF = {action: {action.value} for action in Action} | {Action.REFUSE: {"refuse", "withdraw"}}
"""What an answer is recorded as: a no to what was given takes it back first."""


class Unproved(Exception):
    """A rule does not hold for a member."""

    def __init__(self, rule: str, why: str) -> None:
        super().__init__(why)
        self.rule = rule


@dataclass(frozen=True)
class ProvedAnswer:
    """One answer of a person about one consent, as the log proves it."""

    kind: Sensitivity
    event: str
    sequence: int
    index: int
    made_at: datetime
    notice: tuple[str, int]
    notice_sha256: str
    language: str | None
    wished: datetime | None
    age: AgeBand
    guardian: bool
    """Whether somebody else decided in the person's place, and showed by what right."""
    channel: Channel
    shown: Presentation | None = None
    in_a_login: bool = False
    """Stated by whoever was logged in, rather than signed or handed in."""
    resumed_by: Channel | None = None
    """Over which the person said last that it goes on."""


def last_yes(given: Sequence[ProvedAnswer], kind: Sensitivity) -> ProvedAnswer:
    """The yes to one consent that stood when the last of these answers was given.

    Raises:
        Unproved: none did.
    """
    answers = [one for one in given if one.kind == kind]
    if not answers or answers[-1].event not in YES:
        last = answers[-1].event if answers else "nothing"
        raise Unproved("given", f"the last answer before the roster was {last}, not a yes")
    yes = next((one for one in reversed(answers) if one.event == "give"), None)
    if yes is None:
        raise Unproved("given", "there is a resumption, and no yes before it")
    return yes if answers[-1].event == "give" else replace(yes, resumed_by=answers[-1].channel)


def is_young(answers: Sequence[ProvedAnswer]) -> bool:
    """Whether the person is under 14, as these answers say. Once said it stays, until a guardian
    says that they are older; which may be in answer to something else, where only the registry
    sees it."""
    young = False
    for one in answers:
        young = one.age == "under-14" or (young and one.age != "14-17")
    return young


class AnswerProofs:
    """What the log proves of the answers to one lender that the registry shows.

    Args:
        know: what the log says. leaves: all of it, as served and verified.
    """

    def __init__(self, know: AuditState, leaves: Sequence[bytes], lender: str) -> None:
        self._know, self._leaves, self._lender = know, leaves, lender
        self._whose: dict[tuple[str, int, int], str] = {}

    def answers(
        self, campaign: Campaign, name: str, person: Mapping[str, Any], snapshot: ConsentSnapshot
    ) -> list[ProvedAnswer]:
        """The answers that the snapshot counted or should have counted, being in the log before it,
        each proved to be this person's, in order.

        Raises:
            Unproved: one is not.
        """
        head = self._know.bodies.client.trust.open(snapshot.checkpoint)
        found = []
        try:
            names = self._names(name, person)
            for event in person["events"]:
                told = event["sequence"] <= snapshot.sequence
                known = event.get("entry_index", head.size) < head.size
                if not (told or known):
                    continue
                if "decided" in event:
                    found.append(self._decided(campaign, names, person, event))
                elif "imported" in event:
                    found.append(self._imported(names, person, event))
        except (CryptoError, ConsentError, LookupError, ValueError, TypeError) as error:
            raise Unproved("logged", f"an answer is not what the log holds: {error}") from error
        return sorted(found, key=lambda one: one.sequence)

    def objects(self, person: Mapping[str, Any], snapshot: ConsentSnapshot) -> bool:
        """Whether an objection that is shown of the person, or an erasure that the lender granted,
        was in the log before the snapshot, and its end was not.

        Raises:
            Unproved: what is shown is no objection in the log.
        """
        head = self._know.bodies.client.trust.open(snapshot.checkpoint)
        try:
            for begun, ended in person["objections"]:
                self._leaf(begun, "request.received", "request.answered")
                if ended is not None:
                    self._leaf(ended, "request.closed")
                if begun < head.size and (ended is None or ended >= head.size):
                    return True
        except (CryptoError, LookupError, ValueError, TypeError) as error:
            raise Unproved("logged", f"an objection is not what the log holds: {error}") from error
        return False

    def _take(self, what: str, which: int, position: int, name: str) -> None:
        """What stands for one person stands for nobody else. Raises ProofError."""
        if self._whose.setdefault((what, which, position), name) != name:
            raise ProofError(f"the same {what} was shown of somebody else")

    def _names(self, name: str, person: Mapping[str, Any]) -> tuple[str, ...]:
        """The names of whoever was drawn by this one that the log proves, oldest first. Raises
        ProofError."""
        names: list[str] = []
        for proof in person["renamed"]:
            record = self._under_root(proof, "subjects.renamed")
            if names and names[-1] != record["former"]:
                raise ProofError("a renaming that is shown is of somebody else")
            names += [record["name"]] if names else [record["former"], record["name"]]
        if names and name not in names:
            raise ProofError("the renamings that are shown are of somebody else")
        return tuple(names) or (name,)

    def _leaf(self, index: int, *kinds: str) -> dict[str, Any]:
        leaf: dict[str, Any] = json.loads(self._leaves[index])
        if leaf["type"] not in kinds:
            raise ProofError(f"entry {index} is no {' or '.join(kinds)}")
        return leaf

    def _under_root(self, proof: Mapping[str, Any], kind: str) -> dict[str, Any]:
        """A record, under the root in the lender's log entry. Raises ProofError."""
        record: dict[str, Any] = proof["record"]
        leaf = self._leaf(proof["entry_index"], kind)
        hashed = leaf_hash(canonical_json(record))
        path = tuple(bytes.fromhex(step) for step in proof["path"])
        root = bytes.fromhex(leaf["root"])
        verify_inclusion(hashed, proof["position"], proof["size"], path, root)
        if leaf["actor"] != self._lender:
            raise ProofError(f"entry {proof['entry_index']} is another lender's")
        return record

    def _decided(
        self,
        campaign: Campaign,
        names: Sequence[str],
        person: Mapping[str, Any],
        event: Mapping[str, Any],
    ) -> ProvedAnswer:
        """A decision: signed by the borrower's key, or stated in a login, as the log commits to."""
        index, held = event["entry_index"], event["decided"]
        if "token" in held:
            decision = _signed(held["token"], person["public_keys"])
        else:
            decision = ConsentDecision.model_validate(held["decision"])
        committed = decision_commitment(held["salt"], decision.sha256, held["states"])
        if committed != self._leaf(index, "consent.decided")["decision"]:
            raise ProofError("the log commits to another decision")
        if decision.pii_principal_id not in names:
            raise ProofError("the decision is in a name that is not proved theirs")
        self._take("entry", index, 0, names[-1])
        about = (campaign.purpose, self._lender, event["sensitivity"])
        choice = next(
            (c for c in decision.choices if (c.purpose, c.recipient, c.sensitivity) == about), None
        )
        if choice is None or event["event"] not in _EVENTS_OF[choice.action]:
            raise ProofError("the decision says something else about this purpose and recipient")
        return ProvedAnswer(
            kind=choice.sensitivity,
            event=choice.action.value,
            sequence=event["sequence"],
            index=index,
            made_at=decision.event_time,
            notice=(decision.notice_id, decision.notice_version),
            notice_sha256=decision.notice_sha256,
            language=decision.notice_language,
            wished=decision.expiry_time,
            age=decision.authority.age_band,
            guardian=decision.authority.guardian_entity_id is not None,
            channel=decision.channel,
            shown=decision.presentation,
            in_a_login="token" not in held,
        )

    def _imported(
        self, names: Sequence[str], person: Mapping[str, Any], event: Mapping[str, Any]
    ) -> ProvedAnswer:
        """A record that the lender handed in, under the root that the log holds."""
        proof, index = event["imported"], event["entry_index"]
        record = self._under_root({**proof, "entry_index": index}, "consents.imported")
        about = (record["lender"], record["number"], record["sensitivity"], record["action"])
        expected = (self._lender, person["number"], event["sensitivity"], event["event"])
        if about != expected:
            raise ProofError("the record is of somebody else")
        self._take("record", index, proof["position"], names[-1])
        self._take("number", person["number"], 0, names[-1])
        authority = Authority.model_validate(record.get("authority", {}))
        return ProvedAnswer(
            kind=record["sensitivity"],
            event=record["action"],
            sequence=event["sequence"],
            index=index,
            made_at=datetime.fromisoformat(record["event_time"]),
            notice=(record["notice"], record["notice_version"]),
            notice_sha256=record["notice_sha256"],
            language=None,
            wished=None,
            # that somebody is older a lender cannot say for them
            age="under-14" if authority.age_band == "under-14" else "adult",
            guardian=authority.guardian_entity_id is not None,
            channel=record["channel"],
        )


def _signed(token: str, keys: Sequence[str]) -> ConsentDecision:
    """The decision, if one of the person's keys signed it; raises SignatureError."""
    refused = SignatureError("the person has no key that could have signed this decision")
    for key in keys:
        try:
            return ConsentDecision.verify(token, PublicKey.from_text(key))
        except SignatureError as error:
            refused = error
    raise refused
