"""Whom a lender enrols, and in which order. No storage: nodes load it too."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from protocol.schema import KeyText, Pseudonym

MAX_BATCH = 5_000


class Enrolment(BaseModel):
    """One person at one lender."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pseudonym: Pseudonym
    ledger_pseudonym: Pseudonym
    public_key: KeyText | Literal[""] = ""
    """The key that will sign this person's decisions; empty for who only logs in."""


Enrolments = Annotated[list[Enrolment], Field(min_length=1, max_length=MAX_BATCH)]


@dataclass(frozen=True)
class EnrolmentList:
    """An enrolment list: how many names, and the hash chain over them (``h' = SHA-256(h || name)``
    from 32 zero bytes on, in hex)."""

    people: int = 0
    names_sha256: str = "00" * 32

    def extended(self, names: Iterable[str]) -> EnrolmentList:
        """The list with ``names`` at its end."""
        people = self.people
        chain = bytes.fromhex(self.names_sha256)
        for name in names:
            people += 1
            chain = hashlib.sha256(chain + name.encode()).digest()
        return EnrolmentList(people, chain.hex())
