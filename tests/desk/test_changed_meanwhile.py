"""What is installed, altered or forgotten beside a decision: it changes nothing of it, and nothing passes unseen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.counter import BAD, MIDDLING, Counter, PlainRules, StandInSource, counter, some_id
from support.lending_house import PROFILES, USUAL, home_day, released
from support.world import features, pseudonym

from crypto.keys import write_secret
from desk.commands.apply import LoanWanted, apply
from desk.commands.challenge import replay_silent
from desk.commands.replay import Replayed, Replaying
from desk.customers import CustomerTokens
from desk.errors import RulesMissing
from desk.home import DATABASE_FILE, KEY_FILE
from desk.lending_rules import ReleasedRules, feature_law
from desk.records import StoredDecision
from desk.rulebook import Rulebook
from desk.sources import About, Reading, Sources
from desk.verifying import Verification
from law.categories import DataCategory
from lending.law.rows import LAWS, Laws
from lending.policy.document import CreditPolicy, policy_from
from lending.score.glossary import Glossary
from lending.terms.products import Product


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


# --- a product that changes between what was shown, confirmed and paid out


@dataclass
class Dearer(PlainRules):
    """Whose product costs something else once it is changed."""

    product: str = "e" * 64

    def disclosure(self, offer, day):
        return replace(super().disclosure(offer, day), product_hash=self.product)


@pytest.fixture
def changing(desk: Counter) -> Counter:
    desk.desk.lending = desk.rules = Dearer()
    return desk


def test_nothing_is_paid_out_under_another_product_than_was_confirmed(changing: Counter):
    application = changing.offered()
    assert changing.accepts(application).status_code == 201
    changing.rules.product = "f" * 64
    refused = changing.pays(application["id"])
    assert (refused.status_code, "product has changed" in refused.json()["detail"]) == (409, True)
    assert changing.call("reader", "GET", "/v1/loans").json()["items"] == []
    changing.rules.product = "e" * 64
    assert changing.pays(application["id"]).status_code == 201


def test_what_is_confirmed_is_what_was_shown(changing: Counter):
    """Reading the table of one product is no reading of another's."""
    application = changing.offered()
    path = f"/v1/applications/{application['id']}/disclosure"
    changing.call("origination", "GET", path)
    changing.rules.product = "f" * 64
    refused = changing.accepts(application)
    assert (refused.status_code, "product has changed" in refused.json()["detail"]) == (409, True)


@pytest.mark.parametrize(("days", "reason", "status"), [(10, None, 201), (11, None, 422), (11, "bank-error", 201)])
def test_a_payout_is_not_dated_long_ago_without_a_reason(desk: Counter, days: int, reason: str | None, status: int):
    """A loan whose money came a year ago, it says, is a year late, under the law of then."""
    application = desk.offered()
    desk.accepts(application)
    on = desk.today()
    desk.clock.move(days=days)
    paid = desk.pays(application["id"], on=on, reason=reason)
    assert paid.status_code == status, paid.text
    if status == 201:
        (event,) = desk.call("reader", "GET", f"/v1/loans/{paid.json()['id']}/events").json()["items"]
        assert event["reason"] == reason


# --- nobody is asked about who does not apply any more


class Asked:
    about = About("employer", DataCategory.INCOME, ())
    times = 0

    def verify(self, kind, inquiry):
        self.times += 1
        return Verification("confirmed")


def test_nobody_verifies_what_nothing_is_decided_on(desk: Counter):
    verifier = Asked()
    desk.desk.verifiers = {"employer": verifier}  # type: ignore[dict-item]
    body = {"provider": "employer", "kind": "income"}

    def verified(application: str) -> int:
        return desk.call("origination", "POST", f"/v1/applications/{application}/verifications", body).status_code

    waits, gone, no = (desk.asks(late).json()["id"] for late in (MIDDLING, MIDDLING, BAD))
    desk.call("origination", "POST", f"/v1/applications/{gone}/withdrawal")
    before = len(desk.log.entries)
    assert [verified(one) for one in (gone, no)] == [409, 409]
    assert (verifier.times, len(desk.log.entries)) == (0, before)
    assert (verified(waits), verifier.times) == (201, 1)


# --- what is altered beside a decision


def altered(desk: Counter, statement: str, *values: Any) -> None:
    """Somebody opens the database with another program, and takes the triggers away first."""
    with desk.desk.transactions.database.write() as connection:
        for table in ("decisions", "applications", "silent_decisions"):
            for name in (f"{table}_kept", f"{table}_stand"):
                connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}")
        connection.exec_driver_sql(statement, values)


def replayed(desk: Counter) -> Replayed:
    here, found = Replaying(desk.desk.transactions.database, desk.desk.at_rest), Replayed()
    for numbers in here.spans:
        found.add(here.span(numbers))
    return found


@pytest.mark.parametrize(
    ("column", "value"),
    [("product", "other"), ("amount", 300_001), ("term_days", 31), ("received_at", "2026-01-01 00:00:00.000000"),
     ("pseudonym", "v1.somebody-else")],
)  # fmt: skip
def test_whoever_asked_for_what_is_as_it_was(lender: Counter, column: str, value: Any):
    application = decided(lender).case.application.id
    assert replayed(lender).same == 1
    altered(lender, f"UPDATE applications SET {column} = ?", value)
    assert replayed(lender).differs == {application: f"asked_{column}"}


def test_a_machines_decision_is_not_passed_off_as_a_persons(lender: Counter):
    application = decided(lender).case.application.id
    altered(lender, "UPDATE decisions SET by = 'reviewer.li'")
    found = replayed(lender)
    assert (found.by_people, found.sound, found.differs) == (0, False, {application: "by"})


@pytest.mark.parametrize(
    ("column", "value"),
    [("outcome", "decline"), ("by", "reviewer.wu"), ("policy_hash", "0" * 64), ("score", 1), ("by", "machine")],
)
def test_what_stands_beside_a_persons_decision_is_what_they_decided(desk: Counter, column: str, value: Any):
    desk.asks(MIDDLING)
    (review,) = desk.call("reader", "GET", "/v1/reviews").json()["items"]
    path = f"/v1/reviews/{review['id']}"
    desk.call("reviewer.li", "POST", f"{path}/taking")
    desk.call("reviewer.li", "POST", f"{path}/decision", {"outcome": "approve", "reasons": ["seen"]})
    assert replayed(desk).by_people == 1
    altered(desk, f"UPDATE decisions SET {column} = ? WHERE id <> application", value)
    found = replayed(desk)
    assert (found.by_people, found.differs) == (0, {review["id"]: column})


def test_what_stands_beside_a_challengers_word_is_what_it_said(lender: Counter):
    rules = rules_of(lender)
    (champion,) = rules.policies
    beside = another(champion, 30, challenges=champion.hash)
    lender.desk.lending = replace(rules, policies=[champion, beside])
    made = decided(lender)
    database, at_rest = lender.desk.transactions.database, lender.desk.at_rest
    altered(lender, "UPDATE silent_decisions SET outcome = 'failed'")
    found = replay_silent(database, at_rest, Rulebook(database, at_rest))
    assert (found.same, found.differs) == (0, [made.case.application.id])


# --- words about a decision that another model has followed


def test_a_letter_tells_what_would_have_changed_it_by_the_model_that_decided(lender: Counter, tmp_path: Path):
    def worded(rules: ReleasedRules) -> None:
        lender.desk.lending = rules
        glossary = Glossary.of(features(), {"changeable": {"late": "down"}})
        lender.desk.wording = replace(
            lender.desk.wording, glossary=glossary, scorer=rules.model.scorer, cut_off=rules.model.reference.cut_off
        )

    first, then = rules_of(lender), released(tmp_path, tilt=1.5)
    worded(first)
    lender.desk.sources.sources[1].values["late"] = 6
    declined = [decided(lender).case.application.id for _ in range(2)]
    told = [lender.call("origination", "GET", f"/v1/applications/{declined[0]}/letter").json()]
    assert "instead" in told[0]["en"]
    worded(replace(then, model=replace(then.model, reference=replace(then.model.reference, cut_off=940))))
    lender.desk.kept_rules.clear()
    told.append(lender.call("origination", "GET", f"/v1/applications/{declined[1]}/letter").json())
    for tongue in ("en", "zh"):
        one, other = (said[tongue].splitlines() for said in told)
        assert [line for line in one if line not in other] == [one[1], one[-1]], "but for its number and place"


# --- the terms of a loan are those that it was made under


def lent(lender: Counter, **more: Any) -> str:
    application = lender.offered(product="daily-30", amount=300_000, purpose="shopping", **more)
    assert lender.accepts(application).status_code == 201
    paid = lender.pays(application["id"], amount=300_000)
    assert paid.status_code == 201, paid.text
    return str(paid.json()["id"])


def test_more_time_is_had_at_the_price_that_was_shown_and_at_no_other(lender: Counter):
    """Somebody pays meanwhile: then it costs something else."""
    person = pseudonym()
    loan = lent(lender, pseudonym=person)
    token = CustomerTokens(lender.desk.at_rest).give(person, lender.clock())
    mine, headers = f"/v1/me/loans/{loan}", {"Authorization": f"Bearer {token}"}

    def shown() -> str:
        return str(lender.http.get(f"{mine}/extension?days=7", headers=headers).json()["terms_sha256"])

    def asks(terms: str, key: str) -> Any:
        body = {"days": 7, "terms_sha256": terms}
        return lender.http.post(f"{mine}/extensions", json=body, headers=headers | {"Idempotency-Key": key})

    old = shown()
    assert shown() == old
    paid = {"event": "paid-meanwhile", "amount": 50_000, "on": lender.today(), "prepays": True}
    assert lender.call("servicing", "POST", f"/v1/loans/{loan}/repayments", paid).is_success
    refused = asks(old, some_id())
    assert (refused.status_code, refused.json()["type"].rpartition(":")[2]) == (409, "price-changed")
    assert lender.http.get(mine, headers=headers).json()["status"] == "active"
    key, new = some_id(), shown()
    assert all(asks(new, key).is_success for _ in range(2)), "sent twice, done once"
    assert lender.http.get(mine, headers=headers).json()["status"] == "extended"


def lends_on(lender: Counter, **changes: Any) -> None:
    """The lender's products are others from now on."""
    rules = rules_of(lender)
    products = {name: Product.model_validate(one.payload() | changes) for name, one in rules.pricing.products.items()}
    lender.desk.lending = replace(rules, pricing=replace(rules.pricing, products=products))
    lender.desk.kept_rules.clear()


def charges(value: int, when: str, payee: str) -> dict[str, Any]:
    said = {"code": "dear", "en": "dear", "zh": "费用", "payee": payee}
    return said | {"method": "of-principal", "value": value, "when": when}


def extends(lender: Counter, loan: str, days: int = 30):
    body = {"event": "x-1", "on": lender.today(), "days": days}
    return lender.call("servicing", "POST", f"/v1/loans/{loan}/extensions", body)


@pytest.mark.parametrize(
    "changes",
    [
        {"fees": [charges(3_000, "extension", "lender")]},
        {"fees": [charges(30_000, "start", "insurer")]},
        {"extension": None},
    ],
    ids=["a dearer extension", "an insurer who is paid first", "no extension"],
)
def test_more_time_costs_what_the_product_said_when_the_loan_was_made(lender: Counter, changes: dict[str, Any]):
    """Whatever the lender sells today, to others or to the same person."""
    loan = lent(lender)
    lender.clock.move(days=20)
    lends_on(lender, **changes)
    before = lender.call("reader", "GET", f"/v1/loans/{loan}").json()["owed"]["fees"]
    put_off = extends(lender, loan)
    assert put_off.status_code == 201, put_off.text
    assert put_off.json()["owed"]["fees"] == before, "the contract has no fee for it"


def test_a_product_without_extension_stays_so_for_its_loans(lender: Counter):
    allowed = rules_of(lender).pricing.products["daily-30"].extension
    assert allowed is not None
    lends_on(lender, extension=None)
    loan = lent(lender)
    lender.clock.move(days=20)
    lends_on(lender, extension=allowed.model_dump(mode="json"))
    refused = extends(lender, loan, 1)
    assert (refused.status_code, "so often" in refused.json()["detail"]) == (409, True)


def test_another_plan_is_held_against_what_the_loan_has_cost_by_its_own_product(lender: Counter):
    loan = lent(lender)
    lender.clock.move(days=20)
    lends_on(lender, fees=[charges(30_000, "start", "insurer")])
    due = (lender.desk.day(lender.clock()) + timedelta(days=40)).isoformat()
    plan = [{"due": due, "principal": 300_000, "interest": 5_000}]
    body = {"event": "r-1", "on": lender.today(), "schedule": plan}
    agreed = lender.call("servicing", "POST", f"/v1/loans/{loan}/restructurings", body)
    assert agreed.status_code == 201, agreed.text


def test_the_law_of_the_day_caps_an_extension_of_whatever_was_contracted(lender: Counter):
    """The fee was agreed; since then the law allows less."""
    lends_on(lender, fees=[charges(1_500, "extension", "lender")], rates={"least": 0, "most": 300})
    loan = lent(lender)
    lender.clock.move(days=20)
    rules = rules_of(lender)
    laws = rules.pricing.laws
    rows = laws.rows["CN"]
    less = [one.model_copy(update={"value": "0.05"}) if one.key == "cap.microloan" else one for one in rows]
    laws = Laws({**laws.rows, "CN": tuple(less)})
    lender.desk.lending = replace(rules, pricing=replace(rules.pricing, laws=laws))
    refused = extends(lender, loan)
    assert (refused.status_code, "law of the day" in refused.json()["detail"]) == (409, True)


def test_a_loan_whose_product_was_altered_is_changed_by_nobody(lender: Counter):
    loan = lent(lender)
    with lender.desk.transactions.database.write() as connection:
        for name in ("rules_kept", "rules_stand"):
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
        connection.exec_driver_sql("UPDATE rules SET content = x'7b7d' WHERE kind = 'product'")
    refused = extends(lender, loan)
    assert (refused.status_code, "no product" in refused.json()["detail"]) == (503, True)
