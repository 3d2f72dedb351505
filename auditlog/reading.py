"""What a reader of the log brings along, and what it shows of entries: filters, and bodies for who
can open them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import httpx

from auditlog.archives import ResealedArchive
from auditlog.audit import Past
from auditlog.entries import opened_counts
from auditlog.opening import Bodies
from crypto.documents import unverified_payload
from crypto.errors import CryptoError
from crypto.keys import PublicKey, load_recipient_key, load_signing_key, replace_file
from crypto.policies import Policy
from ops.named_files import ask, key_of, text_of
from protocol.client.auditor import AuditorClient
from protocol.errors import AuditFailed, ConsentError
from protocol.heads import HeadStore
from protocol.log_client import LogClient, http_client
from protocol.parties import Consortium, Role

CONSORTIUM_FILE, CHECKPOINT_FILE = "consortium.jws", "log.checkpoint"
EARLIER_FOLDER, ARCHIVE_FILE = "earlier", "archive.json"


def _text(path: Path, what: str) -> str:
    return ask(lambda: path.read_text(encoding="utf-8-sig"), f"{what} {path}")


@dataclass(frozen=True)
class Anchors:
    """Where a log is, and what is believed about it before it says a word."""

    url: str
    ca: Path | None = None
    """The certificate authority to believe; the system's without one."""
    consortium: Path | None = None
    """The signed consortium document."""
    registry_key: str | None = None
    """Who signs the consortium document: the key's text, or a file of it."""
    policy: Path | None = None
    """A C2SP tlog-policy, where there is no consortium document."""

    def pinned(self, beside: Path | None = None) -> Consortium:
        """The consortium document, its signature checked.

        Without a file it is fetched the first time, and kept in the folder ``beside``: from then on
        it is pinned.

        Raises:
            AuditFailed: there is nothing to check it with. SignatureError: it is not signed with
                the registry's key.
        """
        if self.registry_key is None or (self.consortium is None and beside is None):
            raise AuditFailed("this needs --consortium and --registry-key, as they were pinned")
        named = Path(self.registry_key)
        key = PublicKey.from_text(
            _text(named, "the key").strip() if named.is_file() else self.registry_key.strip()
        )
        path = self.consortium or Path(beside or "") / CONSORTIUM_FILE
        if self.consortium is not None or path.exists():
            return Consortium.verify(_text(path, "the consortium document").strip(), key)
        with http_client(self.url, self.ca) as http:
            try:
                token = http.get("/v1/consortium").raise_for_status().text
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise AuditFailed(
                    f"the consortium document cannot be had at {self.url} "
                    f"({type(error).__name__}); name the file with --consortium"
                ) from error
        consortium = Consortium.verify(token, key)
        replace_file(path, token.encode())
        return consortium

    def reader(self) -> LogClient:
        """A client that reads the public log. Raises ConsentError, CryptoError."""
        if self.policy is not None:
            trust = Policy.parse(_text(self.policy, "the policy"))
        elif self.consortium is not None:
            trust = self.pinned().policy
        else:
            raise ConsentError("say whom to believe: --policy, or --consortium with --registry-key")
        return LogClient(self.url, trust, http=http_client(self.url, self.ca))

    def member(self, party: str | None, key: Path) -> AuditorClient:
        """A client that signs as ``party``; as the auditor when none is named."""
        pinned = self.pinned()
        caller = pinned.party(party).id if party else pinned.one(Role.AUDITOR).id
        return AuditorClient(
            self.url, pinned, caller, load_signing_key(key), http=http_client(self.url, self.ca)
        )

    def verifier(self, auditor: Path | None, kept: Path | None) -> AuditorClient:
        """A client that verifies the whole log: as the auditor, or as nobody. Accepted heads are
        kept in ``kept``."""
        pinned = self.pinned(None if kept is None else kept.absolute().parent)
        caller, key = None, None
        if auditor is not None:
            caller = pinned.one(Role.AUDITOR).id
            key = load_signing_key(auditor / "auditor.key")
        heads = None if kept is None else HeadStore(kept)
        return AuditorClient(self.url, pinned, caller, key, heads, http_client(self.url, self.ca))

    def past(self, auditor: Path | None) -> Past:
        """What the auditor's home holds of before: earlier consortium documents in ``earlier/``,
        and the archive that was handed over.

        Raises:
            SignatureError: a document is not the registry's. AuditFailed: the archive is none.
        """
        if auditor is None or self.registry_key is None:
            return Past()
        files = sorted((auditor / EARLIER_FOLDER).glob("*.jws"))
        registry = PublicKey.from_text(key_of(self.registry_key))
        earlier = [Consortium.verify(text_of(file, "the document"), registry) for file in files]
        path = auditor / ARCHIVE_FILE
        if not path.exists():
            return Past(earlier)
        content = ask(path.read_bytes, f"the archive {path}")
        key = load_recipient_key(auditor / "auditor.recipient.key")
        return Past(earlier, ResealedArchive.parse(content, key))


@dataclass(frozen=True)
class Opener:
    """Opens what is sealed to the auditor."""

    bodies: Bodies
    earlier: frozenset[str]
    """Auditors before this one, whose archive is at hand."""

    @classmethod
    def of(cls, anchors: Anchors, auditor: Path) -> Opener:
        client = anchors.member(None, auditor / "auditor.key")
        key = load_recipient_key(auditor / "auditor.recipient.key")
        past = anchors.past(auditor)
        before = {one.one(Role.AUDITOR).id for one in past.consortiums} if past.archive else set()
        me = client.consortium.one(Role.AUDITOR).id
        return cls(Bodies(client, me, key, past.archive), frozenset(before))

    def close(self) -> None:
        self.bodies.client.close()

    def can_open(self, leaf: Mapping[str, Any]) -> bool:
        return not {self.bodies.name, *self.earlier}.isdisjoint(leaf["body"]["sealed_to"])

    def open(self, index: int, leaf: dict[str, Any]) -> dict[str, Any]:
        """The body of an entry as text, and what the signed document in it says, if it holds one.
        Raises SealError."""
        content = self.bodies.plain(index, leaf)
        counts, body = opened_counts(leaf, content)
        found: dict[str, Any] = {
            **({"counts": counts} if counts else {}),
            "body": body.decode(errors="replace"),
        }
        if (says := said(found["body"])) is not None:
            found["says"] = says
        return found


def said(body: str) -> dict[str, Any] | None:
    """The JSON object in a body; of a signed document its payload, whose signature
    ``tahini log verify`` checks."""
    try:
        found = json.loads(body)
        if isinstance(found, dict) and isinstance(found.get("token"), str):
            found = unverified_payload(found["token"])
    except (ValueError, CryptoError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


@dataclass(frozen=True)
class Filter:
    """Which entries are wanted; all of them where nothing is said."""

    lender: str | None = None
    types: Sequence[str] = ()
    """Types, or the words that they begin with: ``campaign`` for ``campaign.approved`` and the
    like."""
    first: date | None = None
    last: date | None = None
    """Days, both included, UTC."""

    @property
    def wants_all(self) -> bool:
        return self == Filter()

    def wants(self, leaf: Mapping[str, Any]) -> bool:
        kind = str(leaf["type"])
        day = str(leaf["time"])[:10]
        named = leaf.get("names")
        about = {
            leaf["actor"],
            leaf.get("lender"),
            named.get("lender") if isinstance(named, dict) else None,
        }
        return (
            (self.lender is None or self.lender in about)
            and (
                not self.types
                or any(kind == one or kind.startswith(f"{one}.") for one in self.types)
            )
            and (self.first is None or day >= self.first.isoformat())
            and (self.last is None or day <= self.last.isoformat())
        )
