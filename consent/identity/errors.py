"""What this package refuses, beside what ``protocol.errors`` names."""

from __future__ import annotations

from protocol.errors import ConsentError, NotAuthenticated


class IdentityMisconfigured(ConsentError):
    """A settings file of this package does not say what it must; the registry does not start with
    it."""

    status = 500
    code = "identity-misconfigured"


class ActedBefore(NotAuthenticated):
    """Something that acts once was used again."""


class IssuerUnavailable(ConsentError):
    """An issuer's keys cannot be had, so that nothing it says can be believed now."""

    status = 503
    code = "issuer-unavailable"


class TokenRefused(ConsentError):
    """No access token. ``error`` is the OAuth error code (RFC 6749 section 5.2, RFC 7523 section
    3.2)."""

    def __init__(self, error: str, detail: str, status: int = 400) -> None:
        super().__init__(detail)
        self.error = error
        self.status = status
        self.code = error.replace("_", "-")


class TooManyRequests(ConsentError):
    """The caller asks more than its share. ``retry_after_s``: when the next call will be heard."""

    status = 429
    code = "too-many-requests"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"too many requests; ask again in {retry_after_s} s")
        self.retry_after_s = retry_after_s
        self.because("too-many-requests", seconds=retry_after_s)
