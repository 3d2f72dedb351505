"""Third parties that check one thing an applicant stated: an employer, an address, an account.

The adapter that ships asks over HTTP with a signed request. A lender's own is one function in a
package that it installs beside Tahini, which names it as an entry point:

    [project.entry-points."tahini.verifiers"]
    acme-payroll = "acme.payroll:verify"

    def verify(kind: str, inquiry: Inquiry) -> Verification: ...
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from threading import BoundedSemaphore, Thread
from typing import Literal, Protocol, get_args

import httpx

from crypto.keys import SigningKey
from desk.errors import SourceFailed
from desk.sources import About, Inquiry, signed_call
from protocol.errors import BadSettings

VerificationResult = Literal["confirmed", "contradicted", "unknown", "late"]
_SHA256 = re.compile("[0-9a-f]{64}")
AT_ONCE = 16
"""Calls of one adapter that have not come back; whoever asks then is answered at once: late."""
ADAPTERS = "tahini.verifiers"
"""The group of entry points that adapters of a lender's own are found in."""
_RESULTS: tuple[VerificationResult, ...] = get_args(VerificationResult)


@dataclass(frozen=True)
class Verification:
    """What a third party said. ``evidence_sha256`` is of what it answered, which the lender keeps
    elsewhere."""

    result: VerificationResult
    evidence_sha256: str | None = None

    def __post_init__(self) -> None:
        """Raises SourceFailed: it says something else, which nothing may keep."""
        digest = self.evidence_sha256
        is_digest = digest is None or (isinstance(digest, str) and _SHA256.fullmatch(digest))
        if self.result not in _RESULTS or not is_digest:
            raise SourceFailed("a verification is one of four words, and at most a SHA-256")


class Verifying(Protocol):
    """Somebody who can verify one kind of statement."""

    @property
    def about(self) -> About:
        """Its name, the kind of data, and its deadline."""
        ...

    def verify(self, kind: str, inquiry: Inquiry) -> Verification:
        """Raises anything where there is no answer."""
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


Adapter = Callable[[str, Inquiry], Verification]


@dataclass(frozen=True)
class OwnVerifier:
    """A lender's own adapter, by what the desk calls it; nobody waits beyond its deadline."""

    about: About
    adapter: Adapter = field(repr=False)
    _free: BoundedSemaphore = field(
        default_factory=lambda: BoundedSemaphore(AT_ONCE), repr=False, compare=False
    )

    def verify(self, kind: str, inquiry: Inquiry) -> Verification:
        if not self._free.acquire(blocking=False):
            raise SourceFailed(f"verifier {self.about.name!r} has {AT_ONCE} calls to answer yet")
        told: Future[Verification] = Future()

        def ask() -> None:
            try:
                told.set_result(self.adapter(kind, inquiry))
            except Exception as error:  # it is the caller's to hear, in the caller's thread
                told.set_exception(error)
            finally:
                self._free.release()

        Thread(target=ask, name=f"verifier {self.about.name}", daemon=True).start()
        found = told.result(self.about.deadline_s)
        if not isinstance(found, Verification):
            raise SourceFailed(f"verifier {self.about.name!r} answers in another form")
        return found


def installed_adapter(name: str) -> Adapter:
    """The adapter of this name that is installed here.

    Raises:
        BadSettings: there is none, there are several, or it cannot be imported.
    """
    named = list(entry_points(group=ADAPTERS, name=name))
    if len(named) != 1:
        several = "more than one package installs" if named else "no package that is installed has"
        raise BadSettings(f"{several} a verifier {name!r} (entry points of {ADAPTERS})")
    try:
        found = named[0].load()
    except Exception as error:  # whatever the package does when it is imported
        why = type(error).__name__
        raise BadSettings(f"verifier {name!r} ({named[0].value}) cannot be had: {why}") from error
    if not callable(found):
        raise BadSettings(f"verifier {name!r} ({named[0].value}) is no function")
    adapter: Adapter = found
    return adapter
