"""Enclosures: bodies that the registry can open and destroy, each under a key of its own.

The keys of all enclosures are wrapped under one key, and that under the root key. When enclosures
have gone, :func:`renew` wraps those of the others under a fresh key: what an older copy of the
database holds then opens with no key that still exists.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.orm import Session

from consent.storage.erasure_tables import ErasureOrderRow, LegalHoldRow
from crypto.bodies import KEY_SIZE, SealedBody, new_data_key, seal, unseal, unwrap_key, wrap_key
from crypto.errors import KeyFileError, KeyStoreUnavailable, SealError
from protocol.errors import KeysUnavailable

if TYPE_CHECKING:
    from consent.keys.datakeys import DataKeys

ENCLOSURES = -2
"""Number of the key (``DataKeys.reserved``)."""
_KEY_CONTEXT = b"tahini/enclosure/v1"


@dataclass(frozen=True)
class Enclosed:
    """A sealed body, and its own key as it is wrapped."""

    wrapped: bytes = field(repr=False)
    sealed: bytes = field(repr=False)


def enclose(keys: DataKeys, session: Session, body: bytes, context: bytes) -> Enclosed:
    """Raises KeysUnavailable."""
    over = _key(keys, session)
    key = new_data_key()
    sealed = seal(key, body, context)
    return Enclosed(wrap_key(over, key, _KEY_CONTEXT), sealed.commitment + sealed.ciphertext)


def disclose(
    keys: DataKeys, session: Session, row: ErasureOrderRow | LegalHoldRow, context: bytes
) -> bytes:
    """The body of an enclosure. Raises KeysUnavailable."""
    over = _key(keys, session, make=False)
    sealed = SealedBody(row.sealed[KEY_SIZE:], row.sealed[:KEY_SIZE])
    try:
        return unseal(unwrap_key(over, row.wrapped, _KEY_CONTEXT), sealed, context)
    except SealError as error:
        raise KeysUnavailable(f"what is enclosed does not open ({error})") from error


def renew(keys: DataKeys, session: Session) -> None:
    """Wrap the keys of all enclosures that are left under a fresh key, and every key of the
    registry under a fresh root.

    The caller wraps its transaction in ``consent.keys.backup.forgetting``, which destroys the old
    root afterwards. Raises SealError, KeyStoreUnavailable, KeysUnavailable.
    """
    old = _key(keys, session)
    new = keys.renew_reserved(session, ENCLOSURES)
    rows: list[ErasureOrderRow | LegalHoldRow] = [*session.scalars(select(ErasureOrderRow))]
    for row in [*rows, *session.scalars(select(LegalHoldRow))]:
        row.wrapped = wrap_key(new, unwrap_key(old, row.wrapped, _KEY_CONTEXT), _KEY_CONTEXT)
    session.flush()
    keys.rotate(session)


def _key(keys: DataKeys, session: Session, *, make: bool = True) -> bytes:
    try:
        key = keys.reserved(session, ENCLOSURES, make=make)
    except (SealError, KeyStoreUnavailable, KeyFileError) as error:
        raise KeysUnavailable(
            f"the key of what is enclosed cannot be used now ({error}); restore the key backup"
        ) from error
    if key is None:
        raise KeysUnavailable("the key of what is enclosed is lost; restore the key backup")
    return key
