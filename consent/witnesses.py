"""Asking the witnesses: the log's side of C2SP tlog-witness.

All witnesses of the policy are asked at once; as soon as those who answered make the quorum, nobody waits for the rest.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

import httpx

from consent.errors import NotWitnessed
from crypto.errors import CryptoError
from crypto.notes import Checkpoint, signers
from crypto.policies import Policy, Witness
from crypto.witnessing import AddCheckpoint

TIMEOUT = httpx.Timeout(5.0, connect=2.0)
ATTEMPTS = 3
"""A witness that says where it stands is asked again from there; more than twice, and something else is wrong."""
logger = logging.getLogger("tahini.witnesses")

Prove = Callable[[int, int], list[bytes]]
"""``prove(old, new)``: the consistency proof between two sizes of this log."""


class WitnessAhead(NotWitnessed):
    """A witness has seen more of this log than the log has: it was restored from an old copy, or forked."""

    code = "log-behind-its-witness"


@dataclass
class Submitter:
    """One witness, and how far it was when it last answered."""

    witness: Witness
    url: str
    http: httpx.Client
    size: int = 0

    def submit(self, note: str, checkpoint: Checkpoint, prove: Prove) -> str:
        """The witness's cosignature lines on ``note``.

        Raises:
            NotWitnessed: no answer, or none that its key signed. WitnessAhead: it has seen a longer log.
        """
        for _ in range(ATTEMPTS):
            if self.size > checkpoint.size:
                raise WitnessAhead(
                    f"witness {self.witness.name!r} has cosigned {self.size} entries of this log, which has only "
                    f"{checkpoint.size}: was it restored from an old backup?"
                )
            proof = prove(self.size, checkpoint.size) if 0 < self.size < checkpoint.size else []
            answer = self._post(AddCheckpoint(self.size, tuple(proof), note).text)
            if answer.status_code == 200:
                return self._believed(answer.text, note, checkpoint)
            if answer.status_code != 409 or not answer.text.strip().isdigit() or len(answer.text) > 20:
                detail = answer.text.strip().splitlines()[:1]
                raise NotWitnessed(f"witness {self.witness.name!r} answered {answer.status_code}: {detail}")
            self.size = int(answer.text)
        raise NotWitnessed(f"witness {self.witness.name!r} does not agree with itself about its size")

    def _post(self, body: str) -> httpx.Response:
        try:
            return self.http.post(f"{self.url}/add-checkpoint", content=body.encode())
        except httpx.HTTPError as error:
            raise NotWitnessed(f"witness {self.witness.name!r} does not answer ({type(error).__name__})") from error

    def _believed(self, lines: str, note: str, checkpoint: Checkpoint) -> str:
        """Only the lines that this witness's key made, each verified."""
        own = "".join(f"{line}\n" for line in lines.splitlines() if line.startswith(f"— {self.witness.key.name} "))
        try:
            signers(note + own, [self.witness.key])
        except CryptoError as error:
            raise NotWitnessed(f"witness {self.witness.name!r} answered without its signature: {error}") from error
        self.size = checkpoint.size
        return own


@dataclass
class Witnesses:
    """All witnesses of a policy that have an address."""

    policy: Policy
    submitters: Sequence[Submitter]
    _pool: ThreadPoolExecutor | None = field(default=None, repr=False)

    @classmethod
    def of(cls, policy: Policy, http: httpx.Client | None = None) -> Witnesses:
        client = http or httpx.Client(timeout=TIMEOUT)
        asked = [Submitter(w, w.url.rstrip("/"), client) for w in policy.witnesses if w.url]
        pool = ThreadPoolExecutor(len(asked), "witness") if asked else None
        return cls(policy, asked, pool)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def cosign(self, note: str, checkpoint: Checkpoint, prove: Prove) -> str:
        """``note`` with enough cosignatures for the quorum.

        Raises:
            NotWitnessed: too few witnesses cosigned; says what each of the others answered.
            WitnessAhead: one of them has seen a longer log.
        """
        cosigned, lines, refusals = set[str](), "", list[NotWitnessed]()
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
        ahead = next((refusal for refusal in refusals if isinstance(refusal, WitnessAhead)), None)
        if ahead is not None:
            raise ahead
        if not self.policy.satisfied(cosigned):
            told = "; ".join(str(refusal) for refusal in refusals) or "no witness has an address"
            raise NotWitnessed(f"the checkpoint of {checkpoint.size} entries has no quorum: {told}")
        return note + lines

    def _ask(self, note: str, checkpoint: Checkpoint, prove: Prove) -> dict[Future[str], Witness]:
        if self._pool is None:
            return {}
        return {self._pool.submit(s.submit, note, checkpoint, prove): s.witness for s in self.submitters}
