"""What is known now: campaigns as their folders say, lenders' answers as the registry says, nodes
as the service sees them. Read anew for every page; only the registry is asked not more often than
every few seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar, cast

from protocol.errors import ConsentError
from screens.house.errors import PageError
from server.commands import lenders_answers
from server.connections import Connections, read_connections
from server.desired_state import events
from server.errors import CoordinatorError
from server.folders import CAMPAIGN_FILE, standing_of
from server.home import Coordinator
from server.status import Answers, CampaignStatus

ASK_S = 5.0
Said = TypeVar("Said")


@dataclass(frozen=True)
class SeenCampaign:
    """One campaign: how it stands, and everything that happened."""

    folder: Path
    status: CampaignStatus
    events: tuple[dict[str, Any], ...]

    @property
    def sha256(self) -> str:
        return self.folder.name


@dataclass(frozen=True)
class SeenLender:
    """What is known of one lender's node over all campaigns."""

    id: str
    name: str
    connected: bool | None
    """None where no service says so."""
    since: datetime | None
    answered_at: str | None
    """When its last contribution came in."""
    lost: tuple[dict[str, Any], ...]
    """Each time it was lost, the newest first."""
    late: bool | None
    """Whether it has not confirmed what borrowers took back, in time; None where the registry was
    not reached."""


@dataclass
class ConsoleSight:
    """The coordinator's home, looked at."""

    home: Path
    clock: Callable[[], datetime]
    _asked: dict[str, tuple[float, object]] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def coordinator(self) -> Coordinator:
        """Opened anew, so that a consortium document that was signed anew is in force."""
        try:
            return Coordinator.open(self.home)
        except (CoordinatorError, ConsentError) as error:
            raise PageError("home-damaged", 503) from error

    def campaigns(self) -> list[SeenCampaign]:
        """Every campaign that can be read, the newest first."""
        coordinator = self.coordinator()
        found = []
        for folder in (coordinator.home / "campaigns").iterdir():
            if (folder / CAMPAIGN_FILE).exists():
                try:
                    found.append(self._seen(coordinator, folder))
                except CoordinatorError:
                    continue  # the page on health says which file is damaged
        return sorted(found, key=lambda one: one.status.campaign.created_at, reverse=True)

    def folder(self, sha256: str) -> Path:
        """Where a campaign is. Raises PageError: there is none."""
        folder = self.home / "campaigns" / sha256
        if not (folder / CAMPAIGN_FILE).exists():
            raise PageError("not-found", 404)
        return folder

    def campaign(self, sha256: str, ask: bool = True) -> SeenCampaign:
        """One campaign; ``ask``: the registry, which may be slow, for what lenders said. Raises
        PageError: there is none, or its folder is damaged."""
        try:
            return self._seen(self.coordinator(), self.folder(sha256), ask)
        except CoordinatorError as error:
            raise PageError("home-damaged", 503) from error

    def _seen(self, coordinator: Coordinator, folder: Path, ask: bool = True) -> SeenCampaign:
        answers = self.answers(coordinator, folder.name) if ask else None
        status = standing_of(coordinator, folder, answers)
        return SeenCampaign(folder, status, tuple(events(folder)))

    def answers(self, coordinator: Coordinator, sha256: str) -> Answers | None:
        """What lenders said, some seconds ago at most; None where the registry was not reached."""
        return self._known(sha256, lambda: lenders_answers(coordinator, sha256))

    def forget(self, sha256: str) -> None:
        """Ask the registry again at the next look."""
        with self._lock:
            self._asked.pop(sha256, None)

    def _known(self, what: str, ask: Callable[[], Said]) -> Said | None:
        with self._lock:
            at, kept = self._asked.get(what, (0.0, None))
        if at and time.monotonic() - at < ASK_S:
            return cast("Said | None", kept)
        found: Said | None = None
        with suppress(ConsentError):  # what is not known is shown as such
            found = ask()
        with self._lock:
            self._asked[what] = time.monotonic(), found
        return found

    def lenders(self, campaigns: Sequence[SeenCampaign]) -> list[SeenLender]:
        """Every lender of the consortium."""
        coordinator = self.coordinator()
        there = read_connections(self.home, self.clock())
        late = self._known("late", lambda: _late(coordinator))
        told = sorted(
            (event for one in campaigns for event in one.events), key=lambda event: str(event["at"])
        )
        return [
            _lender(party.id, party.name, there, told, late)
            for party in coordinator.consortium.lenders
        ]


def _late(coordinator: Coordinator) -> frozenset[str]:
    with coordinator.registry() as client:
        return frozenset(client.late_with_revocations())


def _lender(
    lender: str,
    name: str,
    there: Connections | None,
    told: Sequence[dict[str, Any]],
    late: frozenset[str] | None,
) -> SeenLender:
    node = there.nodes.get(lender) if there else None
    mine = [event for event in reversed(told) if lender in event.get("lenders", ())]
    answered = [event["at"] for event in mine if event["event"] in ("joined", "release")]
    return SeenLender(
        lender,
        name,
        None if there is None else node is not None and node.connected,
        node.since if node else None,
        str(answered[0]) if answered else None,
        tuple(event for event in mine if event["event"] == "lost"),
        None if late is None else lender in late,
    )
