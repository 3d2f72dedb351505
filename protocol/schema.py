"""The base of every signed document, and the types that documents share. Unknown fields are
refused.

Times are RFC 3339 in UTC.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cached_property
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from rfc8785 import CanonicalizationError

from crypto.documents import document_hash, sign_document, unverified_payload, verify_document
from crypto.errors import SignatureError
from crypto.keys import PublicKey, SigningKey
from crypto.sentences import one_sentence, shaped

Slug = Annotated[
    str,
    shaped(
        r"^[a-z0-9][a-z0-9-]{0,62}$",
        "1 to 63 lower-case letters, digits and hyphens, no hyphen first",
    ),
]
Sha256 = Annotated[str, shaped(r"^[0-9a-f]{64}$", "a SHA-256: 64 lower-case hexadecimal digits")]
Pseudonym = Annotated[
    str,
    shaped(
        r"^v[0-9]{1,3}\.[A-Za-z0-9_-]{43}$",
        "a pseudonym: v, the version of the naming keys, a dot, 43 characters",
    ),
]
KeyText = Annotated[str, shaped(r"^[A-Za-z0-9_-]{43}$", "a public key: 43 characters of base64url")]
Language = Annotated[
    str,
    shaped(r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$", "a language tag, as en or zh-Hans"),
    Field(max_length=35),
]
StaffId = Annotated[
    str,
    shaped(r"^[A-Za-z0-9][A-Za-z0-9._-]{1,63}$", "a staff id: 2 to 64 letters, digits, . _ or -"),
]
"""Who at an institution acted, by an id that only the institution can resolve."""


def left_out(value: object) -> bool:
    """For ``exclude_if``: a field of a later version must not change the hash of documents without
    it."""
    return value is None or value is False


def _utc(value: datetime) -> datetime:
    """UTC, within the years that a consent can sensibly speak of."""
    if not 2000 <= value.year <= 2200:
        raise ValueError("a time between the years 2000 and 2200")
    return value.astimezone(UTC)


Instant = Annotated[AwareDatetime, AfterValidator(_utc)]


def now() -> datetime:
    """The present instant, UTC, to the second: the only clock of this room."""
    return datetime.now(UTC).replace(microsecond=0)


class Document(BaseModel):
    """A payload that travels signed. ``typ`` is its JWS type; see :mod:`crypto.documents`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    typ: ClassVar[str]

    def payload(self) -> dict[str, Any]:
        return self.model_dump(mode="json")

    @cached_property
    def sha256(self) -> str:
        """Hash of the canonical payload: the document's name."""
        return document_hash(self.payload())

    def sign(self, key: SigningKey) -> str:
        return sign_document(self.typ, self.payload(), key)

    @classmethod
    def _of(cls, payload: dict[str, Any]) -> Self:
        try:
            found = cls.model_validate(payload)
            _ = found.sha256  # what has no canonical form has no name, and cannot be meant
            return found
        except (CanonicalizationError, RecursionError) as error:
            raise SignatureError(f"the {cls.typ} document has no canonical form") from error
        except ValidationError as error:
            raise SignatureError(
                f"the {cls.typ} document does not fit its schema: {one_sentence(error)}"
            ) from error

    @classmethod
    def verify(cls, token: str, key: PublicKey) -> Self:
        """The document in ``token``, if ``key`` signed it and it fits the schema; raises
        SignatureError."""
        return cls._of(verify_document(token, cls.typ, key))

    @classmethod
    def claimed(cls, token: str) -> Self:
        """What ``token`` says *before* verification: only to learn whose key to verify it with."""
        return cls._of(unverified_payload(token))
