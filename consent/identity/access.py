"""Access: who is calling, in one place for every endpoint. Each endpoint declares whom it is for.

    Lender = Annotated[Party, access.only(Caller.LENDER)]
    Subject = Annotated[CallingBorrower, access.subject()]

Institutions sign each request, begin a session and put a MAC on each, or bring an access token;
borrowers sign with their own key or bring an access token that they got for a login
(``consent.identity``). The declaration is the dependency itself: :func:`declarations` reads it off
an application's routes.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_dependant
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool

from consent.commands.read_consents import subject_key
from consent.identity.callers import Caller, CallingBorrower
from consent.identity.exchange import Exchange
from consent.identity.issuers import Issuers
from consent.identity.jwts import MAX_TOKEN, peek_kid, peek_typ
from consent.identity.keys import PartyKeys
from consent.identity.limits import CallKind, RateLimits, load_limits
from consent.identity.links import Links
from consent.identity.replays import SharedReplayGuard
from consent.identity.sessions import Sessions
from consent.identity.settings import load_issuers
from consent.identity.single_use import Challenges
from consent.identity.tokens import AccessToken, AccessTokens
from consent.registry import Registry
from crypto.errors import SignatureError
from crypto.keys import PublicKey, SigningKey
from ops.request_log import note_caller
from protocol.errors import ConsentError, NotAllowed, NotAuthenticated, NotFound
from protocol.parties import Party, Role
from protocol.requests import Call, ReplayGuard, SignedRequest, check_request
from protocol.sessions import SCHEME

logger = logging.getLogger("tahini.identity")


def _target(request: Request) -> str:
    """Path and query exactly as they were sent: what a signature or MAC is over."""
    path = (request.scope.get("raw_path") or request.url.path.encode()).decode("latin-1")
    query = request.scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else path


class Access:
    """Lets in whom an endpoint is for. Pseudonyms have a dot in them, party ids have none.

    Args:
        started: when the service began whose worker this process is, if it is one of several.

    Raises:
        IdentityMisconfigured, SignatureError: a settings file in the registry's home is not in
        order.
    """

    def __init__(self, registry: Registry, started: datetime | None = None) -> None:
        self._registry = registry
        self._guard: ReplayGuard | SharedReplayGuard = ReplayGuard(registry.clock())
        if registry.ledger.log.lease.shared:
            self._guard = SharedReplayGuard(registry.ledger.database, started or registry.clock())
        self.keys = PartyKeys(registry)
        self.issuers = Issuers(load_issuers(registry.home, registry.consortium))
        self.links = Links(registry, self.issuers, self.keys)
        self.tokens = AccessTokens(registry)
        self.challenges = Challenges.of(registry.signing_key)
        self.limits = RateLimits(load_limits(registry.home))
        self.exchange = Exchange(
            registry, self.issuers, self.keys, self.links, self.tokens, self.challenges, self.limits
        )
        self.sessions = Sessions(registry.me.id, registry.signing_key, self.keys.find)

    def limit_address(self, request: Request, kind: CallKind) -> None:
        """Raises TooManyRequests."""
        self.limits.of_address(request.client.host if request.client else "", kind)

    # --- who

    async def admit(self, request: Request, allowed: "Allowed") -> Party | CallingBorrower:
        """The caller, if it is allowed and it does not ask too much; what is refused is logged,
        without names.

        Raises:
            NotAuthenticated, NotAllowed, TooManyRequests.
        """
        try:
            who = await self.identify(request)
            note_caller(request.scope, who.role.value if isinstance(who, Party) else "subject")
            self.limits.of(who, allowed.kind or CallKind.of(request.method))
            caller = Caller.of(who.role) if isinstance(who, Party) else Caller.SUBJECT
            if caller not in allowed.callers:
                whom = " or ".join(
                    "borrowers" if one is Caller.SUBJECT else f"a {one}"
                    for one in sorted(allowed.callers)
                )
                raise NotAllowed(f"this call is for {whom}; the caller is a {caller}")
            if allowed.linked and isinstance(who, CallingBorrower) and not who.subjects:
                raise NotAllowed(
                    "this login is not linked to a pseudonym yet; hand in a ticket of your lender "
                    "first"
                ).because("not-linked")
        except ConsentError as error:
            path = getattr(request.scope.get("route"), "path", "")
            logger.info("refused: %s %s: %s", request.method, path, error.code)
            raise
        return who

    async def identify(self, request: Request) -> Party | CallingBorrower:
        """Who makes this request.

        Raises:
            NotAuthenticated: nobody who is known here, or proof that was made for another call or
                is not in force.
        """
        registry = self._registry
        if self.keys.stale():
            await run_in_threadpool(self.keys.refresh)
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == SCHEME:
            self.sessions.known(credentials, registry.clock())
            body = await request.body()
            return self.sessions.verify(
                credentials, request.method, _target(request), body, registry.clock()
            )
        if scheme.lower() != "bearer" or not credentials:
            raise NotAuthenticated(
                "this call needs a signed request or an access token in the Authorization header"
            )
        if len(credentials) > MAX_TOKEN:
            raise NotAuthenticated(
                "what stands in the Authorization header is too long to be a request or a token"
            )
        if credentials in self.tokens or peek_typ(credentials) == AccessToken.typ:
            return await self._of_token(self.tokens.verify(credentials, registry.clock()))
        return await self._signed(request, credentials)

    async def _of_token(self, token: AccessToken) -> Party | CallingBorrower:
        login = token.login
        if login is not None:
            subjects = await self.links.remembered(login, token.pseudonym, token.counter_of)
            at, whose = token.logged_in_at, token.counter_of
            return CallingBorrower(subjects, login, token.evidence, at, whose)
        try:
            party = self._registry.consortium.party(token.sub)
        except SignatureError as error:
            raise NotAuthenticated("the access token is of nobody who is known here") from error
        if token.key is None or Caller.of(party.role) not in token.roles:
            raise NotAuthenticated(
                "the access token does not fit its party any more; get a new one"
            )
        self.keys.find(party, token.key)
        return party

    async def _signed(self, request: Request, credentials: str) -> Party | CallingBorrower:
        registry = self._registry
        try:
            issuer = SignedRequest.claimed(credentials).iss
            if issuer.startswith("v") and "." in issuer:
                name, key = await run_in_threadpool(
                    _borrowers_key, registry, issuer, peek_kid(credentials)
                )
                who: Party | CallingBorrower = CallingBorrower((name,))
            else:
                who = registry.consortium.party(issuer)
                key = self.keys.find(who, peek_kid(credentials))
        except SignatureError as error:
            raise NotAuthenticated("the request is signed by nobody who is known here") from error
        call = Call(request.method, _target(request), await request.body())
        moment = registry.clock()
        made = check_request(credentials, key, registry.me.id, call, moment, self._guard.started)
        if isinstance(self._guard, SharedReplayGuard):
            await self._guard.admit(made.jti, moment)
        else:
            self._guard.admit(made.jti, moment)
        return who


NOBODYS = SigningKey.generate().public
"""Of which nobody has the secret half."""


def _borrowers_key(registry: Registry, pseudonym: str, kid: str | None) -> tuple[str, PublicKey]:
    """As :func:`subject_key`. Whoever is unknown has a key that signed nothing: who asks with a
    wrong key is not told whether a name is enrolled."""
    try:
        return subject_key(registry, pseudonym, kid)
    except NotFound:
        return pseudonym, NOBODYS


# --- declarations


def access_of(request: Request) -> Access:
    """Who lets callers into the application that this request came to (``app.state.access``)."""
    access: Access = request.app.state.access
    return access


async def _access(request: Request) -> Access:
    return access_of(request)


TheAccess = Annotated[Access, Depends(_access)]


@dataclass(frozen=True, eq=False)
class Allowed:
    """An endpoint's declaration of whom it is for."""

    callers: frozenset[Caller]
    linked: bool = True
    kind: CallKind | None = None

    async def __call__(self, request: Request) -> Party | CallingBorrower:
        return await access_of(request).admit(request, self)


@dataclass(frozen=True, eq=False)
class AllowedToAll:
    """The declaration of an endpoint for everybody."""

    kind: CallKind

    async def __call__(self, request: Request) -> None:
        access_of(request).limit_address(request, self.kind)


def only(*callers: Caller | Role, linked: bool = True, kind: CallKind | None = None) -> Any:
    """A dependency that yields the caller, a Party or a CallingBorrower, if it is one of these.

    Args:
        linked: refuse a borrower whose login may not speak for any pseudonym yet.
        kind: what the call counts as for the limits; by its method if None.
    """
    return Depends(Allowed(frozenset(map(Caller.of, callers)), linked, kind))


def subject() -> Any:
    """A dependency that yields the borrower who calls and has at least one pseudonym."""
    return only(Caller.SUBJECT)


def public(kind: CallKind) -> Any:
    """A dependency of an endpoint that is for everybody, to count as ``kind`` for the limit of each
    address."""
    return Depends(AllowedToAll(kind))


async def _limit_public(request: Request) -> None:
    access_of(request).limit_address(request, CallKind.of(request.method))


class Route(APIRoute):
    """An endpoint that declares nothing is for everybody, and limited by address."""

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        dependencies: Sequence[Any] | None = None,
        **options: Any,
    ) -> None:
        calls = _calls(get_dependant(path=path, call=endpoint))
        declared = any(isinstance(call, Allowed | AllowedToAll) for call in calls)
        limits = () if declared else (Depends(_limit_public),)
        super().__init__(path, endpoint, dependencies=[*limits, *(dependencies or ())], **options)


def endpoints(**options: Any) -> APIRouter:
    """A router of such endpoints."""
    return APIRouter(route_class=Route, **options)


def _calls(dependant: Dependant) -> Iterator[Any]:
    """Every dependency of an endpoint, however deep."""
    waiting = [dependant]
    while waiting:
        one = waiting.pop()
        yield one.call
        waiting += one.dependencies


@dataclass(frozen=True)
class Declaration:
    """Whom an endpoint is for; ``callers`` is None where it does not say."""

    method: str
    path: str
    callers: frozenset[Caller] | None


def declarations(app: FastAPI) -> list[Declaration]:
    """What every endpoint of an application declares."""
    found = []
    for route in app.routes:
        if not isinstance(route, APIRoute):
            continue
        gates = [call.callers for call in _calls(route.dependant) if isinstance(call, Allowed)]
        callers = frozenset.intersection(*gates) if gates else None
        found += [
            Declaration(method, route.path, callers) for method in sorted(route.methods or ())
        ]
    return found
