"""What the registry's endpoints see of a caller."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from protocol.errors import NotAllowed
from protocol.parties import Role

FRESH = timedelta(minutes=2)
"""How old a log-in may be for what needs a new one."""


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
    began with, hex; empty without a login. ``logged_in_at``: when they showed their issuer who they
    are; None where it does not say. ``counter_of``: the lender at whose own front the login was;
    this caller is its customer only.
    """

    subjects: tuple[str, ...]
    login: Login | None = None
    evidence: str = ""
    logged_in_at: datetime | None = None
    counter_of: str | None = None


def require_fresh_login(caller: CallingBorrower, moment: datetime) -> None:
    """For what cannot be undone or lets somebody in. An issuer that answers for a session of its
    own without asking says when it last asked; one that does not say so is not believed to have.

    Raises NotAllowed: the caller showed who they are more than :data:`FRESH` ago, or nobody says
    when.
    """
    if caller.logged_in_at is None or moment - caller.logged_in_at > FRESH:
        raise NotAllowed("log in again, and do this within two minutes").because(
            "fresh-login-needed", seconds=int(FRESH.total_seconds())
        )


def at_the_portal(caller: CallingBorrower) -> None:
    """For what binds a person everywhere or for good: a lender's own front holds the token of
    whoever logs in there. Raises NotAllowed: the caller logged in at such a front."""
    if caller.counter_of is not None:
        raise NotAllowed("this is done at the portal, not at a lender's own front")
