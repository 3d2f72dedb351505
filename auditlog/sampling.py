"""A sample of the people in committed rosters, judged: had each of them said yes?

Lender and registry opened what they hold; the log says what was when. A drawn cell is one of the
committed roster, with everybody who stands in it. For each of them, in this order: they were
enrolled, and not erased before; each answer that is shown stands in the log, and is the borrower's
own, or the record that a lender handed in; the last one about ordinary data that the state knew was
a yes, to this purpose, recipient and notice, made before, and not over when the roster was
committed; and the notice allows such a use at all. In the same way, of each further consent that
the campaign's features need: what is not covered, the gate had to mask. In how many rows of a
roster it masked something, its commitment says; fewer than the sample bears out, and none of them
is believed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Self

from auditlog.authority import AuditState, LoggedCommitment
from crypto.documents import canonical_json
from crypto.errors import CryptoError, ProofError
from crypto.keys import PublicKey
from crypto.memberships import OpenedCell, cell_of, root_above
from crypto.merkle import leaf_hash, verify_inclusion
from crypto.rosters import depth_for, member_hash
from law.categories import SENSITIVITIES, Sensitivity
from protocol.campaigns import Campaign, RosterCommitment
from protocol.changes import latest_expiry
from protocol.consents import Action, AgeBand, ConsentDecision, decision_commitment
from protocol.coverage import Needs
from protocol.errors import AuditFailed, ConsentError
from protocol.notices import Notice, Terms
from protocol.parties import Role
from protocol.samples import OpenedCellOfRoster
from protocol.snapshots import ConsentSnapshot

CONFIDENCE = 0.95
FALSE_ALARM = 1e-6
"""How often an honest lender's sample would show as few masked rows as are not believed."""
_EVENTS_OF = {action: {action.value} for action in Action} | {Action.REFUSE: {"refuse", "withdraw"}}
"""What an answer is recorded as: a no to what was given takes it back first."""


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
    masked: int = 0
    """Of the clean ones, those in whose rows a feature had to be masked."""
    forgotten: int = 0
    """Whom the registry erased since: nothing can be shown of them, and nothing is concluded."""
    broken: list[Broken] = field(default_factory=list)

    def __iadd__(self, other: Verdicts) -> Self:
        self.clean += other.clean
        self.masked += other.masked
        self.forgotten += other.forgotten
        self.broken += other.broken
        return self

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


def too_few_masked(roster: RosterCommitment, judged: int, to_mask: int) -> bool:
    """Whether so many of ``judged`` people, drawn from this roster, had to have a feature masked as
    would almost never be drawn (:data:`FALSE_ALARM`) if as many rows were masked as its lender
    says: the upper tail of the hypergeometric distribution.

    >>> from protocol.campaigns import RosterCommitment as Roster
    >>> said = Roster.model_construct(size=1000, masked_sensitive=100)
    >>> too_few_masked(said, 50, 10), too_few_masked(said, 50, 20), too_few_masked(said, 900, 101)
    (False, True, True)
    """
    from scipy.stats import hypergeom

    stated = min(max(roster.masked_sensitive, 0), roster.size)
    chance = hypergeom.sf(to_mask - 1, roster.size, stated, min(judged, roster.size))
    return bool(to_mask and chance < FALSE_ALARM)


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


def last_yes(given: Sequence[ProvedAnswer], kind: Sensitivity) -> ProvedAnswer:
    """The yes to one consent that stood when the last of these answers was given.

    Raises:
        Unproved: none did.
    """
    answers = [one for one in given if one.kind == kind]
    if not answers or answers[-1].event not in {"give", "resume"}:
        last = answers[-1].event if answers else "nothing"
        raise Unproved("given", f"the last answer before the roster was {last}, not a yes")
    yes = next((one for one in reversed(answers) if one.event == "give"), None)
    if yes is None:
        raise Unproved("given", "there is a resumption, and no yes before it")
    return yes


class Judge:
    """Judges members of one lender's committed rosters.

    Args:
        know: what the log says. leaves: all of it, as served and verified.
        evidence: what the registry opened of this lender's drawn people.
    """

    def __init__(
        self, know: AuditState, leaves: Sequence[bytes], lender: str, evidence: Mapping[str, Any]
    ) -> None:
        self._know, self._leaves, self.lender = know, leaves, lender
        self._people: Mapping[str, Any] = evidence.get("people", {})
        registry = know.consortium.one(Role.REGISTRY).id
        notices = (know.verified(Notice, token, registry) for token in evidence.get("notices", ()))
        self._notices = {(notice.id, notice.version): notice for notice in notices}

    def judge(self, commitment: LoggedCommitment, name: str) -> frozenset[str] | None:
        """The features that had to be masked in this person's row, for want of a consent that
        covers them; None of whoever was erased since, of whom nothing can be shown.

        Raises:
            Unproved: a rule does not hold.
        """
        opened = commitment.opened
        campaign = self._know.uses[commitment.leaf["campaign"]].campaign
        state = None if opened is None else self._know.states.get(opened.state_sha256)
        if opened is None or campaign is None or state is None or state.opened is None:
            raise AuditFailed("a sample is judged with the auditor's key, of a campaign of 0.7.0")
        told = self._people.get(name)
        if told is None:
            raise Unproved("enrolled", "nobody of this name was ever enrolled at this lender")
        if erased := told.get("erased_on"):
            if date.fromisoformat(erased) >= state.opened.issued_at.date():
                return None
            if "events" not in told:
                raise Unproved("enrolled", "the person had been erased before the state was served")
        answers = self._answers(campaign, told, state.opened)
        late = [one for one in answers if one.index >= state.index]
        if late:
            raise Unproved("before", "an answer that the state counted was logged after it")
        yes = last_yes(answers, "ordinary")
        notice = self._live(campaign, yes, state.opened, opened.committed_at)
        # what else it does not name, the gate masks: the row itself rests on these
        needs = campaign.needs(self._know.consortium)
        if beyond := needs.beyond(notice.terms):
            raise Unproved("covered", beyond)
        covering = self._covering(campaign, answers, state.opened)
        self._grown_up(needs, answers, covering.get("sensitive"), told)
        return frozenset[str]().union(
            *(needs.uncovered(kind, covering.get(kind)) for kind in needs.consents)
        )

    # --- answers

    def _answers(
        self, campaign: Campaign, person: Mapping[str, Any], snapshot: ConsentSnapshot
    ) -> list[ProvedAnswer]:
        """The answers that the snapshot counted or should have counted, being in the log before it,
        each proved, in order."""
        head = self._know.bodies.client.trust.open(snapshot.checkpoint)
        found = []
        for event in person["events"]:
            told = event["sequence"] <= snapshot.sequence
            known = event.get("entry_index", head.size) < head.size
            if not (told or known):
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
        about = (campaign.purpose, self.lender, event["sensitivity"])
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
        expected = (self.lender, person["number"], event["sensitivity"], event["event"])
        if about != expected or leaf["actor"] != self.lender:
            raise ProofError("the record is of somebody else")
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
            age="adult",
        )

    # --- what the yes was to

    def _live(
        self,
        campaign: Campaign,
        yes: ProvedAnswer,
        snapshot: ConsentSnapshot,
        committed_at: datetime | None = None,
    ) -> Notice:
        """The notice that a yes answered, if it was one to this use and not over when the roster
        was committed, or else when the state was served. Raises Unproved."""
        notice = self._notices.get(yes.notice)
        if notice is None:
            raise Unproved("notice", "the notice that was answered was never published")
        languages = [yes.language] if yes.language is not None else list(notice.texts)
        shown = {notice.text_sha256(one) for one in languages if one in notice.texts}
        if yes.notice_sha256 not in shown:
            raise Unproved("notice", "the text that was answered is not the one published")
        if notice.purpose != campaign.purpose or self.lender not in notice.recipients:
            raise Unproved("purpose", "the notice is of another purpose or recipient")
        asked = [one for one in snapshot.notices.values() if (one.id, one.version) == yes.notice]
        if any(one.stale for one in asked) or not asked:
            raise Unproved("notice", "the notice had materially changed before")
        ends = latest_expiry(yes.made_at, notice.terms.validity_days, yes.wished)
        if ends is not None and ends <= (committed_at or snapshot.issued_at):
            raise Unproved("in-time", "the yes was over when the roster was committed")
        return notice

    def _covering(
        self, campaign: Campaign, answers: Sequence[ProvedAnswer], snapshot: ConsentSnapshot
    ) -> dict[Sensitivity, Terms]:
        """What the notice said to which each consent was given that stood when the state was
        served."""
        found = {}
        for kind in SENSITIVITIES:
            try:
                found[kind] = self._live(campaign, last_yes(answers, kind), snapshot).terms
            except Unproved:
                continue  # nothing that needs this consent is covered
        return found

    def _grown_up(
        self,
        needs: Needs,
        answers: Sequence[ProvedAnswer],
        guarded: Terms | None,
        told: Mapping[str, Any],
    ) -> None:
        """Of a child, everything needs the consent that a guardian gives (PIPL article 28). That
        somebody is none may have been said about another purpose, where only the registry sees it.
        Raises Unproved."""
        young = False
        for one in answers:
            young = one.age == "under-14" or (young and one.age != "14-17")
        covered = guarded is not None and needs.beyond(guarded) is None
        if young and told["child"] and not covered:
            raise Unproved("child", "the person is under 14, and no guardian's yes covers the use")


def root_shown(shown: OpenedCellOfRoster) -> str:
    """The root, hex, of the roster of which this is a cell.

    Raises:
        Unproved: it is no cell, or somebody stands in it who belongs in another.
    """
    try:
        cell = OpenedCell(
            bytes.fromhex(shown.salt),
            tuple(sorted(map(member_hash, shown.names))),
            tuple(bytes.fromhex(step) for step in shown.path),
        )
        found = root_above(shown.number, cell).hex()
    except (ProofError, ValueError) as error:  # a tombstone can be no base64url
        raise Unproved("member", f"what the lender opened is no cell: {error}") from error
    if any(cell_of(name, len(cell.path)) != shown.number for name in shown.names):
        raise Unproved("member", "somebody stands in a cell in which they do not belong")
    return found


def who_stands_in(commitment: LoggedCommitment, shown: OpenedCellOfRoster) -> tuple[str, ...]:
    """Everybody in a cell of the committed roster.

    Raises:
        Unproved: it is no cell of that roster, or somebody stands in it who belongs in another.
    """
    roster = commitment.opened
    if roster is None:
        raise AuditFailed("a sample is judged with the auditor's key")
    depth, found = depth_for(roster.size), root_shown(shown)
    if len(shown.path) != depth or found != roster.root:
        raise Unproved("member", "the cell that the lender opened is none of the roster")
    return shown.names
