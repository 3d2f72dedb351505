"""Nothing is done on a form that another site sent (CSRF).

A browser says where a request comes from (Fetch Metadata: ``Sec-Fetch-Site``), and scripts of other
sites cannot say otherwise; where it does not say, ``Origin`` is compared with the app's own, which
is configured and never read off ``Host``. Who says neither is refused.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from screens.house.errors import ForeignForm, PageError

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class OwnForms:
    """Refuses every request that may change something unless it comes from a page of ``origin``;
    ``refusal`` makes the answer."""

    def __init__(
        self, app: ASGIApp, origin: str, refusal: Callable[[Request, PageError], Response]
    ) -> None:
        self._app, self._origin, self._refusal = app, origin, refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in SAFE or self._own(scope):
            await self._app(scope, receive, send)
        else:
            await self._refusal(Request(scope), ForeignForm())(scope, receive, send)

    def _own(self, scope: Scope) -> bool:
        said = [(name, value.decode("latin-1")) for name, value in scope["headers"]]
        sites = [value for name, value in said if name == b"sec-fetch-site"]
        if sites:
            return sites == ["same-origin"]
        return [value for name, value in said if name == b"origin"] == [self._origin]
