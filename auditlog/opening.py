"""What an auditor opens: bodies that are sealed to it, and what an earlier auditor handed over."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from crypto.bodies import open_enclosed, open_envelope
from crypto.errors import SealError
from crypto.keys import RecipientKey
from crypto.sealing import body_context, unpad, unseal_from
from protocol.client.auditor import AuditorClient
from protocol.errors import AuditFailed


def open_body(
    client: AuditorClient, name: str, recipient: RecipientKey, leaf: Mapping[str, Any], body: bytes
) -> bytes:
    """The plaintext of a body that is sealed to party ``name``.

    Raises:
        SealError: it is sealed to somebody else, or was altered.
    """
    context = body_context(leaf["type"])
    if "envelope" not in leaf["body"]:
        return unpad(unseal_from(recipient, body, context))
    key = open_envelope(client.envelope(leaf["body"]["envelope"]), name, recipient)
    return unpad(open_enclosed(key, body, context))


class Archive(Protocol):
    """What earlier auditors handed over (``auditlog.archives``)."""

    @property
    def sha256(self) -> str: ...

    def open(self, index: int, leaf: Mapping[str, Any], body: bytes, header: bytes | None) -> bytes:
        """The plaintext of an entry's body; raises SealError where it was not handed over."""


@dataclass(frozen=True)
class Bodies:
    """Opens the bodies of entries as auditor ``name``, or none at all without its key."""

    client: AuditorClient
    name: str
    key: RecipientKey | None = None
    archive: Archive | None = None

    def opened(self, index: int, leaf: Mapping[str, Any]) -> dict[str, Any] | None:
        """The JSON in an entry's body; None without the auditor's key.

        Raises:
            AuditFailed: the body is not the one in the leaf, or what is in it is no JSON object.
                SealError: it cannot be opened.
        """
        if self.key is None:
            return None
        found = json.loads(self.plain(index, leaf))
        if not isinstance(found, dict):
            raise AuditFailed(f"entry {index}: the sealed body holds no JSON object")
        return found

    def plain(self, index: int, leaf: Mapping[str, Any]) -> bytes:
        """The plaintext of an entry's body.

        Raises:
            AuditFailed: the body is not the one in the leaf. SealError: it cannot be opened.
        """
        body = self.client.body(index)
        if hashlib.sha256(body).hexdigest() != leaf["body"]["sha256"]:
            raise AuditFailed(f"entry {index}: the sealed body is not the one in the leaf")
        sealed_to = leaf["body"]["sealed_to"]
        if self.key is not None and self.name in sealed_to:
            return open_body(self.client, self.name, self.key, leaf, body)
        if self.archive is None:
            raise SealError(
                f"it is sealed to {', '.join(sealed_to)}; whoever audited before hands over an "
                "archive (tahini log reseal)"
            )
        envelope = leaf["body"].get("envelope")
        header = None if envelope is None else self.client.envelope(envelope)
        return self.archive.open(index, leaf, body, header)
