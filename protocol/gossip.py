"""Readers of one log compare what they believe, so that two histories meet wherever two readers
can.

Every witness shows the newest head that it cosigned
(``GET <witness>/<SHA-256 of the origin>/checkpoint``). A node asks all of them before each use of
data, an auditor in each audit. Their heads and the caller's own, sorted by size, must be of one
history: each extends the one before. Two heads of one size with different roots, both signed by the
log's key, prove a split view to anybody: the caller keeps them and stops.

A witness that does not answer proves nothing; the quorum tolerates silent ones. What is compared
here is beyond the
quorum: it finds out a registry with *more* dishonest witnesses than the consortium's ``f``, as long
as one is honest.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass

import httpx

from crypto.errors import SignatureError
from crypto.notes import Verifier, claimed_checkpoint, signers
from crypto.policies import Policy, Witness
from protocol.bounded import Bounds
from protocol.errors import ConsentError, RegistryUnavailable
from protocol.log_client import LogClient

HEAD = Bounds(64 * 1024, 3.0)
"""Of one witness. Any that says more, or takes longer, counts as silent: none can hold a lender's
gate."""
logger = logging.getLogger("tahini.gossip")


@dataclass(frozen=True)
class Heard:
    """What was compared: who stands in one history with the caller, and who could not be heard."""

    agree: tuple[str, ...]
    silent: tuple[str, ...]


def compare_heads(client: LogClient, policy: Policy, own: str, bounds: Bounds = HEAD) -> Heard:
    """Ask every witness that has an address for its newest head, and hold all of them beside the
    caller's own.

    Args:
        own: the newest checkpoint note that the caller accepted.

    Raises:
        SplitView: two heads of one size with different roots, or two of which the registry's own
            proof does not show that they are of one history.
        RegistryUnavailable: the registry gives no such proof, or does not answer.
    """
    asked = [witness for witness in policy.witnesses if witness.url]
    if not asked:
        return Heard((), ())
    heard = _heads(client, policy.logs[0].verifier, asked, bounds)
    silent = tuple(name for name, note in heard.items() if note is None)
    if silent:
        logger.warning("no head was heard from %s", ", ".join(silent))
    theirs = [note for note in heard.values() if note and claimed_checkpoint(note).size]
    if theirs:
        try:
            client.one_history([own, *theirs])
        except RegistryUnavailable:
            raise
        except ConsentError as error:
            raise RegistryUnavailable(
                "a witness holds a head that this log signed, and the registry does not show now "
                "that it is of its own "
                f"history (it answered {error.status}: {error}); nothing is done before it does, "
                "so try again"
            ) from error
    return Heard(tuple(name for name, note in heard.items() if note is not None), silent)


def _heads(
    client: LogClient, log: Verifier, asked: Sequence[Witness], bounds: Bounds
) -> dict[str, str | None]:
    """What each witness shows. Nobody is waited for beyond the bounds, even while its host's name
    is looked up."""
    pool = ThreadPoolExecutor(len(asked), "gossip")
    try:
        asking = {
            witness.name: pool.submit(_newest, client, log, witness, bounds) for witness in asked
        }
        done, _ = wait(asking.values(), bounds.within_s)
    finally:
        pool.shutdown(wait=False)
    return {name: future.result() if future in done else None for name, future in asking.items()}


def _newest(client: LogClient, log: Verifier, witness: Witness, bounds: Bounds) -> str | None:
    """The head that this witness cosigned last, signed by both; "" where there is none yet, None
    where it is silent."""
    place = hashlib.sha256(log.name.encode()).hexdigest()
    try:
        answer = client.elsewhere(f"{(witness.url or '').rstrip('/')}/{place}/checkpoint", bounds)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return ""
        if answer.status_code != httpx.codes.OK:
            return None
        note = answer.content.decode()
        _, keys = signers(note, [log, witness.key])
    except (httpx.HTTPError, httpx.InvalidURL, SignatureError, UnicodeDecodeError):
        return None
    return note if log in keys and witness.key in keys else None
