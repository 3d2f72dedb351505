"""The next version of the consortium document, in which another auditor stands; and the earlier
ones, which stay in the registry's home."""

from __future__ import annotations

from pathlib import Path

from consent.home import CONSORTIUM_FILE, KEY_FILE
from crypto.keys import load_signing_key, replace_file
from protocol.errors import Conflict
from protocol.parties import Consortium, Membership, Role

EARLIER = "earlier"


def appoint_auditor(home: Path, token: str) -> Consortium:
    """Sign the next version, with the auditor of this membership in the place of the present one.

    The service is started again afterwards, and every party pins the new document. Campaigns that
    were approved under the old one end: nodes refuse them.

    Raises:
        SignatureError: the statement is not signed by the key that it names. Conflict: it is no
            auditor's, lacks a recipient key, or a party has this id or key already.
    """
    key = load_signing_key(home / KEY_FILE)
    path = home / CONSORTIUM_FILE
    before = path.read_text(encoding="utf-8")
    present = Consortium.verify(before, key.public)
    auditor = Membership.verify(token, Membership.claimed(token).party.key).party
    if auditor.role is not Role.AUDITOR or auditor.recipient_key is None:
        raise Conflict("the statement is of no auditor with a recipient key")
    known = [present, *earlier_consortiums(home)]
    if any(auditor.id == p.id or auditor.key == p.key for c in known for p in c.parties):
        raise Conflict(f"{auditor.id!r}, or its key, is a party already, or was one")
    others = tuple(party for party in present.parties if party.role is not Role.AUDITOR)
    following = Consortium.model_validate(
        {**present.model_dump(exclude={"parties"}), "parties": (*others, auditor)}
    )
    (home / EARLIER).mkdir(exist_ok=True)
    replace_file(home / EARLIER / f"{present.sha256}.jws", before.encode())
    replace_file(path, following.sign(key).encode())
    return following


def earlier_consortiums(home: Path) -> list[Consortium]:
    """Earlier versions of the document, each signed by this registry. Raises SignatureError."""
    key = load_signing_key(home / KEY_FILE).public
    files = sorted((home / EARLIER).glob("*.jws"))
    return [Consortium.verify(file.read_text(encoding="utf-8"), key) for file in files]
