"""The published notices and the scopes they opened, verified once and kept in memory.

Both only ever grow, and a scope is opened in the transaction that publishes its first notice. So
one number, the newest notice's, says whether what is kept is all there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from consent.notice_changes import further
from consent.storage.tables import NoticeRow, ScopeRow
from crypto.keys import PublicKey
from protocol.errors import Conflict, NotFound
from protocol.notices import Notice


@dataclass(frozen=True)
class Notices:
    """The published notices and the open scopes at one moment."""

    notices: Mapping[int, Notice]
    numbers: Mapping[tuple[str, int], int]
    """Number of a notice by (id, version)."""
    scopes: Mapping[tuple[str, str], int]
    """Id of a scope by (purpose, recipient)."""
    outdated: frozenset[int] = frozenset()
    """Numbers of those that a later version reaches further than."""

    def notice(self, notice_id: str, version: int) -> tuple[int, Notice]:
        """Raises NotFound."""
        number = self.numbers.get((notice_id, version))
        if number is None:
            raise NotFound(f"there is no notice {notice_id!r} version {version}")
        return number, self.notices[number]

    def scope(self, purpose: str, recipient: str) -> int:
        """Raises Conflict: no notice has ever asked for this."""
        found = self.scopes.get((purpose, recipient))
        if found is None:
            raise Conflict("no notice asks for consent to this purpose and recipient")
        return found

    def is_stale(self, number: int, recipient: str) -> bool:
        """Whether consent to this notice counts for no new use by the recipient: a later version
        reaches further, or says that it must be asked for again, or asks for this recipient no
        more."""
        asked = self.notices[number]
        return number in self.outdated or recipient not in self._newest[asked.id].recipients

    @cached_property
    def _newest(self) -> dict[str, Notice]:
        """The newest version of each notice, by its id."""
        newest: dict[str, Notice] = {}
        for notice in self.notices.values():
            if notice.id not in newest or notice.version > newest[notice.id].version:
                newest[notice.id] = notice
        return newest

    def live(self, purpose: str, recipient: str) -> Notice | None:
        """The one notice that asks for this consent now: the newest version of it, if that still
        names the recipient. There is one at most."""
        for notice in self._newest.values():
            if notice.purpose == purpose and recipient in notice.recipients:
                return notice
        return None

    @property
    def recipients(self) -> dict[int, str]:
        """Whom each scope is about, by the scope's id."""
        return {number: recipient for (_, recipient), number in self.scopes.items()}

    @property
    def scope_of(self) -> dict[int, tuple[str, str]]:
        return {number: about for about, number in self.scopes.items()}


_EMPTY = Notices({}, {}, {})
_NEWEST = select(func.max(NoticeRow.number))


@dataclass
class Catalogue:
    """Call :meth:`load` in every transaction that needs it: one cheap question when nothing is
    new."""

    key: PublicKey
    """The registry's own: every notice is verified as it is read."""
    _known: Notices = field(default=_EMPTY, repr=False)

    def load(self, session: Session) -> Notices:
        newest = session.connection().execute(_NEWEST).scalar() or 0
        known = self._known
        if newest != max(known.notices, default=0):
            unknown = NoticeRow.number > max(known.notices, default=0)
            rows = session.scalars(select(NoticeRow).where(unknown).order_by(NoticeRow.number))
            notices, outdated = dict(known.notices), set(known.outdated)
            for row in rows:
                new = Notice.verify(row.token, self.key)
                outdated.update(
                    number
                    for number, before in notices.items()
                    if before.id == new.id and further(before, new)
                )
                notices[row.number] = new
            known = Notices(
                notices,
                {(notice.id, notice.version): number for number, notice in notices.items()},
                {(row.purpose, row.recipient): row.id for row in session.scalars(select(ScopeRow))},
                frozenset(outdated),
            )
            self._known = known
        return known
