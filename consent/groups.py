"""What is committed in groups, here or by the writer of a service of several workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter

from auditlog.entries import Entry
from auditlog.group_commit import GroupCommit, JobQueue, group_appends
from auditlog.handover import HandedOver, Intake, Schema
from consent.commands.record_decisions import Done, Request, record_requests
from consent.registry import Registry

_BYTES = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
_APPENDS = Schema[Sequence[Entry], int](
    TypeAdapter(Sequence[Entry], config=_BYTES), TypeAdapter(int)
)
_DECISIONS = Schema[Request, Done](TypeAdapter(Request), TypeAdapter(Done))
_APPENDS_SOCKET, _DECISIONS_SOCKET = "appends.sock", "decisions.sock"


@dataclass(frozen=True)
class Groups:
    """Appends by parties, and decisions of borrowers."""

    appends: JobQueue[Sequence[Entry], int]
    decisions: JobQueue[Request, Done]


@dataclass(frozen=True)
class OwnGroups(Groups):
    """Committed by this process."""

    appends: GroupCommit[Sequence[Entry], int]
    decisions: GroupCommit[Request, Done]

    @classmethod
    def of(cls, registry: Registry) -> OwnGroups:
        """Not started yet."""
        ledger = registry.ledger
        return cls(
            group_appends(ledger.log, ledger.write),
            GroupCommit(partial(record_requests, registry), "decisions"),
        )

    def handed_over(self, folder: Path) -> Groups:
        """Committed by the service's writer, which is found in ``folder``; here while there is
        none."""
        return Groups(
            HandedOver(self.appends, _APPENDS, folder / _APPENDS_SOCKET),
            HandedOver(self.decisions, _DECISIONS, folder / _DECISIONS_SOCKET),
        )

    def intakes(self, folder: Path) -> tuple[Intake[Sequence[Entry], int], Intake[Request, Done]]:
        """Where the service's writer takes the workers' jobs, in ``folder``."""
        return (
            Intake(self.appends, _APPENDS, folder / _APPENDS_SOCKET),
            Intake(self.decisions, _DECISIONS, folder / _DECISIONS_SOCKET),
        )
