"""Log entries of a party's own: what it did with data, before it does it.

The skeleton is public for ever, so it is a closed form: a type, a campaign, counts and hashes, all
under names that are fixed here. There is no free text in it, and no count of people or of their
rows: those are sealed with the body. The log seals the body to the parties that the caller names,
or under the data key of a borrower of the caller's own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from auditlog.entries import SEALED_COUNTS, Entry, entry_for_subject
from consent.registry import Registry
from consent.storage.subjects import Subject, find_subjects
from consent.transaction import reading, writing
from crypto.documents import canonical_json
from crypto.keys import unb64
from protocol.errors import ConsentError, Malformed, NotAllowed, NotFound
from protocol.evidence import PackScope, ScopeKind
from protocol.parties import Party, Role
from protocol.schema import Pseudonym, Sha256, Slug

MAX_BATCH = 256
MAX_BODY_BYTES = 65_536
MAX_BODY_TEXT = MAX_BODY_BYTES * 4 // 3 + 4
EntryType = Literal[
    "use.read",
    "use.scored",
    "use.explained",
    "use.corrected",
    "use.exported",
    "use.deleted",
    "use.refused",
    "system.started",
    "system.stopped",
    "system.changed",
    "review.made",
    "evidence.read",
    "evidence.exported",
    "names.evaluated",
    "names.keys",
]
"""What a party can log by itself. The registry's own types are written by its commands and by
nobody else."""
AUDITORS = frozenset({"evidence.read", "system.changed"})
"""What an auditor can log: that it read what is sealed to it, that it changed keys of its own."""
CountName = Literal["rows", "people", "columns", "models", "attempts", "refusals", "files"]
HashName = Literal["model", "code", "dataset", "policy", "document", "request", "answer"]


def _decoded(text: str) -> bytes:
    try:
        body = unb64(text)
    except ValueError as error:
        raise Malformed("the body of an entry is not base64url without padding") from error
    if len(body) > MAX_BODY_BYTES:
        raise Malformed(f"a body has at most {MAX_BODY_BYTES} bytes")
    return body


Count = Annotated[int, Field(ge=0, lt=1_000_000_000)]


class NamesEvaluated(BaseModel):
    """Whom the key service named how many people for, and with which of its keys. Never an element,
    never a name. ``count`` is sealed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lender: Slug
    kind: Literal["pairwise", "ledger"]
    version: int = Field(ge=1, le=999)
    count: int = Field(ge=1, lt=1_000_000_000)


class Exported(BaseModel):
    """A part of an evidence pack is about to be made: of what kind of scope, and the hash of its
    text. The text itself is the sealed body, ``{"scope": …}``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ScopeKind
    scope: Sha256


class NewEntry(BaseModel):
    """One entry. ``body`` is base64url; it is sealed to the parties in ``to``, or under borrower
    ``subject``'s key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: EntryType
    campaign: Sha256 | None = None
    counts: dict[CountName, Count] = Field(default_factory=dict)
    hashes: dict[HashName, Sha256] = Field(default_factory=dict)
    names: NamesEvaluated | None = None
    export: Exported | None = None
    to: tuple[Slug, ...] = Field(default=(), max_length=16)
    subject: Pseudonym | None = None
    body: str = Field(default="", max_length=MAX_BODY_TEXT)

    @model_validator(mode="after")
    def _one_reader(self) -> Self:
        if bool(self.to) == (self.subject is not None):
            raise ValueError("an entry is sealed either to the parties in 'to' or to a 'subject'")
        return self

    @model_validator(mode="after")
    def _says_what_was_named(self) -> Self:
        if (self.names is not None) != (self.type == "names.evaluated"):
            raise ValueError("'names' belongs to names.evaluated, and to nothing else")
        return self

    @model_validator(mode="after")
    def _says_what_was_exported(self) -> Self:
        if (self.export is not None) != (self.type == "evidence.exported"):
            raise ValueError("'export' belongs to evidence.exported, and to nothing else")
        if self.export is None:
            return self
        try:
            said = PackScope.parse(json.loads(unb64(self.body))["scope"])
        except (ValueError, KeyError, TypeError, AttributeError, ConsentError) as error:
            raise ValueError("the body of evidence.exported is the scope of the pack") from error
        about = {"campaign": self.campaign} if self.campaign else {}
        stated = {"export": self.export.model_dump(mode="json"), **about}
        if said.public() != stated or self.counts or self.hashes or self.subject is not None:
            raise ValueError("evidence.exported says its scope, and nothing else")
        return self

    def public(self) -> dict[str, Any]:
        """What stands in clear."""
        fields: dict[str, Any] = {}
        if self.campaign:
            fields["campaign"] = self.campaign
        if shown := {
            name: count for name, count in self.counts.items() if name not in SEALED_COUNTS
        }:
            fields["counts"] = shown
        if self.hashes:
            fields["hashes"] = self.hashes
        if self.names:
            fields["names"] = self.names.model_dump(exclude={"count"})
        if self.export:
            fields["export"] = self.export.model_dump(mode="json")
        if sealed := self.sealed_counts():
            fields["sealed"] = sorted(sealed)
        return fields

    def sealed_counts(self) -> dict[str, int]:
        """What is sealed with the body."""
        counts: dict[str, int] = {
            name: count for name, count in self.counts.items() if name in SEALED_COUNTS
        }
        return counts | ({"people": self.names.count} if self.names else {})

    def content(self) -> bytes:
        """What is sealed: the caller's body, in front of it the counts where there are any
        (:func:`opened_counts`).

        Raises:
            Malformed: the body is not base64url or too long.
        """
        body = _decoded(self.body)
        counts = self.sealed_counts()
        return canonical_json(counts) + b"\n" + body if counts else body


class NewEntries(BaseModel):
    """Entries of one request, logged all or none, one after the other."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    entries: list[NewEntry] = Field(min_length=1, max_length=MAX_BATCH)


def seal_entries(registry: Registry, author: Party, entries: Sequence[NewEntry]) -> list[Entry]:
    """Each entry with its body sealed, ready to append.

    Raises:
        NotFound: a recipient that has no key to seal to, or a borrower that is not the caller's.
        NotAllowed: an entry about names by anybody but the key service, any other entry by the key
            service, or one by the auditor that is not about what it did itself.
        Malformed: a body that is not base64url or too long.
    """
    own = [entry for entry in entries if entry.type != "evidence.exported"]
    if any(entry.type.startswith("names.") != (author.role is Role.NAMING) for entry in own):
        raise NotAllowed("entries about names are the key service's, and it writes no others")
    if author.role is Role.AUDITOR and any(entry.type not in AUDITORS for entry in entries):
        raise NotAllowed(f"an auditor logs what it does itself: {', '.join(sorted(AUDITORS))}")
    auditor = registry.consortium.one(Role.AUDITOR).id
    if any(entry.export and auditor not in entry.to for entry in entries):
        raise Malformed(f"what is handed out is told to the auditor: seal it to {auditor!r}")
    subjects = _subjects(
        registry, author, sorted({e.subject for e in entries if e.subject is not None})
    )
    sealed = []
    for at, entry in enumerate(entries):
        try:
            body = entry.content()
        except Malformed as error:
            raise error.at("entries", at, "body") from error.__cause__
        if entry.subject is not None:
            about = subjects.get(entry.subject)
            if about is None:
                raise NotFound("this borrower is not enrolled by the caller").at(
                    "entries", at, "subject"
                )
            sealed.append(
                entry_for_subject(
                    entry.type, author.id, entry.public(), about.id, about.data_key, body
                )
            )
            continue
        for name in entry.to:
            if name not in registry.ledger.sealer.recipients:
                raise NotFound(
                    f"nothing can be sealed to {name!r}: no such party, or it has no recipient key"
                ).at("entries", at, "to")
        sealed.append(
            registry.ledger.sealer.entry(entry.type, author.id, entry.public(), entry.to, body)
        )
    return sealed


def _subjects(registry: Registry, author: Party, names: Sequence[str]) -> dict[str, Subject]:
    if not names:
        return {}
    with reading(registry) as view:
        found = find_subjects(view, names)
    return {name: subject for name, subject in found.items() if subject.lender == author.id}


def append_entries(registry: Registry, author: Party, entries: Sequence[NewEntry]) -> int:
    """Log the entries in a transaction of their own; returns the first index."""
    sealed = seal_entries(registry, author, entries)
    with writing(registry) as transaction:
        return transaction.log(*sealed)
