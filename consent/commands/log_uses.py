"""Log what a lender is about to do with a borrower's data to score an application.

Each statement is signed by the lender and checked in the transaction that logs it: the consents
that it names stand now, to this purpose and this lender, in answer to the version of the notice
that it names; so a withdrawal that was acknowledged before is in force, and there is no entry
without its consent. An explanation needs none: it is owed to whoever was scored.

A consent may count its uses. One use is one application, its review by a person and what is
verified of it included: these follow it (:mod:`protocol.uses`), and a machine alone decides nothing
in them. They are a use of their own where the consent was given anew since.

The body is sealed to the borrower. A statement that was logged before has the index that it got
then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import and_, bindparam, func, insert, or_, select
from sqlalchemy.orm import aliased

from auditlog.database import among
from auditlog.entries import Entry, entry_for_subject
from consent.authorising import called_otherwise
from consent.commands.check_consents import decide_kinds
from consent.commands.request_marks import standing_refusals
from consent.registry import Registry
from consent.storage.consents import load_presents
from consent.storage.filing_tables import UseRow
from consent.storage.subjects import Subject, find_subjects, remembered
from consent.storage.tables import ConsentEventRow, SubjectEntryRow
from consent.transaction import Transaction, reading, writing
from crypto.documents import canonical_json
from crypto.errors import SignatureError
from law.categories import Sensitivity, consent_for
from protocol.changes import CLOCK_SKEW
from protocol.notices import Notice
from protocol.parties import Consortium, Party
from protocol.records import record_id
from protocol.rights import RequestKind
from protocol.snapshots import REASONS, Reason
from protocol.states import Event
from protocol.uses import SCORING_PURPOSE, STEPS, ConsentNamed, UseStatement, UseStep

MAX_STATEMENTS = 256
FOLLOWED_FOR = timedelta(days=365)
MOST_FOLLOWING = 16
"""So long after an application, and so often, it is read again for its review and verification, as
part of its one use. Policy."""
Key = tuple[str, UseStep]
"""An application, by the lender's commitment to it, and a step of it."""


@dataclass(frozen=True)
class UseStated:
    """What came of one statement."""

    index: int | None
    refused: str | None = None
    wants_person: bool = False


@dataclass(frozen=True)
class _Logged:
    """A step of an application that stands in the log, or will with this batch."""

    statement: str
    index: int
    at: datetime
    follows: str | None


_LOGGED = select(*UseRow.__table__.columns).where(
    UseRow.lender == bindparam("lender"),
    UseRow.application.in_(bindparam("applications", expanding=True)),
)


class _Refused(Exception):
    """The statement is not logged; the message says why."""


def log_uses(registry: Registry, lender: Party, tokens: Sequence[str]) -> list[UseStated]:
    """One answer for each statement, in their order; all that are logged are in one transaction.

    Raises:
        KeysUnavailable: the key store does not answer. StorageFailed: nothing was recorded.
    """
    read = [_read(lender, token) for token in tokens]
    said = [one for one in read if isinstance(one, UseStatement)]
    names = sorted({one.pii_principal_id for one in said})
    with reading(registry) as view:
        known = {n: one for n, one in find_subjects(view, names).items() if one.lender == lender.id}
    with writing(registry) as transaction:
        people = remembered(transaction.session, known)
        standing = _Standing.of(transaction, lender, said, people)
        size = registry.ledger.log.size(transaction.session)
        batch = _Batch(transaction, lender, standing, people, size)
        batch.recall(said)
        answers = [
            UseStated(None, one) if isinstance(one, str) else batch.answer(one, token)
            for one, token in zip(read, tokens, strict=True)
        ]
        batch.write()
    return answers


def _read(lender: Party, token: str) -> UseStatement | str:
    """The statement, or why it is none of this lender's about scoring."""
    try:
        said = UseStatement.verify(token, lender.key)
    except SignatureError as error:
        return str(error)
    if said.lender != lender.id:
        return f"it is a statement of {said.lender!r}"
    if said.purpose != SCORING_PURPOSE:
        return "its purpose is not to score an application"
    return said


@dataclass(frozen=True)
class _Standing:
    """How the borrowers of a batch stand, in its transaction."""

    reasons: Mapping[tuple[str, Sensitivity], Reason]
    notices: Mapping[tuple[str, Sensitivity], Notice]
    """What each answered last."""
    want_person: frozenset[str]
    consortium: Consortium

    @classmethod
    def of(
        cls,
        transaction: Transaction,
        lender: Party,
        said: Sequence[UseStatement],
        people: Mapping[str, Subject],
    ) -> _Standing:
        """Of the consents that the statements name."""
        scope = transaction.notices.scopes.get((SCORING_PURPOSE, lender.id))
        refusing = standing_refusals(transaction, lender.id).get(RequestKind.REFUSE_AUTOMATED, ())
        numbers = {int(number) for number in refusing}
        want_person = frozenset(n for n, one in people.items() if one.number in numbers)
        asked: dict[Sensitivity, set[str]] = {}
        for one in said:
            for kind in one.kinds if one.pii_principal_id in people else ():
                asked.setdefault(kind, set()).add(one.pii_principal_id)
        if scope is None or not asked:
            return cls({}, {}, want_person, transaction.registry.consortium)
        names = sorted(set().union(*asked.values()))
        now = [people[name].pseudonym for name in names]
        decided = decide_kinds(transaction, lender, SCORING_PURPOSE, sorted(asked), now)
        reasons = {
            (name, kind): REASONS[rule]
            for kind, rules in decided.items()
            for name, rule in zip(names, rules, strict=True)
            if name in asked[kind]
        }
        ids = sorted({one.id for one in people.values()})
        presents = load_presents(transaction.session, ids, [scope])
        answered = transaction.notices.notices
        notices = {
            (name, kind): answered[presents[scope, people[name].id, kind].notice]
            for (name, kind), reason in reasons.items()
            if reason is Reason.GIVEN
        }
        return cls(reasons, notices, want_person, transaction.registry.consortium)

    def require(self, name: str, consent: ConsentNamed, automated: bool) -> Notice:
        """The notice that this consent answers, where it stands and covers what it is named for.
        Raises _Refused."""
        about = name, consent.sensitivity
        reason = self.reasons.get(about, Reason.NEVER_ASKED)
        if reason is not Reason.GIVEN:
            raise _Refused(f"the consent to {consent.sensitivity} data is not given: {reason}")
        notice = self.notices[about]
        named = (consent.notice_id, consent.notice_version, consent.notice_sha256)
        if named != (notice.id, notice.version, notice.sha256):
            raise _Refused(
                f"the consent to {consent.sensitivity} data answers another notice than is named"
            )
        if renamed := called_otherwise(notice, self.consortium):
            raise _Refused(renamed)
        needed = consent.sensitivity
        for category in consent.categories:
            if category not in notice.terms.categories:
                raise _Refused(f"the notice that was answered does not name {category}")
            if needed not in {consent_for(category), consent_for(category, True)}:
                raise _Refused(f"{category} needs another consent than the one to {needed} data")
        if automated and (not notice.terms.automated_decision or name in self.want_person):
            raise _Refused("this person is not to be decided about by a machine alone")
        return notice


@dataclass
class _Batch:
    """Statements of one transaction, in order."""

    transaction: Transaction
    lender: Party
    standing: _Standing
    people: Mapping[str, Subject]
    first: int
    """Index that the next entry of the log gets."""
    stated: dict[Key, _Logged] = field(default_factory=dict)
    """What is logged of each step; in this batch too."""
    about: set[tuple[int, int]] = field(default_factory=set)
    """Which of these entries are about whom: subject and index."""
    entries: list[Entry] = field(default_factory=list)
    rows: list[dict[str, object]] = field(default_factory=list)
    reads: list[tuple[int, str | None]] = field(default_factory=list)
    """Whom this batch reads, and which application that follows."""

    def recall(self, said: Iterable[UseStatement]) -> None:
        """Read what was logged of these applications before."""
        session = self.transaction.session
        applications = sorted(
            {name for one in said for name in (one.application, one.follows) if name is not None}
        )
        asked = {"lender": self.lender.id, "applications": applications}
        for row in session.connection().execute(_LOGGED, asked):
            self.stated[row.application, row.step] = _Logged(
                row.statement_sha256, row.entry_index, row.logged_at, row.follows
            )
        if not self.stated:
            return
        some = among("entry_index", [one.index for one in self.stated.values()])
        question = (
            f"SELECT subject_id, entry_index FROM {SubjectEntryRow.__tablename__} WHERE {some}"  # noqa: S608 - numbers of our own
        )
        rows = session.connection().exec_driver_sql(question)
        self.about = {(subject, index) for subject, index in rows}

    def answer(self, said: UseStatement, token: str) -> UseStated:
        """Take one statement, or say what came of it before, or why it is not logged."""
        key = said.application, said.step
        before = self.stated.get(key)
        wants_person = said.pii_principal_id in self.standing.want_person
        try:
            if before is None:
                self._require(said)
                return UseStated(self._take(said, token), None, wants_person)
            if before.statement != said.sha256:
                raise _Refused("another statement of this step of the application is in the log")
        except _Refused as refusal:
            return UseStated(None, str(refusal), wants_person)
        return UseStated(before.index, None, wants_person)

    def _require(self, said: UseStatement) -> None:
        """Raises _Refused."""
        name = said.pii_principal_id
        subject = self.people.get(name)
        if subject is None:
            raise _Refused("this borrower is not enrolled by the caller")
        if said.at > self.transaction.moment + CLOCK_SKEW:
            raise _Refused("it is from the future; check the clock of the machine that states it")
        step = STEPS.index(said.step)
        if step:
            earlier = self._logged(subject, said.application, STEPS[step - 1])
            if earlier.follows != said.follows:
                raise _Refused("it follows another application than the step before it did")
        elif said.follows and self._logged(subject, said.follows, "use.read").follows:
            raise _Refused("it follows what is itself part of another application's use")
        origin = self.transaction.registry.consortium.log_origin
        for consent in said.consents:
            mine = record_id(origin, name, said.purpose, self.lender.id, consent.sensitivity)
            if consent.record_id != mine:
                raise _Refused(f"the consent to {consent.sensitivity} data is another person's")
            notice = self.standing.require(name, consent, said.automated)
            if said.step == "use.read":
                self._require_unused(subject, consent.sensitivity, notice, said.follows)

    def _logged(self, subject: Subject, application: str, step: UseStep) -> _Logged:
        """A step that was logged, of this person. Raises _Refused."""
        found = self.stated.get((application, step))
        if found is None or (subject.id, found.index) not in self.about:
            raise _Refused(f"the log has no {step} of this application and person")
        return found

    def _require_unused(
        self, subject: Subject, kind: Sensitivity, notice: Notice, follows: str | None
    ) -> None:
        """One use is one application, with what follows it. Raises _Refused: the limits that the
        notice sets are reached."""
        limits = notice.terms.limits
        if not limits.counts_uses:
            return
        given = self._given(subject, kind)
        if follows is not None and self.stated[follows, "use.read"].at >= given:
            self._require_near(follows)
            return
        frequency = limits.frequency
        if limits.fetch_type == "one-time" or frequency is None:
            since, most = given, 1
        else:
            since, most = self.transaction.moment - frequency.period, frequency.times
        begun = [one for one in self.reads if one[0] == subject.id]
        here = sum(one is None or self.stated[one, "use.read"].at < given for _, one in begun)
        if self._uses(subject, since, given) + here >= most:
            raise _Refused(f"the consent to {kind} data is used up")

    def _require_near(self, follows: str) -> None:
        """Whoever reads somebody again and again is not reviewing one application. Raises
        _Refused."""
        mine = UseRow.lender == self.lender.id, UseRow.step == "use.read", UseRow.follows == follows
        before = self.transaction.session.scalar(select(func.count()).where(*mine)) or 0
        now = sum(one == follows for _, one in self.reads)
        late = self.transaction.moment - self.stated[follows, "use.read"].at > FOLLOWED_FOR
        if late or before + now >= MOST_FOLLOWING:
            raise _Refused(
                f"what follows an application does so within {FOLLOWED_FOR.days} days, "
                f"{MOST_FOLLOWING} times at most; this is another application"
            )

    def _given(self, subject: Subject, kind: Sensitivity) -> datetime:
        """When this consent was given last."""
        scope = self.transaction.notices.scope(SCORING_PURPOSE, self.lender.id)
        found = self.transaction.session.scalar(
            select(func.max(ConsentEventRow.event_time)).where(
                ConsentEventRow.scope_id == scope,
                ConsentEventRow.subject_id == subject.id,
                ConsentEventRow.sensitivity == kind,
                ConsentEventRow.event == Event.GIVE,
            )
        )
        if found is None:
            raise _Refused(f"when the consent to {kind} data was given is not known any more")
        return found

    def _uses(self, subject: Subject, since: datetime, given: datetime) -> int:
        """How many were logged of a person since then, but for what follows one that was logged
        since the consent was given. Times are of whole seconds: in the second in which somebody
        gives it, a use counts."""
        first = aliased(UseRow)
        followed = and_(
            first.lender == UseRow.lender,
            first.application == UseRow.follows,
            first.step == "use.read",
        )
        query = (
            select(func.count())
            .select_from(UseRow)
            .join(SubjectEntryRow, SubjectEntryRow.entry_index == UseRow.entry_index)
            .outerjoin(first, followed)
            .where(
                SubjectEntryRow.subject_id == subject.id,
                UseRow.lender == self.lender.id,
                UseRow.step == "use.read",
                UseRow.logged_at >= since,
                or_(UseRow.follows.is_(None), first.logged_at < given),
            )
        )
        return self.transaction.session.scalar(query) or 0

    def _take(self, said: UseStatement, token: str) -> int:
        subject = self.people[said.pii_principal_id]
        body, index = canonical_json({"token": token}), self.first + len(self.entries)
        public = {"use": said.public()}
        self.entries.append(
            entry_for_subject(said.step, self.lender.id, public, subject.id, subject.data_key, body)
        )
        moment = self.transaction.moment
        self.stated[said.application, said.step] = _Logged(said.sha256, index, moment, said.follows)
        self.about.add((subject.id, index))
        if said.step == "use.read":
            self.reads.append((subject.id, said.follows))
        self.rows.append(
            {
                "lender": self.lender.id,
                "application": said.application,
                "step": said.step,
                "statement_sha256": said.sha256,
                "entry_index": index,
                "logged_at": moment,
                "follows": said.follows,
            }
        )
        return index

    def write(self) -> None:
        """Log what was taken."""
        if self.entries:
            self.transaction.log(*self.entries)
            self.transaction.session.execute(insert(UseRow), self.rows)
