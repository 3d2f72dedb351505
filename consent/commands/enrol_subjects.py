"""Enrol a lender's borrowers by pseudonym, each with the key that will sign their decisions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from consent.documents import Party
from consent.errors import Conflict
from consent.registry import Registry
from consent.schema import KeyText, Pseudonym
from consent.storage.tables import SubjectRow
from crypto.documents import canonical_json

MAX_BATCH = 5_000


class Enrolment(BaseModel):
    """One person at one lender."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pseudonym: Pseudonym
    ledger_pseudonym: Pseudonym
    public_key: KeyText


Enrolments = Annotated[list[Enrolment], Field(min_length=1, max_length=MAX_BATCH)]


def enrol_subjects(registry: Registry, lender: Party, enrolments: Sequence[Enrolment]) -> int:
    """Enrol all or none; returns how many.

    Raises:
        Conflict: one of them is enrolled already.
    """
    with registry.write() as session:
        rows = [{"lender": lender.id, **enrolment.model_dump()} for enrolment in enrolments]
        try:
            session.execute(insert(SubjectRow), rows)
        except IntegrityError as error:
            raise Conflict("one of these pseudonyms is enrolled already; none of the batch was recorded") from error
        names = [enrolment.pseudonym for enrolment in enrolments]
        ids = session.execute(
            select(SubjectRow.id, SubjectRow.pseudonym)
            .where(SubjectRow.lender == lender.id)
            .order_by(SubjectRow.id.desc())
            .limit(len(names))
        )
        registry.keys.create(session, [(i, name) for i, name in ids])
        body = canonical_json({"sha256": hashlib.sha256(canonical_json(sorted(names))).hexdigest()})
        entry = registry.sealed_to_auditor("subjects.enrolled", lender.id, {}, body)
        registry.log.append(session, [entry])
    return len(enrolments)
