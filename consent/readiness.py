"""Whether this process may be sent requests: its database, its schema, its lease, its sequencer.

Asked by load balancers, by anybody: the answer names a category, the log says more.
"""

from __future__ import annotations

from sqlalchemy.orm import Session

from auditlog.ledger import Ledger
from consent.storage.migrating import current_revision, newest_revision
from protocol.errors import ConsentError, LogDamaged, StorageFailed


class NotReady(ConsentError):
    """This process should not be sent requests now; the message is the category of the reason."""

    status = 503
    code = "not-ready"


def check_ready(ledger: Ledger) -> None:
    """Returns when all is well.

    Raises:
        NotReady: ``database`` does not answer; ``migrations`` have not been run; ``lease``: another
            service writes to this log, and this one was not started to read only; ``sequencer``: it
            has halted or died, nothing is signed.
    """
    try:
        with ledger.read() as session:
            reason = _reason(ledger, session)
    except StorageFailed as error:
        raise NotReady("database") from error
    except LogDamaged as error:
        raise NotReady("log") from error
    if reason:
        raise NotReady(reason)


def _reason(ledger: Ledger, session: Session) -> str:
    if current_revision(session) != newest_revision():
        return "migrations"
    sequencer = ledger.sequencer
    if not sequencer.read_only and ledger.log.state(session).holder != ledger.log.lease.name:
        return "lease"
    return "" if sequencer.works and not sequencer.halted else "sequencer"
