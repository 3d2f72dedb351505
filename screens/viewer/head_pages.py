"""The head of the log: verified with one tap, and shown with its witnesses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from auditlog.audit import STEPS
from crypto.merkle import consistency_proof
from crypto.notes import Checkpoint
from screens.house.charts import Chart, ChartAxis, ChartBar, bar_chart
from screens.house.forms import new_once, read_own
from screens.house.shell import Look, go
from screens.house.staff import StaffDoor
from screens.house.words import PageWords
from screens.viewer.drawing import GrownTree, full_trees, grown_tree
from screens.viewer.forms import ActForm
from screens.viewer.heads import SeenHead, quorum_of
from screens.viewer.verification import Conclusion, Run, Verifications
from screens.viewer.words_of import DOING

AT_ONCE_S = 2.0
"""What takes longer shows how far it is."""
MAX_DAYS = 60
"""That one picture shows."""


@dataclass(frozen=True)
class HeadPages:
    """Pages about the head."""

    look: Look
    door: StaffDoor
    verifications: Verifications

    def head(self, request: Request) -> Response:
        """``GET /``: what was verified last, and the button that does it again."""
        self.door.staff(request, "look")
        known, words = self.verifications, self.look.words(request)
        outcome = known.unanswered or known.outcome
        policy = known.home.consortium.policy
        seen = SeenHead.of(outcome, policy)
        return self.look.page(
            request,
            "head.html",
            tab="/",
            once=new_once(),
            run=progress_of(run, words) if (run := known.running) else None,
            outcome=outcome,
            steps=_steps(outcome),
            seen=seen,
            quorum=quorum_of(policy),
            policy_text=policy.text,
            browser=self._for_browser(outcome, seen),
            grown=self._grown(seen),
            growth=growth(known.index.grouped("day"), words),
            size=known.index.size(),
        )

    def _grown(self, seen: SeenHead | None) -> GrownTree | None:
        """The whole tree under the head that was verified, and what of it was known before."""
        if seen is None or seen.checkpoint.size > self.verifications.index.size():
            return None
        since = 0 if seen.since is None else seen.since.size
        with self.verifications.index.tree() as read:
            return grown_tree(full_trees(seen.checkpoint.size, since, read))

    async def verify(self, request: Request) -> Response:
        """``POST /verify``: verify the whole log."""
        staff = self.door.staff(request, "look")
        await read_own(request, ActForm, staff.whose)
        run = self.verifications.begin()
        await anyio.to_thread.run_sync(run.done.wait, AT_ONCE_S)
        return go("/")

    def progress(self, request: Request) -> Response:
        """``GET /progress``: how far it is, for the page's own script."""
        self.door.staff(request, "look")
        run = self.verifications.running
        if run is None:
            return JSONResponse({"done": True})
        return JSONResponse({"done": False, **progress_of(run, self.look.words(request))})

    def _for_browser(self, outcome: Conclusion, seen: SeenHead | None) -> dict[str, Any] | None:
        """What the browser needs to check the head by itself; None where there is none to be
        believed."""
        if outcome.verdict != "verified" or seen is None:
            return None
        home, head, since = self.verifications.home, seen.checkpoint, seen.since
        path: Sequence[bytes] = ()
        if since is not None and 0 < since.size < head.size:
            with self.verifications.index.tree() as read:
                path = consistency_proof(since.size, head.size, read)
        return {
            "consortium": home.document,
            "pinned": home.settings.registry_key,
            "note": outcome.note,
            "since": _plain(since) if since is not None and since.size else "",
            "path": " ".join(one.hex() for one in path),
        }


def _plain(head: Checkpoint) -> str:
    return f"{head.size} {head.root.hex()}"


def _steps(outcome: Conclusion) -> list[tuple[str, str]]:
    """Each step, and whether it ``held``, ``failed`` or is ``open``."""
    states = dict.fromkeys(outcome.held, "held")
    if outcome.failed:
        states[outcome.failed] = "failed"
    return [(name, states.get(name, "open")) for name in STEPS]


def progress_of(run: Run, words: PageWords) -> dict[str, Any]:
    """What is being done now, and of how many entries."""
    held = [one.name for one in run.steps]
    doing = next((one for one in STEPS if one not in held), STEPS[-1])
    done = {"root": run.fetched, "entries": run.chains.checked}.get(doing, 0)
    said = words.say(DOING[doing])
    if run.size and doing in ("root", "entries"):
        said = words.say(
            "%(what)s: %(done)s of %(all)s",
            what=said,
            done=words.number(done),
            all=words.number(run.size),
        )
    share = (len(held) + (done / run.size if run.size else 0)) / len(STEPS)
    return {"doing": said, "percent": min(99, round(100 * share))}


def growth(by_day: Mapping[str, int], words: PageWords) -> Chart | None:
    """How large the log was at the end of each day; None where it is empty."""
    sizes, size = [], 0
    for day, number in by_day.items():
        size += number
        sizes.append((day, size))
    shown = sizes[-MAX_DAYS:]
    if not shown:
        return None
    one_year = len({day[:4] for day, _ in shown}) == 1
    bars = [ChartBar(day[5:] if one_year else day, float(number)) for day, number in shown]
    title = words.say("The log as it grew")
    return bar_chart(title, words.say("Day"), ChartAxis(words.say("Entries"), low=0.0), bars)
