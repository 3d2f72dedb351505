"""A consortium document that is signed anew: who parties are in law has changed, their keys have
not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from consent.home import CONSORTIUM_FILE, opened
from consent.storage.enrolment import people_on_rolls
from consent.transaction import writing
from crypto.keys import replace_file
from protocol.errors import Conflict
from protocol.lawfulness import Constitution, require
from protocol.legal import LegalTerms
from protocol.parties import Consortium, Party

FIXED = ("role", "signing_key", "recipient_key")
"""What is sealed to or signed with these stays with them: other keys are another party."""


def amend(home: Path, statements: Sequence[Party], terms: LegalTerms | None) -> Consortium:
    """Sign and log the consortium of the registry in ``home`` with these statements of its parties.

    The document of before is kept beside it. Parties pin the new one by joining again; services
    read it when they start.

    Args:
        terms: what holds for the whole consortium; as before where it is None.

    Raises:
        SignatureError: one is no party. Conflict: a statement changes a role or a key, nothing
            would change, or the law that it claims asks for more. LogHeld: the registry serves.
    """
    with opened(home) as registry:
        before = registry.consortium
        after = _amended(before, statements, terms)
        if after.payload() == before.payload():
            raise Conflict("the consortium says all of this already")
        with registry.ledger.read() as session:
            people = people_on_rolls(session)
        require(Constitution(after, registry.clock().date(), people))
        token = after.sign(registry.signing_key)
        with writing(registry) as transaction:
            public = {"document": after.sha256}
            transaction.log_sealed("consortium.amended", registry.me.id, public, {"token": token})
        kept = home / f"consortium-{before.sha256[:12]}.jws"
        replace_file(kept, registry.consortium_token.encode())
        replace_file(home / CONSORTIUM_FILE, token.encode())
        registry.ledger.catch_up()
    return after


def _amended(
    before: Consortium, statements: Sequence[Party], terms: LegalTerms | None
) -> Consortium:
    stated = {party.id: party for party in statements}
    for name, party in stated.items():
        old = before.party(name)
        for field in FIXED:
            if getattr(party, field) != getattr(old, field):
                raise Conflict(f"the statement of {name!r} has another {field.replace('_', ' ')}")
    parties = [stated.get(party.id, party).model_dump(mode="json") for party in before.parties]
    legal = before.legal if terms is None else terms.model_dump(mode="json", exclude_defaults=True)
    fields = {**before.payload(), "parties": parties, "legal": legal or None}
    return Consortium.model_validate(fields)
