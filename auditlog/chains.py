"""Each campaign as a chain of entries, and which earlier ones each of them rests on.

It looks on while the log is verified (:func:`auditlog.audit.audit_steps`): a link is there once its
entry was checked, and says nothing that the check did not need.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from auditlog.authority import AuditState
from auditlog.entry_checks import check_entry
from protocol.errors import AuditFailed

Leaf = Mapping[str, Any]


@dataclass(frozen=True)
class ChainLink:
    """One entry about a campaign that was checked."""

    index: int
    kind: str
    actor: str
    rests_on: tuple[int, ...]
    """Entries without which its check would not have held."""


@dataclass(frozen=True)
class BrokenEntry:
    """The entry at which a verification ended."""

    index: int
    campaign: str | None
    reason: str


@dataclass
class _Stations:
    """Where the entries of one campaign stand by which others are judged."""

    proposed: int
    approvals: list[int] = field(default_factory=list)
    activated: int | None = None
    authorised: dict[tuple[str, str], int] = field(default_factory=dict)
    """By lender and authorisation."""
    committed: list[int] = field(default_factory=list)


@dataclass
class Chains:
    """What was seen so far."""

    links: dict[str, list[ChainLink]] = field(default_factory=dict)
    """By campaign, in the order of the log."""
    checked: int = 0
    """How many entries of any kind."""
    broken: BrokenEntry | None = None
    _stations: dict[str, _Stations] = field(default_factory=dict, repr=False)

    def check(self, know: AuditState, index: int, leaf: Leaf) -> None:
        """:func:`check_entry`, looked on at. Raises AuditFailed."""
        try:
            check_entry(know, index, leaf)
        except AuditFailed as error:
            self.broken = BrokenEntry(index, leaf.get("campaign"), str(error))
            raise
        self.checked = index + 1
        campaign = leaf.get("campaign")
        if campaign is not None:
            at = self._stations.setdefault(campaign, _Stations(index))
            link = ChainLink(index, leaf["type"], leaf["actor"], _rests_on(know, at, leaf))
            self.links.setdefault(campaign, []).append(link)
            _arrive(at, index, leaf)


def _rests_on(know: AuditState, at: _Stations, leaf: Leaf) -> tuple[int, ...]:
    kind = leaf["type"]
    if kind == "campaign.proposed":
        return ()
    if kind == "campaign.activated":
        return tuple(at.approvals)
    if kind == "use.authorised" and at.activated is not None:
        return (at.activated,)
    if kind == "roster.committed":
        state = know.states.get(_state_of(know))
        drawn_from = () if state is None else (state.index,)
        return (at.authorised[leaf["actor"], leaf["authorisation_id"]], *drawn_from)
    if kind == "model.released":
        return tuple(at.committed)
    return (at.proposed,)


def _state_of(know: AuditState) -> str:
    """Hash of the consent state that the commitment just checked was drawn from; empty where what
    is sealed was not opened."""
    opened = know.commitments[-1].opened
    return "" if opened is None else opened.state_sha256 or ""


def _arrive(at: _Stations, index: int, leaf: Leaf) -> None:
    kind = leaf["type"]
    if kind == "campaign.approved":
        at.approvals.append(index)
    elif kind == "campaign.activated":
        at.activated = index
    elif kind == "use.authorised":
        at.authorised[leaf["lender"], leaf["authorisation"]] = index
    elif kind == "roster.committed":
        at.committed.append(index)
