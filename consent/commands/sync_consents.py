"""How a lender's borrowers stand: the whole, what changed since, and the decision about each.

A state is read in one transaction, so every change that was acknowledged before the call is in it. It carries the
newest published checkpoint, and the challenge that the caller sent, so that an older answer cannot pass for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from consent.catalogue import Known
from consent.commands.place_people import used_up
from consent.documents import Party
from consent.errors import Conflict, Malformed, NotFound
from consent.registry import Registry
from consent.rolls import Roll, read_roll
from consent.standing import (
    MOST_PEOPLE,
    NEVER,
    RULES,
    SENSITIVITY_ORDER,
    AnsweredNotice,
    Codes,
    ConsentState,
    Flags,
    Rule,
    at_moment,
    codes_sha256,
    packed,
    rules_of,
)
from consent.storage.columns import read_columns
from consent.storage.tables import SENSITIVITIES, ScopeRow, SubjectRow
from consent.subjects import IN_CHUNK
from consent.terms import Sensitivity

MOST_NAMED = 10_000
"""Pseudonyms in one question; who asks about more asks by number."""
MOST_CHANGES = 1_000_000
"""A delta of more changes is a whole."""


@dataclass(frozen=True)
class State:
    """A signed state and what travels beside it, packed (``consent.standing.packed``)."""

    token: str
    numbers: str | None
    """Whom the codes are about; none when they are about everybody on the roll."""
    ordinary: str
    sensitive: str

    def body(self) -> dict[str, str | None]:
        return {
            "token": self.token,
            "numbers": self.numbers,
            "ordinary": self.ordinary,
            "sensitive": self.sensitive,
        }


def _expiry(session: Session) -> str:
    seconds = "CAST(strftime('%s', c.expiry_time) AS INTEGER)"
    if session.get_bind().dialect.name == "postgresql":
        seconds = "EXTRACT(EPOCH FROM c.expiry_time)::int8"
    return f"COALESCE({seconds}, {NEVER})"


def _codes(session: Session, scope: int, moment: datetime, where: str = "") -> dict[str, NDArray[Any]]:
    """Number, sensitivity and code of every consent of the scope that ``where`` lets through."""
    columns = {
        "number": "s.number int32",
        "sensitivity": "c.sensitivity int16",
        "state": "c.state int16",
        "notice": "c.notice int32",
        "expiry": f"{_expiry(session)} int64",
    }
    rest = f"FROM consents c JOIN subjects s ON s.id = c.subject_id WHERE c.scope_id = {int(scope)} {where}"
    found = read_columns(session, columns, rest)
    states = at_moment(found["state"], found["expiry"], moment)
    return {**found, "code": found["notice"].astype(np.uint32) << np.uint32(8) | states}


def standings(session: Session, scope: int, people: int, moment: datetime) -> dict[Sensitivity, Codes]:
    """One code per borrower on the roll, by sensitivity."""
    found = _codes(session, scope, moment)
    whole: dict[Sensitivity, Codes] = {}
    for place, sensitivity in enumerate(SENSITIVITIES):
        mine = found["sensitivity"] == place
        whole[sensitivity] = np.zeros(people, dtype=np.uint32)  # type: ignore[index]
        whole[sensitivity][found["number"][mine]] = found["code"][mine]  # type: ignore[index]
    return whole


def notices_of(known: Known, purpose: str, lender: str) -> dict[int, AnsweredNotice]:
    """The notices that a borrower of this lender may have answered for this purpose, by number."""
    return {
        number: AnsweredNotice(
            id=notice.id, version=notice.version, stale=known.is_stale(number), limits=notice.terms.limits
        )
        for number, notice in known.notices.items()
        if notice.purpose == purpose and lender in notice.recipients
    }


def _scope(known: Known, purpose: str, lender: Party) -> int:
    found = known.scopes.get((purpose, lender.id))
    if found is None:
        raise NotFound("no notice asks this lender's borrowers for consent to this purpose")
    return found


def take_state(
    registry: Registry, lender: Party, purpose: str, challenge: str, since: int | None, since_moment: datetime | None
) -> State:
    """The state of the lender's borrowers for ``purpose`` now: all of it, or what is other than at ``since``.

    Args:
        challenge: the caller's own random text, which is signed with the answer.
        since, since_moment: sequence and time of the state that the caller holds.

    Raises:
        NotFound: nobody was ever asked. Malformed: a state that was never there. Conflict: too much has changed.
    """
    if (since is None) != (since_moment is None):
        raise Malformed("what changed is told from a sequence number and a moment on: give both, or neither")
    moment = registry.clock()
    with registry.database.read() as session:
        known = registry.catalogue.load(session)
        scope = _scope(known, purpose, lender)
        sequence = session.scalar(select(ScopeRow.events).where(ScopeRow.id == scope)) or 0
        roll = read_roll(session, lender.id)
        checkpoint = registry.log.checkpoint(session)
        if since is None or since_moment is None:
            whole = standings(session, scope, roll.people, moment)
            numbers, ordinary, sensitive = None, whole["ordinary"], whole["sensitive"]
        else:
            if since > sequence or since_moment > moment:
                raise Malformed(f"there is no state {since} of that time; ask for the whole")
            numbers, ordinary, sensitive = _changed(session, scope, since, since_moment, moment)
    return _signed(
        registry, lender, purpose, challenge, moment, known, roll, sequence, since, since_moment, checkpoint,
        numbers, ordinary, sensitive,
    )  # fmt: skip


def _changed(
    session: Session, scope: int, since: int, since_moment: datetime, moment: datetime
) -> tuple[NDArray[np.uint32], Codes, Codes]:
    """Who changed, or expired, after ``since``, and their codes now."""
    first, last = (f"'{when:%Y-%m-%d %H:%M:%S}.000000'" for when in (since_moment, moment))
    found = _codes(
        session,
        scope,
        moment,
        f"AND c.subject_id IN (SELECT e.subject_id FROM consent_events e WHERE e.scope_id = {int(scope)}"
        f" AND e.sequence > {int(since)} UNION SELECT x.subject_id FROM consents x WHERE x.scope_id = {int(scope)}"
        f" AND x.expiry_time > {first} AND x.expiry_time <= {last})",
    )
    numbers, places = np.unique(found["number"], return_inverse=True)
    if len(numbers) > MOST_CHANGES:
        raise Conflict("too much has changed since then; ask for the whole")
    codes = np.zeros((2, len(numbers)), dtype=np.uint32)
    codes[found["sensitivity"], places] = found["code"]
    return numbers.astype(np.uint32), codes[0], codes[1]


def _signed(
    registry: Registry, lender: Party, purpose: str, challenge: str, moment: datetime, known: Known, roll: Roll,
    sequence: int, since: int | None, since_moment: datetime | None, checkpoint: str,
    numbers: NDArray[np.uint32] | None, ordinary: Codes, sensitive: Codes,
) -> State:  # fmt: skip
    document = ConsentState(
        lender=lender.id,
        purpose=purpose,
        people=roll.people,
        names_sha256=roll.names_sha256,
        since=since,
        since_moment=since_moment,
        sequence=sequence,
        notices=notices_of(known, purpose, lender.id),
        codes_sha256=codes_sha256(numbers, ordinary, sensitive),
        checkpoint=checkpoint,
        challenge=challenge,
        issued_at=moment,
    )
    return State(
        token=document.sign(registry.signing_key),
        numbers=None if numbers is None else packed(numbers),
        ordinary=packed(ordinary),
        sensitive=packed(sensitive),
    )


# --- decisions


@dataclass(frozen=True)
class Decisions:
    """For each borrower asked about, in their order, an index into ``consent.standing.RULES``."""

    rules: NDArray[np.uint8]
    moment: datetime

    @property
    def allowed(self) -> int:
        return int((self.rules == RULES.index(Rule.GIVEN)).sum())


def decide(
    registry: Registry,
    lender: Party,
    purpose: str,
    sensitivity: Sensitivity,
    numbers: NDArray[np.uint32] | None = None,
    names: Sequence[str] | None = None,
) -> Decisions:
    """Whether each of these borrowers of the lender may be used for ``purpose`` now, and which rule says so.

    Whoever is not the lender's own is ``not-enrolled``, whether the registry knows the name or not. Sensitive data may
    be used only of whom ordinary data may be used.

    Args:
        numbers: places on the lender's roll. names: pseudonyms, at most :data:`MOST_NAMED`. None of both: everybody.
    """
    moment = registry.clock()
    with registry.database.read() as session:
        known = registry.catalogue.load(session)
        scope = _scope(known, purpose, lender)
        people = read_roll(session, lender.id).people
        about, where = np.arange(people, dtype=np.int64), ""
        wanted = about
        if names is not None or numbers is not None:
            ids = _by_name(session, lender.id, names) if names is not None else None
            if numbers is not None and len(numbers) <= MOST_NAMED:
                ids = _by_number(session, lender.id, numbers)
            if ids is None:
                wanted = np.minimum(np.asarray(numbers, dtype=np.int64), people)
            else:
                wanted = np.array([number for number, _ in ids], dtype=np.int64)
                about = np.unique(wanted[wanted < people])
                where = f"AND c.subject_id IN ({', '.join(str(i) for _, i in ids if i) or -1})"
        found = _codes(session, scope, moment, where)
        used = used_up(session, registry, known, lender.id, purpose, moment)
    rules = _told(found, about, notices_of(known, purpose, lender.id), used, sensitivity)
    places = np.searchsorted(about, wanted)
    enrolled = wanted < people
    told = np.full(len(wanted), RULES.index(Rule.NOT_ENROLLED), dtype=np.uint8)
    told[enrolled] = rules[places[enrolled]]
    return Decisions(told, moment)


def _told(
    found: Mapping[str, NDArray[Any]],
    about: NDArray[np.int64],
    notices: Mapping[int, AnsweredNotice],
    used: Flags | None,
    sensitivity: Sensitivity,
) -> NDArray[np.uint8]:
    """The rule for each number in ``about`` (ascending): the first sensitivity that is not given decides."""
    rules = np.full(len(about), RULES.index(Rule.GIVEN), dtype=np.uint8)
    for kind in SENSITIVITY_ORDER[: 1 + SENSITIVITY_ORDER.index(sensitivity)]:
        codes = np.zeros(len(about), dtype=np.uint32)
        mine = found["sensitivity"] == SENSITIVITIES.index(kind)
        codes[np.searchsorted(about, found["number"][mine])] = found["code"][mine]
        told = rules_of(codes, notices, None if used is None else used[about])
        undecided = rules == RULES.index(Rule.GIVEN)
        rules[undecided] = told[undecided]
    return rules


_NOBODY = (1 << 32, 0)
"""Place and id of somebody who is not on the roll."""


def _by_name(session: Session, lender: str, names: Sequence[str]) -> list[tuple[int, int]]:
    """Place on the lender's roll and id of each of these pseudonyms; past the roll's end for whoever is not on it."""
    if len(names) > MOST_NAMED:
        raise Malformed(f"at most {MOST_NAMED} pseudonyms in one question; ask about more by number")
    found: dict[str, tuple[int, int]] = {}
    for start in range(0, len(names), IN_CHUNK):
        rows = session.execute(
            select(SubjectRow.pseudonym, SubjectRow.number, SubjectRow.id).where(
                SubjectRow.lender == lender, SubjectRow.pseudonym.in_(names[start : start + IN_CHUNK])
            )
        )
        found.update((name, (number, i)) for name, number, i in rows)
    return [found.get(name, _NOBODY) for name in names]


def _by_number(session: Session, lender: str, numbers: NDArray[np.uint32]) -> list[tuple[int, int]]:
    wanted = [int(number) for number in numbers]
    found: dict[int, int] = {}
    for start in range(0, len(wanted), IN_CHUNK):
        part = [number for number in wanted[start : start + IN_CHUNK] if number < MOST_PEOPLE]
        rows = session.execute(
            select(SubjectRow.number, SubjectRow.id).where(SubjectRow.lender == lender, SubjectRow.number.in_(part))
        )
        found.update(rows.tuples().all())
    return [(number, found[number]) if number in found else _NOBODY for number in wanted]
