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

from crypto.keys import b64
from crypto.shares import SEED_SIZE
from exposure.book import PersonBook
from exposure.errors import ExposureBusy, ExposureRefused
from protocol.exposure import ExposureOrder, ExposurePart

TOLERANCE = timedelta(seconds=30)
"""How far the two servers' clocks may be apart."""


def propose(
    book: PersonBook, part: ExposurePart, now: datetime
) -> tuple[PersonBook, ExposureOrder]:
    """At the first server: the book with this operation pending, to be kept before it is sent on,
    and the order.

    Raises:
        ExposureBusy: another one is.
    """
    if book.pending is not None:
        if book.pending.operation != part.operation:
            raise ExposureBusy("something else about this person is under way")
        return book, book.pending
    order = ExposureOrder(
        handle=part.handle,
        operation=part.operation,
        number=book.number + 1,
        at=now if book.at is None else max(now, book.at),
        seed=b64(secrets.token_bytes(SEED_SIZE)),
    )
    return replace(book, pending=order), order


def settled(book: PersonBook) -> PersonBook:
    """At the first server: without the operation that the second has done or refused."""
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
