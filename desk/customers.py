"""Who calls for themselves: a customer, by a token that this desk gives for a login.

It is good for ten minutes, for one person and for nothing but what is theirs. Nothing is kept of
it: it says who and until when, under a MAC with the key of the home, so every process of a desk
knows it.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from crypto.errors import CryptoError
from crypto.keys import b64, unb64
from desk.sealing import AtRest
from desk.storage.tables import applications, decisions, loans
from protocol.errors import NotAuthenticated, NotFound

GOOD_FOR = timedelta(minutes=10)
MAX_TOKEN = 1024


@dataclass(frozen=True)
class DeskCustomer:
    """A person of this lender, who is calling."""

    pseudonym: str
    alias: str
    """What stands instead of the name where nothing personal may."""

    def application(self, connection: Connection, application: str) -> None:
        """Raises NotFound where it is not theirs, as where there is none."""
        query = select(applications.c.pseudonym).where(applications.c.id == application)
        if connection.scalar(query) != self.pseudonym:
            raise NotFound("there is no such application")

    def decision(self, connection: Connection, decision: str) -> None:
        """Raises NotFound."""
        query = select(decisions.c.application).where(decisions.c.id == decision)
        self.application(connection, str(connection.scalar(query)))

    def loan(self, connection: Connection, loan: str) -> None:
        """Raises NotFound."""
        query = select(loans.c.pseudonym).where(loans.c.id == loan)
        if connection.scalar(query) != self.pseudonym:
            raise NotFound("there is no such loan")


@dataclass(frozen=True)
class CustomerTokens:
    """Gives and reads them."""

    at_rest: AtRest = field(repr=False)

    def give(self, pseudonym: str, moment: datetime) -> str:
        ends = int((moment + GOOD_FOR).timestamp())
        said = json.dumps([pseudonym, ends]).encode()
        return f"{b64(said)}.{b64(self.at_rest.tag(said))}"

    def who(self, token: str, moment: datetime) -> DeskCustomer:
        """Raises NotAuthenticated: it is none of ours, or over."""
        try:
            said, tag = map(unb64, token.split(".")) if len(token) <= MAX_TOKEN else (b"", b"")
        except (ValueError, CryptoError) as error:
            raise NotAuthenticated("this is no token of this desk; log in again") from error
        if not hmac.compare_digest(self.at_rest.tag(said), tag):
            raise NotAuthenticated("this is no token of this desk; log in again")
        pseudonym, ends = json.loads(said)
        if moment.timestamp() >= ends:
            raise NotAuthenticated("the token has expired; log in again")
        return DeskCustomer(pseudonym, self.at_rest.alias(pseudonym))
