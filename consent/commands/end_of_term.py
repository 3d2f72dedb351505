"""Erase whoever is kept longer than the notice that they answered says (PIPL 19, 47; GDPR 5(1)(e)).

A notice states for how many days data are kept. Facts older than that are not used
(``protocol.coverage``), at the lender. Here it is the answers: once the last of a person's consents
has ended, and as many days have passed as the notice of each said, they are erased as if they had
asked for it; their lender is ordered to erase them too. Who never answered is kept as long from the
day of their enrolment as the notice says that asks them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from sqlalchemy import ColumnElement, and_, case, func, or_, select

from consent.commands.answer_requests import SILENCE
from consent.commands.forget_subject import forget_person
from consent.registry import Registry
from consent.storage.request_tables import RightsRequestRow
from consent.storage.tables import ConsentRow, SubjectRow
from consent.transaction import Transaction, reading
from protocol.errors import NotFound
from protocol.rights import UNANSWERED, RequestKind
from protocol.states import ConsentStatus

MOST_AT_ONCE = 100
"""Each erasure wraps keys anew; the next run goes on."""
_LASTING = (ConsentStatus.GIVEN, ConsentStatus.SUSPENDED)


def outlived(view: Transaction, most: int = MOST_AT_ONCE) -> list[str]:
    """Pseudonyms of people whose every consent ended longer ago than its notice lets answers be
    kept, and who wait for no answer, have had one too lately to close it, or asked that what is
    stored stays (``restrict``). Whom a lender says it erased, nothing keeps here."""
    row = ConsentRow
    kept = []
    for number, notice in view.notices.notices.items():
        since = view.moment - timedelta(days=notice.terms.retention_period_days)
        lasting = or_(row.expiry_time.is_(None), row.expiry_time > since)
        still = or_(and_(row.state.in_(_LASTING), lasting), row.event_time > since)
        kept.append(and_(row.notice == number, still))
    if not kept:
        return []
    over = (
        select(row.subject_id)
        .group_by(row.subject_id)
        .having(func.max(case((or_(*kept), 1), else_=0)) == 0)
    )
    found = select(SubjectRow.pseudonym).where(or_(SubjectRow.id.in_(over), *_silent(view)))
    request = RightsRequestRow
    asking = select(request.subject_id).where(
        request.closed_at.is_(None),
        or_(
            request.status.in_(UNANSWERED),
            request.kind == RequestKind.RESTRICT,
            request.answered_at > view.moment - SILENCE,
        ),
    )
    found = found.where(SubjectRow.id.not_in(asking), SubjectRow.erased_at.is_(None))
    return list(view.session.scalars(found.order_by(SubjectRow.id).limit(most)))


def _silent(view: Transaction) -> Iterator[ColumnElement[bool]]:
    """By lender, who was enrolled long ago and has answered nothing; nobody where no notice asks.
    A day is kept, not an instant: a day more is given."""
    answered = select(ConsentRow.subject_id)
    longest: dict[str, int] = {}
    for purpose, lender in view.notices.scopes:
        live = view.notices.live(purpose, lender)
        if live is not None:
            days = live.terms.retention_period_days
            longest[lender] = max(days, longest.get(lender, 0))
    for lender, days in sorted(longest.items()):
        yield and_(
            SubjectRow.lender == lender,
            SubjectRow.enrolled_at <= view.moment - timedelta(days=days + 1),
            SubjectRow.id.not_in(answered),
        )


def erase_outlived(registry: Registry) -> int:
    """Erase them, each in a transaction of their own; returns how many. Raises KeysUnavailable."""
    with reading(registry) as view:
        names = outlived(view)
    erased = 0
    for name in names:
        try:
            forget_person(registry, [name])
        except NotFound:
            continue  # they left by themselves meanwhile
        erased += 1
    return erased
