"""How many people a campaign could use: a noisy count, so that no answer tells whether somebody is
in it.

The discrete Laplace mechanism with sensitivity 1 (one person changes the count by one): epsilon per
answer is :data:`EPSILON`. Every answer is charged to everybody, ever after, whichever lenders and
purpose it was about: together they cost at most the consortium's ``count_epsilon``, which campaigns
do not have (basic composition). What is charged, and when there is no more, depends on nobody's
data. The same question on the same day has the same answer, for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, distinct, false, func, insert, or_, select
from sqlalchemy.orm import aliased

from consent.commands.place_people import refuse_two_versions
from consent.registry import Registry
from consent.storage.tables import ConsentRow, PopulationRow, SubjectRow
from consent.transaction import writing
from crypto.documents import document_hash
from law.categories import Sensitivity
from privacy.filter import TOLERANCE
from privacy.noise import discrete_laplace
from protocol.errors import Conflict, Malformed
from protocol.parties import Party
from protocol.states import ConsentStatus

EPSILON = 0.1


@dataclass(frozen=True)
class Population:
    """A noisy count of people with a live consent at one lender at least; never below zero."""

    count: int
    epsilon: float = EPSILON


def _live(
    row: type[ConsentRow], current: Mapping[int, Sequence[int]], moment: datetime
) -> tuple[ColumnElement[bool], ...]:
    """That a consent of one of these scopes counts now; ``current``: the notices of each that still
    do."""
    lasts = or_(row.expiry_time.is_(None), row.expiry_time > moment)
    answered = or_(
        false(),
        *((row.scope_id == scope) & row.notice.in_(numbers) for scope, numbers in current.items()),
    )
    return row.state == ConsentStatus.GIVEN, answered, lasts


def count_population(
    registry: Registry,
    coordinator: Party,
    purpose: str,
    lenders: tuple[str, ...],
    sensitivity: Sensitivity,
) -> Population:
    """How many people could be used for ``purpose`` at these lenders, about.

    Raises:
        Malformed: somebody who is not a lender. Conflict: the consortium's budget for counts is
            spent, or somebody may have two names, so that one person could be counted as two.
    """
    known_lenders = {party.id for party in registry.consortium.lenders}
    if not lenders or not set(lenders) <= known_lenders:
        raise Malformed("a population is counted at lenders of the consortium")
    asked = {"purpose": purpose, "lenders": sorted(set(lenders)), "sensitivity": sensitivity}
    with writing(registry) as transaction:
        session = transaction.session
        day = transaction.moment.date()
        question = document_hash({**asked, "day": day.isoformat(), "coordinator": coordinator.id})
        before = session.get(PopulationRow, question)
        if before is not None:
            return Population(before.count)
        refuse_two_versions(session)
        answered = session.scalar(select(func.count()).select_from(PopulationRow)) or 0
        allowed = registry.consortium.count_epsilon
        if (answered + 1) * EPSILON > allowed * (1 + TOLERANCE):
            raise Conflict(
                f"a count costs everybody epsilon {EPSILON:g}; of the {allowed:g} that the "
                f"consortium sets aside for counts, {answered * EPSILON:g} is spent"
            )
        known = transaction.notices
        current = {
            known.scopes[purpose, name]: [
                number for number in known.notices if not known.is_stale(number, name)
            ]
            for name in set(lenders)
            if (purpose, name) in known.scopes
        }
        people = (
            select(func.count(distinct(SubjectRow.ledger_pseudonym)))
            .join(ConsentRow, ConsentRow.subject_id == SubjectRow.id)
            .where(
                ConsentRow.sensitivity == "ordinary",
                *_live(ConsentRow, current, transaction.moment),
            )
        )
        if sensitivity != "ordinary":  # may be used only of whom ordinary data may be used
            also = aliased(ConsentRow)
            same = (also.subject_id == ConsentRow.subject_id) & (
                also.scope_id == ConsentRow.scope_id
            )
            people = people.join(also, same).where(
                also.sensitivity == sensitivity, *_live(also, current, transaction.moment)
            )
        count = max(0, (session.scalar(people) or 0) + int(discrete_laplace(1, 1 / EPSILON)[0]))
        row = {
            "question_sha256": question,
            "day": day,
            "coordinator": coordinator.id,
            "count": count,
        }
        session.execute(insert(PopulationRow), [row])
        transaction.log_sealed(
            "population.counted", coordinator.id, {"epsilon": EPSILON}, {**asked, "count": count}
        )
    return Population(count)
