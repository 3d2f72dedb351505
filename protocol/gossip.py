"""Readers of one log compare what they believe, so that two histories meet wherever two readers can.

Every witness shows the newest head that it cosigned (``GET <witness>/<SHA-256 of the origin>/checkpoint``). A node asks
all of them before each use of data, an auditor in each audit. Their heads and the caller's own, sorted by size, must be
of one history: each extends the one before. Two heads of one size with different roots, both signed by the log's key,
prove a split view to anybody: the caller keeps them and stops.

A witness that does not answer proves nothing; the quorum tolerates silent ones. What is compared here is beyond the
quorum: it finds out a registry with *more* dishonest witnesses than the consortium's ``f``, as long as one is honest.
"""

from __future__ import annotations

import hashlib
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx

from crypto.errors import SignatureError
from crypto.notes import Verifier, claimed_checkpoint, signers
from crypto.policies import Policy, Witness
from protocol.errors import ConsentError, SplitView
from protocol.log_client import LogClient

TIMEOUT = httpx.Timeout(3.0, connect=2.0)
logger = logging.getLogger("tahini.gossip")


@dataclass(frozen=True)
class Heard:
    """What was compared: who stands in one history with the caller, and who could not be heard."""

    agree: tuple[str, ...]
    silent: tuple[str, ...]


def compare_heads(client: LogClient, policy: Policy, own: str) -> Heard:
    """Ask every witness that has an address for its newest head, and hold all of them beside the caller's own.

    Args:
        own: the newest checkpoint note that the caller accepted.

    Raises:
        SplitView: two heads of one size with different roots, or two that the registry cannot show to be of one
            history.
        RegistryUnavailable: the registry does not answer.
    """
    asked = [witness for witness in policy.witnesses if witness.url]
    if not asked:
        return Heard((), ())
    with ThreadPoolExecutor(len(asked), "gossip") as pool:
        answers = pool.map(lambda witness: _newest(client, policy.logs[0].verifier, witness), asked)
        heard = dict(zip([witness.name for witness in asked], answers, strict=True))
    silent = tuple(name for name, note in heard.items() if note is None)
    if silent:
        logger.warning("no head was heard from %s", ", ".join(silent))
    theirs = [note for note in heard.values() if note and claimed_checkpoint(note).size]
    try:
        client.one_history([own, *theirs])
    except ConsentError as error:
        if error.status >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise
        raise SplitView(
            "a witness holds a head that this log signed, and the registry cannot show that it is of its own history "
            f"({error})"
        ) from error
    return Heard(tuple(name for name, note in heard.items() if note is not None), silent)


def _newest(client: LogClient, log: Verifier, witness: Witness) -> str | None:
    """The head that this witness cosigned last, signed by both; "" where there is none yet, None where it is silent."""
    place = hashlib.sha256(log.name.encode()).hexdigest()
    try:
        answer = client.elsewhere(f"{(witness.url or '').rstrip('/')}/{place}/checkpoint", TIMEOUT)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return ""
        if answer.status_code != httpx.codes.OK:
            return None
        _, keys = signers(answer.text, [log, witness.key])
    except (httpx.HTTPError, httpx.InvalidURL, SignatureError):
        return None
    return answer.text if log in keys and witness.key in keys else None
