"""What follows on a request: the lender says that it has marked the data, answers or refuses in
writing; the person closes it, or the lender does when the person has said nothing for a while."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from consent.commands.request_steps import NO_SUCH, OpenRequest
from consent.registry import Registry
from consent.storage.request_tables import AttachmentRow, RequestMarkRow
from consent.transaction import writing
from crypto.keys import unb64
from protocol.errors import Conflict, Malformed, NotAllowed, NotFound
from protocol.parties import Party
from protocol.rights import (
    MAX_ATTACHMENT_BYTES,
    STANDING,
    WHOLE_PERSON,
    AnswerOutcome,
    RequestEvent,
    RequestKind,
    RequestStatus,
    RightsAnswer,
)

MAX_ATTACHMENT_TEXT = MAX_ATTACHMENT_BYTES * 4 // 3 + 4
SILENCE = timedelta(days=15)
"""So long after its answer a lender may close a request that its person did not close. Policy."""


def mark_request(registry: Registry, lender: Party, sha256: str) -> dict[str, Any]:
    """The lender says that it has marked what the request is about in its own systems.

    Raises:
        NotFound: no such request of this lender. IllegalRequestStep: it is answered, or was marked.
    """
    with writing(registry) as transaction:
        request = OpenRequest.of(transaction, sha256, lender.id)
        return request.take(transaction, RequestEvent.MARK, {"by": lender.id})


def answer_request(
    registry: Registry, lender: Party, sha256: str, token: str, attachment: str | None
) -> dict[str, Any]:
    """Record a lender's signed answer, with what it attached (base64url), sealed to the person.

    Raises:
        SignatureError: not this lender's. NotAllowed: another lender's, or of another request.
        NotFound: no such request. IllegalRequestStep: it was answered. Malformed: the attachment is
            not the answer's. Conflict: the person named no key to seal one to.
    """
    answer = RightsAnswer.verify(token, lender.key)
    if (answer.lender, answer.request_sha256) != (lender.id, sha256):
        raise NotAllowed("the answer is another lender's, or to another request")
    sealed = _attachment(answer, attachment)
    with writing(registry) as transaction:
        request = OpenRequest.of(transaction, sha256, lender.id)
        told = request.take(transaction, answer.event, {"token": token})
        if request.row.kind is RequestKind.ERASE and answer.outcome is AnswerOutcome.GRANTED:
            mark = RequestMarkRow(request_id=request.row.id, feature=WHOLE_PERSON)
            transaction.session.add(mark)  # what the lender says it deleted it does not use
        if sealed is not None:
            asked = request.opened(transaction, request.steps(transaction)[0]).request().asked
            if asked.reply_key is None:
                raise Conflict("the request names no key that an attachment could be sealed to")
            transaction.session.add(AttachmentRow(request_id=request.row.id, sealed=sealed))
        return told


def _attachment(answer: RightsAnswer, attachment: str | None) -> bytes | None:
    """Raises Malformed."""
    if attachment is None and answer.attachment_sha256 is None:
        return None
    try:
        sealed = unb64(attachment or "")
    except ValueError as error:
        raise Malformed("the attachment is not base64url without padding") from error
    named = answer.attachment_sha256 or ""
    if not hmac.compare_digest(hashlib.sha256(sealed).hexdigest(), named):
        raise Malformed("the attachment is not the one that the answer names")
    if len(sealed) > MAX_ATTACHMENT_BYTES:
        raise Malformed(f"an attachment has at most {MAX_ATTACHMENT_BYTES} bytes")
    return sealed


def close_own_request(registry: Registry, pseudonyms: Sequence[str], sha256: str) -> dict[str, Any]:
    """The person ends their request, answered or not; what it marked or refused ends with it.

    Raises:
        NotFound: no such request of this person. IllegalRequestStep: it is closed.
    """
    with writing(registry) as transaction:
        request = OpenRequest.of(transaction, sha256, None)
        if request.subject.pseudonym not in pseudonyms:
            raise NotFound(NO_SUCH)
        return request.take(transaction, RequestEvent.CLOSE, {"by": "borrower"})


def close_answered_request(registry: Registry, lender: Party, sha256: str) -> dict[str, Any]:
    """The lender ends a request that it answered :data:`SILENCE` ago, if what it asks for does not
    last. An objection or erasure that it granted lasts: the lender cannot use again, alone, what it
    agreed not to use (GDPR 18(3), 21(1); PIPL 44, 47).

    Raises:
        NotFound: no such request. Conflict: it is too early, or the person's alone to end.
    """
    with writing(registry) as transaction:
        request = OpenRequest.of(transaction, sha256, lender.id)
        row = request.row
        lasts = row.kind in {RequestKind.OBJECT, RequestKind.ERASE}
        granted = lasts and row.status is RequestStatus.ANSWERED
        if granted or row.kind in STANDING:
            raise Conflict("what this request asks for lasts until the person takes it back")
        if row.answered_at is None or row.answered_at + SILENCE > transaction.moment:
            raise Conflict(
                f"a lender closes a request {SILENCE.days} days after it answered it; until then "
                "the person may"
            )
        return request.take(transaction, RequestEvent.CLOSE, {"by": lender.id})
