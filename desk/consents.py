"""Whether an applicant may be scored, on which kinds of data, before anybody is asked for anything.

A yes counts for this purpose (:data:`protocol.uses.SCORING_PURPOSE`; never one to training), this
lender as its recipient, and the categories that the version of the notice named which this person
answered (invariant 11). The lender's copy of its borrowers' consents says so while it is young
enough; else the registry is asked, and if it does not answer, nothing is allowed: that is
*unavailable*, and never taken for a no.

An objection or restriction that is not closed suspends everything of a person's, in the copy too
(``consent.commands.request_marks``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from clients.consents import Consents
from law.categories import DataCategory
from protocol.client.lenders import LenderClient
from protocol.errors import ConsentError
from protocol.schema import now
from protocol.snapshots import Reason
from protocol.uses import ConsentNamed

COPY_AGE = timedelta(minutes=2)


class ConsentsUnavailable(ConsentError):
    """How somebody's consents stand cannot be told now; nothing may be read, and nobody has
    refused."""

    status = 503
    code = "consents-unavailable"


@dataclass(frozen=True)
class Permission:
    """How one person stood at one moment, for the categories that were asked about."""

    pseudonym: str
    granted: dict[DataCategory, ConsentNamed]
    """What may be used, and by which consent."""
    refused: dict[DataCategory, Reason]
    """What may not, and why. Costs neutral points, and is never held against anybody."""
    automated: bool
    """Every consent that is used was asked for with a machine's decision in view."""
    told_at: datetime
    """When the registry said so, signed; the copy may be younger than this process."""
    state_sha256: str
    """Of the registry's signed word."""

    @property
    def consents(self) -> tuple[ConsentNamed, ...]:
        """Those that are used, each once."""
        raise NotImplementedError


@dataclass(frozen=True)
class ConsentLost:
    """One consent that a decision rested on and that does not hold any more."""

    category: DataCategory
    reason: Reason


class ScoringConsents:
    """The consents of one lender's borrowers to being scored.

    Args:
        copy: in the lender's home (``Node.consents``).
        client: the registry, as this lender (``Node.connected(DeskClient)``).
        age: how old the copy may be when somebody is scored.
    """

    def __init__(
        self,
        copy: Consents,
        client: LenderClient,
        age: timedelta = COPY_AGE,
        clock: Callable[[], datetime] = now,
    ) -> None:
        raise NotImplementedError

    def check(self, pseudonym: str, categories: Iterable[DataCategory]) -> Permission:
        """Before scoring. Whoever has refused everything, or was never asked, has nothing granted.

        Raises:
            ConsentsUnavailable: the copy is too old, and the registry does not answer, or not with
                something that can be believed.
        """
        raise NotImplementedError

    def check_again(self, before: Permission) -> tuple[ConsentLost, ...]:
        """At disbursement: the registry is asked, however young the copy is. What was granted then
        and is not now, or only in answer to another version of the notice; empty if it all stands.

        Raises:
            ConsentsUnavailable: as :meth:`check`.
        """
        raise NotImplementedError
