"""What an auditor knows at some point of the log: who may use what, from the entries before it.

It is a fold over the leaves in order. With the auditor's key every signed document in a body is
opened and verified too; without it, only the order of the skeletons is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from auditlog.opening import Bodies
from crypto.errors import SignatureError
from protocol.campaigns import Approval, Authorisation, Campaign, RosterCommitment
from protocol.errors import AuditFailed
from protocol.notices import Notice
from protocol.parties import Consortium, Party, Role
from protocol.schema import Document
from protocol.snapshots import ConsentSnapshot

D = TypeVar("D", bound=Document)


@dataclass(frozen=True, eq=False)
class LoggedCommitment:
    """A roster commitment as the log holds it; ``opened`` when the auditor's key was at hand."""

    index: int
    leaf: Mapping[str, Any]
    opened: RosterCommitment | None


@dataclass(frozen=True)
class ServedState:
    """A consent snapshot that the registry says it served; ``opened`` with the auditor's key."""

    index: int
    lender: str
    opened: ConsentSnapshot | None


@dataclass
class CampaignUse:
    """What is known of one campaign at some point of the log."""

    approved: set[str] = field(default_factory=set)
    approvals: list[Approval] = field(default_factory=list)
    rejected: set[str] = field(default_factory=set)
    active: bool = False
    campaign: Campaign | None = None
    places: dict[str, str] | None = None
    """Hash of each lender's places, by lender, as the activation states it."""
    attempts: dict[str, list[int]] = field(default_factory=dict)
    """By lender: the release of each roster commitment, in order."""
    committed: set[tuple[str, int, int]] = field(default_factory=set)
    """Lender, release and attempt."""
    cards: set[str] = field(default_factory=set)
    models: set[str] | None = field(default_factory=set)
    """Hashes of the models that they are of; None once a card could not be read."""
    recalled: set[str] = field(default_factory=set)
    """Those of the cards that somebody recalled."""

    def may_have_released(self, model_sha256: str) -> bool:
        """Whether it released this model, as far as its cards could be read."""
        return self.models is None or model_sha256 in self.models


class AuditState:
    """What the entries so far say.

    Args:
        bodies: opens what is sealed.
        consortiums: the pinned document first, then earlier versions of it.
    """

    def __init__(self, bodies: Bodies, consortiums: Sequence[Consortium]) -> None:
        self.bodies, self.consortiums = bodies, tuple(consortiums)
        self.uses: dict[str, CampaignUse] = {}
        self.authorised: dict[tuple[str, str, str], Authorisation | None] = {}
        self.states: dict[str, ServedState] = {}
        self.notices: dict[int, Notice] = {}
        """Each notice that was published, by entry; none without the auditor's key."""
        self.commitments: list[LoggedCommitment] = []
        self.bound = False
        """Whether a campaign named its consortium by hash: then every later one does."""
        self.counted = 0.0
        """Epsilon that counts of people have cost."""
        self.samples: dict[int, Mapping[str, Any]] = {}
        """Each entry by which an auditor announced a sample, by index."""
        self.openings: set[tuple[int, str]] = set()
        """Which lender's part of which sample was opened."""
        self.incidents: dict[str, str] = {}
        """Who reported each incident that is not closed, by its hash."""
        self.closed_incidents: set[str] = set()
        self.reports: set[str] = set()
        """Audits whose report is in the log, by hash."""
        self.archives: dict[str, str] = {}
        """Hash of the archive that each auditor took over, by the auditor."""
        self.steps: dict[tuple[str, str], str] = {}
        """The last step of each application, by lender and what the lender's entries call it."""
        self.erasures: Counter[str] = Counter()
        """How many people the registry erased on each day."""
        self.by_type: Counter[str] = Counter()
        self.index, self.latest = 0, ""

    @property
    def consortium(self) -> Consortium:
        return self.consortiums[0]

    def require(self, holds: bool, what: str) -> None:
        """Raises AuditFailed, naming the entry."""
        if not holds:
            raise AuditFailed(f"entry {self.index}: {what}")

    # --- parties

    def known_as(self, name: str) -> list[Party]:
        """The party of this id, in every version of the consortium that has it."""
        found = [p for c in self.consortiums for p in c.parties if p.id == name]
        self.require(bool(found), f"{name!r} is not a party of the consortium")
        return found

    def has_role(self, name: str, roles: frozenset[Role]) -> bool:
        return any(party.role in roles for party in self.known_as(name))

    def auditors(self) -> set[str]:
        return {consortium.one(Role.AUDITOR).id for consortium in self.consortiums}

    def verified(self, kind: type[D], token: str, signer: str) -> D:
        """The document, signed with a key that the party has or had. Raises SignatureError."""
        refused = SignatureError(f"{signer!r} has no key")
        for party in self.known_as(signer):
            try:
                return kind.verify(token, party.key)
            except SignatureError as error:
                refused = error
        raise refused

    # --- bodies

    def opened(self, leaf: Mapping[str, Any]) -> dict[str, Any] | None:
        """What is sealed in the entry; None without the auditor's key."""
        return self.bodies.opened(self.index, leaf)

    def document(self, leaf: Mapping[str, Any], kind: type[D], signer: str) -> D | None:
        """The signed document in the entry's body; None without the auditor's key."""
        body = self.opened(leaf)
        return None if body is None else self.verified(kind, str(body["token"]), signer)

    # --- campaigns

    def use(self, leaf: Mapping[str, Any]) -> CampaignUse:
        """What is known of the campaign that the entry is about."""
        self.require(
            leaf["campaign"] in self.uses, "it speaks of a campaign that was never proposed"
        )
        return self.uses[leaf["campaign"]]
