"""A sample of the people in committed rosters, judged: had each of them said yes?

Lender and registry opened what they hold; the log says what was when. A drawn cell is one of the
committed roster, with everybody who stands in it. For each of them, in this order: they were
enrolled, and not erased before; each answer that is shown stands in the log, and is the borrower's
own, or the record that a lender handed in; no objection of theirs was open when the state was
served; the last answer about ordinary data that the state knew was a yes, to this purpose,
recipient and notice, in the form that the notice asks for, made before, and not over when the
roster was committed; no later version that the log held by then reached further than that notice;
and the notice allows such a use at all. In
the same way, of each further consent that
the campaign's features need: what is not covered, the gate had to mask. In how many rows of a
roster it masked something, its commitment says; fewer than the sample bears out, and none of them
is believed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Self

from auditlog.authority import AuditState, LoggedCommitment
from auditlog.sample_answers import AnswerProofs, ProvedAnswer, Unproved, is_young, last_yes
from crypto.errors import ProofError
from crypto.memberships import OpenedCell, cell_of, root_above
from crypto.rosters import depth_for, member_hash
from law.categories import SENSITIVITIES, Sensitivity
from protocol.campaigns import Campaign, RosterCommitment
from protocol.changes import YES, latest_expiry
from protocol.coverage import Needs
from protocol.errors import AuditFailed
from protocol.notices import Notice, Terms
from protocol.samples import OpenedCellOfRoster
from protocol.snapshots import ConsentSnapshot

CONFIDENCE = 0.95
FALSE_ALARM = 1e-6
"""How often an honest lender's sample would show as few masked rows as are not believed."""


@dataclass(frozen=True)
class NoticeRules:
    """What is asked of a notice that somebody answered, whatever the registry says of it
    (``consent.auditing``)."""

    further: Callable[[Notice, Notice], Sequence[str]]
    """In what a later version goes beyond an earlier one, in words; nothing if it does not."""
    ill_given: Callable[[Notice, ProvedAnswer], str | None]
    """In what a yes was not given as the notice asks, in words."""


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


class Judge:
    """Judges members of one lender's committed rosters.

    Args:
        know: what the log says. leaves: all of it, as served and verified.
        evidence: what the registry opened of this lender's drawn people. rules: of notices: the
            registry's word is not taken for them.
    """

    def __init__(
        self,
        know: AuditState,
        leaves: Sequence[bytes],
        lender: str,
        evidence: Mapping[str, Any],
        rules: NoticeRules,
    ) -> None:
        self._know, self.lender, self._rules = know, lender, rules
        self._proofs = AnswerProofs(know, leaves, lender)
        self._people: Mapping[str, Any] = evidence.get("people", {})
        self._notices = {(one.id, one.version): one for one in know.notices.values()}

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
        answers = self._proofs.answers(campaign, name, told, state.opened)
        late = [one for one in answers if one.index >= state.index]
        if late:
            raise Unproved("before", "an answer that the state counted was logged after it")
        if self._proofs.objects(told, state.opened):
            raise Unproved("marked", "the person had objected, and it was not closed")
        yes = last_yes(answers, "ordinary")
        notice = self._live(campaign, yes, state.opened, opened.committed_at)
        # what else it does not name, the gate masks: the row itself rests on these
        needs = campaign.needs(self._know.consortium)
        if beyond := needs.beyond(notice.terms):
            raise Unproved("covered", beyond)
        covering = self._covering(campaign, answers, state.opened)
        if told["child"] and is_young(answers):
            self._guarded(needs, answers, covering.get("sensitive"))
        return frozenset[str]().union(
            *(needs.uncovered(kind, covering.get(kind)) for kind in needs.consents)
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
        if ill := self._rules.ill_given(notice, yes):
            raise Unproved("form", ill)
        if notice.purpose != campaign.purpose or self.lender not in notice.recipients:
            raise Unproved("purpose", "the notice is of another purpose or recipient")
        asked = [one for one in snapshot.notices.values() if (one.id, one.version) == yes.notice]
        if not asked or any(one.stale for one in asked) or self._outdated(notice, snapshot):
            raise Unproved("notice", "the notice had materially changed before")
        ends = latest_expiry(yes.made_at, notice.terms.validity_days, yes.wished)
        if ends is not None and ends <= (committed_at or snapshot.issued_at):
            raise Unproved("in-time", "the yes was over when the roster was committed")
        return notice

    def _outdated(self, notice: Notice, snapshot: ConsentSnapshot) -> bool:
        """Whether a later version that the log held when the snapshot was taken reaches further, or
        the newest asks for this lender no more. Computed from what was published, whatever the
        registry said of it."""
        size = self._know.bodies.client.trust.open(snapshot.checkpoint).size
        later = [
            one
            for index, one in self._know.notices.items()
            if index < size and one.id == notice.id and one.version > notice.version
        ]
        newest = max(later, key=lambda one: one.version, default=notice)
        gone = self.lender not in newest.recipients
        return gone or any(self._rules.further(notice, one) for one in later)

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

    def _guarded(
        self, needs: Needs, answers: Sequence[ProvedAnswer], covered: Terms | None
    ) -> None:
        """Of a child, everything needs the consent to sensitive data, and a guardian gives it (PIPL
        articles 28, 31). Raises Unproved."""
        mine = [one for one in answers if one.kind == "sensitive" and one.event in YES]
        alone = not mine or not (mine[-1].guardian and last_yes(answers, "sensitive").guardian)
        if covered is None or alone or needs.beyond(covered) is not None:
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
