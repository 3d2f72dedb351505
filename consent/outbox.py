"""Revocations delivered to lenders that have an inbox: signed, in order, retried with back-off
until acknowledged.

``inboxes.json`` in the registry's home names the inboxes; the operator writes it, so that nobody
can make the registry call an address of their choosing. A lender without an inbox fetches its
revocations. Either way what counts is the lender's signed acknowledgement, which is logged; one
that is overdue stops the lender's next authorisation.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from consent.commands.revocations import acknowledge, acknowledged_by, read_revocations
from consent.registry import Registry
from crypto.errors import KeyFileError
from protocol.bounded import Bounds, ask
from protocol.log_client import trusted_authorities
from protocol.parties import Party
from protocol.revocations import Delivered, Delivery
from protocol.schema import Slug

INBOXES_FILE = "inboxes.json"
EVERY_S, FIRST_WAIT_S, MAX_WAIT_S = 0.5, 1.0, 300.0
ANSWER = Bounds(65_536, 10.0)
"""Of one inbox: none can hold what the others are to be told."""
_LOOPBACK = ("http://127.0.0.1:", "http://localhost:", "http://[::1]:")
logger = logging.getLogger("tahini.outbox")


class Inboxes(BaseModel):
    """``inboxes.json``: each lender's URL, https except on loopback."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    inboxes: dict[Slug, str] = Field(default_factory=dict)

    @field_validator("inboxes")
    @classmethod
    def _safe(cls, inboxes: dict[str, str]) -> dict[str, str]:
        for lender, url in inboxes.items():
            try:
                there = httpx.URL(url).host
            except httpx.InvalidURL:
                there = ""
            if (
                not all(there.split("."))
                or not url.startswith(("https://", *_LOOPBACK))
                or "@" in url
            ):
                raise ValueError(f"the inbox of {lender!r} is not an https URL")
        return inboxes


def load_inboxes(home: Path) -> Mapping[str, str]:
    """Raises KeyFileError."""
    path = home / INBOXES_FILE
    if not path.exists():
        return {}
    try:
        return Inboxes.model_validate_json(path.read_text(encoding="utf-8")).inboxes
    except (OSError, ValidationError) as error:
        raise KeyFileError(
            f"{path} does not name inboxes as it must: an https URL for each lender"
        ) from error


@dataclass
class _Patience:
    """When a recipient is tried again: doubling waits with jitter, up to five minutes."""

    wait_s: float = 0.0
    not_before: float = 0.0

    def failed(self) -> None:
        self.wait_s = min(MAX_WAIT_S, max(FIRST_WAIT_S, 2 * self.wait_s))
        jitter = 0.5 + secrets.randbelow(1000) / 1000
        self.not_before = time.monotonic() + self.wait_s * jitter

    def reset(self) -> None:
        self.wait_s = self.not_before = 0.0


@dataclass
class Outbox:
    """One thread that delivers. Of several workers, whoever signs the log delivers too."""

    registry: Registry
    inboxes: Mapping[str, str]
    _stop: threading.Event = field(default_factory=threading.Event, repr=False)
    _thread: threading.Thread | None = field(default=None, repr=False)
    _patience: dict[str, _Patience] = field(default_factory=dict, repr=False)

    def start(self) -> None:
        if self.inboxes:
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(15)
            self._thread = None

    def _run(self) -> None:
        with httpx.Client(verify=trusted_authorities()) as http:
            while not self._stop.wait(EVERY_S):
                try:
                    if self.registry.ledger.sequencer.turn.is_leader():
                        self.deliver_due(http)
                except Exception as error:  # whatever it was: withdrawals go on being delivered
                    logger.warning("deliveries: %s", type(error).__name__, exc_info=error)

    def deliver_due(self, http: httpx.Client) -> None:
        """Try every recipient whose time has come, once."""
        lenders = {party.id: party for party in self.registry.consortium.lenders}
        for name, url in self.inboxes.items():
            patience = self._patience.setdefault(name, _Patience())
            if name not in lenders or time.monotonic() < patience.not_before:
                continue
            try:
                self._deliver(http, lenders[name], url)
            except Exception as error:  # whatever it was, the others are not kept waiting by it
                patience.failed()
                logger.warning("revocations were not delivered: %s: %s", name, type(error).__name__)
            else:
                patience.reset()

    def _deliver(self, http: httpx.Client, lender: Party, url: str) -> None:
        items = read_revocations(self.registry, lender, acknowledged_by(self.registry, lender))
        if not items:
            return
        body = Delivery(items=items).model_dump_json().encode()
        answer = ask(
            http, "POST", url, ANSWER, content=body, headers={"Content-Type": "application/json"}
        )
        answer.raise_for_status()
        acknowledge(self.registry, lender, Delivered.model_validate_json(answer.content).token)
