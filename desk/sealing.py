"""What the desk keeps of people, sealed at rest.

Each application has a data key of its own, wrapped under the key of the home (``desk.key``); what a
case rested on, what a reviewer wrote and what goes to the log is sealed under it. Whoever has the
database alone reads none of it; a destroyed data key makes it unreadable in every backup too.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Any

import orjson

from crypto.bodies import SealedBody, new_data_key, seal, unseal, unwrap_key, wrap_key
from crypto.errors import SealError

COMMITMENT_SIZE = 32
_WRAPPING = b"tahini/desk/data-key/v1/"
_SECRET = b"tahini/desk/secret/v1/"
_BODY = b"tahini/desk/body/v1/"
_STAFF = b"tahini/desk/staff/v1/"
_CUSTOMER = b"tahini/desk/customer/v1/"


@dataclass(frozen=True)
class ApplicationKey:
    """The data key of one application."""

    application: str
    key: bytes = field(repr=False)

    def seal(self, kind: str, value: Any) -> bytes:
        """``value`` as JSON, bound to the application and to what it is."""
        body = seal(self.key, orjson.dumps(value), self._context(kind))
        return body.commitment + body.ciphertext

    def open(self, kind: str, sealed: bytes) -> Any:
        """Inverse of :meth:`seal`; raises SealError."""
        body = SealedBody(sealed[COMMITMENT_SIZE:], sealed[:COMMITMENT_SIZE])
        return orjson.loads(unseal(self.key, body, self._context(kind)))

    def _context(self, kind: str) -> bytes:
        return _BODY + f"{self.application}/{kind}".encode()


@dataclass(frozen=True)
class AtRest:
    """The key of the desk's home."""

    key: bytes = field(repr=False)

    def new(self, application: str) -> tuple[ApplicationKey, bytes]:
        """A fresh data key, and how it is stored."""
        made = ApplicationKey(application, new_data_key())
        return made, wrap_key(self.key, made.key, _WRAPPING + application.encode())

    def of(self, application: str, wrapped: bytes | None) -> ApplicationKey:
        """Raises SealError where it was destroyed."""
        if wrapped is None:
            raise SealError(f"what application {application} rested on was forgotten")
        context = _WRAPPING + application.encode()
        return ApplicationKey(application, unwrap_key(self.key, wrapped, context))

    def wrap(self, name: str, secret: bytes) -> bytes:
        """A secret of the desk's own, as it is stored under ``name``."""
        return wrap_key(self.key, secret, _SECRET + name.encode())

    def unwrap(self, name: str, wrapped: bytes) -> bytes:
        """Inverse of :meth:`wrap`; raises SealError."""
        return unwrap_key(self.key, wrapped, _SECRET + name.encode())

    def tag(self, said: bytes) -> bytes:
        """A MAC of what a customer's token says: HMAC-SHA256."""
        return hmac.digest(self.key, _CUSTOMER + said, hashlib.sha256)

    def alias(self, staff: str) -> str:
        """Who of the staff it was, for whoever reads a decision: always the same, and only who has
        this key can say whose it is. 128 bits of HMAC-SHA256, in hex."""
        return hmac.digest(self.key, _STAFF + staff.encode(), hashlib.sha256)[:16].hex()
