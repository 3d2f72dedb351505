"""What the registry's endpoints see of a caller."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from protocol.errors import NotAllowed
from protocol.parties import Role


class Caller(StrEnum):
    """Whom an endpoint may be for."""

    SUBJECT = "subject"
    LENDER = "lender"
    COORDINATOR = "coordinator"
    AUDITOR = "auditor"
    OPERATOR = "operator"
    NAMING = "naming"

    @classmethod
    def of(cls, role: Caller | Role) -> Caller:
        """The caller that a party of this role is. The registry's own party is the operator."""
        return (
            role
            if isinstance(role, Caller)
            else cls.OPERATOR
            if role is Role.REGISTRY
            else cls(role.value)
        )


@dataclass(frozen=True)
class Login:
    """An account at an OIDC issuer. ``subject_hash`` is the keyed hash of its ``sub``, 64 hex
    digits; see ``links``."""

    issuer: str
    subject_hash: str


@dataclass(frozen=True)
class CallingBorrower:
    """A person who calls.

    ``subjects``: the pseudonyms that this caller may speak for. ``login``: None where the request
    is signed with the borrower's own key. ``evidence``: SHA-256 of the ID token that the login
    began with, hex; empty without a login. ``logged_in_at``: when they showed
    their issuer who they are; where it does not say, when that login got its access token.
    ``counter_of``: the lender at whose own front the login was; this caller is its customer only.
    """

    subjects: tuple[str, ...]
    login: Login | None = None
    evidence: str = ""
    logged_in_at: datetime | None = None
    counter_of: str | None = None


def at_the_portal(caller: CallingBorrower) -> None:
    """For what binds a person everywhere or for good: a lender's own front holds the token of
    whoever logs in there. Raises NotAllowed: the caller logged in at such a front."""
    if caller.counter_of is not None:
        raise NotAllowed("this is done at the portal, not at a lender's own front")
