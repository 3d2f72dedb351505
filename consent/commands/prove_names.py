"""That a name became another: the log entry of a renaming holds the Merkle root of its pairs of
names, each salted, and an auditor can have a pair's inclusion proved.

Without it the registry could show anybody's answer for somebody who stands in a sample, as one
given under a former name (``auditlog.sample_answers``).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from consent.storage.subjects import Subject
from consent.storage.tables import FormerNameRow, RenamingRow
from consent.transaction import Transaction
from crypto.documents import canonical_json
from crypto.merkle import inclusion_proof, leaf_hash, leaves_reader, tree_root
from crypto.pseudonyms import version_of
from crypto.tiles import tile_hashes
from protocol.parties import Party

SALT_SIZE = 32


def _pair(salt: bytes, former: str, name: str) -> dict[str, str]:
    """What is hashed of one renaming; the salt of a pair says nothing about those of others."""
    own = hmac.digest(salt, former.encode(), "sha256").hex()
    return {"former": former, "name": name, "salt": own}


def log_renamings(
    transaction: Transaction, lender: Party, pairs: Sequence[tuple[str, str]]
) -> None:
    """Log that these people, by former and new name, were renamed, and keep what proves it."""
    salt = secrets.token_bytes(SALT_SIZE)
    leaves = [leaf_hash(canonical_json(_pair(salt, *pair))) for pair in pairs]
    public = {"root": tree_root(len(leaves), leaves_reader(leaves)).hex()}
    sha256 = hashlib.sha256(canonical_json(sorted(former for former, _ in pairs))).hexdigest()
    body = {"count": len(pairs), "sha256": sha256}
    index = transaction.log_sealed("subjects.renamed", lender.id, public, body)
    transaction.session.add(
        RenamingRow(entry_index=index, lender=lender.id, salt=salt, leaves=b"".join(leaves))
    )


def prove_names(session: Session, subject: Subject) -> list[dict[str, Any]]:
    """How the names that a person had became the one that they have, oldest first; of renamings
    that an earlier version logged, which held no root, nothing."""
    mine = select(FormerNameRow.pseudonym).where(FormerNameRow.subject_id == subject.id)
    names = [*sorted(session.scalars(mine), key=version_of), subject.pseudonym]
    if len(names) == 1:
        return []
    made = session.scalars(select(RenamingRow).where(RenamingRow.lender == subject.lender)).all()
    found = []
    for former, name in pairwise(names):
        for row in made:
            record = _pair(row.salt, former, name)
            leaves, hashed = tile_hashes(row.leaves), leaf_hash(canonical_json(record))
            if hashed in leaves:
                found.append(_proof(row.entry_index, leaves, leaves.index(hashed), record))
    return found


def _proof(
    index: int, leaves: Sequence[bytes], position: int, record: dict[str, str]
) -> dict[str, Any]:
    path = inclusion_proof(position, len(leaves), leaves_reader(leaves))
    return {
        "entry_index": index,
        "position": position,
        "size": len(leaves),
        "path": [step.hex() for step in path],
        "record": record,
    }
