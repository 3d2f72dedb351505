"""Exceptions of the protocol. ``status`` is the HTTP status, ``code`` the stable name of the
problem."""

from typing import Any, Self

from crypto.errors import TahiniError


class ConsentError(TahiniError):
    """Base of everything the registry refuses on purpose.

    ``place`` is where in what was handed in the reason stands, as names and positions from the
    outside in: ``("records", 3)``. Empty where it is about the whole.
    """

    status = 400
    code = "bad-request"
    place: tuple[str | int, ...] = ()
    said: tuple[str, dict[str, Any]] = ("", {})

    def at(self, *place: str | int) -> Self:
        """The same refusal, of what stands there."""
        self.place = place
        return self

    def because(self, reason: str, **parameters: Any) -> Self:
        """The same refusal: what its sentence says, by a stable name, and the values in it."""
        self.said = reason, parameters
        return self


class Malformed(ConsentError):
    """The request does not fit its schema."""

    status = 422
    code = "malformed"


class NotFound(ConsentError):
    status = 404
    code = "not-found"


class NotAllowed(ConsentError):
    """The caller is known but may not do this. ``rule`` names the rule that said so, where there
    are several."""

    status = 403
    code = "not-allowed"
    rule = ""


class NotAuthenticated(ConsentError):
    """The request or document is not signed by whom it claims."""

    status = 401
    code = "not-authenticated"


class Conflict(ConsentError):
    """The request is well-formed, but the present state does not allow it; nothing was changed."""

    status = 409
    code = "conflict"


class PreconditionFailed(ConsentError):
    """What the caller read has changed since (RFC 9110 section 13.1.1); nothing was changed."""

    status = 412
    code = "precondition-failed"


class StorageFailed(ConsentError):
    """The database did not accept the write; nothing was acknowledged."""

    status = 503
    code = "storage-failed"


class LogHeld(ConsentError):
    """Another process writes to the log; this one can only read."""

    status = 503
    code = "log-held"


class ClockWrong(ConsentError):
    """This machine's clock went back behind the log's newest entry."""

    status = 503
    code = "clock-wrong"


class LogDamaged(ConsentError):
    """What is stored does not hash to what was signed."""

    status = 503
    code = "log-damaged"


class KeysUnavailable(ConsentError):
    """The key store does not answer, or a key was destroyed while it was being used."""

    status = 503
    code = "keys-unavailable"


class NotWitnessed(ConsentError):
    """The entry is durable, but the quorum of witnesses has not cosigned a checkpoint over it
    yet."""

    status = 503
    code = "not-witnessed"


class RegistryUnavailable(ConsentError):
    """The registry did not answer, or not with something that can be believed. Callers fail
    closed."""

    status = 503
    code = "registry-unavailable"


class SplitView(RegistryUnavailable):
    """The log's key signed two histories. Nothing that it says is believed from here on."""

    code = "split-view"


class AuditFailed(ConsentError):
    """The log does not prove what it should."""

    status = 500
    code = "audit-failed"


class BadSettings(ConsentError):
    """A service's settings are not whole; the message says which of file, environment and flag to
    look at."""


class CertificateRefused(ConsentError):
    """A certificate cannot be read, or does not fit its key."""
