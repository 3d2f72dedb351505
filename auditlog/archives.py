"""The archive of an auditor's succession: every key and body that was sealed to an earlier auditor,
sealed again to the one there is now.

Three steps, of which the second needs no registry: the successor collects what it cannot open, the
outgoing auditor opens and seals it again, the successor checks it against the log and has it
logged. An envelope commits to its key, so the successor sees that a key handed over is the one that
bodies were sealed with. A roster commitment is sealed by its lender alone; what is handed over of
it is believed because the lender signed it, and must say what its skeleton says.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from crypto.bodies import ENVELOPE_CONTEXT, open_enclosed, open_envelope
from crypto.documents import canonical_json
from crypto.errors import SealError
from crypto.keys import RecipientKey, RecipientPublicKey, b64, unb64
from crypto.sealing import body_context, seal_to, unpad, unseal_from
from protocol.client.auditor import AuditorClient
from protocol.errors import AuditFailed
from protocol.handovers import Handover
from protocol.parties import Consortium, Role
from protocol.schema import now

ME = "successor"


@dataclass(frozen=True)
class Sealed:
    """What the log holds sealed to earlier auditors: headers of envelopes by hash, and bodies that
    are in none by index, with their type."""

    envelopes: dict[str, bytes]
    bodies: dict[int, tuple[str, bytes]]

    @classmethod
    def collected(
        cls, client: AuditorClient, leaves: Sequence[bytes], earlier: Iterable[str]
    ) -> Sealed:
        """From verified leaves: all that is sealed to one of ``earlier``, and not to the caller."""
        me, before = client.consortium.one(Role.AUDITOR).id, set(earlier)
        found = cls({}, {})
        for index, raw in enumerate(leaves):
            leaf = json.loads(raw)
            body, readers = leaf["body"], set(leaf["body"]["sealed_to"])
            if me in readers or not readers & before:
                continue
            if "envelope" not in body:
                found.bodies[index] = (leaf["type"], client.body(index))
            elif body["envelope"] not in found.envelopes:
                found.envelopes[body["envelope"]] = client.envelope(body["envelope"])
        return found

    @property
    def text(self) -> str:
        """As a file."""
        envelopes = {name: b64encode(header).decode() for name, header in self.envelopes.items()}
        bodies = {
            str(at): [kind, b64encode(body).decode()] for at, (kind, body) in self.bodies.items()
        }
        return json.dumps({"envelopes": envelopes, "bodies": bodies})

    @classmethod
    def parse(cls, text: str) -> Sealed:
        """Raises AuditFailed: it is no such file."""
        try:
            said = json.loads(text)
            return cls(
                {name: b64decode(one, validate=True) for name, one in said["envelopes"].items()},
                {
                    int(at): (str(kind), b64decode(body, validate=True))
                    for at, (kind, body) in said["bodies"].items()
                },
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise AuditFailed("this is not what tahini log sealed wrote") from error


@dataclass(frozen=True)
class ResealedArchive:
    """Secrets of envelopes by the envelope's hash, and padded bodies by index, all sealed to one
    auditor (HPKE). With ``key`` they open."""

    envelopes: Mapping[str, str]
    bodies: Mapping[int, str]
    key: RecipientKey | None = field(default=None, repr=False)

    @cached_property
    def content(self) -> bytes:
        """As a file; its hash is what the log holds."""
        bodies = {str(index): body for index, body in self.bodies.items()}
        return canonical_json({"envelopes": dict(self.envelopes), "bodies": bodies})

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @classmethod
    def parse(cls, content: bytes, key: RecipientKey | None = None) -> ResealedArchive:
        """Raises AuditFailed: it is no archive."""
        try:
            said = json.loads(content)
            bodies = {int(index): str(body) for index, body in said["bodies"].items()}
            return cls({name: str(one) for name, one in said["envelopes"].items()}, bodies, key)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise AuditFailed("this is no archive of an earlier auditor's") from error

    def open(self, index: int, leaf: Mapping[str, Any], body: bytes, header: bytes | None) -> bytes:
        """The plaintext of an entry's body.

        Args:
            header: of the envelope that the leaf names; None where it names none.

        Raises:
            SealError: it was not handed over, or another key than the envelope's was.
        """
        context = body_context(leaf["type"])
        if header is None:
            return unpad(self.body(index, context))
        key = self._key(leaf["body"]["envelope"], header)
        return unpad(open_enclosed(key, body, context))

    def _key(self, name: str, header: bytes) -> bytes:
        stated = json.loads(header)["commitment"]
        item = self.envelopes.get(name)
        if self.key is None or item is None:
            raise SealError("the envelope was not handed over by the auditor before")
        again = canonical_json({"commitment": stated, "keys": {ME: item}})
        return open_envelope(again, ME, self.key)

    def secret(self, name: str) -> bytes:
        """What an envelope's key is derived from. Raises SealError."""
        if self.key is None or name not in self.envelopes:
            raise SealError("the envelope was not handed over by the auditor before")
        return unseal_from(self.key, unb64(self.envelopes[name]), ENVELOPE_CONTEXT)

    def body(self, index: int, context: bytes) -> bytes:
        """A padded body. Raises SealError."""
        if self.key is None or index not in self.bodies:
            raise SealError(f"entry {index} was not handed over by the auditor before")
        return unseal_from(self.key, unb64(self.bodies[index]), context)

    def check(self, sealed: Sealed) -> None:
        """All that was sealed was handed over, and opens. Raises SealError, AuditFailed."""
        for name, header in sealed.envelopes.items():
            self._key(name, header)
        for index, (kind, _) in sealed.bodies.items():
            unpad(self.body(index, body_context(kind)))
        if len(self.envelopes) != len(sealed.envelopes) or len(self.bodies) != len(sealed.bodies):
            raise AuditFailed("the archive holds something else than what the log holds")


@dataclass(frozen=True)
class Outgoing:
    """An auditor that hands over: its name, its key, and what it was handed itself."""

    name: str
    key: RecipientKey
    archive: ResealedArchive | None = None

    def _secret(self, name: str, header: bytes) -> bytes:
        keys = json.loads(header)["keys"]
        if self.name in keys:
            return unseal_from(self.key, unb64(keys[self.name]), ENVELOPE_CONTEXT)
        if self.archive is None:
            raise SealError(f"the envelope {name[:12]}… is not sealed to {self.name!r}")
        return self.archive.secret(name)

    def _body(self, index: int, kind: str, body: bytes) -> bytes:
        context = body_context(kind)
        if self.archive is not None and index in self.archive.bodies:
            return self.archive.body(index, context)
        return unseal_from(self.key, body, context)

    def resealed(self, sealed: Sealed, to: RecipientPublicKey) -> ResealedArchive:
        """Everything opened, and sealed again. Raises SealError: something cannot be opened."""
        return ResealedArchive(
            {
                name: b64(seal_to(to, self._secret(name, header), ENVELOPE_CONTEXT))
                for name, header in sealed.envelopes.items()
            },
            {
                index: b64(seal_to(to, self._body(index, kind, body), body_context(kind)))
                for index, (kind, body) in sealed.bodies.items()
            },
        )

    def handover(self, archive: ResealedArchive, following: Consortium) -> Handover:
        """What the outgoing auditor signs. ``following``: the document that names the successor."""
        successor = following.one(Role.AUDITOR)
        return Handover(
            outgoing=self.name,
            successor=successor.id,
            successor_key=successor.signing_key,
            consortium_sha256=following.sha256,
            archive_sha256=archive.sha256,
            envelopes=len(archive.envelopes),
            bodies=len(archive.bodies),
            handed_over_at=now(),
        )
