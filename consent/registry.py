"""The registry as commands and endpoints see it: its ledger, keys, notices, consortium."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from auditlog.entries import Entry
from auditlog.ledger import Ledger
from consent.keys.datakeys import DataKeys
from consent.notices import Catalogue
from crypto.keys import SigningKey
from protocol.errors import NotFound
from protocol.parties import Consortium, Party, Role


@dataclass(frozen=True)
class Registry:
    """An open registry: one per process, shared by its threads."""

    home: Path
    ledger: Ledger
    keys: DataKeys
    signing_key: SigningKey = field(repr=False)
    consortium_token: str
    consortium: Consortium
    catalogue: Catalogue
    ledger_key: bytes = field(repr=False)
    """What ledger pseudonyms are stored under: without it a copy of the database does not say who
    is who."""

    @property
    def me(self) -> Party:
        return self.consortium.one(Role.REGISTRY)

    @property
    def clock(self) -> Callable[[], datetime]:
        """The ledger's."""
        return self.ledger.clock

    def sealed_to_auditor(
        self, kind: str, actor: str, public: Mapping[str, Any], body: bytes
    ) -> Entry:
        """An entry whose body the auditor can read."""
        auditor = self.consortium.one(Role.AUDITOR)
        if auditor.id not in self.ledger.sealer.recipients:
            raise NotFound("the auditor has no recipient key; nothing can be sealed to it")
        return self.ledger.sealer.entry(kind, actor, public, (auditor.id,), body)

    def at(self, clock: Callable[[], datetime]) -> Registry:
        """The same registry under another clock."""
        return replace(self, ledger=self.ledger.at(clock))

    def close(self) -> None:
        """Close the ledger: let another process write."""
        self.ledger.close()
