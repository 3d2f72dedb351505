"""Place the lender's customers in its portraits, in this order and no other (invariants 2 and 12):

1. the person's consent to *portraits* is looked up, for every kind of data that one reads; what
   they objected to is left out. With nothing left, nothing of them is read
2. ``use.portrayed`` stands in the log
3. the lender's own tables are asked, and the accounts of its loans; no third party
4. the rules: pure; what is not known puts nobody in
5. who is in what, and why, is stored; whoever objected or was erased meanwhile is left out there,
   too

Whoever is not placed by this run is in no portrait after it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, delete, exists, select

from desk.commands.apply import within_notices
from desk.consents import ConsentsUnavailable, Permission
from desk.office import Desk, InHand, Permits, new_id
from desk.outbox import UseRefused
from desk.portraying import (
    ACCOUNTS,
    OF_ACCOUNTS,
    account_facts,
    categories_of,
    covered,
    kinds_of_facts,
    own_sources,
    set_hash,
    usable_portraits,
)
from desk.retention import kept_by_policy
from desk.sources import FactSource, Inquiry, Readable, Sources
from desk.statements import plain
from desk.storage.tables import (
    NOBODY,
    applications,
    erasures,
    loans,
    memberships,
    portrait_objections,
)
from desk.trail import AboutToRead, LoggedUse
from law.categories import DataCategory
from lending.cases import Fact
from lending.portraits import Portrait, PortraitSeen
from protocol.uses import Blinding

AT_A_TIME = 200
"""People who are asked about together; the registry takes no more than 256 statements at once."""
WHY = "portrait"
"""What the reasons of a membership are sealed as."""
Portraits = Mapping[str, Portrait]


@dataclass(frozen=True)
class Portrayed:
    """What came of a run: customers, those whose data were read, how often somebody is in a
    portrait now, and those who may not be read after all: they took their consent back meanwhile,
    it is used up, or the log refused for another reason."""

    people: int
    read: int
    placed: int
    refused: int


@dataclass(frozen=True)
class _Seen:
    """One person who was read, what was stated of that, and the portraits that they are in."""

    read: LoggedUse
    blinding: Blinding
    within: Mapping[str, tuple[Portrait, PortraitSeen]]


def portray(desk: Desk) -> Portrayed:
    """Place everybody anew.

    Raises:
        ConsentsUnavailable, RegistryUnavailable: nothing can be told or logged; whoever was not
            looked at stays as they were, and is shown to nobody without their consent.
    """
    began, day = desk.now(), desk.now().date()
    portraits, permits = usable_portraits(desk, day), desk.portrait_permits
    with desk.reading() as hand:
        people = _customers(hand.connection)
    if permits is None or not portraits:
        _end_others(desk, began)
        return Portrayed(len(people), 0, 0, 0)
    read = placed = refused = 0
    for first in range(0, len(people), AT_A_TIME):
        some = people[first : first + AT_A_TIME]
        for mine, them in _by_portraits(desk, permits, portraits, some).items():
            use = {name: portraits[name] for name in mine}
            seen, no = _look(desk, permits, use, them)
            placed += desk.write(partial(_place, desk, day, seen))
            read, refused = read + len(seen), refused + no
    _end_others(desk, began)
    return Portrayed(len(people), read, placed, refused)


def _customers(connection: Connection) -> list[str]:
    """Whoever borrowed here and was not forgotten since."""
    query = select(loans.c.pseudonym).where(~loans.c.pseudonym.startswith(NOBODY)).distinct()
    return sorted(connection.scalars(query))


def _by_portraits(
    desk: Desk, permits: Permits, portraits: Portraits, people: Sequence[str]
) -> dict[tuple[str, ...], list[str]]:
    """People by the portraits that they may be placed in: all of what these read is agreed to, and
    they did not object. Whoever may be placed in none is in no list."""
    wanted = categories_of(portraits.values())
    with desk.reading() as hand:
        objected = _objections(hand.connection, people)
    found: dict[tuple[str, ...], list[str]] = {}
    for one, told in zip(people, permits.check_together(people, wanted), strict=True):
        if isinstance(told, ConsentsUnavailable):
            raise told
        mine = tuple(
            name
            for name, portrait in portraits.items()
            if covered(portrait, told) and (one, name) not in objected
        )
        if mine:
            found.setdefault(mine, []).append(one)
    return found


def _objections(connection: Connection, people: Sequence[str]) -> set[tuple[str, str]]:
    query = select(portrait_objections.c.pseudonym, portrait_objections.c.portrait)
    rows = connection.execute(query.where(portrait_objections.c.pseudonym.in_(people)))
    return {(row.pseudonym, row.portrait) for row in rows}


def _look(
    desk: Desk, permits: Permits, portraits: Portraits, people: Sequence[str]
) -> tuple[list[_Seen], int]:
    """What portraits say of people who may be placed in all of them; and how many may
    not be read after all."""
    names = {fact for one in portraits.values() for fact in one.document.facts}
    sources = own_sources(desk, names)
    asked: dict[str, DataCategory] = {}
    for source in sources:
        asked |= source.about.named
    if names & set(OF_ACCOUNTS):
        asked[ACCOUNTS] = DataCategory.REPAYMENT
    wanted, hashed = categories_of(portraits.values()), set_hash(portraits)
    permissions = [permits.check(one, wanted) for one in people]
    uses = [
        AboutToRead(Blinding.of(new_id()), one, asked, hashed)
        for one in permissions
        if set(wanted) <= one.granted.keys()  # as it stands now: it may have changed since
    ]
    logged: list[tuple[AboutToRead, LoggedUse]] = []
    for use, came in zip(uses, desk.trail.read_together(uses), strict=True):
        if isinstance(came, LoggedUse):
            logged.append((use, came))
        elif not isinstance(came, UseRefused):
            raise came
    facts = _facts(desk, sources, [use for use, _ in logged])
    seen = [
        _Seen(came, use.blinding, _within(desk, portraits, found, use.permission))
        for (use, came), found in zip(logged, facts, strict=True)
    ]
    return seen, len(people) - len(logged)


def _facts(
    desk: Desk, sources: Sequence[FactSource], uses: Sequence[AboutToRead]
) -> list[dict[str, Fact]]:
    """What the lender's own tables and accounts say of each person; each of them was stated."""
    moment = desk.now()
    about = [
        (
            Inquiry(use.blinding.application, use.permission.pseudonym, moment),
            Readable(use.permission.granted),
        )
        for use in uses
    ]
    asking = Sources(sources)
    try:
        told = [_told(one) for one in asking.gather_together(about)]
    finally:
        asking.close()
    people = [use.permission.pseudonym for use in uses if ACCOUNTS in use.sources]
    with desk.reading() as hand:
        accounts = account_facts(hand.connection, people, desk.day(moment))
    return [
        {**found, **accounts.get(use.permission.pseudonym, {})}
        for use, found in zip(uses, told, strict=True)
    ]


def _told(found: dict[str, Fact] | Future[dict[str, Fact]]) -> dict[str, Fact]:
    return found.result() if isinstance(found, Future) else found


def _within(
    desk: Desk, portraits: Portraits, facts: Mapping[str, Fact], permission: Permission
) -> dict[str, tuple[Portrait, PortraitSeen]]:
    """The portraits that somebody is in, by what may be used of them today."""
    today, kinds = desk.now().date(), kinds_of_facts(desk)
    allowed = within_notices(facts, kinds, permission, today)
    found = {}
    for name, portrait in portraits.items():
        said = portrait.document
        seen = portrait.look(kept_by_policy(allowed, said.facts, said.jurisdiction, today))
        if seen.within:
            found[name] = portrait, seen
    return found


def _place(desk: Desk, day: date, seen: Sequence[_Seen], hand: InHand) -> int:
    """Store who is in what now, in the place of what was there of these people."""
    people = [one.read.said.pii_principal_id for one in seen]
    here, objected = _here(hand.connection, people), _objections(hand.connection, people)
    of_them = memberships.c.pseudonym.in_(people)
    before = {
        (row.pseudonym, row.portrait): row.since
        for row in hand.connection.execute(select(memberships).where(of_them))
    }
    hand.connection.execute(delete(memberships).where(of_them))
    placed = 0
    for one, person in zip(seen, people, strict=True):
        for name, (portrait, found) in one.within.items():
            if person not in here or (person, name) in objected:
                continue
            row = new_id()
            key, wrapped = desk.at_rest.new(row)
            hand.add(
                memberships,
                pseudonym=person,
                portrait=name,
                sha256=portrait.hash,
                since=before.get((person, name), day),
                placed_at=hand.moment,
                id=row,
                wrapped_key=wrapped,
                sealed=key.seal(WHY, _why(one, found)),
            )
            placed += 1
    return placed


def _here(connection: Connection, people: Sequence[str]) -> set[str]:
    """Those of them who were neither forgotten nor erased meanwhile; whoever came back after an
    order to erase them has applied since."""
    since = exists().where(
        applications.c.pseudonym == erasures.c.pseudonym,
        applications.c.received_at > erasures.c.ordered_at,
    )
    ordered = exists().where(erasures.c.pseudonym == loans.c.pseudonym, ~since)
    query = select(loans.c.pseudonym).where(loans.c.pseudonym.in_(people), ~ordered)
    return set(connection.scalars(query))


def _why(one: _Seen, seen: PortraitSeen) -> dict[str, Any]:
    """The conditions that held, on what; and the entry of the log that was there before."""
    return {
        "because": {row: plain(held) for row, held in seen.held.items()},
        "entry": one.read.index,
        "statement": one.read.said.sha256,
        "application": one.blinding.application,
        "salt": one.blinding.salt,
    }


def _end_others(desk: Desk, began: datetime) -> None:
    """Whoever was not placed since is in nothing."""
    stale = delete(memberships).where(memberships.c.placed_at < began)
    desk.write(lambda hand: hand.connection.execute(stale).rowcount)
