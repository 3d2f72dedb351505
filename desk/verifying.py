"""Third parties that check one thing an applicant stated: an employer, an address, an account.

An adapter is a few lines: a name, what it verifies, and one call. The one that ships asks over HTTP
with a signed request.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Literal, Protocol, get_args

import httpx

from crypto.keys import SigningKey
from desk.errors import SourceFailed
from desk.sources import About, Inquiry, signed_call

VerificationResult = Literal["confirmed", "contradicted", "unknown", "late"]
_RESULTS: tuple[VerificationResult, ...] = get_args(VerificationResult)


@dataclass(frozen=True)
class Verification:
    """What a third party said. ``evidence_sha256`` is of what it answered, which the lender keeps
    elsewhere."""

    result: VerificationResult
    evidence_sha256: str | None = None


class Verifying(Protocol):
    """Somebody who can verify one kind of statement."""

    @property
    def about(self) -> About:
        """Its name, the kind of data, and its deadline."""
        ...

    def verify(self, kind: str, inquiry: Inquiry) -> Verification:
        """Raises TahiniError, OSError or httpx.HTTPError where there is no answer."""
        ...


@dataclass(frozen=True)
class HttpVerifier:
    """It is sent ``{"application": …, "subject": …, "kind": …}`` and answers
    ``{"result": "confirmed"}``."""

    about: About
    url: str
    audience: str
    caller: str
    key: SigningKey = field(repr=False)
    http: httpx.Client = field(repr=False)

    def verify(self, kind: str, inquiry: Inquiry) -> Verification:
        asked = {
            "application": inquiry.application,
            "subject": inquiry.pseudonym,
            "kind": kind,
        }
        said = signed_call(self, json.dumps(asked).encode())
        stated = said.get("result") if isinstance(said, dict) else None
        result = next((one for one in _RESULTS if one == stated), None)
        if result is None:
            raise SourceFailed(f"verifier {self.about.name!r} answers in another form")
        digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
        return Verification(result, digest)
