"""How a model and decisions do at work: who comes, how they are decided and for whom, whether the
model is right. Counts and figures with their intervals; nobody is named.

Each month is compared with the first one of the same model, over the model's own bins, by the bin
numbers that its decisions recorded (:mod:`lending.portfolio.monitoring`). Those who refused
something are compared with those who refused nothing (PIPL 16), thin files with thick ones, and
the groups of what is protected with each other: the one use that it is held for.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache, partial
from typing import Any

from sqlalchemy import Row, func, select

from credit.bands import BANDS
from crypto.errors import SealError
from desk.accounts import lent_by
from desk.office import Desk
from desk.records import opened_case, usable_key
from desk.storage.tables import applications, decisions, model_reviews
from law.categories import DataCategory
from lending.account.default import Definition, label
from lending.cases import Case, Outcome, Scored
from lending.intervals import Share
from lending.portfolio.book import DecidedCase, DecisionRates, Impact, decision_rates, impact
from lending.portfolio.monitoring import (
    BandCalibration,
    BinCounts,
    Discrimination,
    Expected,
    Judged,
    Stability,
    alarms,
    calibrations,
    discriminations,
    expected_performance,
    stability,
)
from protocol.errors import Malformed

ALL, SOME = "refused nothing", "refused something"
SCORE = "score"
"""Beside the features: the whole score, by band."""
MOST_GROUPS = 12
Month = tuple[int, int]


@dataclass(frozen=True)
class GroupsApproved:
    """How the groups of one protected attribute are approved, each beside the largest. It is held
    for nothing else, under a consent of its own; whoever gave none is in no group."""

    reference: str
    people: Mapping[str, int]
    beside: Mapping[str, Impact]


@dataclass(frozen=True)
class Watched:
    """What came of one model's decisions.

    Args:
        months: applications by month; the first is what the others are compared with.
        latest: the newest whole month beside the first, by feature and of the score.
        shifted: what raises an alarm: by effect, beyond chance, in two months one after the other.
        refusing: how those fare who refused something; None while one of the groups is empty.
        protected: by attribute, how its groups are approved; none of more groups than a table has
            room for, or of one.
        bands, ranks: of everybody's mature loans, and of thin and thick files apart: bad against
            expected by band, and how well they were ranked.
        unlabelled: what is expected of those who came within the window of the labels, if the model
            is right; None while there are fewer than two.
    """

    months: Mapping[str, int]
    latest: Mapping[str, Stability]
    shifted: tuple[str, ...]
    rates: Mapping[str, DecisionRates]
    refusing: Impact | None
    protected: Mapping[str, GroupsApproved]
    bands: Mapping[str, tuple[BandCalibration, ...]]
    ranks: Mapping[str, Discrimination]
    unlabelled: Expected | None
    forgotten: int

    @property
    def alarm(self) -> bool:
        """Somebody has to look: the model is to be evaluated anew, or recalled."""
        groups = [one for each in self.protected.values() for one in each.beside.values()]
        groups += [] if self.refusing is None else [self.refusing]
        worse = any(one.below_four_fifths for one in groups)
        adrift = any(one.adrift for by_band in self.bands.values() for one in by_band)
        return bool(self.shifted) or worse or adrift


@dataclass(frozen=True)
class _Seen:
    """One application that this model scored."""

    day: date
    scored: Scored
    decided: DecidedCase
    refused: bool
    groups: Mapping[str, str]
    """By protected attribute."""

    @property
    def approved(self) -> bool:
        return self.decided.final in {"approve", "counter"}

    @property
    def month(self) -> Month:
        return self.day.year, self.day.month


def monitor(
    desk: Desk, model: str, bins: Mapping[str, int], definition: Definition, as_of: date
) -> Watched:
    """All applications that a model scored until a day.

    Args:
        model: by its hash; a decision of another model is not looked at. bins: how many each
            feature has, 'missing' among them.

    Raises:
        Malformed: the day is to come. PortfolioError: a decision recorded a bin that the model does
            not have.
    """
    with desk.reading() as hand:
        if as_of > desk.day(hand.moment):
            raise Malformed(f"{as_of} is still to come")
    forgotten: list[str] = []
    seen = list(_seen(desk, model, as_of, forgotten))
    months: dict[Month, list[Scored]] = defaultdict(list)
    for one in seen:
        months[one.month].append(one.scored)
    whole = [month for month in sorted(months) if month < (as_of.year, as_of.month)]
    counted = [_counts(months[month], bins) for month in whole]
    periods = [_beside(counted[0], later) for later in counted[1:]]
    judged = list(_judged(desk, model, definition, as_of))
    return Watched(
        months={f"{y}-{m:02}": len(months[y, m]) for y, m in sorted(months)},
        latest=periods[-1] if periods else {},
        shifted=alarms(periods),
        rates=decision_rates(one.decided for one in seen),
        refusing=_refusing(seen),
        protected=_protected(seen),
        bands=calibrations(judged, [band.code for band in BANDS.bands]),
        ranks=discriminations(judged),
        unlabelled=_unlabelled(seen, as_of - timedelta(days=definition.window_days)),
        forgotten=len(forgotten),
    )


def keep_review(desk: Desk, model: str, as_of: date, alarm: bool) -> None:
    """Keep that a model was looked at until a day: everybody may read when that last was."""
    desk.write(
        lambda hand: hand.add(
            model_reviews, model_hash=model, as_of=as_of, alarm=alarm, reviewed_at=hand.moment
        )
    )


def last_reviewed(desk: Desk, model: str) -> date | None:
    """The newest day until which a model was looked at."""
    with desk.reading() as hand:
        newest: date | None = hand.connection.scalar(
            select(func.max(model_reviews.c.as_of)).where(model_reviews.c.model_hash == model)
        )
    return newest


def _seen(desk: Desk, model: str, as_of: date, forgotten: list[str]) -> Iterator[_Seen]:
    """In the order in which they came."""
    statement = (
        select(decisions, usable_key())
        .join(applications, applications.c.id == decisions.c.application)
        .order_by(applications.c.number, decisions.c.number)
    )
    with desk.reading() as hand:
        rows = hand.connection.execute(statement).all()
    last: dict[str, Outcome] = {row.application: row.outcome for row in rows}
    hidden = cache(partial(desk.lending.hidden, desk.sources.kinds))
    now = hidden(as_of)
    for row in rows:
        day = desk.day(row.decided_at)
        if row.id != row.application or row.model_hash != model or day > as_of:
            continue
        try:
            case = _case(desk, row)
        except SealError:
            forgotten.append(row.id)
            continue
        if case.scored is not None:
            decided = DecidedCase(row.outcome, last[row.application], _thin(desk, case))
            refused = any(fact.status == "refused" for fact in case.facts.values())
            yield _Seen(day, case.scored, decided, refused, _groups(case, hidden(day) | now))


def _case(desk: Desk, row: Row[Any]) -> Case:
    """Raises SealError where it was forgotten."""
    return opened_case(row.sealed, desk.at_rest.of(row.application, row.wrapped_key))


def _thin(desk: Desk, case: Case) -> bool:
    """The bureau was asked, and knows nothing of this person, or only that something is not so: as
    that they have a file."""
    kinds = desk.sources.kinds
    bureau = [name for name, made_of in kinds.items() if made_of == {DataCategory.BUREAU}]
    found = [case.facts[name] for name in bureau if name in case.facts]
    return bool(found) and all(
        one.status == "absent" or (one.status == "present" and one.value is False) for one in found
    )


def _counts(people: Sequence[Scored], bins: Mapping[str, int]) -> dict[str, BinCounts]:
    """Of those of whom something is known: what was left out is in no bin."""
    known: dict[str, list[int]] = {name: [] for name in bins}
    for scored in people:
        for one in scored.points:
            if not one.neutral:
                known[one.feature].append(one.bin)
    found = {name: BinCounts.of(of, bins[name]) for name, of in known.items()}
    by_band = Counter(scored.band for scored in people)
    return {**found, SCORE: BinCounts(tuple(by_band[band.code] for band in BANDS.bands))}


def _beside(first: Mapping[str, BinCounts], later: Mapping[str, BinCounts]) -> dict[str, Stability]:
    """Features that nobody let us ask about in one of the two months are in no comparison."""
    return {
        name: stability(first[name], now)
        for name, now in later.items()
        if first[name].people and now.people
    }


def _unlabelled(seen: Sequence[_Seen], since: date) -> Expected | None:
    """Of those who were decided after a day, whose loans cannot be mature."""
    them = [one for one in seen if one.day > since]
    if len(them) < 2:
        return None
    return expected_performance(
        [one.scored.probability for one in them],
        [one.approved for one in them],
    )


def _refusing(seen: Sequence[_Seen]) -> Impact | None:
    groups = {}
    for name, refused in ((ALL, False), (SOME, True)):
        them = [one.approved for one in seen if one.refused is refused]
        if not them:
            return None
        groups[name] = Share(sum(them), len(them))
    return impact(groups, ALL)[SOME]


def _groups(case: Case, protected: Collection[str]) -> dict[str, str]:
    """To which groups of people this one belongs."""
    return {
        name: str(fact.value)
        for name, fact in case.facts.items()
        if name in protected and fact.status == "present" and isinstance(fact.value, bool | str)
    }


def _protected(seen: Sequence[_Seen]) -> dict[str, GroupsApproved]:
    told = {}
    for name in sorted({name for one in seen for name in one.groups}):
        approved: dict[str, list[bool]] = defaultdict(list)
        for one in seen:
            if name in one.groups:
                approved[one.groups[name]].append(one.approved)
        if 2 <= len(approved) <= MOST_GROUPS:
            shares = {value: Share(sum(them), len(them)) for value, them in approved.items()}
            reference = max(sorted(shares), key=lambda value: shares[value].whole)
            people = {value: share.whole for value, share in shares.items()}
            told[name] = GroupsApproved(reference, people, impact(shares, reference))
    return told


def _judged(desk: Desk, model: str, definition: Definition, as_of: date) -> Iterator[Judged]:
    """Loans with what this model said of them when they were decided; what is forgotten is counted
    among the decisions."""
    for _, account, case in lent_by(desk, as_of, model):
        if case is not None and case.scored is not None:
            found = label(account, definition, as_of)
            thin = _thin(desk, case)
            yield Judged(case.scored.band, case.scored.probability, found, thin)
