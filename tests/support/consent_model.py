"""What the registry should say, worked out the obvious way: one record per (person, kind), nothing clever."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

ANSWERS = {
    "none": {"give": "given", "refuse": "refused"},
    "given": {"refuse": "refused", "withdraw": "withdrawn", "suspend": "suspended"},
    "refused": {"give": "given"},
    "withdrawn": {"give": "given", "refuse": "refused"},
    "expired": {"give": "given", "refuse": "refused", "withdraw": "withdrawn"},
    "suspended": {"resume": "given", "refuse": "refused", "withdraw": "withdrawn"},
}
STATES = ("none", "given", "refused", "withdrawn", "expired", "suspended", "superseded")
Key = tuple[str, int, str]
"""Lender, number on its roll, kind of data."""


class Refused(Exception):
    """The registry must answer 409."""


@dataclass(frozen=True)
class Asked:
    """A published notice."""

    number: int
    id: str
    version: int
    material: bool


@dataclass(frozen=True)
class Kept:
    state: str = "none"
    version: int = 0
    notice: int = 0
    last: datetime | None = None
    ends: datetime | None = None
    revoked: str | None = None
    """What the lender must be told of the last answer."""

    def at(self, moment: datetime) -> str:
        over = self.state in {"given", "suspended"} and self.ends is not None and self.ends <= moment
        return "expired" if over else self.state


@dataclass
class Model:
    notices: list[Asked] = field(default_factory=list)
    kept: dict[Key, Kept] = field(default_factory=dict)
    revoked: dict[str, list[tuple[int, str, str]]] = field(default_factory=dict)
    """For each lender, in order: number on the roll, kind, event."""
    marked: set[tuple[str, int]] = field(default_factory=set)
    """Who has objected, and not ended it: lender, number on its roll."""

    def state(self, key: Key, moment: datetime) -> str:
        """How the consent stands for whoever would use it."""
        found = self.get(key).at(moment)
        return "suspended" if found == "given" and key[:2] in self.marked else found

    def get(self, key: Key) -> Kept:
        return self.kept.get(key, Kept())

    def stale(self, number: int) -> bool:
        asked = self.notices[number - 1]
        return any(n.id == asked.id and n.version > asked.version and n.material for n in self.notices)

    def answered(
        self, key: Key, action: str, notice: int, said_at: datetime, ends: datetime | None, moment: datetime
    ) -> Kept:
        """The consent after an answer; raises Refused."""
        now = self.get(key)
        yes = action in {"give", "resume"}
        said_at = min(said_at, moment.replace(microsecond=999_999))
        if now.last is not None:
            if said_at <= now.last if yes else said_at < now.last - timedelta(minutes=5):
                raise Refused
            said_at = max(said_at, now.last)
        state = now.at(moment)
        renewed = action == "give" and state in {"given", "suspended"} and notice > now.notice
        after = "given" if renewed else ANSWERS[state].get(action)
        if after is None:
            raise Refused
        if action in {"suspend", "resume"}:
            notice, ends = now.notice, now.ends
        if after not in {"given", "suspended"}:
            ends = None
        revoked = action if action in {"withdraw", "suspend"} else None
        if action == "refuse" and state in {"given", "suspended"}:  # a no to what was given takes it back
            revoked = "withdraw"
        return Kept(after, now.version + 1, notice, said_at, ends and ends.replace(microsecond=0), revoked)

    def said(self, key: Key, made: Kept) -> None:
        self.kept[key] = made
        if made.revoked is not None:
            self.revoked.setdefault(key[0], []).append((key[1], key[2], made.revoked))

    def erased(self, lender: str, number: int) -> None:
        """Nothing is left; the lender is ordered to erase."""
        for key in [key for key in self.kept if key[:2] == (lender, number)]:
            del self.kept[key]
        self.revoked.setdefault(lender, []).append((number, "ordinary", "erase"))

    def code(self, key: Key, moment: datetime) -> int:
        found = self.get(key)
        return 0 if found.version == 0 else found.notice << 8 | STATES.index(self.state(key, moment))

    def rule(self, lender: str, number: int, kind: str, moment: datetime) -> str:
        for one in dict.fromkeys(("ordinary", kind)):
            found = self.get((lender, number, one))
            state = self.state((lender, number, one), moment)
            if state != "given":
                return "never-asked" if state == "none" else state
            if self.stale(found.notice):
                return "notice-changed"
        return "given"

    def login_time(self, key: Key, moment: datetime) -> datetime:
        """A decision made here and now is later than whatever was said before."""
        last = self.get(key).last
        return moment if last is None else max(moment, last + timedelta(microseconds=1))
