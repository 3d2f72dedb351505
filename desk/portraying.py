"""Portraits at a desk: those that the lender signed, what they read, and whose consents cover it.

``portraits/*.jws`` in the desk's home are all that were ever signed, with the lender's own key; the
newest version of each counts. They read the lender's own facts alone: tables and files of
``sources.toml``, and what the accounts of its loans say (:data:`OF_ACCOUNTS`); no third party is
asked. Every kind of data that one reads needs a consent to portraits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path

from sqlalchemy import Connection, bindparam, select

from crypto.documents import document_hash
from crypto.errors import TahiniError
from crypto.keys import PublicKey, SigningKey, replace_file
from desk.accounts import account_of
from desk.consents import Permission
from desk.office import Desk
from desk.sources import FactSource, HttpSource
from desk.storage.tables import loans
from law.categories import DataCategory
from lending.account.balances import Account
from lending.cases import Fact
from lending.law.features import objection
from lending.portraits import (
    Portrait,
    PortraitDocument,
    PortraitRefused,
    in_use,
    unlawful_portrait,
    verified_portrait,
)
from protocol.errors import BadSettings, Conflict

PORTRAITS = "portraits"
ACCOUNTS = "desk-accounts"
"""What the desk's own accounts are called among the sources of a statement."""
OF_ACCOUNTS = ("days_to_due", "days_past_due", "outstanding")
"""Whole days until the next due, contractual days past due, principal in fen; over all loans here.
All of it is repayment data."""
_LOANS = (
    select(loans)
    .where(loans.c.pseudonym.in_(bindparam("people", expanding=True)))
    .order_by(loans.c.number)
)


def read_portraits(home: Path, key: PublicKey) -> tuple[Portrait, ...]:
    """All that the lender ever signed. Raises BadSettings: one is not signed with its key."""
    return tuple(_verified(path, key) for path in sorted((home / PORTRAITS).glob("*.jws")))


def _verified(path: Path, key: PublicKey) -> Portrait:
    try:
        return verified_portrait(path.read_text(encoding="utf-8").strip(), key)
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(f"cannot read {path}: {getattr(error, 'strerror', error)}") from error
    except TahiniError as error:
        raise BadSettings(f"{path} is no portrait of this lender's: {error}") from error


def keep_portrait(home: Path, desk: Desk, document: PortraitDocument, key: SigningKey) -> Path:
    """Sign a portrait and put it into the home, beside what was there before; it may be one that
    begins later.

    Raises:
        PortraitRefused: it cannot be used here. Conflict: this version or a newer one is there.
            Nothing was written.
    """
    if why := unusable(desk, Portrait(document), max(desk.now().date(), document.valid_from)):
        raise PortraitRefused(f"{why}; nothing was written")
    newer = [
        one.document.version
        for one in read_portraits(home, key.public)
        if one.document.id == document.id and one.document.version >= document.version
    ]
    if newer:
        raise Conflict(
            f"portrait {document.id!r} is there in version {max(newer)}; give this one a higher "
            "one, nothing was written"
        )
    folder = home / PORTRAITS
    folder.mkdir(exist_ok=True)
    path = folder / f"{document.id}-{document.version}.jws"
    replace_file(path, document.sign(key).encode())
    return path


def unusable(desk: Desk, portrait: Portrait, day: date) -> str | None:
    """Why a portrait may not be used here on a day; None where it may be."""
    said, kinds = portrait.document, kinds_of_facts(desk)
    if said.jurisdiction != desk.wording.jurisdiction:
        return f"portrait {said.id!r} is of {said.jurisdiction}, where this desk does not lend"
    for name, fact in said.facts.items():
        if name not in kinds:
            return (
                f"portrait {said.id!r} reads {name!r}, which neither the accounts nor a table of "
                "the lender's own answers"
            )
        if untold := sorted(kinds[name] - set(fact.categories)):
            return (
                f"portrait {said.id!r} reads {name!r}, which is made of {untold[0]}; name it in "
                "its categories, so that the consent to it is asked for"
            )
    return portrait.idle(day) or unlawful_portrait(said, objection, day, kinds)


def own_sources(desk: Desk, names: Collection[str]) -> list[FactSource]:
    """Sources of the lender's own that answer one of these facts. What accounts say
    (:data:`OF_ACCOUNTS`) no table is asked for, whatever it has of that name."""
    asked = set(names) - set(OF_ACCOUNTS)
    return [
        one
        for one in desk.sources.sources
        if not isinstance(one, HttpSource) and set(one.about.features) & asked
    ]


def kinds_of_facts(desk: Desk) -> dict[str, frozenset[DataCategory]]:
    """Every fact that a portrait may read here, and of which kinds of data it is."""
    found = {
        name: one.about.categories
        for one in desk.sources.sources
        if not isinstance(one, HttpSource)
        for name in one.about.features
    }
    return found | dict.fromkeys(OF_ACCOUNTS, frozenset({DataCategory.REPAYMENT}))


def usable_portraits(desk: Desk, day: date) -> dict[str, Portrait]:
    """Those that are used here on a day, by id; asked of the law of that day."""
    found = in_use(desk.portraits, day)
    return {name: one for name, one in found.items() if unusable(desk, one, day) is None}


def set_hash(portraits: Mapping[str, Portrait]) -> str:
    """Names these portraits, in these versions."""
    return document_hash({"portraits": {name: one.hash for name, one in portraits.items()}})


def categories_of(portraits: Iterable[Portrait]) -> tuple[DataCategory, ...]:
    """Every kind of data that they read."""
    return tuple(sorted(frozenset().union(*(one.document.categories for one in portraits))))


def covered(portrait: Portrait, permission: Permission) -> bool:
    """Whether somebody has agreed to everything that a portrait reads."""
    return bool(permission.consents) and portrait.document.categories <= permission.granted.keys()


def account_facts(
    connection: Connection, people: Sequence[str], day: date
) -> dict[str, dict[str, Fact]]:
    """What the accounts here say of people, of :data:`OF_ACCOUNTS`; of somebody with nothing due,
    no day of it."""
    accounts: dict[str, list[Account]] = {one: [] for one in people}
    for row in connection.execute(_LOANS, {"people": list(accounts)}).all():
        accounts[row.pseudonym].append(account_of(connection, row, day))
    return {name: _facts_of(mine, day) for name, mine in accounts.items()}


def _facts_of(accounts: Sequence[Account], day: date) -> dict[str, Fact]:
    to_come = [
        row.due
        for one in accounts
        if one.settled_on is None
        for row in one.rows
        if row.due >= day and (row.open or row.planned_interest > row.interest.settled)
    ]
    values = {
        "days_to_due": (min(to_come) - day).days if to_come else None,
        "days_past_due": max((one.dpd for one in accounts), default=0),
        "outstanding": sum(one.outstanding.principal for one in accounts),
    }
    return {
        name: Fact(name, "absent", None, ACCOUNTS)
        if value is None
        else Fact(name, "present", value, ACCOUNTS, day)
        for name, value in values.items()
    }
