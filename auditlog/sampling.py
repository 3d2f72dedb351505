"""A sample of the people in committed rosters, judged: had each of them said yes?

Lender and registry opened what they hold; the log says what was when. A drawn cell is one of the
committed roster, with everybody who stands in it. For each of them, in this order: each answer that
is shown stands in the log, and is the borrower's own, or the record that a lender handed in; the
last one that the state knew was a yes, to this purpose, recipient and notice, made before, and not
over when the roster was committed; and the notice allows such a use at all. What of the features it
does not name, the gate masks: that is not judged.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from auditlog.authority import AuditState, LoggedCommitment
from crypto.documents import canonical_json
from crypto.errors import CryptoError, ProofError
from crypto.keys import PublicKey
from crypto.memberships import OpenedCell, cell_of, root_above
from crypto.merkle import leaf_hash, verify_inclusion
from crypto.rosters import depth_for, member_hash
from protocol.campaigns import Campaign, RosterCommitment
from protocol.changes import latest_expiry
from protocol.consents import ConsentDecision, decision_commitment
from protocol.errors import AuditFailed, ConsentError
from protocol.notices import Notice
from protocol.parties import Role
from protocol.samples import OpenedCellOfRoster, is_tombstone
from protocol.snapshots import ConsentSnapshot

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Broken:
    """Somebody in a drawn cell of whom something does not hold, or a cell of which it does not;
    never a name."""

    lender: str
    release: int
    attempt: int
    cell: int
    rule: str
    why: str


@dataclass
class Verdicts:
    """What came of a sample."""

    clean: int = 0
    forgotten: int = 0
    """Whose keys were destroyed since, or whom the lender erased: nothing can be shown of them, and
    nothing is concluded."""
    broken: list[Broken] = field(default_factory=list)

    @property
    def drawn(self) -> int:
        """People, and cells that show nobody; an empty cell counts for nobody."""
        return self.judged + self.forgotten

    @property
    def judged(self) -> int:
        return self.clean + len(self.broken)

    @property
    def most_bad(self) -> float:
        """The rate of bad rows is below this with 95% confidence."""
        return upper_bound(len(self.broken), self.judged)


def upper_bound(bad: int, judged: int, confidence: float = CONFIDENCE) -> float:
    """Upper end of the one-sided Clopper-Pearson interval; near 3 / n for none of n.

    >>> round(upper_bound(0, 300), 5), round(upper_bound(1, 300), 5), upper_bound(0, 0)
    (0.00994, 0.01572, 1.0)
    """
    from scipy.stats import beta

    return 1.0 if bad >= judged else float(beta.ppf(confidence, bad + 1, judged - bad))


class Unproved(Exception):
    """A rule does not hold for a member."""

    def __init__(self, rule: str, why: str) -> None:
        super().__init__(why)
        self.rule = rule


@dataclass(frozen=True)
class ProvedAnswer:
    """One answer of a person about ordinary data, as the log proves it."""

    event: str
    sequence: int
    index: int
    made_at: datetime
    notice: tuple[str, int]
    notice_sha256: str
    language: str | None
    wished: datetime | None


class Judge:
    """Judges members of one lender's committed rosters.

    Args:
        know: what the log says. leaves: all of it, as served and verified.
        evidence: what the registry opened of this lender's drawn people.
    """

    def __init__(
        self, know: AuditState, leaves: Sequence[bytes], lender: str, evidence: Mapping[str, Any]
    ) -> None:
        self._know, self._leaves, self._lender = know, leaves, lender
        self._people: Mapping[str, Any] = evidence.get("people", {})
        registry = know.consortium.one(Role.REGISTRY).id
        notices = (know.verified(Notice, token, registry) for token in evidence.get("notices", ()))
        self._notices = {(notice.id, notice.version): notice for notice in notices}

    def judge(self, commitment: LoggedCommitment, name: str) -> bool:
        """Whether anything could be shown: False of whoever was forgotten since.

        Raises:
            Unproved: a rule does not hold.
        """
        opened = commitment.opened
        campaign = self._know.uses[commitment.leaf["campaign"]].campaign
        state = None if opened is None else self._know.states.get(opened.state_sha256)
        if opened is None or campaign is None or state is None or state.opened is None:
            raise AuditFailed("a sample is judged with the auditor's key, of a campaign of 0.7.0")
        if is_tombstone(name) or self._people.get(name) is None:
            return False
        answers = self._answers(campaign, name, state.opened)
        late = [one for one in answers if one.index >= state.index]
        if late:
            raise Unproved("before", "an answer that the state counted was logged after it")
        if not answers or answers[-1].event not in {"give", "resume"}:
            last = answers[-1].event if answers else "nothing"
            raise Unproved("given", f"the last answer before the roster was {last}, not a yes")
        yes = next((one for one in reversed(answers) if one.event == "give"), None)
        if yes is None:
            raise Unproved("given", "there is a resumption, and no yes before it")
        self._covered(campaign, yes, state.opened, opened)
        return True

    # --- answers

    def _answers(
        self, campaign: Campaign, pseudonym: str, snapshot: ConsentSnapshot
    ) -> list[ProvedAnswer]:
        """The answers about ordinary data that the snapshot counted or should have counted, being
        in the log before it, each proved, in order."""
        person = self._people[pseudonym]
        head = self._know.bodies.client.trust.open(snapshot.checkpoint)
        found = []
        for event in person["events"]:
            told = event["sequence"] <= snapshot.sequence
            known = event.get("entry_index", head.size) < head.size
            if not (told or known) or event["sensitivity"] != "ordinary":
                continue
            try:
                if "decided" in event:
                    found.append(self._decided(campaign, person, event))
                elif "imported" in event:
                    found.append(self._imported(person, event))
            except (CryptoError, ConsentError, KeyError, ValueError, TypeError) as error:
                raise Unproved("logged", f"an answer is not what the log holds: {error}") from error
        return sorted(found, key=lambda one: one.sequence)

    def _leaf(self, index: int, kind: str) -> dict[str, Any]:
        leaf: dict[str, Any] = json.loads(self._leaves[index])
        if leaf["type"] != kind:
            raise ProofError(f"entry {index} is no {kind}")
        return leaf

    def _decided(
        self, campaign: Campaign, person: Mapping[str, Any], event: Mapping[str, Any]
    ) -> ProvedAnswer:
        """A decision: signed by the borrower's key, or stated in a login, as the log commits to."""
        index, held = event["entry_index"], event["decided"]
        if "token" in held:
            decision = ConsentDecision.verify(
                held["token"], PublicKey.from_text(person["public_key"])
            )
        else:
            decision = ConsentDecision.model_validate(held["decision"])
        committed = decision_commitment(held["salt"], decision.sha256, held["states"])
        if committed != self._leaf(index, "consent.decided")["decision"]:
            raise ProofError("the log commits to another decision")
        about = (campaign.purpose, self._lender, "ordinary")
        choice = next(
            (c for c in decision.choices if (c.purpose, c.recipient, c.sensitivity) == about), None
        )
        if choice is None or choice.action.value != event["event"]:
            raise ProofError("the decision says something else about this purpose and recipient")
        return ProvedAnswer(
            event=choice.action.value,
            sequence=event["sequence"],
            index=index,
            made_at=decision.event_time,
            notice=(decision.notice_id, decision.notice_version),
            notice_sha256=decision.notice_sha256,
            language=decision.notice_language,
            wished=decision.expiry_time,
        )

    def _imported(self, person: Mapping[str, Any], event: Mapping[str, Any]) -> ProvedAnswer:
        """A record that the lender handed in, under the root that the log holds."""
        proof, index = event["imported"], event["entry_index"]
        record, leaf = proof["record"], self._leaf(index, "consents.imported")
        hashed = leaf_hash(canonical_json(record))
        path = tuple(bytes.fromhex(step) for step in proof["path"])
        root = bytes.fromhex(leaf["root"])
        verify_inclusion(hashed, proof["position"], proof["size"], path, root)
        about = (record["lender"], record["number"], record["sensitivity"], record["action"])
        expected = (self._lender, person["number"], "ordinary", event["event"])
        if about != expected or leaf["actor"] != self._lender:
            raise ProofError("the record is of somebody else")
        return ProvedAnswer(
            event=record["action"],
            sequence=event["sequence"],
            index=index,
            made_at=datetime.fromisoformat(record["event_time"]),
            notice=(record["notice"], record["notice_version"]),
            notice_sha256=record["notice_sha256"],
            language=None,
            wished=None,
        )

    # --- what the yes was to

    def _covered(
        self,
        campaign: Campaign,
        yes: ProvedAnswer,
        snapshot: ConsentSnapshot,
        commitment: RosterCommitment,
    ) -> None:
        notice = self._notices.get(yes.notice)
        if notice is None:
            raise Unproved("notice", "the notice that was answered was never published")
        languages = [yes.language] if yes.language is not None else list(notice.texts)
        shown = {notice.text_sha256(one) for one in languages if one in notice.texts}
        if yes.notice_sha256 not in shown:
            raise Unproved("notice", "the text that was answered is not the one published")
        if notice.purpose != campaign.purpose or self._lender not in notice.recipients:
            raise Unproved("purpose", "the notice is of another purpose or recipient")
        asked = [one for one in snapshot.notices.values() if (one.id, one.version) == yes.notice]
        if any(one.stale for one in asked) or not asked:
            raise Unproved("notice", "the notice had materially changed before")
        moment = commitment.committed_at or snapshot.issued_at
        ends = latest_expiry(yes.made_at, notice.terms.validity_days, yes.wished)
        if ends is not None and ends <= moment:
            raise Unproved("in-time", "the yes was over when the roster was committed")
        # what else it does not name, the gate masks: the row itself rests on these
        if beyond := campaign.needs(self._know.consortium).beyond(notice.terms):
            raise Unproved("covered", beyond)


def who_stands_in(commitment: LoggedCommitment, shown: OpenedCellOfRoster) -> tuple[str, ...]:
    """Everybody in a cell of the committed roster.

    Raises:
        Unproved: it is no cell of that roster, or somebody stands in it who belongs in another.
    """
    roster = commitment.opened
    if roster is None:
        raise AuditFailed("a sample is judged with the auditor's key")
    try:
        cell = OpenedCell(
            bytes.fromhex(shown.salt),
            tuple(sorted(map(member_hash, shown.names))),
            tuple(bytes.fromhex(step) for step in shown.path),
        )
        found = root_above(shown.number, cell).hex()
    except (ProofError, ValueError) as error:  # a tombstone can be no base64url
        raise Unproved("member", f"what the lender opened is no cell: {error}") from error
    depth = depth_for(roster.size)
    if len(cell.path) != depth or found != roster.root:
        raise Unproved("member", "the cell that the lender opened is none of the roster")
    if any(cell_of(name, depth) != shown.number for name in shown.names):
        raise Unproved("member", "somebody stands in a cell in which they do not belong")
    return shown.names
