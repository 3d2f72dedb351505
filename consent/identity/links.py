"""Which pseudonyms a login may speak for.

The login of a general issuer has an opaque ``sub``. A lender vouches for its customer with a ticket
that acts once; the borrower, logged in, hands it in, and the login may speak for that pseudonym
from then on. A lender's own login may *be* a pseudonym (``subject_is_pseudonym``). Never for a
customer of a lender that the issuer does not speak for.

Of a login its issuer and a keyed hash of its ``sub`` are kept: an identity number as ``sub`` cannot
be found by trying. Bodies of the log entries are sealed to the subject, and the rows hang on the
subject's data key: forgetting takes both.

An unknown pseudonym and another lender's customer get the same answer after the same work: one
look-up by pseudonym *and* lender.
"""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, String, bindparam, delete, insert, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from auditlog.entries import entry_for_subject
from consent.identity.callers import Login
from consent.identity.issuers import Issuers, VerifiedLogin
from consent.identity.jwts import peek_kid
from consent.identity.keys import PartyKeys
from consent.identity.settings import Issuer
from consent.identity.single_use import derived_key, use_once
from consent.registry import Registry
from consent.storage.subjects import IN_CHUNK, current_names, find_subjects
from consent.storage.tables import DataKeyRow, LoginLinkRow, SubjectRow
from consent.transaction import Transaction, writing
from crypto.documents import canonical_json
from crypto.errors import SignatureError
from ops.gathering import Gathered
from protocol.errors import Conflict, NotAllowed, NotAuthenticated, NotFound
from protocol.parties import Party, Role
from protocol.tickets import MAX_TICKET, LinkTicket

FRESH_S = 1.0
MAX_REMEMBERED = 50_000
MAX_LINKS = 64
_NO_TICKET = "the ticket does not verify, or does not name a customer of the lender that signed it"
_REFUSED = "ticket-refused"


class TicketUpload(BaseModel):
    model_config = ConfigDict(extra="forbid")
    ticket: str = Field(max_length=4096, examples=["eyJhbGciOiJFZDI1NTE5In0.e30.c2ln"])


class Link(BaseModel):
    """One link of the caller's own login."""

    id: str
    pseudonym: str
    lender: str
    linked_at: datetime


_SPEAK_FOR = text(
    """
    SELECT s.pseudonym AS name, '' AS issuer, '' AS hash,
        s.pseudonym, s.lender, 0 AS place, CAST(NULL AS timestamp) AS linked_at, s.id
    FROM subjects s JOIN data_keys k ON k.subject_id = s.id WHERE s.pseudonym IN :names
    UNION ALL
    SELECT f.pseudonym, '', '', s.pseudonym, s.lender, 1, CAST(NULL AS timestamp), s.id
    FROM former_names f JOIN subjects s ON s.id = f.subject_id
        JOIN data_keys k ON k.subject_id = s.id
    WHERE f.pseudonym IN :names
    UNION ALL
    SELECT '', l.issuer, l.subject_hash, s.pseudonym, s.lender, 2, l.linked_at, s.id
    FROM login_links l JOIN subjects s ON s.id = l.subject_id
        JOIN data_keys k ON k.subject_id = s.id
    WHERE l.issuer IN :issuers AND l.subject_hash IN :hashes
    ORDER BY 6, 7, 8
    """
).bindparams(
    *(bindparam(name, type_=String, expanding=True) for name in ("names", "issuers", "hashes"))
)
"""Who logins are, by the names they had then or have now, and whom they were linked to, in that
order."""

Speaker = tuple[Login, str | None, str | None]
"""A login, the pseudonym that it is, if it is one, and the only lender whose customer it is here,
if it logged in at that lender's own front."""


class Links:
    """Who may speak for whom. What was read is believed for :data:`FRESH_S`, in each worker."""

    def __init__(self, registry: Registry, issuers: Issuers, keys: PartyKeys) -> None:
        self._registry, self._issuers, self._keys = registry, issuers, keys
        self._hash_key = derived_key(registry.signing_key, "login")
        self._known: OrderedDict[Speaker, tuple[float, tuple[str, ...]]] = OrderedDict()
        self._asked = Gathered(self._read_subjects)
        self._lock = threading.Lock()

    def login(self, verified: VerifiedLogin) -> Login:
        """HMAC-SHA256 of issuer and ``sub``, so that the ``sub`` is never stored."""
        named = canonical_json([verified.issuer.issuer, verified.subject])
        return Login(verified.issuer.issuer, hmac.digest(self._hash_key, named, "sha256").hex())

    # --- reading

    async def remembered(
        self, login: Login, pseudonym: str | None, counter_of: str | None = None
    ) -> tuple[str, ...]:
        """As :meth:`subjects`, or what that said a moment ago; logins that come together share one
        question."""
        known = self._known.get((login, pseudonym, counter_of))
        if known is not None and time.monotonic() - known[0] < FRESH_S:
            return known[1]
        self._issuer(login)
        return await self._asked.ask((login, pseudonym, counter_of))

    def subjects(
        self, login: Login, pseudonym: str | None, counter_of: str | None = None
    ) -> tuple[str, ...]:
        """The enrolled, unforgotten pseudonyms that this login may speak for; ``pseudonym``: the
        one that it is; ``counter_of``: at no other lender.

        Raises:
            NotAuthenticated: its issuer is not trusted any more.
        """
        self._issuer(login)
        speaker = login, pseudonym, counter_of
        return self._read_subjects([speaker])[speaker]

    def _read_subjects(self, speakers: Sequence[Speaker]) -> dict[Speaker, tuple[str, ...]]:
        at = time.monotonic()
        found: dict[Speaker, tuple[str, ...]] = {}
        with self._registry.ledger.database.aside() as connection:
            for start in range(0, len(speakers), IN_CHUNK):
                found |= self._some_subjects(connection, speakers[start : start + IN_CHUNK])
        with self._lock:
            while len(self._known) + len(found) > MAX_REMEMBERED and self._known:
                self._known.popitem(last=False)
            for speaker, names in found.items():
                self._known[speaker] = (at, names)
                self._known.move_to_end(speaker)
        return found

    def _some_subjects(
        self, connection: Connection, speakers: Sequence[Speaker]
    ) -> dict[Speaker, tuple[str, ...]]:
        asked = {
            "names": [name for _, name, _ in speakers if name is not None],
            "issuers": sorted({login.issuer for login, *_ in speakers}),
            "hashes": [login.subject_hash for login, *_ in speakers],
        }
        named: dict[str, list[tuple[str, str]]] = defaultdict(list)
        linked: dict[Login, list[tuple[str, str]]] = defaultdict(list)
        for row in connection.execute(_SPEAK_FOR, asked):
            mine = linked[Login(row.issuer, row.hash)] if row.hash else named[row.name]
            mine.append((row.pseudonym, row.lender))
        found = {}
        for login, name, counter_of in speakers:
            issuer = self._issuers.known(login.issuer)
            both = [*(named.get(name, ()) if name is not None else ()), *linked.get(login, ())]
            allowed = [
                one
                for one, lender in both
                if issuer and issuer.speaks_for(lender) and counter_of in (None, lender)
            ]
            found[login, name, counter_of] = tuple(dict.fromkeys(allowed))
        return found

    def read(self, login: Login) -> list[Link]:
        """The links of this login, and of no other."""
        with self._registry.ledger.read() as session:
            rows = session.execute(
                select(
                    LoginLinkRow.id, SubjectRow.pseudonym, SubjectRow.lender, LoginLinkRow.linked_at
                )
                .join(SubjectRow, SubjectRow.id == LoginLinkRow.subject_id)
                .where(
                    LoginLinkRow.issuer == login.issuer,
                    LoginLinkRow.subject_hash == login.subject_hash,
                )
                .order_by(LoginLinkRow.linked_at, LoginLinkRow.subject_id)
            ).all()
        return [
            Link(id=i, pseudonym=name, lender=lender, linked_at=at) for i, name, lender, at in rows
        ]

    def _issuer(self, login: Login) -> Issuer:
        issuer = self._issuers.known(login.issuer)
        if issuer is None:
            raise NotAuthenticated("the login's issuer is not trusted any more")
        return issuer

    # --- changing

    def link(self, login: Login, ticket_token: str, speaks_for: Sequence[str] = ()) -> Link:
        """Let this login speak for the pseudonym in a lender's ticket.

        Args:
            speaks_for: the pseudonyms that it speaks for already, by whatever right.

        Raises:
            NotAuthenticated: not a live ticket of a lender for a customer of its own, or used
                before. NotAllowed: the issuer does not speak for this lender. Conflict: linked
                already, to another customer of this lender, or too many.
        """
        issuer = self._issuer(login)
        with writing(self._registry) as transaction:
            session, moment = transaction.session, transaction.moment
            ticket = self._verified(session, ticket_token, moment)
            if not issuer.speaks_for(ticket.lender):
                raise NotAllowed(
                    "logins of this issuer cannot be linked to customers of this lender"
                ).because("issuer-not-for-lender", lender=ticket.lender)
            use_once(
                session, "ticket", f"{ticket.lender}\n{ticket.nonce}", ticket.expires_at, moment
            )
            called = current_names(session, [ticket.pseudonym]).get(
                ticket.pseudonym, ticket.pseudonym
            )
            subject = session.scalar(
                select(SubjectRow.id)
                .join(DataKeyRow)
                .where(SubjectRow.pseudonym == called, SubjectRow.lender == ticket.lender)
            )
            if subject is None:
                raise NotAuthenticated(_NO_TICKET).because(_REFUSED)
            self._one_of_a_lender(session, login, speaks_for, ticket.lender, subject)
            link = Link(
                id=secrets.token_urlsafe(16),
                pseudonym=ticket.pseudonym,
                lender=ticket.lender,
                linked_at=moment,
            )
            self._insert(session, login, subject, link)
            about = {
                "link": link.id,
                "login": login.subject_hash,
                "issuer": login.issuer,
                "ticket": ticket_token,
            }
            self._log(transaction, "login.linked", ticket.pseudonym, about)
        self._forget(login)
        return link

    def _one_of_a_lender(
        self,
        session: Session,
        login: Login,
        speaks_for: Sequence[str],
        lender: str,
        subject: int,
    ) -> None:
        """Raises Conflict: the login is another customer of this lender. For two of them it could
        not say for which it answers, and somebody's invitation could make a stranger's answers
        theirs."""
        linked = select(LoginLinkRow.subject_id).where(
            LoginLinkRow.issuer == login.issuer, LoginLinkRow.subject_hash == login.subject_hash
        )
        others = select(SubjectRow.id).where(
            SubjectRow.lender == lender,
            SubjectRow.id != subject,
            SubjectRow.id.in_(linked) | SubjectRow.pseudonym.in_(speaks_for),
        )
        if session.scalar(others.limit(1)) is not None:
            said = "this login is linked to another customer of this lender; end that link first"
            raise Conflict(said).because("linked-to-another")

    def _insert(self, session: Session, login: Login, subject: int, link: Link) -> None:
        mine = (LoginLinkRow.issuer == login.issuer) & (
            LoginLinkRow.subject_hash == login.subject_hash
        )
        if len(session.scalars(select(LoginLinkRow.id).where(mine)).all()) >= MAX_LINKS:
            said = f"a login has at most {MAX_LINKS} links; end one first"
            raise Conflict(said).because("too-many-links", most=MAX_LINKS)
        row = {
            "id": link.id,
            "issuer": login.issuer,
            "subject_hash": login.subject_hash,
            "subject_id": subject,
        }
        try:
            session.execute(insert(LoginLinkRow), {**row, "linked_at": link.linked_at})
        except IntegrityError as error:
            said = "this login is linked to this pseudonym already"
            raise Conflict(said).because("linked-already") from error

    def _verified(self, session: Session, token: str, moment: datetime) -> LinkTicket:
        try:
            claimed = LinkTicket.claimed(token)
            lender: Party = self._registry.consortium.party(claimed.lender)
            ticket = LinkTicket.verify(token, self._keys.find_now(session, lender, peek_kid(token)))
        except (SignatureError, NotAuthenticated) as error:
            raise NotAuthenticated(_NO_TICKET).because(_REFUSED) from error
        if lender.role is not Role.LENDER:
            raise NotAuthenticated(_NO_TICKET).because(_REFUSED)
        if not moment < ticket.expires_at <= moment + MAX_TICKET:
            raise NotAuthenticated(
                "the ticket has expired or is valid for too long; ask the lender for a new one"
            ).because("ticket-expired")
        return ticket

    def remove(self, login: Login, link_id: str) -> None:
        """End one of this login's links; raises NotFound, for another's as for none."""
        mine = (LoginLinkRow.issuer == login.issuer) & (
            LoginLinkRow.subject_hash == login.subject_hash
        )
        with writing(self._registry) as transaction:
            session = transaction.session
            pseudonym = session.scalar(
                select(SubjectRow.pseudonym)
                .join(LoginLinkRow, LoginLinkRow.subject_id == SubjectRow.id)
                .where(mine, LoginLinkRow.id == link_id)
            )
            if pseudonym is None:
                raise NotFound("there is no such link")
            session.execute(delete(LoginLinkRow).where(mine, LoginLinkRow.id == link_id))
            self._log(transaction, "login.unlinked", pseudonym, {"link": link_id})
        self._forget(login)

    def _log(
        self, transaction: Transaction, kind: str, pseudonym: str, about: dict[str, str]
    ) -> None:
        """The skeleton says only that somebody's login was linked; the rest is sealed to the
        subject."""
        author = self._registry.me.id
        subject = find_subjects(transaction, [pseudonym]).get(pseudonym)
        if subject is None:
            raise NotFound("no such subject")
        body = canonical_json(about)
        transaction.log(entry_for_subject(kind, author, {}, subject.id, subject.data_key, body))

    def _forget(self, login: Login) -> None:
        with self._lock:
            for known in [key for key in self._known if key[0] == login]:
                del self._known[known]
