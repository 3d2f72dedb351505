"""Forget a borrower: end every consent and destroy the data key, at once and on the record.

Every sealed body about the borrower becomes unreadable, here and in every backup of the database: the key's row is
gone, its group is re-keyed, and the root version that older copies need is destroyed (``consent.datakeys``). Every
proof over the log stays as it was, because leaves hash ciphertext only. The key's random name goes into the log, so
that no restored copy brings it back.
"""

from __future__ import annotations

from sqlalchemy import insert, select

from consent.errors import KeysUnavailable, NotFound
from consent.keybackup import forgetting
from consent.registry import Registry
from consent.states import TRANSITIONS, Event, State, state_at, step
from consent.storage.tables import ConsentEventRow, ConsentRow, DataKeyRow, SubjectRow
from crypto.documents import canonical_json
from crypto.errors import KeyFileError, KeyStoreUnavailable, SealError


def forget_subject(registry: Registry, pseudonym: str) -> int:
    """Withdraw everything this subject gave and destroy the key; returns how many consents were ended.

    Raises:
        NotFound: no such subject, or forgotten already. KeysUnavailable: the old root key is not destroyed yet; it will
            be at the next forgetting or start.
    """
    try:
        with forgetting(registry):
            return _forget(registry, pseudonym)
    except (SealError, KeyStoreUnavailable, KeyFileError) as error:
        raise KeysUnavailable(
            f"the key store does not do what it should ({error}); what was recorded stays, ask again"
        ) from error


def _forget(registry: Registry, pseudonym: str) -> int:
    moment = registry.clock()
    with registry.write() as session:
        registry.log.lease.hold(session)
        subject = session.scalar(select(SubjectRow.id).join(DataKeyRow).where(SubjectRow.pseudonym == pseudonym))
        if subject is None:
            raise NotFound("no such subject")
        rows = session.scalars(select(ConsentRow).where(ConsentRow.subject_id == subject)).all()
        ended = [row for row in rows if (State(row.state), Event.WITHDRAW) in TRANSITIONS]
        events = []
        for row in ended:
            present = state_at(State(row.state), row.expiry_time, moment)
            if present is not State(row.state) and row.expiry_time is not None:
                events.append((row, Event.EXPIRE, row.expiry_time))
            events.append((row, Event.WITHDRAW, moment))
            row.state, row.event_time = step(present, Event.WITHDRAW), moment
        if events:
            session.execute(
                insert(ConsentEventRow),
                [
                    {
                        "subject_id": subject,
                        "purpose": row.purpose,
                        "recipient": row.recipient,
                        "sensitivity": row.sensitivity,
                        "event": event.value,
                        "event_time": event_time,
                        "decision_sha256": "",
                    }
                    for row, event, event_time in events
                ],
            )
        key_id = registry.keys.destroy(session, subject)
        body = canonical_json({"ended": len(ended)})
        entry = registry.sealed_to_auditor("subject.forgotten", registry.me.id, {"key": key_id}, body)
        registry.log.append(session, [entry])
    return len(ended)
