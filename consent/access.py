"""Who is calling: signed requests, checked once, as FastAPI dependencies."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from consent.commands.read_consents import subject_key
from consent.documents import Party, Role
from consent.errors import ConsentError, NotAllowed, NotAuthenticated
from consent.registry import Registry
from consent.requests import ReplayGuard, SignedRequest, verify_request
from crypto.errors import SignatureError


class Access:
    """Dependencies that let in whom an endpoint is for. Pseudonyms have a dot in them, party ids have none."""

    def __init__(self, registry: Registry) -> None:
        guard = ReplayGuard(registry.clock())

        async def signed(request: Request) -> tuple[str, SignedRequest]:
            """The verified request and its issuer."""
            scheme, _, token = request.headers.get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not token:
                raise NotAuthenticated("this call needs a signed request in the Authorization header")
            try:
                issuer = SignedRequest.claimed(token).iss
                key = (
                    await run_in_threadpool(subject_key, registry, issuer)
                    if issuer.startswith("v") and "." in issuer
                    else registry.consortium.party(issuer).key
                )
            except (SignatureError, ConsentError) as error:
                raise NotAuthenticated("the request is signed by nobody who is known here") from error
            target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            body = await request.body()
            verified = verify_request(token, key, registry.me.id, request.method, target, body, registry.clock(), guard)
            return issuer, verified

        self._registry, self._signed = registry, signed

    def only(self, *roles: Role) -> Any:
        """A dependency that yields the calling party if it has one of these roles."""

        async def caller(who: Annotated[tuple[str, SignedRequest], Depends(self._signed)]) -> Party:
            if "." in who[0]:
                raise NotAllowed(f"this call is for a {' or '.join(roles)}")
            party = self._registry.consortium.party(who[0])
            if party.role not in roles:
                raise NotAllowed(f"{party.id!r} is a {party.role}; this call is for a {' or '.join(roles)}")
            return party

        dependency: Callable[..., Awaitable[Party]] = caller
        return Depends(dependency)

    def subject(self) -> Any:
        """A dependency that yields the calling borrower's pseudonym."""

        async def caller(who: Annotated[tuple[str, SignedRequest], Depends(self._signed)]) -> str:
            if "." not in who[0]:
                raise NotAllowed("this call is for borrowers")
            return who[0]

        return Depends(caller)
