"""What goes wrong on a page, by code, so that it can be said in the reader's language."""

from __future__ import annotations

from collections.abc import Mapping


class PageError(Exception):
    """An answer that is a page with a sentence.

    Attributes:
        status: of the HTTP answer.
        code: what :func:`screens.house.words.Words.problem` says a sentence for.
        parameters: what stands in that sentence.
        way: a path of ours to go on by; the start where there is none.
    """

    status = 400
    code = "malformed"

    def __init__(
        self,
        code: str | None = None,
        status: int | None = None,
        parameters: Mapping[str, str] | None = None,
        way: str | None = None,
    ) -> None:
        super().__init__(code or self.code)
        self.code = code or self.code
        self.status = status or self.status
        self.parameters = dict(parameters or {})
        self.way = way


class NotLoggedIn(PageError):
    """There is no session, or it has ended."""

    status = 401
    code = "not-logged-in"


class ForeignForm(PageError):
    """A form that another site sent, or nobody can tell."""

    status = 403
    code = "foreign-form"


class LoginFailed(PageError):
    """The issuer, or the way back from it, did not do what it must."""

    status = 400
    code = "login-failed"


class ServiceAway(PageError):
    """The service that this app shows does not answer."""

    status = 503
    code = "service-away"


class FreshLoginNeeded(PageError):
    """The log-in is too old for what is asked."""

    status = 403
    code = "fresh-login-needed"


class TooOften(PageError):
    """More calls in one visit than people make."""

    status = 429
    code = "too-many-requests"
