"""The log verified from head to last entry, behind the pages; what came of it is kept.

One at a time, in a thread. What the registry serves is never believed: the head is held against the
policy of the pinned consortium document, the entries against the root, and each entry against those
before it (:func:`auditlog.audit.audit_steps`).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal

import httpx

from auditlog.audit import STEPS, Audit, AuditStep, audit_steps, followed
from auditlog.chains import Chains
from crypto.errors import TahiniError
from protocol.client.auditor import AuditorClient
from protocol.errors import AuditFailed
from protocol.log_client import AWAY
from screens.viewer.home import ViewerHome
from screens.viewer.index import Growing, LeafIndex

logger = logging.getLogger("tahini.viewer")
Verdict = Literal["verified", "refused", "unchecked"]
_BUSY = AWAY - {503}
"""503 is also the status of an answer that cannot be believed."""


@dataclass(frozen=True)
class Conclusion:
    """What came of a verification."""

    verdict: Verdict
    at: str
    held: tuple[str, ...] = ()
    """Steps that held, of :data:`auditlog.audit.STEPS`."""
    failed: str | None = None
    """The step that did not."""
    reason: str = ""
    """Why, in the words of the check (English)."""
    entry: int | None = None
    """At which entry."""
    note: str = ""
    """The head, as it was signed."""
    since: str = ""
    """The checkpoint that had been kept before; empty the first time."""
    agree: tuple[str, ...] = ()
    """Witnesses that stand in the same history."""
    silent: tuple[str, ...] = ()

    @classmethod
    def told(cls, kept: Mapping[str, Any] | None) -> Conclusion:
        """As it was kept; nothing was checked where nothing was."""
        if kept is None:
            return cls("unchecked", "")
        lists = {name: tuple(kept[name]) for name in ("held", "agree", "silent")}
        return cls(**{**kept, **lists})


@dataclass
class Run:
    """A verification under way."""

    begun_at: datetime
    known: str | None
    """The checkpoint that was kept before."""
    steps: list[AuditStep] = field(default_factory=list)
    fetched: int = 0
    """Entries that are here."""
    chains: Chains = field(default_factory=Chains)
    audit: Audit | None = None
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def size(self) -> int:
        """Entries under the head; 0 as long as there is none."""
        return next((one.facts["head"].size for one in self.steps if one.name == "head"), 0)

    @property
    def note(self) -> str:
        return next((one.facts["note"] for one in self.steps if one.name == "head"), "")


class Verifications:
    """Verifies on demand, and knows what came of it last."""

    def __init__(self, home: ViewerHome, index: LeafIndex, clock: Callable[[], datetime]) -> None:
        self.home, self.index, self.clock = home, index, clock
        self.running: Run | None = None
        self.audit: Audit | None = None
        """Of the last verification of this process, if it succeeded."""
        self.outcome = Conclusion.told(index.concluded())
        """Of the last verification that came to an end, kept over restarts."""
        self.unanswered: Conclusion | None = None
        """Of a later one that came to none."""
        self._lock = threading.Lock()

    def begin(self) -> Run:
        """The verification under way, begun now if there is none."""
        with self._lock:
            run = self.running
            if run is None:
                self.running = run = Run(self.clock(), None)
                threading.Thread(
                    target=self._run, args=(run,), name="verification", daemon=True
                ).start()
            return run

    def _run(self, run: Run) -> None:
        try:
            outcome = self._concluded(run)
            if outcome.verdict == "unchecked":
                self.unanswered = outcome
            else:
                self.index.conclude(asdict(outcome), run.chains.links)
                self.outcome, self.unanswered = outcome, None
                self.audit = run.audit if outcome.verdict == "verified" else None
        except Exception:
            # whatever it was: nothing is said to hold
            self.unanswered = self._outcome(run, "unchecked", reason="internal")
            logger.exception("the verification ended by itself")
        finally:
            self.running = None
            run.done.set()

    def _concluded(self, run: Run) -> Conclusion:
        try:
            run.known = self.home.kept()
            with self.home.client() as client, self.index.growing() as growing:
                self._verify(run, client, growing)
        except TahiniError as error:
            if is_away(error):
                return self._outcome(run, "unchecked", reason=str(error))
            logger.warning("the log does not verify: %s", error)
            return self._outcome(run, "refused", reason=str(error))
        return self._outcome(run, "verified")

    def _verify(self, run: Run, client: AuditorClient, growing: Growing) -> None:
        """Raises AuditFailed, SplitView."""
        try:
            run.audit = self._followed(run, client, growing)
        except AuditFailed:
            at_root = [one.name for one in run.steps][-1:] == ["witnesses"]
            if not (at_root and 0 < self.index.size() <= run.size):
                raise
            # the entries do not hash to the root: those of this disk, or those that are served?
            growing.clear()
            run.steps.clear()
            run.chains = Chains()
            run.audit = self._followed(run, client, growing)
        client.accept_head(run.audit.note)

    def _followed(self, run: Run, client: AuditorClient, growing: Growing) -> Audit:
        def told(step: AuditStep) -> None:
            run.steps.append(step)
            if step.name == "root":
                growing.keep()

        def fetched(size: int) -> None:
            run.fetched = size

        steps = audit_steps(
            client,
            run.known or client.checkpoint_note(),
            self.home.key,
            self.home.past(),
            lambda head: growing.up_to(head, client.leaves, fetched),
            run.chains.check,
        )
        return followed(steps, told)

    def _outcome(self, run: Run, verdict: Verdict, reason: str = "") -> Conclusion:
        held = tuple(one.name for one in run.steps)
        heard = next((one.facts["heard"] for one in run.steps if one.name == "witnesses"), None)
        missing = next((one for one in STEPS if one not in held), None)
        return Conclusion(
            verdict,
            self.clock().isoformat(),
            held,
            missing if verdict == "refused" else None,
            reason,
            run.chains.broken.index if run.chains.broken else None,
            run.note,
            run.known or "",
            heard.agree if heard else (),
            heard.silent if heard else (),
        )


def is_away(error: BaseException) -> bool:
    """Whether the registry did not answer, so that nothing can be said of what it would."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, httpx.TransportError) or getattr(cause, "status", None) in _BUSY:
            return True
        cause = cause.__cause__
    return False
