"""Campaigns as chains of checks: each entry, what was checked of it, and which it rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from auditlog.chains import ChainLink
from protocol.campaigns import Campaign
from screens.house.errors import PageError
from screens.house.forms import new_once
from screens.house.shell import Look
from screens.house.staff import StaffDoor
from screens.viewer.index import EntryQuery, IndexedEntry
from screens.viewer.verification import Conclusion, Verdict, Verifications
from screens.viewer.words_of import OTHERS, OTHERS_CHECKED, STAGES

MAX_ROWS = 60
"""Of one stage; the rest is a tap away."""


@dataclass(frozen=True)
class ChainRow:
    """One entry of a campaign. ``state`` is ``holds``, ``broken`` or ``unchecked``."""

    index: int
    kind: str
    who: str
    day: str
    release: int | None
    attempt: int | None
    rests_on: tuple[int, ...]
    state: str


@dataclass(frozen=True)
class ChainStage:
    """One link of the chain: what is checked of its entries, and which they are."""

    name: str
    checked: str
    types: tuple[str, ...]
    rows: tuple[ChainRow, ...]

    @property
    def state(self) -> str:
        """The worst of its entries; ``empty`` where there is none."""
        states = {row.state for row in self.rows}
        return next((one for one in ("broken", "unchecked", "holds") if one in states), "empty")


@dataclass(frozen=True)
class CampaignPages:
    """Pages about campaigns."""

    look: Look
    door: StaffDoor
    verifications: Verifications

    def campaigns(self, request: Request) -> Response:
        """``GET /campaigns``: all that the log speaks of."""
        self.door.staff(request, "look")
        index, outcome = self.verifications.index, self.verifications.outcome
        found = []
        for sha256, entries in index.grouped("campaign").items():
            stages = self._stages(sha256)
            first = min(row.index for stage in stages for row in stage.rows)
            verdict = chain_verdict(stages, outcome)
            found.append((first, sha256, self._document(sha256), entries, stages, verdict))
        return self.look.page(
            request,
            "campaigns.html",
            tab="/campaigns",
            campaigns=sorted(found, key=lambda one: one[0], reverse=True),
            size=index.size(),
            outcome=outcome,
        )

    def campaign(self, request: Request) -> Response:
        """``GET /campaigns/{campaign}``: its chain."""
        self.door.staff(request, "look")
        sha256 = request.path_params["campaign"]
        stages = self._stages(sha256)
        if not any(stage.rows for stage in stages):
            raise PageError("not-found", 404)
        outcome = self.verifications.outcome
        return self.look.page(
            request,
            "campaign.html",
            tab="/campaigns",
            once=new_once(),
            sha256=sha256,
            document=self._document(sha256),
            stages=stages,
            most=MAX_ROWS,
            verdict=chain_verdict(stages, outcome),
            outcome=outcome,
        )

    def _document(self, sha256: str) -> Campaign | None:
        """The signed campaign, as the last verification of this process opened it."""
        audit = self.verifications.audit
        use = None if audit is None else audit.know.uses.get(sha256)
        return None if use is None else use.campaign

    def _stages(self, sha256: str) -> list[ChainStage]:
        index = self.verifications.index
        return stages_of(
            list(index.walk(EntryQuery(campaign=sha256))),
            index.chain(sha256),
            self.verifications.outcome,
        )


def stages_of(
    entries: Sequence[IndexedEntry], links: Mapping[int, ChainLink], outcome: Conclusion
) -> list[ChainStage]:
    """A campaign's entries as a chain. What was not reached by the last verification, or came to
    the index after it, was not checked."""
    rows = [_row(entry, links.get(entry.index), outcome) for entry in entries]
    known = {kind for _, _, kinds in STAGES for kind in kinds}
    stages = [
        ChainStage(name, checked, kinds, tuple(row for row in rows if row.kind in kinds))
        for name, checked, kinds in STAGES
    ]
    others = tuple(row for row in rows if row.kind not in known)
    return [*stages, ChainStage(OTHERS, OTHERS_CHECKED, (), others)] if others else stages


def chain_verdict(stages: Sequence[ChainStage], outcome: Conclusion) -> Verdict:
    """Of the whole chain: it can only be verified if the log is, and every entry holds."""
    states = {row.state for stage in stages for row in stage.rows}
    if "broken" in states:
        return "refused"
    return "verified" if outcome.verdict == "verified" and states == {"holds"} else "unchecked"


def _row(entry: IndexedEntry, link: ChainLink | None, outcome: Conclusion) -> ChainRow:
    fields = entry.fields
    broken = outcome.verdict == "refused" and outcome.entry == entry.index
    return ChainRow(
        entry.index,
        fields["type"],
        str(fields.get("lender") or fields["actor"]),
        str(fields["time"]),
        _number(fields, "release"),
        _number(fields, "attempt"),
        link.rests_on if link else (),
        "broken" if broken else "holds" if link else "unchecked",
    )


def _number(fields: Mapping[str, Any], name: str) -> int | None:
    value = fields.get(name)
    return value if isinstance(value, int) else None
