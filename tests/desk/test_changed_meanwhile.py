"""What is installed, altered or forgotten beside a decision: it changes nothing of it, and nothing passes unseen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.counter import Counter, StandInSource, counter
from support.lending_house import PROFILES, USUAL, home_day, released
from support.world import pseudonym

from crypto.keys import write_secret
from desk.commands.apply import LoanWanted, apply
from desk.commands.challenge import replay_silent
from desk.errors import RulesMissing
from desk.home import DATABASE_FILE, KEY_FILE
from desk.lending_rules import ReleasedRules, feature_law
from desk.records import StoredDecision
from desk.rulebook import Rulebook
from desk.sources import About, Reading, Sources
from law.categories import DataCategory
from lending.law.rows import LAWS
from lending.policy.document import CreditPolicy, policy_from


@dataclass
class DatedSource(StandInSource):
    """Says of which day each of its values is."""

    days: dict[str, date] = field(default_factory=dict)

    def ask(self, inquiry):
        return {name: Reading(one.value, self.days.get(name)) for name, one in super().ask(inquiry).items()}


@pytest.fixture
def lender(tmp_path: Path) -> Iterator[Counter]:
    """A desk with real rules, whose sources know ``USUAL`` and a good profile of everybody."""
    write_secret(tmp_path / KEY_FILE, b"k" * 32)
    with counter(tmp_path / DATABASE_FILE) as found:
        found.desk.lending = released(tmp_path)
        bureau = DatedSource(About("bureau", DataCategory.BUREAU, tuple(USUAL)), dict(USUAL))
        book = StandInSource(About("book", DataCategory.REPAYMENT, tuple(PROFILES[0])), dict(PROFILES[0]))
        found.desk.sources = Sources([bureau, book])
        yield found


def rules_of(lender: Counter) -> ReleasedRules:
    assert isinstance(lender.desk.lending, ReleasedRules)
    return lender.desk.lending


def another(champion: CreditPolicy, keep_days: int, **changes: Any) -> CreditPolicy:
    """The same policy, but that it reads arrears of the last so many days only."""
    said = champion.document.payload() | changes
    said["facts"] = said["facts"] | {"arrears_days": said["facts"]["arrears_days"] | {"keep_days": keep_days}}
    return policy_from(said, feature_law(LAWS), home_day())


def decided(lender: Counter) -> StoredDecision:
    applied = apply(lender.desk, LoanWanted(pseudonym(), "daily-30", 300_000, 30, "shopping"))
    assert applied.made is not None
    return applied.made


@pytest.mark.parametrize("changes", [{"challenges": True}, {"products": ["other"], "id": "other"}])
def test_what_another_policy_says_of_a_fact_changes_no_decision(lender: Counter, changes: dict[str, Any]):
    """A challenger, or the policy of another product, that forgets arrears sooner takes no knock-out away."""
    bureau = lender.desk.sources.sources[0]
    assert isinstance(bureau, DatedSource)
    bureau.values["arrears_days"], bureau.days = 90, {"arrears_days": home_day() - timedelta(days=100)}
    rules = rules_of(lender)
    (champion,) = rules.policies
    assert decided(lender).decision.outcome == "decline"
    if changes.get("challenges"):
        changes = {"challenges": champion.hash}
    beside = another(champion, 30, **changes)
    lender.desk.lending = replace(rules, policies=[champion, beside])
    lender.desk.kept_rules.clear()
    made = decided(lender)
    assert (made.decision.outcome, made.case.facts["arrears_days"].value) == ("decline", 90)
    if "challenges" in changes:
        assert made.silent is not None and made.silent.outcome == "approve", "it reads what it says that it reads"
        kept = Rulebook(lender.desk.transactions.database, lender.desk.at_rest)
        found = replay_silent(lender.desk.transactions.database, lender.desk.at_rest, kept)
        assert (found.same, found.differs) == (1, [])


# --- what a fact is made of


@pytest.mark.parametrize(("name", "by"), [("open_loans", "policy"), ("grade", "model")])
def test_a_fact_that_its_source_makes_of_sex_decides_nothing_whatever_it_is_called(lender: Counter, name, by):
    rules = rules_of(lender)
    lender.desk.lending = replace(rules, held={name: frozenset({DataCategory.BUREAU, DataCategory.SEX})})
    with pytest.raises(RulesMissing, match=rf"'{name}' comes from a source that is about sex.*nothing is"):
        decided(lender)
    assert lender.log.entries == [], "nobody was read"
    lender.desk.lending = replace(rules, held={name: frozenset({DataCategory.BUREAU})})
    assert decided(lender).decision.outcome == "approve", by
