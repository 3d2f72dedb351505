"""Who is in which portrait, for the person and for the lender's staff; and a person's objection.

Looking is use: the registry is asked how consents stand now, however young the copy is, and whoever
is in a portrait without one, past its review or in another version than is in use, is in it no more
and is shown to nobody. If it cannot be told, nobody is shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Delete, Row, Table, and_, delete, insert, select, true

from desk.commands.portray import WHY
from desk.consents import ConsentsUnavailable, Permission
from desk.office import Desk, InHand, Permits
from desk.portraying import categories_of, covered, unusable, usable_portraits
from desk.storage.tables import memberships, portrait_objections
from law.categories import DataCategory
from lending.portraits import Portrait
from protocol.errors import NotFound

LOOKED_UP = 500
"""People who are asked about together."""


@dataclass(frozen=True)
class Placed:
    """Somebody in a portrait; ``why`` is as it was stored when they were placed."""

    row: Row[Any]
    portrait: Portrait
    why: Mapping[str, Any]


@dataclass(frozen=True)
class PortraitShown:
    """A portrait as its lender sees it; ``idle`` says why it is not used today."""

    portrait: Portrait
    people: int
    objections: int
    idle: str | None


def portraits_of(desk: Desk, pseudonym: str) -> tuple[list[Placed], list[Row[Any]]]:
    """Which portraits a person is in, and which they objected to. Raises ConsentsUnavailable."""
    mine = _standing(desk, memberships.c.pseudonym == pseudonym)
    with desk.reading() as hand:
        query = select(portrait_objections).where(portrait_objections.c.pseudonym == pseudonym)
        objections = hand.connection.execute(query.order_by(portrait_objections.c.portrait)).all()
    return [_opened(desk, row, portrait) for row, portrait in mine], list(objections)


def people_in(desk: Desk, portrait: str) -> list[Placed]:
    """Who is in a portrait. Raises NotFound: there is none of that name; ConsentsUnavailable."""
    _known(desk, portrait)
    found = _standing(desk, memberships.c.portrait == portrait)
    return [_opened(desk, row, one) for row, one in found]


def all_portraits(desk: Desk) -> list[PortraitShown]:
    """The newest version of each that has begun, or else of those to come, and how many people are
    in it now. Raises ConsentsUnavailable."""
    day = desk.now().date()
    people = Counter(row.portrait for row, _ in _standing(desk, true()))
    with desk.reading() as hand:
        objected = Counter(hand.connection.scalars(select(portrait_objections.c.portrait)))
    used = usable_portraits(desk, day)
    newest: dict[str, Portrait] = {}
    for one in sorted(desk.portraits, key=lambda each: each.document.version):
        if one.document.id not in newest or one.document.valid_from <= day:
            newest[one.document.id] = one
    return [
        PortraitShown(one, people[name], objected[name], _idle(desk, used.get(name), one))
        for name, one in sorted(newest.items())
    ]


def _idle(desk: Desk, used: Portrait | None, newest: Portrait) -> str | None:
    return None if used is not None else unusable(desk, newest, desk.now().date())


def object_to(desk: Desk, pseudonym: str, portrait: str) -> None:
    """Take a person out of a portrait for good; no reason is asked, and the registry is not needed.
    Said twice it is kept once. Raises NotFound."""
    _known(desk, portrait)

    def end(hand: InHand) -> None:
        mine = _of(portrait_objections, pseudonym, portrait)
        if hand.connection.execute(select(portrait_objections).where(mine)).first() is None:
            row = {"pseudonym": pseudonym, "portrait": portrait, "objected_at": hand.moment}
            hand.connection.execute(insert(portrait_objections).values(row))
        hand.connection.execute(delete(memberships).where(_of(memberships, pseudonym, portrait)))

    desk.write(end)


def _of(table: Table, pseudonym: str, portrait: str) -> ColumnElement[bool]:
    return and_(table.c.pseudonym == pseudonym, table.c.portrait == portrait)


def _known(desk: Desk, portrait: str) -> None:
    if all(one.document.id != portrait for one in desk.portraits):
        raise NotFound("there is no such portrait")


def _opened(desk: Desk, row: Row[Any], portrait: Portrait) -> Placed:
    return Placed(row, portrait, desk.at_rest.of(row.id, row.wrapped_key).open(WHY, row.sealed))


def _standing(desk: Desk, which: ColumnElement[bool]) -> list[tuple[Row[Any], Portrait]]:
    """The memberships that stand now; those of them that do not are ended."""
    with desk.reading() as hand:
        query = select(memberships).where(which).order_by(memberships.c.portrait, memberships.c.id)
        rows = hand.connection.execute(query).all()
    used = usable_portraits(desk, desk.now().date())
    told = _permissions(desk, sorted({row.pseudonym for row in rows}), categories_of(used.values()))
    found, over = [], []
    for row in rows:
        portrait = used.get(row.portrait)
        if portrait is None or portrait.hash != row.sha256 or row.pseudonym not in told:
            over.append(row)
        elif covered(portrait, told[row.pseudonym]):
            found.append((row, portrait))
        else:
            over.append(row)
    if over:
        _end(desk, [row.id for row in over])
    return found


def _end(desk: Desk, ids: Sequence[str]) -> None:
    for first in range(0, len(ids), LOOKED_UP):
        some = memberships.c.id.in_(ids[first : first + LOOKED_UP])
        desk.write(partial(_delete, delete(memberships).where(some)))


def _delete(some: Delete, hand: InHand) -> None:
    hand.connection.execute(some)


def _permissions(
    desk: Desk, people: Sequence[str], categories: Sequence[DataCategory]
) -> dict[str, Permission]:
    """How consents stand as the registry has them now. Raises ConsentsUnavailable."""
    permits: Permits | None = desk.portrait_permits
    if permits is None or not people:
        return {}
    permits.check_again(permits.check(people[0], categories))  # asks, however young the copy is
    found: dict[str, Permission] = {}
    for one, told in zip(people, permits.check_together(people, categories), strict=True):
        if isinstance(told, ConsentsUnavailable):
            raise told
        found[one] = told
    return found
