"""Record borrowers' decisions, each signed by the borrower it concerns or made by them after logging in.

Who relays a signed decision does not matter; whose key signed it does. A request is accepted whole or not at all. Many
requests share one transaction (``auditlog.group_commit``): one that is refused leaves the others as they are.
"""

from __future__ import annotations

import re
import secrets
from collections import ChainMap
from collections.abc import Callable, Mapping, MutableMapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from auditlog.entries import Entry, entry_for_subject
from consent.languages import lookup
from consent.notices import Known
from consent.registry import Registry
from consent.storage.consents import (
    ConsentKey,
    Happened,
    load_presents,
    write_decisions,
    write_events,
    write_presents,
)
from consent.storage.idempotency import Answered, Once, recall, remember, used_otherwise
from consent.storage.subjects import IN_CHUNK, Subject, find_subjects, refuse_forgotten
from consent.storage.tables import SENSITIVITIES, DecisionRow
from crypto.documents import canonical_json, unverified_payload
from crypto.errors import SignatureError
from crypto.keys import PublicKey
from crypto.sentences import one_sentence
from protocol.changes import CLOCK_SKEW, Answer, Present, change, heard_at, latest_expiry
from protocol.consents import Choice, Decision, Notice, decision_commitment
from protocol.errors import Conflict, ConsentError, Malformed, NotAuthenticated, PreconditionFailed
from protocol.states import Event

MAX_BATCH = 2_000
MAX_AGE = timedelta(days=7)

_PSEUDONYM = re.compile(r"v[0-9]{1,3}\.[A-Za-z0-9_-]{43}")


@dataclass(frozen=True)
class Stated:
    """A decision as it was handed in: signed with the borrower's own key, or made in a login (by its token's hash)."""

    decision: Decision
    token: str | None = None
    login_sha256: str | None = None

    @property
    def evidence(self) -> dict[str, Any]:
        """What the sealed body keeps to show that the borrower decided so."""
        if self.token is not None:
            return {"token": self.token}
        return {"decision": self.decision.payload(), "login_sha256": self.login_sha256}


@dataclass(frozen=True)
class Recorded:
    """One accepted decision: where it stands in the log, and the states it led to."""

    subject: str
    decision_sha256: str
    entry_index: int
    states: dict[str, str]
    salt: str


@dataclass(frozen=True)
class View:
    """What the borrowers of one request are and have decided so far, in the transaction that will record it."""

    known: Known
    subjects: Sequence[Subject]
    presents: Mapping[ConsentKey, Present]
    """Of these subjects, and of others."""
    moment: datetime

    def mine(self) -> list[tuple[Subject, ConsentKey, Present]]:
        """Every consent of these subjects, with whose it is."""
        scopes: dict[str, list[int]] = {subject.lender: [] for subject in self.subjects}
        for (_, recipient), scope in self.known.scopes.items():
            if recipient in scopes:
                scopes[recipient].append(scope)
        keys = [
            (subject, (scope, subject.id, sensitivity))
            for subject in self.subjects
            for scope in scopes[subject.lender]
            for sensitivity in SENSITIVITIES
        ]
        return [(subject, key, self.presents[key]) for subject, key in keys if key in self.presents]


@dataclass(frozen=True)
class Request:
    """Decisions that are recorded all or none.

    Args:
        signed: decisions as signed tokens.
        subjects: the pseudonyms of a caller who states decisions, made in a login or in a request that was checked.
        state: what this caller decides, given how they stand; raises ConsentError.
        if_match: the borrower's consents must still have this tag.
        once: under which key the answer is kept.
        answer: status and body for the caller.
    """

    signed: Sequence[str] = ()
    subjects: Sequence[str] = ()
    state: Callable[[View], Sequence[Stated]] = lambda _: ()
    if_match: str | None = None
    once: Once | None = None
    answer: Callable[[Sequence[Recorded]], tuple[int, Any]] = lambda recorded: (201, {"recorded": len(recorded)})


@dataclass(frozen=True)
class Done:
    """What came of a request; nothing was recorded anew when its answer is from an earlier time."""

    answered: Answered
    recorded: Sequence[Recorded] = ()


@dataclass
class _Draft:
    """What one request would add. The presents it reads are the group's; those it changes are its own."""

    presents: MutableMapping[ConsentKey, Present]
    touched: dict[ConsentKey, None] = field(default_factory=dict)
    events: list[Happened] = field(default_factory=list)
    decisions: list[tuple[str, int, int]] = field(default_factory=list)
    """Hash, subject, entry."""
    entries: list[Entry] = field(default_factory=list)
    recorded: list[Recorded] = field(default_factory=list)


def tag_of(presents: Sequence[Present]) -> str:
    """The ETag of somebody's consents: it changes with every change of any of them."""
    return f'"{sum(present.version for present in presents)}"'


# --- checks


def _claimed_subject(token: str) -> str:
    """Whose key to look for: a well-formed pseudonym, or nobody's."""
    try:
        claimed = str(unverified_payload(token).get("pii_principal_id"))
    except SignatureError as error:
        raise NotAuthenticated("not a signed decision") from error
    return claimed if _PSEUDONYM.fullmatch(claimed) else ""


def _verified(token: str, subject: Subject | None, where: str) -> Stated:
    """The decision and who made it. Whether the subject is unknown or the signature wrong is not told apart."""
    try:
        if subject is not None and subject.public_key:
            return Stated(Decision.verify(token, PublicKey.from_text(subject.public_key)), token=token)
    except SignatureError as error:
        raise NotAuthenticated(f"{where} is not signed by an enrolled borrower") from error
    raise NotAuthenticated(f"{where} is not signed by an enrolled borrower")


def check_notice(notice: Notice, language: str, text_sha256: str) -> None:
    """What was answered is the very text that was published, in the language that was asked for or the one that stands
    in for it (``zh`` for ``zh-CN``); raises Conflict."""
    shown = lookup([language], list(notice.texts))
    if shown is None:
        raise Conflict(f"notice {notice.id!r} has no text in {language!r}, only in {', '.join(sorted(notice.texts))}")
    if notice.text_sha256(shown) != text_sha256:
        raise Conflict("the decision answers another text than the one that was published")


def _check_choice(choice: Choice, notice: Notice, subject: Subject) -> None:
    if choice.purpose != notice.purpose or choice.recipient not in notice.recipients:
        raise Conflict("the decision speaks of a purpose or recipient that the notice does not name")
    if choice.recipient != subject.lender:
        raise Conflict("a pseudonym can only decide about the lender that enrolled it")


def check_time(event_time: datetime, expiry_time: datetime | None, moment: datetime) -> None:
    """Raises Conflict."""
    if not moment - MAX_AGE <= event_time <= moment + CLOCK_SKEW:
        raise Conflict("the decision is dated in the future or is more than seven days old; ask the borrower again")
    if expiry_time is not None and expiry_time <= moment:
        raise Conflict("the decision has expired already")


# --- folding


def _fold(draft: _Draft, known: Known, stated: Stated, subject: Subject, moment: datetime) -> dict[str, str]:
    """Fold the choices into the draft; returns the state of each record by recipient and sensitivity."""
    decision = stated.decision
    check_time(decision.event_time, decision.expiry_time, moment)
    number, notice = known.notice(decision.notice_id, decision.notice_version)
    check_notice(notice, decision.notice_language, decision.notice_sha256)
    states: dict[str, str] = {}
    for choice in decision.choices:
        _check_choice(choice, notice, subject)
        key = (known.scope(choice.purpose, choice.recipient), subject.id, choice.sensitivity)
        present = draft.presents.get(key, Present())
        event_time = heard_at(decision.event_time, moment)
        if stated.token is None and present.event_time is not None:  # made here and now, whatever clocks said before
            event_time = max(event_time, present.event_time + timedelta(microseconds=1))
        ends = latest_expiry(event_time, notice.terms.validity_days, decision.expiry_time)
        after, events = change(present, Answer(Event(choice.action), number, event_time, ends), moment)
        draft.presents[key] = after
        draft.touched[key] = None
        draft.events += [Happened(key, event, number, when, decision.sha256) for event, when in events]
        states[f"{choice.recipient}/{choice.sensitivity}"] = after.state.value
    return states


def _draft(
    registry: Registry,
    known: Known,
    session: Session,
    request: Request,
    subjects: Mapping[str, Subject],
    presents: MutableMapping[ConsentKey, Present],
    taken: Set[str],
    first: int,
    moment: datetime,
) -> _Draft:
    """Everything that ``request`` would add, its entries from index ``first`` on; raises ConsentError."""
    signed = [
        _verified(token, subjects.get(_claimed_subject(token)), f"decision {number} of {len(request.signed)}")
        for number, token in enumerate(request.signed, 1)
    ]
    stated = [*signed, *_stated(request, known, subjects, presents, moment)]
    if request.if_match is not None:
        mine = {subjects[name].id for name in request.subjects if name in subjects}
        tag = tag_of([present for key, present in presents.items() if key[1] in mine])
        if request.if_match != tag:
            raise PreconditionFailed("the consents have changed since they were read; read them again")
    _refuse_replays(session, [one.decision.sha256 for one in signed], taken)
    draft = _Draft(presents)
    for at, one in enumerate(stated):
        index = first + at
        subject = subjects.get(one.decision.pii_principal_id)
        if subject is None:
            raise NotAuthenticated("no such borrower, or forgotten")
        try:
            states = _fold(draft, known, one, subject, moment)
        except ConsentError as error:
            if one.token is not None and len(signed) > 1:
                error.place = ("tokens", at)
            raise
        sha256, salt = one.decision.sha256, secrets.token_urlsafe(32)
        draft.decisions.append((sha256, subject.id, index))
        public = {"decision": decision_commitment(salt, sha256, states)}
        body = canonical_json({**one.evidence, "states": states, "salt": salt})
        draft.entries.append(
            entry_for_subject("consent.decided", registry.me.id, public, subject.id, subject.data_key, body)
        )
        draft.recorded.append(Recorded(subject.pseudonym, sha256, index, states, salt))
    return draft


def _stated(
    request: Request,
    known: Known,
    subjects: Mapping[str, Subject],
    presents: Mapping[ConsentKey, Present],
    moment: datetime,
) -> Sequence[Stated]:
    """What the caller decides. Their nonces are drawn here and now: such a decision cannot have acted before."""
    if not request.subjects:
        return ()
    mine = [subjects[name] for name in request.subjects if name in subjects]
    if not mine:
        raise NotAuthenticated("no such borrower, or forgotten")
    try:
        return request.state(View(known, mine, presents, moment))
    except ValidationError as error:  # of this request alone: the others in its group go on
        raise Malformed(f"this is no decision: {one_sentence(error)}") from error


# --- many requests, one transaction


def _refuse_replays(session: Session, hashes: Sequence[str], taken: Set[str]) -> None:
    """A decision acts once: in this request, in this transaction, and ever."""
    if len(set(hashes)) != len(hashes):
        raise Conflict("the same decision stands twice in one request")
    known = not taken.isdisjoint(hashes)
    for start in range(0, len(hashes), IN_CHUNK):
        part = hashes[start : start + IN_CHUNK]
        known = known or session.scalar(select(DecisionRow.sha256).where(DecisionRow.sha256.in_(part)).limit(1))
    if known:
        raise Conflict("a decision of this request was recorded before; a signed decision acts once")


def record_requests(registry: Registry, requests: Sequence[Request]) -> list[Done | Exception]:
    """Record what can be recorded of these requests, in one transaction; what came of each, in order."""
    moment = registry.clock()
    names: set[str] = set()
    for request in requests:
        names.update(request.subjects)
        names.update(_claim_or_nobody(token) for token in request.signed)
    with registry.ledger.read() as session:
        subjects = find_subjects(registry, session, sorted(names))
    answers: list[Done | Exception] = []
    with registry.write() as session:
        refuse_forgotten(session, [subject.id for subject in subjects.values()])
        known = registry.catalogue.load(session)
        before = recall(session, [request.once for request in requests if request.once], moment)
        lenders = {subject.lender for subject in subjects.values()}
        recipients = {scope: recipient for (_, recipient), scope in known.scopes.items()}
        scopes = [scope for scope, recipient in recipients.items() if recipient in lenders]
        presents = load_presents(session, sorted(s.id for s in subjects.values()), scopes)
        start = registry.ledger.log.size(session)
        whole = _Draft(presents)
        kept: list[tuple[Once, Answered]] = []
        for request in requests:
            try:
                done = _one(registry, known, session, request, subjects, whole, start, before, moment)
            except (ConsentError, SignatureError) as error:
                answers.append(error)
                continue
            answers.append(done)
            if request.once is not None and not done.answered.again:
                kept.append((request.once, done.answered))
                before[request.once] = Answered(done.answered.status, done.answered.body, again=True)
        if whole.entries:
            write_presents(session, presents, list(whole.touched))
            write_events(session, recipients, whole.events, moment)
            write_decisions(session, whole.decisions)
            registry.ledger.log.append(session, whole.entries)
        remember(session, kept, moment)
    return answers


def _claim_or_nobody(token: str) -> str:
    try:
        return _claimed_subject(token)
    except NotAuthenticated:
        return ""


def _one(
    registry: Registry,
    known: Known,
    session: Session,
    request: Request,
    subjects: Mapping[str, Subject],
    whole: _Draft,
    start: int,
    before: Mapping[Once, Answered | Exception],
    moment: datetime,
) -> Done:
    """Draft one request and, if nothing is wrong with it, add it to the whole."""
    if request.once is not None:
        earlier = before.get(request.once)
        if isinstance(earlier, Exception):
            raise earlier
        if earlier is not None:
            return Done(earlier)
        if any((other.caller, other.key) == (request.once.caller, request.once.key) for other in before):
            raise used_otherwise()
    own: ChainMap[ConsentKey, Present] = ChainMap({}, whole.presents)
    taken = {sha256 for sha256, _, _ in whole.decisions}
    draft = _draft(registry, known, session, request, subjects, own, taken, start + len(whole.entries), moment)
    whole.presents.update(own.maps[0])
    whole.touched.update(draft.touched)
    whole.events += draft.events
    whole.decisions += draft.decisions
    whole.entries += draft.entries
    status, body = request.answer(draft.recorded)
    return Done(Answered(status, body), draft.recorded)


def record_decisions(registry: Registry, tokens: Sequence[str]) -> list[Recorded]:
    """Verify and record signed decisions, all or none, in a transaction of their own.

    Raises:
        NotAuthenticated: not signed by the subject it names (or the subject is unknown: no difference is shown).
        Conflict: illegal transition, replay, wrong notice, wrong time. NotFound: unknown notice.
    """
    [done] = record_requests(registry, [Request(signed=tokens)])
    if isinstance(done, Exception):
        raise done
    return list(done.recorded)
