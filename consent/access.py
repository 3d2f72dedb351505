"""Who is calling: signed requests and sessions, checked once, for endpoints and as FastAPI dependencies."""

from typing import Any

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from consent.commands.read_consents import subject_key
from consent.documents import Party, Role
from consent.errors import ConsentError, NotAllowed, NotAuthenticated
from consent.registry import Registry
from consent.requests import ReplayGuard, SignedRequest, verify_request
from consent.sessions import SCHEME, Sessions
from crypto.errors import SignatureError


def _target(request: Request) -> str:
    """Path and query exactly as they were sent: what a signature or MAC is over."""
    path = (request.scope.get("raw_path") or request.url.path.encode()).decode("latin-1")
    query = request.scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else path


class Access:
    """Lets in whom an endpoint is for. Pseudonyms have a dot in them, party ids have none.

    Borrowers sign each request. Institutions may, or begin a session and put a MAC on each (``consent.sessions``).
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._guard = ReplayGuard(registry.clock())
        self.sessions = Sessions(registry.me.id, registry.signing_key)

    async def identify(self, request: Request) -> str | Party:
        """Who makes this request, for exactly this call: a party, or a borrower's pseudonym.

        Raises:
            NotAuthenticated: nobody who is known here, or the signature or MAC was made for another call.
        """
        registry = self._registry
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        target = _target(request)
        if scheme.lower() == SCHEME:
            self.sessions.known(credentials, registry.clock())
            body = await request.body()
            return self.sessions.verify(credentials, request.method, target, body, registry.clock())
        if scheme.lower() != "bearer" or not credentials:
            raise NotAuthenticated("this call needs a signed request in the Authorization header")
        try:
            issuer = SignedRequest.claimed(credentials).iss
            if issuer.startswith("v") and "." in issuer:
                who: str | Party = issuer
                key = await run_in_threadpool(subject_key, registry, issuer)
            else:
                who = registry.consortium.party(issuer)
                key = who.key
        except (SignatureError, ConsentError) as error:
            raise NotAuthenticated("the request is signed by nobody who is known here") from error
        body = await request.body()
        verify_request(credentials, key, registry.me.id, request.method, target, body, registry.clock(), self._guard)
        return who

    async def party(self, request: Request, *roles: Role) -> Party:
        """The calling party, if it has one of these roles; raises NotAuthenticated or NotAllowed."""
        who = await self.identify(request)
        if isinstance(who, str):
            raise NotAllowed(f"this call is for a {' or '.join(roles)}")
        if who.role not in roles:
            raise NotAllowed(f"{who.id!r} is a {who.role}; this call is for a {' or '.join(roles)}")
        return who

    def only(self, *roles: Role) -> Any:
        """A dependency that yields the calling party if it has one of these roles."""

        async def caller(request: Request) -> Party:
            return await self.party(request, *roles)

        return Depends(caller)

    def subject(self) -> Any:
        """A dependency that yields the calling borrower's pseudonym."""

        async def caller(request: Request) -> str:
            who = await self.identify(request)
            if not isinstance(who, str):
                raise NotAllowed("this call is for borrowers")
            return who

        return Depends(caller)
