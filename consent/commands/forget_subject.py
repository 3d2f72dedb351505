"""Forget a borrower: end every consent and destroy the data key, at once and on the record.

Every sealed body about the borrower becomes unreadable; every proof over the log stays as it was, because leaves hash
ciphertext only.
"""

from __future__ import annotations

from sqlalchemy import delete, insert, select, update

from consent.errors import NotFound
from consent.log import entry_for_party
from consent.registry import Registry
from consent.states import TRANSITIONS, Event, State, step
from consent.storage.tables import ConsentEventRow, ConsentRow, DataKeyRow, SubjectRow
from crypto.documents import canonical_json


def forget_subject(registry: Registry, pseudonym: str) -> int:
    """Withdraw everything this subject gave and destroy the key; returns how many consents were ended.

    Raises:
        NotFound: no such subject, or forgotten already.
    """
    auditor, key = registry.auditor_key
    moment = registry.clock()
    with registry.database.write() as session:
        subject = session.scalar(select(SubjectRow.id).join(DataKeyRow).where(SubjectRow.pseudonym == pseudonym))
        if subject is None:
            raise NotFound("no such subject")
        rows = session.scalars(select(ConsentRow).where(ConsentRow.subject_id == subject)).all()
        ended = [row for row in rows if (State(row.state), Event.WITHDRAW) in TRANSITIONS]
        for row in ended:
            row.state = step(State(row.state), Event.WITHDRAW)
        if ended:
            session.execute(
                insert(ConsentEventRow),
                [
                    {
                        "subject_id": subject,
                        "purpose": row.purpose,
                        "recipient": row.recipient,
                        "sensitivity": row.sensitivity,
                        "event": Event.WITHDRAW.value,
                        "event_time": moment,
                        "decision_sha256": "",
                    }
                    for row in ended
                ],
            )
        session.execute(update(DataKeyRow).where(DataKeyRow.subject_id == subject).values(wrapped=b""))
        session.execute(delete(DataKeyRow).where(DataKeyRow.subject_id == subject))
        body = canonical_json({"ended": len(ended)})
        entry = entry_for_party("subject.forgotten", moment, registry.me.id, {}, auditor, key, body)
        registry.log.append(session, [entry])
    return len(ended)
