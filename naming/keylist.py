"""The public keys of the naming service, as a signed list that every lender pins.

A service that answered one lender under a key of its own could tell that lender's ledger names from
everybody else's. So the list is one document for all, it stands in the audit log by hash before it
is served, a client pins it, and a later list may add versions and retire them, but never change a
key.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from crypto.errors import PseudonymError
from crypto.keys import replace_file, unb64
from crypto.pseudonyms import MAX_VERSION, Kind, Scope
from protocol.client.base import RegistryClient
from protocol.errors import RegistryUnavailable
from protocol.parties import Consortium, Party, Role
from protocol.schema import Document, KeyText, Slug

Version = Annotated[int, Field(ge=1, le=MAX_VERSION)]
ENTRY_TYPE = "names.keys"


class NamingKey(BaseModel):
    """One public key. ``lender`` is null for the ledger's, which all lenders share."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    lender: Slug | None
    version: Version
    public_key: KeyText

    @model_validator(mode="after")
    def _whose(self) -> Self:
        if (self.kind is Kind.LEDGER) != (self.lender is None):
            raise ValueError("a pairwise key is one lender's, a ledger key is no lender's")
        return self


class NamingKeys(Document):
    """Every key in use. Signed by the naming service; the same state gives the same document and
    the same hash."""

    typ = "tahini-naming-keys"

    consortium: str
    current: Version
    retired: tuple[Version, ...]
    keys: tuple[NamingKey, ...] = Field(max_length=100_000)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        scopes = [(key.kind, key.lender, key.version) for key in self.keys]
        if len(set(scopes)) != len(scopes):
            raise ValueError("two keys for one purpose")
        if self.current not in self.versions or set(self.retired) & set(self.versions):
            raise ValueError("the current version has no keys, or a retired one has")
        return self

    @property
    def versions(self) -> tuple[int, ...]:
        """The versions that are answered for, oldest first."""
        return tuple(sorted({key.version for key in self.keys}))

    def scope(self, kind: Kind, lender: str, version: int) -> Scope:
        return Scope(self.consortium, kind, "" if kind is Kind.LEDGER else lender, version)

    def public_key(self, scope: Scope) -> bytes:
        """Raises PseudonymError when the list has no such key."""
        for key in self.keys:
            if (key.kind, key.lender or "", key.version) == (
                scope.kind,
                scope.lender,
                scope.version,
            ):
                return unb64(key.public_key)
        raise PseudonymError(
            f"the naming service has no {scope.kind} key of version {scope.version}"
            + (f" for {scope.lender!r}" if scope.lender else "")
        )

    def may_follow(self, known: NamingKeys) -> None:
        """Raises PseudonymError unless this list only adds versions to ``known`` or retires
        some."""
        mine = {(key.kind, key.lender, key.version): key.public_key for key in self.keys}
        for key in known.keys:
            found = mine.get((key.kind, key.lender, key.version))
            if found != key.public_key and not (found is None and key.version in self.retired):
                raise PseudonymError(
                    f"the naming service shows another {key.kind} key of version {key.version} "
                    "than before; nobody was "
                    "named: compare the list with another lender's and ask the service's operator"
                )
        if self.consortium != known.consortium or self.current < known.current:
            raise PseudonymError(
                "the naming service shows an older list of keys than before; nobody was named"
            )
        if not set(known.retired) <= set(self.retired):
            raise PseudonymError(
                "the naming service answers again for a version that was retired; nobody was named"
            )


def verified(token: str, consortium: Consortium) -> NamingKeys:
    """The list in ``token``, if the consortium's naming service signed it for this consortium."""
    keys = NamingKeys.verify(token, naming_party(consortium).key)
    if keys.consortium != consortium.name:
        raise PseudonymError("the list of naming keys is another consortium's")
    return keys


def naming_party(consortium: Consortium) -> Party:
    """Raises PseudonymError when the consortium has no naming service."""
    found = [party for party in consortium.parties if party.role is Role.NAMING]
    if not found:
        raise PseudonymError(f"the consortium {consortium.name!r} has no naming service")
    return found[0]


def pinned(path: Path, token: str, consortium: Consortium) -> NamingKeys:
    """Verify a list, hold it against the one that was pinned at ``path``, and pin it there."""
    keys = verified(token, consortium)
    if path.exists():
        known = verified(path.read_text(encoding="utf-8"), consortium)
        if known.sha256 == keys.sha256:
            return known
        keys.may_follow(known)
    replace_file(path, token.encode())
    return keys


def verify_logged(registry: RegistryClient, keys: NamingKeys, index: int) -> None:
    """The list stands in the audit log at ``index``, where everybody else sees it too.

    Raises:
        PseudonymError: another list stands there. RegistryUnavailable: the log does not prove what
            does.
    """
    leaf, _ = registry.proved_leaf(index, wait=True)
    fields = json.loads(leaf)
    actor = naming_party(registry.consortium).id
    if (fields.get("type"), fields.get("actor")) != (ENTRY_TYPE, actor):
        raise RegistryUnavailable(
            "the log holds something else where the list of naming keys should stand"
        )
    if fields.get("hashes", {}).get("document") != keys.sha256:
        raise PseudonymError(
            "the naming service logged another list of keys than it showed here; nobody was named"
        )
