"""What open requests do: objections mark what may not be used (异议标注, 征信业管理条例 25), a
refusal of automated decisions stands, and one that is overdue stops its lender's next
authorisation.

Everything here is read from how requests stand in the caller's own transaction, so nothing is
remembered that a restart could lose.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import bindparam, func, or_, select
from sqlalchemy.orm import Session

from consent.authorising import Unanswered
from consent.storage.request_tables import (
    KINDS,
    REQUEST_STATUSES,
    RequestMarkRow,
    RequestStepRow,
    RightsRequestRow,
)
from consent.storage.subjects import Subject
from consent.storage.tables import DataKeyRow, SubjectRow
from consent.transaction import Transaction
from protocol.rights import OBJECTIONS, OPEN, STANDING, UNANSWERED, RequestEvent, RequestKind
from protocol.snapshots import GIVEN, STATES
from protocol.states import ConsentStatus

Numbers = NDArray[np.uint32]
_LATE_COMMIT = timedelta(minutes=15)
"""A transaction that began before a snapshot may have committed after it, by so much at most."""
_SUSPENDED = STATES.index(ConsentStatus.SUSPENDED)
_OPEN_HERE = (
    RightsRequestRow.lender == bindparam("lender"),
    RightsRequestRow.status.in_(sorted(OPEN)),
)
_MARKED = (
    select(RequestMarkRow.feature, SubjectRow.number)
    .join(RightsRequestRow, RightsRequestRow.id == RequestMarkRow.request_id)
    .join(DataKeyRow, DataKeyRow.subject_id == RightsRequestRow.subject_id)
    .join(SubjectRow, SubjectRow.id == RightsRequestRow.subject_id)
    .where(*_OPEN_HERE)
)
_STANDING = (
    select(RightsRequestRow.kind, SubjectRow.number)
    .join(DataKeyRow, DataKeyRow.subject_id == RightsRequestRow.subject_id)
    .join(SubjectRow, SubjectRow.id == RightsRequestRow.subject_id)
    .where(*_OPEN_HERE, RightsRequestRow.kind.in_(sorted(STANDING)))
)
"""Asked with every batch of uses: made once."""


def _of_lender(found: Mapping[Any, list[int]], numbers: Numbers | None) -> dict[Any, Numbers]:
    told = {key: np.unique(np.array(people, dtype=np.uint32)) for key, people in found.items()}
    if numbers is not None:
        told = {key: np.intersect1d(people, numbers) for key, people in told.items()}
    return {key: people for key, people in told.items() if people.size}


def marks_of(view: Transaction, lender: str, numbers: Numbers | None = None) -> dict[str, Numbers]:
    """Who of a lender's borrowers has marked what, by an objection that is not closed.

    Args:
        numbers: whom of the lender's roll to ask about; everybody if None.

    Returns:
        By the feature's name, or ``protocol.rights.WHOLE_PERSON``: numbers on the lender's roll,
        ascending. A person stands under everything that any of their objections marks.
    """
    rows = view.session.connection().execute(_MARKED, {"lender": lender})
    found: dict[str, list[int]] = {}
    for feature, number in rows:
        found.setdefault(feature, []).append(number)
    return _of_lender(found, numbers)


def objections(session: Session, subject: Subject, before: int) -> list[list[int | None]]:
    """Of each objection of a person at their lender that the log held before an entry: the entries
    by which it was received and, if that was before, closed; and of each erasure that the lender
    granted, by which it was answered. Nothing of what it says, or about."""
    kind = RightsRequestRow.kind
    rows = session.execute(
        select(RequestStepRow.request_id, RequestStepRow.event, RequestStepRow.entry_index)
        .join(RightsRequestRow, RightsRequestRow.id == RequestStepRow.request_id)
        .where(
            RightsRequestRow.subject_id == subject.id,
            RightsRequestRow.lender == subject.lender,
            RequestStepRow.request_id.in_(select(RequestMarkRow.request_id)),
            or_(
                RequestStepRow.event == RequestEvent.CLOSE,
                (RequestStepRow.event == RequestEvent.ANSWER) & (kind == RequestKind.ERASE),
                (RequestStepRow.event == RequestEvent.RECEIVE) & (kind != RequestKind.ERASE),
            ),
            RequestStepRow.entry_index < before,
        )
        .order_by(RequestStepRow.request_id, RequestStepRow.number)
    )
    found: dict[int, list[int | None]] = {}
    for request, event, index in rows:
        found.setdefault(request, [None, None])[event is RequestEvent.CLOSE] = index
    return [one for one in found.values() if one[0] is not None]


def standing_refusals(view: Transaction, lender: str) -> dict[RequestKind, Numbers]:
    """Who of a lender's borrowers refuses decisions by a machine alone, or asked that a person
    looks at one, and has not taken it back: numbers on the roll, ascending, by kind."""
    rows = view.session.connection().execute(_STANDING, {"lender": lender})
    found: dict[RequestKind, list[int]] = {}
    for kind, number in rows:
        found.setdefault(kind, []).append(number)
    return _of_lender(found, None)


def suspend_marked(
    view: Transaction, scope: int, found: dict[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """The same columns (``number``, ``code``), with whoever has marked anything suspended.

    A snapshot cannot say which feature of a person is marked; so nothing of theirs is used.
    """
    marks = marks_of(view, view.notices.recipients[scope])
    if not marks:
        return found
    codes = found["code"]
    marked = np.isin(found["number"], np.concatenate(list(marks.values())))
    hit = marked & (codes & 0xFF == GIVEN)
    return {**found, "code": np.where(hit, codes - GIVEN + _SUSPENDED, codes)}


def marked_since(view: Transaction, scope: int, since: datetime) -> str:
    """A question in SQL: ids of subjects who have something marked, or had until after ``since``.

    Whoever is marked now is in every delta: a mark that was recorded while a snapshot was taken is
    never missed, and one that was closed is noticed late at worst.
    """
    lender = view.notices.recipients[scope]
    marking = sorted(OBJECTIONS | {RequestKind.ERASE})  # once the lender says that it erased
    kinds = ", ".join(str(KINDS.index(kind)) for kind in marking)
    still = ", ".join(str(REQUEST_STATUSES.index(status)) for status in sorted(OPEN))
    closed = f"{since - _LATE_COMMIT:%Y-%m-%d %H:%M:%S}.000000"
    return (
        f"SELECT q.subject_id FROM rights_requests q WHERE q.lender = '{lender}' "  # noqa: S608 - a slug
        "AND q.subject_id IN (SELECT k.subject_id FROM data_keys k) "
        f"AND q.kind IN ({kinds}) AND (q.status IN ({still}) OR q.closed_at > '{closed}')"
    )


def unanswered(transaction: Transaction, lender: str) -> Unanswered | None:
    """The requests that this lender should have answered by now; not those of people who were
    forgotten since."""
    count, first = transaction.session.execute(
        select(func.count(), func.min(RightsRequestRow.due_at))
        .join(DataKeyRow, DataKeyRow.subject_id == RightsRequestRow.subject_id)
        .where(
            RightsRequestRow.lender == lender,
            RightsRequestRow.status.in_(UNANSWERED),
            RightsRequestRow.due_at <= transaction.moment,
        )
    ).one()
    return None if not count else Unanswered(count, first)
