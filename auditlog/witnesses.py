"""Asking the witnesses: the log's side of C2SP tlog-witness.

All witnesses of the policy are asked at once; as soon as those who answered make the quorum, nobody
waits for the rest.
"""

from __future__ import annotations

import hashlib
import logging
import re
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from crypto.errors import CryptoError, SignatureError
from crypto.notes import Checkpoint, Verifier, open_checkpoint, own_line
from crypto.policies import Policy, Witness
from crypto.witnessing import AddCheckpoint
from protocol.bounded import Bounds, ask
from protocol.errors import NotWitnessed
from protocol.log_client import http_client, why_silent

ANSWER = Bounds(256 * 1024, 8.0)
_SIZE = re.compile(r"(?:0|[1-9][0-9]{0,18})\n?")
ATTEMPTS = 3
"""A witness that says where it stands is asked again from there; more than twice, and something
else is wrong."""
logger = logging.getLogger("tahini.witnesses")

Prove = Callable[[int, int], list[bytes]]
"""``prove(old, new)``: the consistency proof between two sizes of this log."""


class WitnessAhead(NotWitnessed):
    """A witness has seen more of this log than the log has: it was restored from an old copy, or
    forked."""

    code = "log-behind-its-witness"


@dataclass
class Submitter:
    """One witness, and how far it was when it last answered. At most one request to it is under
    way."""

    witness: Witness
    url: str
    http: httpx.Client
    origin: str
    log: Verifier
    size: int = 0
    bounds: Bounds = ANSWER
    busy: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def submit(self, note: str, checkpoint: Checkpoint, prove: Prove) -> str:
        """The witness's cosignature line on ``note``, verified.

        Raises:
            NotWitnessed: no answer in time, or none that its key signed. WitnessAhead: it proves
                that it saw more.
        """
        with self.busy:
            for _ in range(ATTEMPTS):
                if self.size > checkpoint.size:
                    raise self._ahead(checkpoint)
                proof = prove(self.size, checkpoint.size) if 0 < self.size < checkpoint.size else []
                status, text = self._ask(
                    "POST", "add-checkpoint", AddCheckpoint(self.size, tuple(proof), note).text
                )
                if status == 200:
                    return self._believed(text, checkpoint)
                if status != 409 or not _SIZE.fullmatch(text):
                    reason = repr(text.strip()[:80])
                    raise NotWitnessed(f"witness {self.witness.name!r} answered {status}: {reason}")
                self.size = int(text)
            raise NotWitnessed(
                f"witness {self.witness.name!r} does not agree with itself about its size"
            )

    def _ahead(self, checkpoint: Checkpoint) -> NotWitnessed:
        """A witness's word that it has seen more stops nobody; a longer head that our own key
        signed does."""
        name = self.witness.name
        claimed = self.size
        self.size = 0
        status, note = self._ask(
            "GET", f"{hashlib.sha256(self.origin.encode()).hexdigest()}/checkpoint", ""
        )
        try:
            seen = open_checkpoint(note, self.log) if status == 200 else None
        except SignatureError:
            seen = None
        if seen is None or seen.size <= checkpoint.size:
            return NotWitnessed(
                f"witness {name!r} says that it has seen {claimed} entries, and cannot show it"
            )
        return WitnessAhead(
            f"witness {name!r} holds a head of {seen.size} entries that this log signed, but there "
            f"are only {checkpoint.size} here: was the log restored from an old backup?"
        )

    def _ask(self, method: str, path: str, body: str) -> tuple[int, str]:
        """Status and text of the answer: all of it within the deadline, and not more than a witness
        has to say."""
        try:
            answer = ask(
                self.http, method, f"{self.url}/{path}", self.bounds, content=body.encode()
            )
            return answer.status_code, answer.content.decode(errors="replace")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NotWitnessed(
                f"witness {self.witness.name!r} does not answer ({why_silent(error)})"
            ) from error

    def _believed(self, lines: str, checkpoint: Checkpoint) -> str:
        """The one line that this witness's key made."""
        try:
            line = own_line(lines, self.witness.key, checkpoint.text)
        except CryptoError as error:
            raise NotWitnessed(
                f"witness {self.witness.name!r} answered without its signature: {error}"
            ) from error
        self.size = checkpoint.size
        return line


@dataclass
class Witnesses:
    """All witnesses of a policy that have an address."""

    policy: Policy
    submitters: Sequence[Submitter]
    _pool: ThreadPoolExecutor | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls, policy: Policy, http: httpx.Client | None = None, authority: Path | None = None
    ) -> Witnesses:
        """Witnesses over ``http``, or over TLS that ``authority`` vouches for; the system's
        authorities without it.

        Raises:
            RegistryUnavailable: the authority's certificate cannot be read.
        """
        client = http or http_client("", authority)
        log = policy.logs[0].verifier
        asked = [
            Submitter(w, w.url.rstrip("/"), client, log.name, log)
            for w in policy.witnesses
            if w.url
        ]
        pool = ThreadPoolExecutor(len(asked), "witness") if asked else None
        return cls(policy, asked, pool)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def cosign(self, note: str, checkpoint: Checkpoint, prove: Prove) -> str:
        """``note`` with enough cosignatures for the quorum.

        Raises:
            NotWitnessed: too few witnesses cosigned; says what each of the others answered.
            WitnessAhead: too few, and one of them proves that it has seen a longer log.
        """
        cosigned = set[str]()
        lines = ""
        refusals = list[NotWitnessed]()
        pending = self._ask(note, checkpoint, prove)
        while not self.policy.satisfied(cosigned) and pending:
            done, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                witness = pending.pop(future)
                try:
                    lines += future.result()
                    cosigned.add(witness.name)
                except NotWitnessed as refusal:
                    logger.warning("%s", refusal)
                    refusals.append(refusal)
                except Exception as error:
                    # A witness must not be able to stop the log by an answer that nobody thought
                    # of.
                    logger.exception("asking witness %r failed", witness.name)
                    refusals.append(
                        NotWitnessed(
                            f"asking witness {witness.name!r} failed ({type(error).__name__})"
                        )
                    )
        if self.policy.satisfied(cosigned):
            return note + lines
        ahead = next((refusal for refusal in refusals if isinstance(refusal, WitnessAhead)), None)
        if ahead is not None:
            raise ahead
        told = "; ".join(str(refusal) for refusal in refusals) or "no witness is free to answer"
        raise NotWitnessed(f"the checkpoint of {checkpoint.size} entries has no quorum: {told}")

    def _ask(self, note: str, checkpoint: Checkpoint, prove: Prove) -> dict[Future[str], Witness]:
        """One request to every witness that is not still busy with an earlier one."""
        if self._pool is None:
            return {}
        free = [submitter for submitter in self.submitters if not submitter.busy.locked()]
        return {self._pool.submit(s.submit, note, checkpoint, prove): s.witness for s in free}
