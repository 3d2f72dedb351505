"""Publication: from a signed head to one that a quorum of witnesses has cosigned (C2SP
tlog-witness).

Only who may write asks the witnesses, and only who still may write publishes what they cosigned.
"""

from __future__ import annotations

import threading

from sqlalchemy import insert

from auditlog.database import Database
from auditlog.leadership import Reporter
from auditlog.log import AuditLog
from auditlog.tables import LogPublishedRow
from auditlog.witnesses import WitnessAhead, Witnesses
from crypto.errors import SignatureError
from crypto.notes import Checkpoint, claimed_checkpoint
from ops import metrics
from protocol.errors import LogDamaged, LogHeld, NotFound, NotWitnessed


class Publisher:
    """Has the newest signed head cosigned, and publishes it. Steps of several threads follow one
    another.

    Once a witness proves that it has seen more of this log than there is, ``reporter`` halts it:
    nothing is cosigned.
    """

    def __init__(
        self, database: Database, log: AuditLog, witnesses: Witnesses, reporter: Reporter
    ) -> None:
        self.database = database
        self.log = log
        self.witnesses = witnesses
        self._reporter = reporter
        self._lock = threading.Lock()

    def publish(self) -> int:
        """Have the newest signed head cosigned and publish it; returns the published size.

        Raises:
            NotWitnessed: no quorum. LogHeld: another process writes to this log.
        """
        with self._lock:
            with self.database.read() as session:
                published = self.log.published_size(session)
                try:
                    note = self.log.signed_head(session)
                except NotFound:
                    return 0
            claimed = _claimed_head(note)
            if claimed.size <= published:
                return published
            self._cosign(note, self.log.own_head(note))
            return claimed.size

    def _cosign(self, note: str, head: Checkpoint) -> None:
        if self._reporter.halted:
            raise NotWitnessed(self._reporter.halted)
        with self.database.write() as session:  # only who may write asks the witnesses
            epoch = self.log.lease.hold(session).epoch
        try:
            cosigned = self.witnesses.cosign(note, head, self._prove)
        except NotWitnessed as error:
            metrics.asked_witnesses("refused")
            if isinstance(error, WitnessAhead):
                with self.database.read() as session:
                    state = self.log.state(session)
                if (state.epoch, state.integrated) == (epoch, head.size):
                    self._reporter.halt(str(error))
            raise
        finally:
            for submitter in self.witnesses.submitters:
                metrics.witnessed(submitter.witness.name, submitter.size)
        metrics.asked_witnesses("cosigned")
        self.log.policy.open(cosigned)
        with self.database.write() as session:
            if self.log.state(session).epoch != epoch:
                raise LogHeld("another process has taken over this log; it publishes")
            if session.get(LogPublishedRow, head.size) is None:
                session.execute(insert(LogPublishedRow), [{"size": head.size, "note": cosigned}])

    def _prove(self, old: int, new: int) -> list[bytes]:
        with self.database.read() as session:
            return self.log.prove_consistency(session, old, new)


def _claimed_head(note: str) -> Checkpoint:
    """What a stored head says of itself; its signature is checked where it matters."""
    try:
        return claimed_checkpoint(note)
    except SignatureError as error:
        raise LogDamaged(
            f"the newest signed head is damaged ({error}); run: tahini log fsck"
        ) from error
