"""Consent snapshots: how a lender's borrowers stand, the whole or what changed since an earlier
one.

A state is read in one transaction, so every change that was acknowledged before the call is in it.
It carries the newest published checkpoint, and the challenge that the caller sent, so that an older
answer cannot pass for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from auditlog.columns import read_columns
from auditlog.database import Database
from consent.commands.request_marks import marked_since, suspend_marked
from consent.notices import Notices
from consent.registry import Registry
from consent.storage.consents import children_of
from consent.storage.enrolment import read_enrolment_list
from consent.storage.tables import ScopeRow
from consent.transaction import Transaction, reading
from crypto.keys import SigningKey
from law.categories import SENSITIVITIES, Sensitivity
from protocol.enrolment import EnrolmentList
from protocol.errors import Conflict, Malformed, NotFound, StorageFailed
from protocol.parties import Party
from protocol.snapshots import (
    CHILD,
    AnsweredNotice,
    ConsentSnapshot,
    StatusCodes,
    at_moment,
    codes_sha256,
    packed,
)

MAX_CHANGES = 1_000_000
"""A delta of more changes is a whole."""


@dataclass(frozen=True)
class SignedSnapshot:
    """A signed snapshot and the codes that travel beside it, packed
    (``protocol.snapshots.packed``)."""

    token: str
    numbers: str | None
    """Whom the codes are about; none when they are about everybody on the roll."""
    codes: dict[Sensitivity, str]

    def body(self) -> dict[str, Any]:
        return {"token": self.token, "numbers": self.numbers, "codes": self.codes}


_CODES = {
    "sensitivity": "c.sensitivity int16",
    "state": "c.state int16",
    "notice": "c.notice int32",
    "expiry": "c.expiry_time seconds",
}


def coded(found: dict[str, NDArray[Any]], moment: datetime) -> dict[str, NDArray[Any]]:
    """The same columns, and ``code``: notice and state, as they are at ``moment``."""
    states = at_moment(found["state"], found["expiry"], moment)
    return {**found, "code": found["notice"].astype(np.uint32) << np.uint32(8) | states}


def _codes(view: Transaction, scope: int, where: str) -> dict[str, NDArray[Any]]:
    """Number, sensitivity and code of every consent of the scope that ``where`` lets through: of
    some."""
    rest = (
        "FROM consents c JOIN subjects s ON s.id = c.subject_id WHERE c.scope_id = "
        f"{int(scope)} {where}"
    )
    found = coded(
        read_columns(view.session, {"number": "s.number int32", **_CODES}, rest), view.moment
    )
    return suspend_marked(view, scope, found)


def all_codes(view: Transaction, scope: int) -> dict[str, NDArray[Any]]:
    """The same of all. Who has which number is remembered, so that a million rows need not be
    joined each time."""
    rest = f"FROM consents c WHERE c.scope_id = {int(scope)}"
    found = coded(
        read_columns(view.session, {"subject": "c.subject_id int64", **_CODES}, rest), view.moment
    )
    found["number"] = _numbers_of(view, scope, found["subject"])
    return suspend_marked(view, scope, found)


_NUMBERED: WeakKeyDictionary[Database, dict[int, tuple[NDArray[np.int64], NDArray[np.int32]]]] = (
    WeakKeyDictionary()
)
"""By database and scope: ids of the people on the recipient's roll, ascending, and the number of
each. A person keeps both, whatever else changes."""


def _numbers_of(view: Transaction, scope: int, subjects: NDArray[np.int64]) -> NDArray[np.int32]:
    """Number on the roll by subject id."""
    known = _NUMBERED.setdefault(view.registry.ledger.database, {})
    ids, numbers = known.get(scope, (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int32)))
    new = read_columns(
        view.session,
        {"id": "s.id int64", "number": "s.number int32"},
        f"FROM subjects s JOIN scopes r ON r.recipient = s.lender WHERE r.id = {int(scope)} AND "
        f"s.number >= {len(ids)}",
    )
    if len(new["id"]):
        ids, numbers = np.concatenate([ids, new["id"]]), np.concatenate([numbers, new["number"]])
        order = np.argsort(ids, kind="stable")
        ids, numbers = known[scope] = ids[order], numbers[order]
    places = np.minimum(np.searchsorted(ids, subjects), max(len(ids) - 1, 0))
    if subjects.size and not (ids.size and np.array_equal(ids[places], subjects)):
        raise StorageFailed(
            "a consent is of somebody who is not on the roll; nothing can be told from this "
            "database"
        )
    return numbers[places] if subjects.size else np.zeros(0, dtype=np.int32)


def notices_of(known: Notices, purpose: str, lender: str) -> dict[int, AnsweredNotice]:
    """The notices that a borrower of this lender may have answered for this purpose, by number."""
    return {
        number: AnsweredNotice(
            id=notice.id,
            version=notice.version,
            stale=known.is_stale(number, lender),
            limits=notice.terms.limits,
            categories=notice.terms.categories,
            automated_decision=notice.terms.automated_decision,
            lawful_basis=notice.terms.lawful_basis,
            retention_period_days=notice.terms.retention_period_days,
            named=notice.terms.named,
        )
        for number, notice in known.notices.items()
        if notice.purpose == purpose and lender in notice.recipients
    }


# --- snapshots


@dataclass(frozen=True)
class SnapshotScope:
    """A lender's borrowers and a purpose that they were asked about, in one transaction."""

    id: int
    purpose: str
    lender: str
    sequence: int
    """Events so far."""
    roll: EnrolmentList
    whole_from: int = 0
    """What changed since an earlier sequence cannot be told: somebody was erased."""

    @classmethod
    def of(cls, view: Transaction, purpose: str, lender: Party) -> SnapshotScope:
        """Raises NotFound: nobody was ever asked."""
        number = scope_id(view, purpose, lender)
        events, whole_from = view.session.execute(
            select(ScopeRow.events, ScopeRow.whole_from).where(ScopeRow.id == number)
        ).one()
        roll = read_enrolment_list(view.session, lender.id)
        return cls(number, purpose, lender.id, events, roll, whole_from)


def scope_id(view: Transaction, purpose: str, lender: Party) -> int:
    """Raises NotFound: nobody was ever asked."""
    found = view.notices.scopes.get((purpose, lender.id))
    if found is None:
        raise NotFound("no notice asks this lender's borrowers for consent to this purpose")
    return found


@dataclass(frozen=True)
class SnapshotId:
    """Which snapshot the caller holds: its sequence number and its time."""

    sequence: int
    moment: datetime

    @classmethod
    def of(cls, sequence: int | None, moment: datetime | None) -> SnapshotId | None:
        """None for neither; raises Malformed for only one of both."""
        if sequence is None and moment is None:
            return None
        if sequence is None or moment is None:
            raise Malformed(
                "what changed is told from a sequence number and a moment on: give both, or neither"
            )
        return cls(sequence, moment)


@dataclass(frozen=True)
class SnapshotContent:
    """Status codes of a scope's borrowers: of everybody on the roll, or of ``numbers``
    (ascending)."""

    scope: SnapshotScope
    since: SnapshotId | None
    moment: datetime
    notices: Mapping[int, AnsweredNotice]
    checkpoint: str
    numbers: NDArray[np.uint32] | None
    codes: Mapping[Sensitivity, StatusCodes]


def read_snapshot(
    registry: Registry, lender: Party, purpose: str, challenge: str, since: SnapshotId | None = None
) -> SignedSnapshot:
    """The consents of the lender's borrowers for ``purpose`` now, signed: all, or what is other
    than at ``since``.

    Args:
        challenge: the caller's own random text, which is signed with the answer.

    Raises:
        NotFound: nobody was ever asked. Malformed: a snapshot that was never there. Conflict: too
            much has changed.
    """
    with reading(registry) as view:
        content = take_snapshot(view, SnapshotScope.of(view, purpose, lender), since)
    return signed(content, challenge, registry.signing_key)


def take_snapshot(
    view: Transaction, scope: SnapshotScope, since: SnapshotId | None
) -> SnapshotContent:
    """Status codes of the lender's borrowers: of all, or of those who changed after ``since``."""
    checkpoint = view.registry.ledger.log.checkpoint(view.session)
    if since is None:
        numbers = None
        codes = whole_snapshot(view, scope)
    elif since.sequence > scope.sequence or since.moment > view.moment:
        raise Malformed(f"there is no state {since.sequence} of that time; ask for the whole")
    else:
        numbers, codes = changed_since(view, scope, since)
    notices = notices_of(view.notices, scope.purpose, scope.lender)
    return SnapshotContent(scope, since, view.moment, notices, checkpoint, numbers, codes)


def whole_snapshot(view: Transaction, scope: SnapshotScope) -> dict[Sensitivity, StatusCodes]:
    """One code per borrower on the roll, by sensitivity."""
    found = all_codes(view, scope.id)
    whole: dict[Sensitivity, StatusCodes] = {}
    for place, kind in enumerate(SENSITIVITIES):
        mine = found["sensitivity"] == place
        if place and not mine.any():
            continue  # nobody was asked
        codes = np.zeros(scope.roll.people, dtype=np.uint32)
        codes[found["number"][mine]] = found["code"][mine]
        whole[kind] = codes
    whole["ordinary"][children_of(view.session, scope.lender)] |= np.uint32(CHILD)
    return whole


def changed_since(
    view: Transaction, scope: SnapshotScope, since: SnapshotId
) -> tuple[NDArray[np.uint32], dict[Sensitivity, StatusCodes]]:
    """Who changed, or expired, after ``since``, and their codes now; raises Conflict when they are
    too many, or somebody was erased or grew up."""
    if since.sequence < scope.whole_from:
        raise Conflict("somebody was erased or grew up since then; ask for the whole")
    first, last = (f"'{when:%Y-%m-%d %H:%M:%S}.000000'" for when in (since.moment, view.moment))
    found = _codes(
        view,
        scope.id,
        "AND c.subject_id IN (SELECT e.subject_id FROM consent_events e WHERE e.scope_id = "
        f"{scope.id} AND e.sequence > {int(since.sequence)} UNION SELECT x.subject_id FROM "
        f"consents x WHERE x.scope_id = {scope.id} AND x.expiry_time > {first} AND x.expiry_time "
        f"<= {last} UNION {marked_since(view, scope.id, since.moment)} UNION SELECT y.id FROM "
        f"subjects y JOIN scopes z ON z.recipient = y.lender WHERE z.id = {scope.id} AND y.child)",
    )
    numbers, places = np.unique(found["number"], return_inverse=True)
    if len(numbers) > MAX_CHANGES:
        raise Conflict("too much has changed since then; ask for the whole")
    codes = np.zeros((len(SENSITIVITIES), len(numbers)), dtype=np.uint32)
    codes[found["sensitivity"], places] = found["code"]
    codes[0, np.isin(numbers, children_of(view.session, scope.lender))] |= np.uint32(CHILD)
    asked = {kind: row for kind, row in zip(SENSITIVITIES, codes, strict=True) if row.any()}
    return numbers.astype(np.uint32), {"ordinary": codes[0], **asked}


def signed(content: SnapshotContent, challenge: str, key: SigningKey) -> SignedSnapshot:
    """The snapshot as its lender gets it. ``challenge``: the lender's own text, signed with it."""
    scope, since = content.scope, content.since
    document = ConsentSnapshot(
        lender=scope.lender,
        purpose=scope.purpose,
        people=scope.roll.people,
        names_sha256=scope.roll.names_sha256,
        since=since.sequence if since else None,
        since_moment=since.moment if since else None,
        sequence=scope.sequence,
        notices=content.notices,
        codes_sha256=codes_sha256(content.numbers, content.codes),
        checkpoint=content.checkpoint,
        challenge=challenge,
        issued_at=content.moment,
    )
    return SignedSnapshot(
        token=document.sign(key),
        numbers=None if content.numbers is None else packed(content.numbers),
        codes={kind: packed(codes) for kind, codes in content.codes.items()},
    )
