"""Log what a lender is about to do with a borrower's data to score an application, or to place them
in portraits.

Each statement is signed by the lender and checked in the transaction that logs it: the consents
that it names stand now, to this purpose and this lender, in answer to the version of the notice
that it names; so a withdrawal that was acknowledged before is in force, and there is no entry
without its consent. An explanation needs none: it is owed to whoever was scored.

A consent may count its uses. One use is one application, its review by a person and what is
verified of it included: these follow it (:mod:`protocol.uses`), and a machine alone decides nothing
in them. They are a use of their own where the consent was given anew since. To be placed in
portraits is one use of the consent to that.

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
from consent.commands.use_consents import Unlogged, UseConsents
from consent.registry import Registry
from consent.storage.filing_tables import UseRow
from consent.storage.subjects import Subject, find_subjects, remembered
from consent.storage.tables import ConsentEventRow, SubjectEntryRow
from consent.transaction import Transaction, reading, writing
from crypto.documents import canonical_json
from crypto.errors import SignatureError
from law.categories import Sensitivity
from protocol.changes import CLOCK_SKEW
from protocol.notices import Notice
from protocol.parties import Party
from protocol.records import record_id
from protocol.states import Event
from protocol.uses import PORTRAYED, READING, STEPS, USE_PURPOSES, UseStatement, UseStep

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
        standing = UseConsents.of(transaction, lender, said, people)
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
    """The statement, or why it is none of this lender's about scoring or portraits."""
    try:
        said = UseStatement.verify(token, lender.key)
    except SignatureError as error:
        return str(error)
    if said.lender != lender.id:
        return f"it is a statement of {said.lender!r}"
    if said.purpose not in USE_PURPOSES:
        return "its purpose is neither to score an application nor a portrait"
    return said


@dataclass
class _Batch:
    """Statements of one transaction, in order."""

    transaction: Transaction
    lender: Party
    standing: UseConsents
    people: Mapping[str, Subject]
    first: int
    """Index that the next entry of the log gets."""
    stated: dict[Key, _Logged] = field(default_factory=dict)
    """What is logged of each step; in this batch too."""
    about: set[tuple[int, int]] = field(default_factory=set)
    """Which of these entries are about whom: subject and index."""
    entries: list[Entry] = field(default_factory=list)
    rows: list[dict[str, object]] = field(default_factory=list)
    reads: list[tuple[int, UseStep, str | None]] = field(default_factory=list)
    """Whom this batch reads, what for, and which application that follows."""

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
                raise Unlogged("another statement of this step of the application is in the log")
        except Unlogged as refusal:
            return UseStated(None, str(refusal), wants_person)
        return UseStated(before.index, None, wants_person)

    def _require(self, said: UseStatement) -> None:
        """Raises Unlogged."""
        name = said.pii_principal_id
        subject = self.people.get(name)
        if subject is None:
            raise Unlogged("this borrower is not enrolled by the caller")
        if said.at > self.transaction.moment + CLOCK_SKEW:
            raise Unlogged("it is from the future; check the clock of the machine that states it")
        step = 0 if said.step == PORTRAYED else STEPS.index(said.step)
        if step:
            earlier = self._logged(subject, said.application, STEPS[step - 1])
            if earlier.follows != said.follows:
                raise Unlogged("it follows another application than the step before it did")
        elif said.follows and self._logged(subject, said.follows, "use.read").follows:
            raise Unlogged("it follows what is itself part of another application's use")
        origin = self.transaction.registry.consortium.log_origin
        for consent in said.consents:
            mine = record_id(origin, name, said.purpose, self.lender.id, consent.sensitivity)
            if consent.record_id != mine:
                raise Unlogged(f"the consent to {consent.sensitivity} data is another person's")
            notice = self.standing.require(said, consent)
            if said.step in READING:
                self._require_unused(subject, consent.sensitivity, notice, said)

    def _logged(self, subject: Subject, application: str, step: UseStep) -> _Logged:
        """A step that was logged, of this person. Raises Unlogged."""
        found = self.stated.get((application, step))
        if found is None or (subject.id, found.index) not in self.about:
            raise Unlogged(f"the log has no {step} of this application and person")
        return found

    def _require_unused(
        self, subject: Subject, kind: Sensitivity, notice: Notice, said: UseStatement
    ) -> None:
        """One use is one application, with what follows it. Raises Unlogged: the limits that the
        notice sets are reached."""
        limits = notice.terms.limits
        if not limits.counts_uses:
            return
        given, follows = self._given(subject, kind, said.purpose), said.follows
        if follows is not None and self.stated[follows, "use.read"].at >= given:
            self._require_near(follows)
            return
        frequency = limits.frequency
        if limits.fetch_type == "one-time" or frequency is None:
            since, most = given, 1
        else:
            since, most = self.transaction.moment - frequency.period, frequency.times
        begun = [first for one, step, first in self.reads if (one, step) == (subject.id, said.step)]
        here = sum(one is None or self.stated[one, "use.read"].at < given for one in begun)
        if self._uses(subject, said.step, since, given) + here >= most:
            raise Unlogged(f"the consent to {kind} data is used up")

    def _require_near(self, follows: str) -> None:
        """Whoever reads somebody again and again is not reviewing one application. Raises
        Unlogged."""
        mine = UseRow.lender == self.lender.id, UseRow.step == "use.read", UseRow.follows == follows
        before = self.transaction.session.scalar(select(func.count()).where(*mine)) or 0
        now = sum(one == follows for _, _, one in self.reads)
        late = self.transaction.moment - self.stated[follows, "use.read"].at > FOLLOWED_FOR
        if late or before + now >= MOST_FOLLOWING:
            raise Unlogged(
                f"what follows an application does so within {FOLLOWED_FOR.days} days, "
                f"{MOST_FOLLOWING} times at most; this is another application"
            )

    def _given(self, subject: Subject, kind: Sensitivity, purpose: str) -> datetime:
        """When this consent was given last."""
        scope = self.transaction.notices.scope(purpose, self.lender.id)
        found = self.transaction.session.scalar(
            select(func.max(ConsentEventRow.event_time)).where(
                ConsentEventRow.scope_id == scope,
                ConsentEventRow.subject_id == subject.id,
                ConsentEventRow.sensitivity == kind,
                ConsentEventRow.event == Event.GIVE,
            )
        )
        if found is None:
            raise Unlogged(f"when the consent to {kind} data was given is not known any more")
        return found

    def _uses(self, subject: Subject, step: UseStep, since: datetime, given: datetime) -> int:
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
                UseRow.step == step,
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
        if said.step in READING:
            self.reads.append((subject.id, said.step, said.follows))
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
