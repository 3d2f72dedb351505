"""Record borrowers' decisions, each signed by whom it concerns or made by them in a login.

Who relays a signed decision does not matter; whose key signed it does. A request is accepted whole
or not at all. Many requests share one transaction (``auditlog.group_commit``): one that is refused
leaves the others as they are.
"""

from __future__ import annotations

import secrets
from collections import ChainMap
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, ValidationError
from sqlalchemy import select

from auditlog.entries import Entry, entry_for_subject
from consent.commands.borrowers_consents import BorrowersConsents, tag_of
from consent.commands.check_decisions import (
    Stated,
    besides,
    check_answer,
    check_choice,
    check_resumed,
    check_return,
    check_time,
    claimed_or_nobody,
    claimed_subject,
    is_young,
    refuse_alone,
    refuse_unsigned,
    verified,
)
from consent.commands.erase_history import DECISION_USED
from consent.commands.read_evidence import languages_shown
from consent.commands.state_decisions import Answering
from consent.commands.withdraw_consents import Withdrawal, WithdrawalOfAll, require_match
from consent.identity.single_use import acted
from consent.registry import Registry
from consent.storage.consents import (
    ConsentKey,
    RecordedEvent,
    load_presents,
    unguarded,
    write_children,
    write_decisions,
    write_events,
    write_presents,
    young_of,
)
from consent.storage.idempotency import Answered, KeptAnswers, Once
from consent.storage.own_keys import live_keys, signed_only, signing_key
from consent.storage.subjects import IN_CHUNK, Subject, find_subjects, remembered
from consent.storage.tables import DecisionRow
from consent.transaction import Transaction, reading, writing
from crypto.documents import canonical_json
from crypto.errors import SignatureError
from crypto.keys import PublicKey
from crypto.sentences import one_sentence
from protocol.changes import Answer, CurrentConsent, apply_answer, heard_at, latest_expiry
from protocol.consents import ConsentDecision, decision_commitment
from protocol.errors import Conflict, ConsentError, Malformed, NotAuthenticated
from protocol.states import Event

MAX_BATCH = 2_000
Intent = Annotated[Answering | Withdrawal | WithdrawalOfAll, Field(discriminator="kind")]
"""What a caller wants who signs no decision; what that decides depends on how their consents
stand."""


@dataclass(frozen=True)
class Recorded:
    """One accepted decision: where it stands in the log, and the states it led to."""

    subject: str
    decision_sha256: str
    entry_index: int
    states: dict[str, str]
    salt: str

    @property
    def told(self) -> dict[str, Any]:
        """What the borrower is told of it."""
        return {
            "pii_principal_id": self.subject,
            "states": self.states,
            "entry_index": self.entry_index,
            "decision_sha256": self.decision_sha256,
            "receipt": f"/v1/me/receipts/{self.decision_sha256}",
        }


class AnswerForm(StrEnum):
    """What a caller is answered: each decision with its states and its receipt, or how many."""

    EACH = "each"
    COUNT = "count"


@dataclass(frozen=True)
class Request:
    """Decisions that are recorded all or none. It is data: one process may hand it to another.

    Args:
        signed: decisions as signed tokens.
        subjects: the pseudonyms of a caller who states decisions, made in a login or in a request
            that was checked.
        intent: what this caller wants.
        if_match: the borrower's consents must still have this tag.
        once: under which key the answer is kept.
        form: of the answer.
    """

    signed: Sequence[str] = ()
    subjects: Sequence[str] = ()
    intent: Intent | None = None
    if_match: str | None = None
    once: Once | None = None
    form: AnswerForm = AnswerForm.COUNT

    def answered(self, recorded: Sequence[Recorded]) -> Answered:
        """What the caller is answered."""
        if self.form is AnswerForm.COUNT:
            return Answered(201, {"recorded": len(recorded)})
        return Answered(201, {"recorded": [one.told for one in recorded]})


@dataclass(frozen=True)
class Done:
    """What came of a request; nothing was recorded anew when its answer is from an earlier time."""

    answered: Answered
    recorded: Sequence[Recorded] = ()


# --- one request


@dataclass
class _Draft:
    """What one request would add. ``presents`` are the batch's; those that it changes are its
    own."""

    presents: ChainMap[ConsentKey, CurrentConsent]
    events: list[RecordedEvent] = field(default_factory=list)
    shown: dict[ConsentKey, str] = field(default_factory=dict)
    children: dict[int, bool] = field(default_factory=dict)
    """Of whoever is under 14 now and was not, or the other way round."""
    decisions: list[tuple[str, int, int]] = field(default_factory=list)  # hash, subject, entry
    entries: list[Entry] = field(default_factory=list)
    recorded: list[Recorded] = field(default_factory=list)


class DecisionBatch:
    """Decisions that commit together. A request is in it whole or not at all.

    Args:
        subjects: the borrowers of all requests, by the names that they are called in them.
        shown: see :class:`BorrowersConsents`.
    """

    def __init__(
        self,
        transaction: Transaction,
        subjects: Mapping[str, Subject],
        shown: MutableMapping[ConsentKey, str],
    ) -> None:
        self._transaction, self._subjects, self._shown = transaction, subjects, shown
        self._recipients = transaction.notices.recipients
        lenders = {subject.lender for subject in subjects.values()}
        scopes = [scope for scope, recipient in self._recipients.items() if recipient in lenders]
        ids = sorted(subject.id for subject in subjects.values())
        self._presents: MutableMapping[ConsentKey, CurrentConsent] = load_presents(
            transaction.session, ids, scopes
        )
        self._stored = set(self._presents)
        self._keys = live_keys(transaction.session, ids)
        self._signed_only = signed_only(transaction.session, ids)
        self._touched: dict[ConsentKey, None] = {}
        self._events: list[RecordedEvent] = []
        self._decisions: dict[str, tuple[str, int, int]] = {}
        self._children = dict.fromkeys(young_of(transaction.session, ids), True)
        self._entries: list[Entry] = []
        self._first = transaction.registry.ledger.log.size(transaction.session)

    def add(self, request: Request) -> list[Recorded]:
        """What the request records. Raises ConsentError, and adds nothing then."""
        signed = self._signed(request.signed)
        stated = [*signed, *self._stated(request)]
        if request.if_match is not None:
            mine = {self._subjects[name].id for name in request.subjects if name in self._subjects}
            own = [present for key, present in self._presents.items() if key[1] in mine]
            require_match(request.if_match, tag_of(own))
        self._refuse_replays([one.decision.sha256 for one in signed])
        draft = _Draft(ChainMap({}, self._presents))
        for at, one in enumerate(stated):
            subject = self._subjects.get(one.decision.pii_principal_id)
            if subject is None:
                raise NotAuthenticated("no such borrower, or forgotten")
            try:
                self._record(draft, one, subject)
            except ConsentError as error:
                if one.token is not None and len(signed) > 1:
                    error.place = ("tokens", at)
                raise
        self._take(draft)
        return draft.recorded

    def save(self) -> None:
        """Write consents, events, revocations, which decisions acted, and the log entries."""
        if not self._entries:
            return
        session = self._transaction.session
        write_presents(session, self._presents, self._touched, self._stored)
        write_events(session, self._recipients, self._events, self._transaction.moment)
        write_decisions(session, list(self._decisions.values()))
        write_children(session, self._children)
        self._transaction.log(*self._entries)

    def _signed(self, tokens: Sequence[str]) -> list[Stated]:
        return [
            verified(token, self._key(token), f"decision {number} of {len(tokens)}")
            for number, token in enumerate(tokens, 1)
        ]

    def _key(self, token: str) -> PublicKey | None:
        subject = self._subjects.get(claimed_subject(token))
        return None if subject is None else signing_key(subject, self._keys, token)

    def _stated(self, request: Request) -> Sequence[Stated]:
        """What the caller decides. Their nonces are drawn here and now: such a decision cannot have
        acted before."""
        if not request.subjects:
            return ()
        mine = [self._subjects[name] for name in request.subjects if name in self._subjects]
        if not mine:
            raise NotAuthenticated("no such borrower, or forgotten")
        if request.intent is None:
            return ()
        try:
            return request.intent.decisions(
                BorrowersConsents(self._transaction, mine, self._presents, self._shown)
            )
        except ValidationError as error:  # of this request alone: the others in its batch go on
            raise Malformed(f"this is no decision: {one_sentence(error)}") from error

    def _refuse_replays(self, hashes: Sequence[str]) -> None:
        """A decision acts once: in this request, in this transaction, and ever."""
        if len(set(hashes)) != len(hashes):
            raise Conflict("the same decision stands twice in one request").because("twice")
        known = not self._decisions.keys().isdisjoint(hashes)
        for start in range(0, len(hashes), IN_CHUNK):
            recorded = select(DecisionRow.sha256).where(
                DecisionRow.sha256.in_(hashes[start : start + IN_CHUNK])
            )
            known = known or self._transaction.session.scalar(recorded.limit(1)) is not None
        if known or acted(self._transaction.session, DECISION_USED, hashes):
            raise Conflict(
                "a decision of this request was recorded before; a signed decision acts once"
            ).because("recorded-before")

    def _record(self, draft: _Draft, stated: Stated, subject: Subject) -> None:
        """Add one decision, and its log entry, to the draft."""
        states = self._fold(draft, stated, subject)
        index = self._first + len(self._entries) + len(draft.entries)
        sha256, salt = stated.decision.sha256, secrets.token_urlsafe(32)
        public = {"decision": decision_commitment(salt, sha256, states)}
        body = canonical_json({**stated.evidence, "states": states, "salt": salt})
        author = self._transaction.registry.me.id
        draft.entries.append(
            entry_for_subject("consent.decided", author, public, subject.id, subject.data_key, body)
        )
        draft.decisions.append((sha256, subject.id, index))
        draft.recorded.append(Recorded(subject.pseudonym, sha256, index, states, salt))

    def _fold(self, draft: _Draft, stated: Stated, subject: Subject) -> dict[str, str]:
        """Fold the choices into the draft; returns each record's state by recipient and kind."""
        decision = stated.decision
        moment, notices = self._transaction.moment, self._transaction.notices
        check_time(decision.event_time, decision.expiry_time, moment)
        check_return(stated, subject.returned_at)
        number, notice = notices.notice(decision.notice_id, decision.notice_version)
        check_answer(decision, notice, in_a_login=stated.token is None)
        refuse_unsigned(stated, only_keys=subject.id in self._signed_only)
        states: dict[str, str] = {}
        young = self._young(draft, subject.id, decision)
        for choice in decision.choices:
            check_choice(choice, notice, subject, decision.channel)
            refuse_alone(choice.action, young, decision.authority, notice)
            key = (notices.scope(choice.purpose, choice.recipient), subject.id, choice.sensitivity)
            present = draft.presents.get(key, CurrentConsent())
            check_resumed(choice, notices.notices.get(present.notice), decision.channel)
            event_time = heard_at(decision.event_time, moment)
            if stated.token is None and present.event_time is not None:
                # It was made here and now, whatever clocks said before.
                event_time = max(event_time, present.event_time + timedelta(microseconds=1))
            ends = latest_expiry(event_time, notice.terms.validity_days, decision.expiry_time)
            answer = Answer(Event(choice.action), number, event_time, ends)
            after, events = apply_answer(present, answer, moment)
            draft.presents[key] = after
            draft.shown[key] = decision.notice_language
            draft.events += [
                RecordedEvent(key, event, number, when, decision.sha256) for event, when in events
            ]
            states[f"{choice.recipient}/{choice.sensitivity}"] = after.state.value
        return states

    def _young(self, draft: _Draft, subject: int, decision: ConsentDecision) -> bool:
        """Whether the person is under 14; what nobody gave for a child ends when that is said."""
        before = draft.children.get(subject, self._children.get(subject, False))
        young = is_young(before, decision.authority)
        if young is before:
            return young
        draft.children[subject] = young
        moment = self._transaction.moment
        said_at = heard_at(decision.event_time, moment) - timedelta(microseconds=1)
        others = besides(decision, draft.presents, self._transaction.notices)
        for key, ended, events in unguarded(others, subject, moment, said_at) if young else ():
            draft.presents[key] = ended
            draft.events += events
        return young

    def _take(self, draft: _Draft) -> None:
        own = draft.presents.maps[0]
        self._presents.update(own)
        self._touched.update(dict.fromkeys(own))
        self._shown.update(draft.shown)
        self._children.update(draft.children)
        self._events += draft.events
        self._decisions.update((decision[0], decision) for decision in draft.decisions)
        self._entries += draft.entries


# --- many requests, one transaction


def record_requests(registry: Registry, requests: Sequence[Request]) -> list[Done | Exception]:
    """Record what can be recorded of these requests, in one transaction; what came of each, in
    order."""
    names: set[str] = set()
    for request in requests:
        names.update(request.subjects)
        names.update(claimed_or_nobody(token) for token in request.signed)
    with reading(registry) as view:
        subjects = find_subjects(view, sorted(names))
    with writing(registry) as transaction:
        known = remembered(transaction.session, subjects)
        commands = [request.once for request in requests if request.once]
        answers = KeptAnswers(transaction.session, commands, transaction.moment)
        shown = _languages_shown(transaction, requests, known)
        batch = DecisionBatch(transaction, known, shown)
        done = [_outcome(request, batch, answers) for request in requests]
        batch.save()
        answers.save()
    return done


def _languages_shown(
    transaction: Transaction, requests: Sequence[Request], subjects: Mapping[str, Subject]
) -> dict[ConsentKey, str]:
    """For those whose intent reads them: sealed bodies are opened for nobody else."""
    asking = {
        subject.id: subject
        for request in requests
        if request.intent is not None and request.intent.reads_languages
        for name in request.subjects
        if (subject := subjects.get(name)) is not None
    }
    return languages_shown(transaction, asking)


def _outcome(request: Request, batch: DecisionBatch, answers: KeptAnswers) -> Done | Exception:
    """What came of one request; what was refused adds nothing to the batch."""
    try:
        if (earlier := answers.earlier(request.once)) is not None:
            return Done(earlier)
        recorded = batch.add(request)
    except (ConsentError, SignatureError) as error:
        return error
    answered = request.answered(recorded)
    answers.keep(request.once, answered)
    return Done(answered, recorded)


def record_decisions(registry: Registry, tokens: Sequence[str]) -> list[Recorded]:
    """Verify and record signed decisions, all or none, in a transaction of their own.

    Raises:
        NotAuthenticated: not signed by the subject it names, or nobody is known by that name.
        Conflict: illegal transition, replay, wrong notice or time. NotFound: unknown notice.
    """
    [done] = record_requests(registry, [Request(signed=tokens)])
    if isinstance(done, Exception):
        raise done
    return list(done.recorded)
