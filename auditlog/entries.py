"""What stands in the audit log: a clear skeleton (the *leaf*) and a sealed body.

A leaf is canonical JSON: type, time, actor, campaign, counts, hashes; and of the body its SHA-256,
whom it is sealed to, and what commits to the key. It never names a person. The leaf hashes
ciphertext only, so destroying a key changes no proof. The time is filled in when the entry gets its
index, so that entries stand in the order of their times.

Leaves are public for ever, and who acted at which second is known to whoever stood beside them: the
time in a leaf is the day (UTC). The order is the index. What needs more stands where few can read
it: in the sealed body, signed by whoever acted, and in the registry's database.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from crypto.bodies import MAX_ENVELOPE_BODIES, Envelope, seal
from crypto.documents import canonical_json
from crypto.errors import ProofError
from crypto.keys import RecipientPublicKey, b64
from crypto.sealing import body_context, pad

SEALED_COUNTS = frozenset({"rows", "people"})
"""Exact counts of people are for whom the body is sealed to: nobody was charged for telling them to
the world."""


def opened_counts(leaf: Mapping[str, Any], content: bytes) -> tuple[dict[str, int], bytes]:
    """The counts and the body in what an entry sealed. Raises ValueError where they are not what
    the leaf says."""
    if not leaf.get("sealed"):
        return {}, content
    line, _, body = content.partition(b"\n")
    counts = json.loads(line)
    if not isinstance(counts, dict) or sorted(counts) != leaf["sealed"]:
        raise ValueError("the sealed counts are not those that the skeleton names")
    return counts, body


LEAF_VERSION = 1
MAX_LEAF_BYTES = 65_535
"""What an entry bundle can hold (tlog-tiles: a length of two bytes)."""
TIME_BYTES = 27
"""Length of what :func:`leaf_time` writes."""
ENVELOPE_LIFETIME_S = 60.0
_TIME, _ESCAPED_TIME = b"\x00", b"\\u0000"
"""Stands for the time in a template; canonical JSON never holds this byte."""


@dataclass(frozen=True)
class Entry:
    """What is about to be logged: the leaf but for its time, and the body as it will be stored."""

    template: bytes
    body: bytes
    envelope: bytes | None = None
    """Header of the envelope that the body is in."""
    subject_id: int | None = None
    """The borrower it concerns, who can ask for it."""

    def leaf(self, moment: bytes) -> bytes:
        return self.template.replace(_TIME, moment, 1)


def leaf_time(microseconds: int) -> str:
    """RFC 3339 in UTC, always with six decimals, so that times sort as text."""
    seconds, rest = divmod(microseconds, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:06d}Z"


DAY_US = 86_400_000_000


def public_time(microseconds: int) -> str:
    """The day, written as its first instant: what a leaf says of when its entry was made."""
    return leaf_time(microseconds - microseconds % DAY_US)


def day_of(leaf: Mapping[str, Any]) -> str:
    """The day of an entry, such as ``2026-11-27``: of one made before version 0.6.0, too, whose
    time is exact."""
    return str(leaf["time"])[:10]


def _template(kind: str, actor: str, public: Mapping[str, Any], body: dict[str, Any]) -> bytes:
    fields = {"v": LEAF_VERSION, "type": kind, "actor": actor, "time": "\0", **public, "body": body}
    template = canonical_json(fields)
    if template.count(_ESCAPED_TIME) != 1:
        raise ProofError(f"a {kind} entry holds a control character in its skeleton")
    template = template.replace(_ESCAPED_TIME, _TIME)
    if len(template) > MAX_LEAF_BYTES - TIME_BYTES:
        raise ProofError(
            f"a {kind} entry of {len(template)} bytes is larger than a log entry may be"
        )
    return template


def entry_for_subject(
    kind: str, actor: str, public: Mapping[str, Any], subject_id: int, data_key: bytes, body: bytes
) -> Entry:
    """An entry whose body only the holder of this subject's data key can read."""
    sealed = seal(data_key, pad(body), body_context(kind))
    about = {
        "sealed_to": ["subject"],
        "sha256": hashlib.sha256(sealed.ciphertext).hexdigest(),
        "key_commitment": b64(sealed.commitment),
    }
    return Entry(_template(kind, actor, public, about), sealed.ciphertext, subject_id=subject_id)


def entry_with_sealed_body(
    kind: str, actor: str, public: Mapping[str, Any], to: str, body: bytes
) -> Entry:
    """An entry whose body its author sealed already to party ``to`` (HPKE); the log never saw
    it."""
    about = {"sealed_to": [to], "sha256": hashlib.sha256(body).hexdigest()}
    return Entry(_template(kind, actor, public, about), body)


@dataclass
class _Current:
    """An envelope in use, and what of a leaf depends on it alone."""

    envelope: Envelope
    until: float
    about: dict[str, Any]


@dataclass
class Sealer:
    """Seals bodies to sets of parties. One envelope per set serves many bodies, for a minute."""

    recipients: Mapping[str, RecipientPublicKey]
    _open: dict[tuple[str, ...], _Current] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def entry(
        self, kind: str, actor: str, public: Mapping[str, Any], to: tuple[str, ...], body: bytes
    ) -> Entry:
        """An entry whose body every party in ``to`` can read.

        Raises:
            KeyError: a party has no recipient key; see :attr:`recipients`.
        """
        padded, context = pad(body), body_context(kind)
        with self._lock:
            current = self._current(tuple(sorted(set(to))))
            sealed = current.envelope.add(padded, context)
        about = {**current.about, "sha256": hashlib.sha256(sealed).hexdigest()}
        return Entry(_template(kind, actor, public, about), sealed, current.envelope.header)

    def _current(self, names: tuple[str, ...]) -> _Current:
        current = self._open.get(names)
        moment = time.monotonic()
        if (
            current is None
            or moment > current.until
            or current.envelope.used >= MAX_ENVELOPE_BODIES
        ):
            self._open = {known: held for known, held in self._open.items() if held.until >= moment}
            envelope = Envelope.seal({name: self.recipients[name] for name in names})
            about = {"sealed_to": list(names), "envelope": envelope.sha256}
            current = self._open[names] = _Current(envelope, moment + ENVELOPE_LIFETIME_S, about)
        return current
