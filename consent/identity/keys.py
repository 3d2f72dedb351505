"""An institution's keys for calling the registry: added, rotated and revoked, each change on the
record.

The consortium document's key is the first. A new key comes in a document signed by a live key of
the same party, and by the new key as well (proof of possession). Documents such as approvals verify
under the consortium's key, whatever happens here: these keys authenticate, they do not approve.

A worker believes what it read of the keys for at most :data:`FRESH_S`; then it reads again, or
refuses everybody.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from consent.identity.jwts import peek_kid
from consent.registry import Registry
from consent.storage.tables import PartyKeyRow
from consent.transaction import Transaction, writing
from crypto.errors import SignatureError
from crypto.keys import PublicKey, SigningKey
from protocol.errors import Conflict, NotAllowed, NotAuthenticated, NotFound
from protocol.parties import Party, Role
from protocol.schema import Document, Instant, KeyText, Slug

FRESH_S = 1.0
MAX_LIVE = 8
MAX_AGE = timedelta(minutes=5)
SKEW = timedelta(seconds=30)

Thumbprint = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")]


class ClientKey(Document):
    """A party's statement that it will call with a new key, and which one that replaces."""

    typ = "tahini-client-key"

    party: Slug
    log_origin: str = Field(max_length=300)
    """The consortium it is meant for, by the name of its log."""
    public_key: KeyText
    replaces: Thumbprint | None = None
    issued_at: Instant


class NewKey(BaseModel):
    """One :class:`ClientKey`, signed twice: by a live key, and by the new key."""

    model_config = ConfigDict(extra="forbid")
    document: str = Field(max_length=4096, examples=["eyJhbGciOiJFZDI1NTE5In0.e30.c2ln"])
    proof: str = Field(max_length=4096, examples=["eyJhbGciOiJFZDI1NTE5In0.e30.c2ln"])


class KeyStatus(BaseModel):
    """A key and whether it is live."""

    thumbprint: str
    public_key: str
    added_at: datetime | None
    """None for the key of the consortium document."""
    revoked_at: datetime | None


def new_key(
    party: str, log_origin: str, old: SigningKey, new: SigningKey, moment: datetime, rotate: bool
) -> NewKey:
    """What a party sends to add ``new``; with ``rotate`` in place of ``old``."""
    replaces = old.public.thumbprint if rotate else None
    document = ClientKey(
        party=party,
        log_origin=log_origin,
        public_key=new.public.text,
        replaces=replaces,
        issued_at=moment,
    )
    return NewKey(document=document.sign(old), proof=document.sign(new))


@dataclass(frozen=True)
class _Known:
    keys: dict[str, dict[str, PublicKey]]
    read_at: float


class PartyKeys:
    """The live keys of every party."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known = _Known({}, float("-inf"))
        self._lock = threading.Lock()

    # --- reading

    def stale(self) -> bool:
        return time.monotonic() - self._known.read_at >= FRESH_S

    def refresh(self) -> None:
        """Read the keys again; raises StorageFailed, and then nobody is let in."""
        with self._lock:
            if not self.stale():
                return
            at = time.monotonic()
            with self._registry.ledger.read() as session:
                self._known = _Known(self._live(session), at)

    def forget(self) -> None:
        """What was read is out of date."""
        with self._lock:
            self._known = _Known({}, float("-inf"))

    def _live(self, session: Session) -> dict[str, dict[str, PublicKey]]:
        live: dict[str, dict[str, PublicKey]] = defaultdict(dict)
        for party in self._registry.consortium.parties:
            live[party.id][party.key.thumbprint] = party.key
        for row in session.scalars(select(PartyKeyRow)):
            if row.revoked_at is not None:
                live[row.party].pop(row.thumbprint, None)
            else:
                live[row.party][row.thumbprint] = PublicKey.from_text(row.public_key)
        return dict(live)

    def find(self, party: Party, kid: str | None) -> PublicKey:
        """The live key of this party with this thumbprint, or without one the consortium
        document's.

        Raises:
            NotAuthenticated: it is not live (any more).
        """
        if self.stale():
            self.refresh()
        return _found(self._known.keys, party, kid)

    def find_now(self, session: Session, party: Party, kid: str | None) -> PublicKey:
        """The same, as the caller's transaction sees it."""
        return _found(self._live(session), party, kid)

    def statuses(self, party_id: str) -> list[KeyStatus]:
        """Every key that the party has or had; raises NotFound."""
        first = self._party(party_id)
        with self._registry.ledger.read() as session:
            rows = session.scalars(
                select(PartyKeyRow)
                .where(PartyKeyRow.party == party_id)
                .order_by(PartyKeyRow.added_at)
            ).all()
        found = {
            first.key.thumbprint: KeyStatus(
                thumbprint=first.key.thumbprint,
                public_key=first.signing_key,
                added_at=None,
                revoked_at=None,
            )
        }
        for row in rows:
            added_at = None if row.thumbprint == first.key.thumbprint else row.added_at
            found[row.thumbprint] = KeyStatus(
                thumbprint=row.thumbprint,
                public_key=row.public_key,
                added_at=added_at,
                revoked_at=row.revoked_at,
            )
        return list(found.values())

    # --- changing

    def add(self, caller: Party, party_id: str, new: NewKey) -> KeyStatus:
        """Add a key to the caller's, or put it in the place of one.

        Raises:
            NotAllowed: another party's. SignatureError, NotAuthenticated: not signed by a live key
                and the new one.
            Conflict: too old, known already, or too many.
        """
        if caller.id != party_id:
            raise NotAllowed("a party adds keys to its own only")
        claimed = ClientKey.claimed(new.document)
        key = PublicKey.from_text(claimed.public_key)
        with writing(self._registry) as transaction:
            session, moment = transaction.session, transaction.moment
            signer = self.find_now(session, caller, peek_kid(new.document))
            document = ClientKey.verify(new.document, signer)
            if ClientKey.verify(new.proof, key).sha256 != document.sha256:
                raise SignatureError("the new key signed another document than the old one")
            self._check(transaction, caller, document, key)
            row = PartyKeyRow(
                thumbprint=key.thumbprint,
                party=caller.id,
                public_key=key.text,
                added_at=moment,
                revoked_at=None,
            )
            session.add(row)
            session.flush()
            public = {"party": caller.id, "key": key.thumbprint}
            body = {"document": new.document, "proof": new.proof}
            transaction.log_sealed("party.key_added", caller.id, public, body)
            if document.replaces is not None:
                self._revoke(session, caller, document.replaces, moment)
                gone = {"party": caller.id, "key": document.replaces}
                transaction.log_sealed("party.key_revoked", caller.id, gone, body)
        self.forget()
        return KeyStatus(
            thumbprint=key.thumbprint, public_key=key.text, added_at=moment, revoked_at=None
        )

    def _check(
        self, transaction: Transaction, caller: Party, document: ClientKey, key: PublicKey
    ) -> None:
        registry, session, moment = transaction.registry, transaction.session, transaction.moment
        if (document.party, document.log_origin) != (caller.id, registry.consortium.log_origin):
            raise NotAllowed("the new key is stated for another party or another consortium")
        if not moment - MAX_AGE <= document.issued_at <= moment + SKEW:
            raise Conflict(
                "the statement of a new key is older than five minutes or from the future; make it "
                "again"
            )
        first = {party.key for party in registry.consortium.parties} | {
            registry.ledger.log.key.public
        }
        if key in first or session.get(PartyKeyRow, key.thumbprint) is not None:
            raise Conflict("this key is or was in use already; make a fresh one")
        live = self._live(session)[caller.id]
        if document.replaces is not None and document.replaces not in live:
            raise Conflict("the key that should be replaced is not live")
        if len(live) - (document.replaces is not None) >= MAX_LIVE:
            raise Conflict(f"a party has at most {MAX_LIVE} live keys; revoke one first")

    def revoke(self, caller: Party, party_id: str, thumbprint: str) -> None:
        """End a key: the party's own, or any if the operator asks. From then on nothing made with
        it is accepted.

        Raises:
            NotAllowed: somebody else's. NotFound: no such live key. Conflict: the operator's last.
        """
        if caller.id != party_id and caller.role is not Role.REGISTRY:
            raise NotAllowed("a key is revoked by its party or by the registry's operator")
        party = self._party(party_id)
        with writing(self._registry) as transaction:
            session = transaction.session
            live = self._live(session)[party.id]
            if thumbprint not in live:
                raise NotFound("the party has no such live key")
            if party.role is Role.REGISTRY and len(live) == 1:
                raise Conflict("the operator's last key cannot be revoked; add another first")
            self._revoke(session, party, thumbprint, transaction.moment)
            public = {"party": party.id, "key": thumbprint}
            transaction.log_sealed("party.key_revoked", caller.id, public, {"by": caller.id})
        self.forget()

    def _revoke(self, session: Session, party: Party, thumbprint: str, moment: datetime) -> None:
        row = session.get(PartyKeyRow, thumbprint)
        if row is None:  # the consortium document's
            row = PartyKeyRow(
                thumbprint=thumbprint,
                party=party.id,
                public_key=party.signing_key,
                added_at=moment,
                revoked_at=moment,
            )
            session.add(row)
        row.revoked_at = moment
        session.flush()

    def _party(self, party_id: str) -> Party:
        try:
            return self._registry.consortium.party(party_id)
        except SignatureError:
            raise NotFound("there is no such party") from None


def _found(live: dict[str, dict[str, PublicKey]], party: Party, kid: str | None) -> PublicKey:
    key = live.get(party.id, {}).get(party.key.thumbprint if kid is None else kid)
    if key is None:
        raise NotAuthenticated(
            "the signature is not by a live key of this party; it is by another or by one that was "
            "revoked"
        )
    return key
