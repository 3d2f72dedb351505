"""One order of operations about a person, for both servers. Pure.

The registry is first: it says what comes next, one thing at a time, and does it itself only after
the naming service has done it. So the second server is never behind, and a registry that stopped
between sends the same order again. What is refused there is not done here: all rules but that of
the clock rest on what both know.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import datetime, timedelta

from crypto.shares import SEED_SIZE
from exposure.book import Outcome, PendingOperation, PersonBook
from exposure.errors import ExposureBusy, ExposureRefused
from protocol.exposure import ExposureOrder, ExposurePart, ExposureTerms

TOLERANCE = timedelta(seconds=30)
"""How far the two servers' clocks may be apart."""


def propose(
    book: PersonBook, part: ExposurePart, now: datetime, terms: ExposureTerms, sign: int
) -> tuple[PersonBook, ExposureOrder]:
    """At the first server: the book with this operation pending, to be kept before it is sent on,
    and the order.

    Args:
        sign: see :meth:`PersonBook.apply`.

    Raises:
        ExposureBusy: another one is. ExposureRefused: it may not be.
    """
    if book.pending is not None:
        if book.pending.order.operation != part.operation:
            raise ExposureBusy("something else about this person is under way")
        return book, book.pending.order
    order = ExposureOrder(
        handle=part.handle,
        operation=part.operation,
        number=book.number + 1,
        at=now if book.at is None else max(now, book.at),
        seed=secrets.token_hex(SEED_SIZE),
    )
    after, outcome = book.apply(part, order, terms, sign)
    return replace(book, pending=PendingOperation(order, after, outcome)), order


def settled(book: PersonBook, part: ExposurePart) -> tuple[PersonBook, Outcome]:
    """At the first server, once the second has done it: the book after it, and what came of it.

    Raises:
        ExposureRefused: this is not what is pending.
    """
    if book.pending is None or book.pending.order.operation != part.operation:
        raise ExposureRefused("this operation is not pending")
    return book.pending.after, book.pending.outcome


def withdrawn(book: PersonBook) -> PersonBook:
    """At the first server, once the second has refused it: as if it had never been."""
    return replace(book, pending=None)


def follow(book: PersonBook, part: ExposurePart, order: ExposureOrder, now: datetime) -> None:
    """At the second server: whether this order comes next.

    Raises:
        ExposureRefused: it is of something else, comes again, leaves something out, or is dated
            otherwise than now.
    """
    if (order.handle, order.operation) != (part.handle, part.operation):
        raise ExposureRefused("the order is for another operation than the part that came with it")
    if order.number != book.number + 1:
        raise ExposureRefused("the order is not the next one: something was left out or came again")
    if abs(order.at - now) > TOLERANCE or (book.at is not None and order.at < book.at):
        raise ExposureRefused("the order is dated otherwise than now: the two clocks are apart")
