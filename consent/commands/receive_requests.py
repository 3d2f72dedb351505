"""Receive a person's request of a lender: signed with their own key, stated in a login, or handed
in by the lender for somebody who came to it.

A request has a due date from the day it was received, by the law that applies (``law.deadlines``).
An objection marks what it is about from the same transaction on: nobody at the lender need do
anything for that.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import or_, select

from consent.commands.check_decisions import MAX_AGE, claimed_subject
from consent.commands.request_steps import OpenRequest, new_salt, write_step
from consent.registry import Registry
from consent.storage.own_keys import live_keys, signing_key
from consent.storage.request_tables import RequestMarkRow, RightsRequestRow
from consent.storage.subjects import Subject, find_subjects
from consent.transaction import Transaction, writing
from crypto.errors import SignatureError
from crypto.keys import RecipientPublicKey
from law.deadlines import Due, first_due
from protocol.changes import CLOCK_SKEW
from protocol.errors import Conflict, Malformed, NotAllowed, NotAuthenticated, NotFound
from protocol.legal import LegalTerms
from protocol.parties import Party
from protocol.rights import (
    OBJECTIONS,
    OPEN,
    UNANSWERED,
    WHOLE_PERSON,
    RequestContent,
    RequestEvent,
    RequestStatus,
    RequestStep,
    RightsRequest,
)

MAX_UNANSWERED = 20
"""Requests of one person of one lender that wait for an answer."""
MAX_A_DAY = 10
MAX_AGE_ON_PAPER = timedelta(days=60)
"""How long ago a person may have come to a lender that hands in their request now."""
IN_PERSON = frozenset({"branch", "phone", "paper"})


class TooManyRequestsOpen(Conflict):
    """The person has asked this lender more than is taken at once."""

    code = "too-many-requests-open"


@dataclass(frozen=True)
class Made:
    """A request as it was made, by whom it concerns."""

    request: RightsRequest
    subject: Subject
    evidence: dict[str, Any]
    received_at: datetime

    @property
    def handed_in(self) -> bool:
        return self.request.evidence_sha256 is not None


def state_request(
    registry: Registry,
    pseudonyms: Sequence[str],
    recipient: str,
    asked: RequestContent,
    login_sha256: str,
) -> dict[str, Any]:
    """Record what a person asks of ``recipient``, in a login or a request signed with their key.

    Raises:
        NotFound: the person is not enrolled there. TooManyRequestsOpen.
    """
    with writing(registry) as transaction:
        subject = _mine(transaction, pseudonyms, recipient)
        request = RightsRequest(
            pii_principal_id=subject.pseudonym,
            recipient=recipient,
            asked=asked,
            asked_at=transaction.moment,
            nonce=secrets.token_urlsafe(16),
        )
        evidence = {"request": request.payload(), "login_sha256": login_sha256}
        return _record(transaction, Made(request, subject, evidence, transaction.moment))


def take_signed_request(
    registry: Registry, pseudonyms: Sequence[str], token: str
) -> dict[str, Any]:
    """Record a request that the caller signed with their own key.

    Raises:
        NotAuthenticated: not signed by the caller. Conflict: it is dated wrongly, or acted before.
    """
    unsigned = NotAuthenticated("the request is not signed by the borrower who hands it in")
    with writing(registry) as transaction:
        subject = find_subjects(transaction, [claimed_subject(token)]).get(claimed_subject(token))
        if subject is None or subject.pseudonym not in pseudonyms:
            raise unsigned
        key = signing_key(subject, live_keys(transaction.session, [subject.id]), token)
        if key is None:
            raise unsigned
        try:
            request = RightsRequest.verify(token, key)
        except SignatureError as error:
            raise unsigned from error
        if request.recipient != subject.lender:
            raise Conflict("a pseudonym can only ask the lender that enrolled it")
        if request.evidence_sha256 is not None:
            raise Malformed("evidence_sha256 belongs to what a lender hands in")
        _check_time(request.asked_at, MAX_AGE, transaction.moment)
        return _record(transaction, Made(request, subject, {"token": token}, transaction.moment))


def hand_in_request(registry: Registry, lender: Party, token: str) -> dict[str, Any]:
    """Record a request of somebody who came to the lender, which signs it. It is due from the day
    on which they came.

    Raises:
        SignatureError: not the lender's. NotAllowed: of another lender. NotFound: not its borrower.
        Malformed: it does not say how the person came, or what shows it.
    """
    request = RightsRequest.verify(token, lender.key)
    if request.recipient != lender.id:
        raise NotAllowed("the request is of another lender")
    if request.evidence_sha256 is None or request.asked.channel not in IN_PERSON:
        raise Malformed(
            "what a lender hands in names its channel (branch, phone or paper) and the hash of the "
            "evidence that the lender keeps"
        )
    with writing(registry) as transaction:
        subject = _mine(transaction, [request.pii_principal_id], lender.id)
        _check_time(request.asked_at, MAX_AGE_ON_PAPER, transaction.moment)
        came = min(request.asked_at, transaction.moment)
        return _record(transaction, Made(request, subject, {"token": token}, came))


def _mine(transaction: Transaction, pseudonyms: Sequence[str], lender: str) -> Subject:
    """Raises NotFound."""
    for subject in find_subjects(transaction, list(pseudonyms)).values():
        if subject.lender == lender:
            return subject
    raise NotFound("this borrower is not enrolled at that lender")


def _check_time(asked_at: datetime, most: timedelta, moment: datetime) -> None:
    """Raises Conflict."""
    if not moment - most <= asked_at <= moment + CLOCK_SKEW:
        raise Conflict(
            f"the request is dated in the future or is more than {most.days} days old; make it "
            "again"
        )


def _record(transaction: Transaction, made: Made) -> dict[str, Any]:
    session, request = transaction.session, made.request
    _check_reply_key(request.asked)
    known = select(RightsRequestRow.id).where(RightsRequestRow.sha256 == request.sha256)
    if session.scalar(known) is not None:
        raise Conflict("this request was recorded before; a signed request acts once")
    if not _marks_everything_anew(transaction, made):  # whoever objects is heard
        _check_limits(transaction, made)
    late = due_date(transaction, request, made.received_at)
    row = RightsRequestRow(
        sha256=request.sha256,
        subject_id=made.subject.id,
        lender=request.recipient,
        kind=request.asked.kind,
        status=RequestStatus.RECEIVED,
        received_at=made.received_at,
        due_at=late.at,
    )
    session.add(row)
    session.flush()  # the steps name it by its number
    session.add_all(
        RequestMarkRow(request_id=row.id, feature=feature) for feature in request.asked.marks
    )
    step = RequestStep(
        request_sha256=request.sha256,
        event=RequestEvent.RECEIVE,
        at=transaction.moment,
        due_at=late.at,
        law=late.deadline.article,
        evidence=made.evidence,
        salt=new_salt(),
    )
    index = write_step(transaction, OpenRequest(row, made.subject), step, 1)
    return {
        "request_sha256": row.sha256,
        "status": row.status.value,
        "step": 1,
        "entry_index": index,
        "due_at": late.at.isoformat(),
        "law": late.deadline.article,
        "policy": late.deadline.policy,
    }


def _check_reply_key(asked: RequestContent) -> None:
    """Raises Malformed."""
    if asked.reply_key is None:
        return
    try:
        RecipientPublicKey.from_text(asked.reply_key).hpke()
    except ValueError as error:
        raise Malformed("reply_key is no recipient key that something can be sealed to") from error


def _marks_everything_anew(transaction: Transaction, made: Made) -> bool:
    """Whether it is an objection to everything, and none of this person's is open."""
    open_ones = (
        select(RequestMarkRow.request_id)
        .join(RightsRequestRow, RightsRequestRow.id == RequestMarkRow.request_id)
        .where(
            RightsRequestRow.subject_id == made.subject.id,
            RightsRequestRow.status.in_(OPEN),
            RequestMarkRow.feature == WHOLE_PERSON,
        )
    )
    everything = WHOLE_PERSON in made.request.asked.marks
    return everything and transaction.session.scalar(open_ones.limit(1)) is None


def _check_limits(transaction: Transaction, made: Made) -> None:
    """What a lender hands in is counted apart, so that it uses up nobody's own requests, and so are
    objections: each waits for an answer, and a late one stops the lender. Raises
    TooManyRequestsOpen."""
    day = transaction.moment - timedelta(days=1)
    kinds = RightsRequestRow.kind.in_(OBJECTIONS)
    objects = made.request.asked.kind in OBJECTIONS
    counted = select(RightsRequestRow).where(
        RightsRequestRow.subject_id == made.subject.id,
        kinds if objects else ~kinds,
        or_(RightsRequestRow.status.in_(UNANSWERED), RightsRequestRow.received_at > day),
    )
    alike = [
        row
        for row in transaction.session.scalars(counted)
        if _was_handed_in(transaction, OpenRequest(row, made.subject)) is made.handed_in
    ]
    waiting = sum(row.status in UNANSWERED for row in alike)
    lately = sum(row.received_at > day for row in alike)
    if waiting >= MAX_UNANSWERED or lately >= MAX_A_DAY:
        raise TooManyRequestsOpen(
            f"at most {MAX_A_DAY} requests a day of one lender, and {MAX_UNANSWERED} that wait for "
            "an answer; close one that waits, or complain as the notice says. An objection to "
            "everything (name no feature) is always taken where none is open"
        )


def _was_handed_in(transaction: Transaction, request: OpenRequest) -> bool:
    """Whether the lender recorded it, for somebody who came."""
    first = request.opened(transaction, request.steps(transaction)[0])
    return first.request().evidence_sha256 is not None


def due_date(transaction: Transaction, request: RightsRequest, received_at: datetime) -> Due:
    """When an answer is late: by the laws that the newest notices about this lender name, and by
    that which the consortium keeps, whatever they name."""
    newest: dict[str, tuple[int, tuple[str, ...]]] = {}
    for notice in transaction.notices.notices.values():
        if request.recipient in notice.recipients:
            held = newest.get(notice.id, (0, ()))
            newest[notice.id] = max(held, (notice.version, notice.terms.jurisdiction))
    codes = {code for _, named in newest.values() for code in named}
    if (law := LegalTerms.of(transaction.registry.consortium).jurisdiction) is not None:
        codes.add(law)
    return first_due(request.asked.kind.value, codes, received_at)
