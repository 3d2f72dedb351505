"""Sessions of institutions with the registry; see ``crypto.sessions`` for how they are agreed.

They live in the memory of the process they were begun at, with the window that lets each request in
once: after a restart, and at another worker of the same service, the caller is told so, signs
instead, or begins a new one. A party has a few at a time; the oldest goes first.
"""

from __future__ import annotations

import hmac
import re
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from consent.identity.jwts import peek_kid
from crypto.errors import SignatureError
from crypto.keys import PublicKey, SigningKey
from crypto.sessions import CounterWindow, Ephemeral, request_mac
from protocol.errors import NotAuthenticated
from protocol.parties import Party
from protocol.sessions import LIFETIME, SessionAnswer, SessionOffer

MAX_PER_PARTY = 16
_CREDENTIALS = re.compile(r"([0-9a-f]{32})\.([1-9][0-9]{0,17})\.([A-Za-z0-9_-]{43})")


@dataclass
class _Session:
    party: Party
    begun_with: str
    """Thumbprint of the party's key that the offer was signed with."""
    key: bytes = field(repr=False)
    expires_at: datetime
    window: CounterWindow = field(default_factory=CounterWindow)


def _only_key(party: Party, _: str | None) -> PublicKey:
    return party.key


@dataclass
class Sessions:
    """The registry's side. ``find``: a party's live key by its thumbprint; raises NotAuthenticated
    when it is none."""

    audience: str
    signing_key: SigningKey = field(repr=False)
    find: Callable[[Party, str | None], PublicKey] = field(default=_only_key, repr=False)
    _open: dict[str, _Session] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def begin(self, party: Party, offer_token: str, moment: datetime) -> str:
        """Answer a party's offer; returns the signed answer. Raises SignatureError or
        NotAuthenticated."""
        begun_with = self.find(party, peek_kid(offer_token))
        offer = SessionOffer.verify(offer_token, begun_with)
        if (offer.caller, offer.audience) != (party.id, self.audience):
            raise NotAuthenticated("the offer of a session names somebody else")
        ephemeral = Ephemeral()
        answer = SessionAnswer(
            id=secrets.token_hex(16),
            offer_sha256=offer.sha256,
            ephemeral=ephemeral.public,
            expires_at=moment + LIFETIME,
        )
        token = answer.sign(self.signing_key)
        key = ephemeral.agree(offer.ephemeral, offer_token, token)
        with self._lock:
            self._open = {
                name: known for name, known in self._open.items() if known.expires_at > moment
            }
            mine = [name for name, known in self._open.items() if known.party.id == party.id]
            for oldest in mine[: max(0, len(mine) + 1 - MAX_PER_PARTY)]:
                del self._open[oldest]
            self._open[answer.id] = _Session(party, begun_with.thumbprint, key, answer.expires_at)
        return token

    def known(self, credentials: str, moment: datetime) -> tuple[_Session, int, str]:
        """The session, counter and MAC that are claimed.

        Raises:
            NotAuthenticated: there is no such session, or the key it was begun with was revoked.
        """
        match = _CREDENTIALS.fullmatch(credentials)
        session = self._open.get(match[1]) if match else None
        if match is None or session is None or session.expires_at <= moment:
            raise NotAuthenticated(
                "this process knows no such session (any more); sign the request, or begin a new "
                "one"
            )
        try:
            self.find(session.party, session.begun_with)
        except NotAuthenticated:
            with self._lock:
                self._open.pop(match[1], None)
            raise
        return session, int(match[2]), match[3]

    def verify(
        self, credentials: str, method: str, target: str, body: bytes, moment: datetime
    ) -> Party:
        """Whose request this is; raises NotAuthenticated."""
        session, counter, mac = self.known(credentials, moment)
        if not hmac.compare_digest(request_mac(session.key, method, target, body, counter), mac):
            raise NotAuthenticated("the request's MAC was made for another call")
        try:
            with self._lock:
                session.window.admit(counter)
        except SignatureError as error:
            raise NotAuthenticated(str(error)) from error
        return session.party
