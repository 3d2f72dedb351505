"""Evidence packs: what an institution hands to an auditor or a regulator, under one signed list.

Nobody holds everything, so a pack is a join of parts: each institution makes its own, from its own
home. A part is files and their manifest: who made it, of what, when the log stood where, and of
every file its hash and length. What a part is about is its scope; that it was made stands in the
log before it is made (``evidence.exported``).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from crypto.notes import Checkpoint
from crypto.sentences import shaped
from protocol.errors import Malformed
from protocol.schema import Document, Instant, Sha256, Slug, StaffId, left_out

MANIFEST_FILE = "manifest.jws"
MAX_FILES = 100_000
FilePath = Annotated[
    str,
    shaped(
        r"^(?:[A-Za-z0-9][A-Za-z0-9._-]*/){0,8}[A-Za-z0-9][A-Za-z0-9._-]*$",
        "a path below the part: names of letters, digits, . _ and -, no dot first",
    ),
    Field(max_length=200),
]
PATH = TypeAdapter(FilePath)
_PERIOD = re.compile(r"(\d{4}-\d\d-\d\d)\.\.(\d{4}-\d\d-\d\d)")


class ScopeKind(StrEnum):
    """What a part can be about."""

    CAMPAIGN = "campaign"
    PERIOD = "period"
    LENDER = "lender"


@dataclass(frozen=True)
class PackScope:
    """What a part is about: one campaign; or everything of a period; or one lender in a period.

    ``text`` is its one spelling, ``campaign:HASH``, ``period:FROM..TO`` or
    ``lender:ID:FROM..TO`` with both days included (UTC). A year stands for its first and last day.
    """

    text: str
    kind: ScopeKind
    campaign: str | None = None
    lender: str | None = None
    days: tuple[str, str] | None = None

    @classmethod
    def parse(cls, text: str) -> PackScope:
        """Raises Malformed."""
        kind, _, rest = text.partition(":")
        if kind == "person":
            raise Malformed(
                "this version collects no pack about one person: they have their receipts, and "
                "what the registry holds of them (tahini receipt)"
            )
        if kind == ScopeKind.CAMPAIGN and re.fullmatch(r"[0-9a-f]{64}", rest):
            return cls(text, ScopeKind.CAMPAIGN, campaign=rest)
        if kind == ScopeKind.PERIOD:
            days = _days(rest)
            return cls(f"period:{days[0]}..{days[1]}", ScopeKind.PERIOD, days=days)
        lender, _, when = rest.partition(":")
        if kind == ScopeKind.LENDER and re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", lender):
            days = _days(when)
            named = f"lender:{lender}:{days[0]}..{days[1]}"
            return cls(named, ScopeKind.LENDER, lender=lender, days=days)
        raise Malformed(
            f"{text[:100]!r} is no scope; write campaign:HASH (all 64 digits), period:2026, "
            "period:2026-01-01..2026-03-31 or lender:ID:2026"
        )

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    def public(self) -> dict[str, Any]:
        """What stands in clear in the entry ``evidence.exported``."""
        about = {"campaign": self.campaign} if self.campaign else {}
        return {"export": {"kind": self.kind.value, "scope": self.sha256}, **about}

    def wants(self, leaf: Mapping[str, Any]) -> bool:
        """Whether an entry of the log is part of it."""
        if self.campaign is not None:
            return leaf.get("campaign") == self.campaign
        first, last = self.days or ("", "")
        within = first <= str(leaf["time"])[:10] <= last
        named = leaf.get("names")
        about = {leaf["actor"], leaf.get("lender"), isinstance(named, dict) and named.get("lender")}
        return within and (self.lender is None or self.lender in about)


def _days(text: str) -> tuple[str, str]:
    if re.fullmatch(r"\d{4}", text):
        text = f"{text}-01-01..{text}-12-31"
    found = _PERIOD.fullmatch(text)
    try:
        first, last = (date.fromisoformat(day) for day in (found.groups() if found else ("", "")))
    except ValueError as error:
        raise Malformed(
            f"{text[:50]!r} is no period; write 2026, or 2026-01-01..2026-03-31"
        ) from error
    if last < first:
        raise Malformed(f"the period ends ({last}) before it starts ({first})")
    return first.isoformat(), last.isoformat()


class LogHead(BaseModel):
    """Where the log stood."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(ge=1)
    root: Sha256

    @classmethod
    def of(cls, head: Checkpoint) -> LogHead:
        return cls(size=head.size, root=head.root.hex())


class FileFact(BaseModel):
    """One file of a part."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: Sha256
    bytes: int = Field(ge=0)
    unpacked: int | None = Field(default=None, ge=0, exclude_if=left_out)
    """How many bytes come out of it, where it is compressed (gzip)."""


class EvidenceManifest(Document):
    """The list of a part's files. Signed by the institution that made it."""

    typ = "tahini-evidence-manifest"

    scope: str = Field(max_length=200)
    maker: Slug
    operator: StaffId | None = Field(default=None, exclude_if=left_out)
    """Who at the institution made it."""
    consortium_sha256: Sha256
    code_sha256: Sha256
    """What a node of this build would state (``fleet.code``): which version made it."""
    entry_index: int = Field(ge=0)
    """Where the log says that it was made."""
    log_origin: str
    first: LogHead
    """The earliest head of the log that is in the part,"""
    last: LogHead
    """and the newest, under which its proofs are."""
    made_at: Instant
    files: dict[FilePath, FileFact] = Field(max_length=MAX_FILES)

    @classmethod
    def _of(cls, payload: dict[str, Any]) -> Self:
        found = super()._of(payload)
        PackScope.parse(found.scope)
        return found


def checked_path(path: str) -> str:
    """The path, if a part may hold a file of this name; raises Malformed."""
    try:
        return PATH.validate_python(path)
    except ValidationError as error:
        raise Malformed(f"{path[:100]!r} is no path of a file in a part") from error


def percentiles(waited: Mapping[int, int]) -> dict[str, int | None]:
    """Median, 95th percentile and most of days that each occurred so often; None of nothing."""
    total = sum(waited.values())
    if not total:
        return {"p50_days": None, "p95_days": None, "most_days": None}

    def at(share: float) -> int:
        reached = 0
        for day, count in sorted(waited.items()):
            reached += count
            if reached >= share * total:
                return day
        return max(waited)

    return {"p50_days": at(0.5), "p95_days": at(0.95), "most_days": max(waited)}
