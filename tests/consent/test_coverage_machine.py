"""No order of notices, versions, answers, imports, guardians, objections, withdrawals, campaigns and uses lets a row
through whose person's answered notice does not cover it, or who objects. Beside the real application stands what each
person said last, and to what."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from support.desk import MINE, asked
from support.effort import EFFORT, effort
from support.house import everybody
from support.market import open_market, shown
from support.world import features

from clients.consents import Consents
from law.bases import LegalBasis
from law.categories import DataCategory, consent_for
from protocol.coverage import needs_of
from protocol.notices import Terms
from protocol.terms import TRAINING_PURPOSE

STEPS_EACH = 50
STEPS = effort(10_000 if EFFORT >= 1 else 5_000)
KINDS = ("ordinary", "sensitive", "income", "deposits")
POOL = ("repayment", "bureau", "consumption", "location", "income", "deposits")
FEATURES = (
    {"name": "late", "category": "repayment"},
    {"name": "grade", "category": "bureau"},
    {"name": "spent", "category": "consumption", "sensitivity": "sensitive"},
    {"name": "near", "category": "location", "dated_by": "seen", "retention_days": 365},
    {"name": "income", "category": "income"},
    {"name": "burden", "category": "bureau", "derived_from": ["income", "deposits"]},
)
TRAINED = features().model_dump(mode="json")["features"]
GUARDIAN = {"age_band": "under-14", "guardian_entity_id": "g-1", "authority_evidence_hash": "a" * 64}
OLDER = {"age_band": "adult", "authority_evidence_hash": "b" * 64}
AGES = st.sampled_from((None, None, None, GUARDIAN, GUARDIAN, OLDER))
PEOPLE = 7
people = st.integers(0, PEOPLE - 1)
some_kinds = st.sets(st.sampled_from(KINDS), min_size=1)


@dataclass(frozen=True)
class Wanted:
    features: list[dict]
    automated: bool
    basis: LegalBasis
    lenders: tuple[str, ...]

    def stated(self, terms: Terms) -> bool:
        named = {one.id: one.role for one in terms.recipients}
        return (
            terms.lawful_basis == self.basis
            and (terms.automated_decision or not self.automated)
            and all(named.get(lender) == "lender" for lender in self.lenders)
        )


def covers(yes: dict[str, Terms], child: bool, wanted: Wanted) -> set[str]:
    """The features that these answers, by kind, allow; nothing where they allow no use at all. Everything of a child
    is sensitive too."""
    for kind in ("ordinary", "sensitive") if child else ("ordinary",):
        terms = yes.get(kind)
        if terms is None or "repayment" not in terms.categories or not wanted.stated(terms):
            return set()
    allowed = set()
    for feature in wanted.features:
        about = [feature["category"], *feature.get("derived_from", ())]
        declared = feature.get("sensitivity") == "sensitive"
        if all(
            one in getattr(yes.get(kind), "categories", ())
            and wanted.stated(yes[kind])
            and (feature.get("retention_days", 0) if feature.get("dated_by") else 0) <= yes[kind].retention_period_days
            for one in about
            for kind in [consent_for(DataCategory(one), declared), *(["sensitive"] if child else [])]
        ):
            allowed.add(feature["name"])
    return allowed


class Consortium(RuleBasedStateMachine):
    market = folder = None
    steps = 0
    answers = imported = trained = let_through = 0

    @initialize()
    def newcomers(self) -> None:
        self.people = self.market.enrol("aspen", 4)
        self.publish(set(POOL), False, 30, False, ("aspen", "birch"))
        self.yes: dict[tuple[str, str], Terms] = {}
        self.suspended: dict[tuple[str, str], Terms] = {}
        self.children: set[str] = set()
        self.objections: dict[str, str] = {}
        for at in range(4):
            self.answer(at, 1, None, set(KINDS), "give")

    def person(self, at: int):
        return self.people[at % len(self.people)]

    @rule()
    def enrol(self) -> None:
        if len(self.people) < PEOPLE:
            self.people += self.market.enrol("aspen")

    @rule(
        categories=st.sets(st.sampled_from(POOL)), automated=st.booleans(), kept=st.sampled_from((30, 3000)),
        flagged=st.booleans(), asks=st.sampled_from(((("aspen", "birch"),) * 6) + (("birch",), ("aspen",))),
    )  # fmt: skip
    def publish(self, categories, automated, kept, flagged, asks) -> None:
        self.market.publish(
            self.market.notices[-1].version + 1, recipients=asks, material_change=flagged, automated_decision=automated,
            categories=tuple(one for one in POOL if one in categories | {"repayment"}), retention_period_days=kept,
        )  # fmt: skip

    @rule(
        at=people, back=st.sampled_from((1, 1, 1, 2, 3)), age=AGES, kinds=some_kinds,
        action=st.sampled_from(("give", "give", "give", "give", "withdraw", "refuse", "suspend", "resume")),
    )  # fmt: skip
    def answer(self, at, back, age, kinds, action) -> None:
        """Signed with the person's own key, whatever age it says."""
        person, notice = self.person(at), self.market.notices[-min(back, len(self.market.notices))]
        self.market.clock.move(seconds=1)
        said = {
            kind: action for kind in KINDS if kind in kinds and (kind in notice.terms.asked() or kind == "sensitive")
        }
        if not said:
            return
        authority = {"authority": age} if age else {}
        answered = self.market.decide(self.market.decision(person, said, notice, **authority))
        if answered.status_code != 201:
            return
        type(self).answers += 1
        if age == GUARDIAN:
            self.is_a_child(person, () if action in {"give", "refuse"} else said)
        self.said(person, said, notice)

    @rule(at=people, gone=st.sampled_from(POOL[1:]))
    def say_less(self, at, gone) -> None:
        """A guardian says yes; the next version says less, and of a child the sensitive consent alone answers that."""
        self.answer(at, 1, GUARDIAN, set(KINDS), "give")
        live = self.market.notices[-1]
        less = {one.value for one in live.terms.categories} - {gone}
        self.publish(less, live.terms.automated_decision, live.terms.retention_period_days, False, live.recipients)
        self.answer(at, 1, GUARDIAN, {"sensitive"}, "give")
        self.use(set(range(len(FEATURES))), False, ("aspen", "birch"))

    def is_a_child(self, person, kept) -> None:
        """What no guardian gave ends when that is first said, but for what is said of it itself."""
        if person.pseudonym not in self.children:
            self.children.add(person.pseudonym)
            for key in [(person.pseudonym, kind) for kind in KINDS if kind not in kept]:
                self.yes.pop(key, None)
                self.suspended.pop(key, None)

    def said(self, person, said, notice) -> None:
        for kind, action in said.items():
            key = (person.pseudonym, kind)
            if action == "give":
                self.yes[key] = notice.terms
            elif action == "resume":
                self.yes[key] = self.suspended[key]
            elif key in self.yes:
                terms = self.yes.pop(key)
                if action == "suspend":
                    self.suspended[key] = terms

    @rule(
        at=people, back=st.sampled_from((1, 1, 2)), age=AGES, kinds=some_kinds,
        action=st.sampled_from(("give", "give", "refuse", "withdraw", "suspend")),
    )  # fmt: skip
    def hand_in(self, at, back, age, kinds, action) -> None:
        """What the lender says that somebody answered, and of what age it has seen them to be."""
        person, notice = self.person(at), self.market.notices[-min(back, len(self.market.notices))]
        self.market.clock.move(seconds=1)
        said = {kind: action for kind in KINDS if kind in kinds}
        one = {"number": person.number, "action": action, "event_time": self.market.clock().isoformat()}
        one |= {"evidence_sha256": "e" * 64} | ({"authority": age} if age else {})
        body = shown(notice) | {"channel": "paper", "records": [one | {"sensitivity": kind} for kind in said]}
        if self.market.call("aspen", "POST", "/v1/imports", body).status_code != 201:
            return
        type(self).imported += 1
        if age == OLDER:
            self.children.discard(person.pseudonym)
        if age == GUARDIAN:
            self.is_a_child(person, said)
        self.said(person, said, notice)

    @rule(at=people, disputed=st.sampled_from(((), ("grade",))))
    def object_or_end_it(self, at, disputed) -> None:
        person = self.person(at)
        if (mine := self.objections.pop(person.pseudonym, None)) is None:
            self.objections[person.pseudonym] = asked(self.market, person, features=disputed)
        else:
            assert self.market.call(person.pseudonym, "POST", f"{MINE}/{mine}/closings").status_code == 201

    @rule(
        wanted=st.sets(st.integers(0, len(FEATURES) - 1), min_size=1), automated=st.sampled_from((False, False, True)),
        lenders=st.sampled_from((("aspen",), ("aspen", "birch"))),
    )  # fmt: skip
    def use(self, wanted, automated, lenders) -> None:
        """What a gate would let through of a campaign, were it authorised."""
        chosen = [FEATURES[at] for at in sorted(wanted)]
        use = Wanted(chosen, automated, self.market.notices[0].terms.lawful_basis, lenders)
        told = self.market.registry.consortium.reached_by(lenders)
        needs = needs_of({"features": chosen, "jurisdictions": ["CN"]}, automated, use.basis, told)
        self.check(use, needs, everybody(len(self.market.people["aspen"])))

    @rule()
    def train(self) -> None:
        """A campaign that is proposed, approved by all and authorised, or refused."""
        live, lenders = self.market.notices[-1], ("aspen", "birch")
        use = Wanted(TRAINED, False, live.terms.lawful_basis, lenders)
        covered = (
            set(lenders) <= set(live.recipients)
            and use.stated(live.terms)
            and {one["category"] for one in TRAINED} <= set(live.terms.categories)
        )
        try:
            campaign = self.market.campaign(lenders)
        except AssertionError:
            assert not covered
            return
        assert covered, "a campaign beyond the live notice is proposed"
        for lender in lenders:  # as its node does; or after an hour it is given nothing more
            if told := self.market.client(lender).revocations():
                assert self.market.acknowledge(lender, told[-1].number).status_code == 201
        assert self.market.authorise(campaign).status_code == 201
        type(self).trained += 1
        self.check(use, campaign.needs(self.market.registry.consortium),
                   self.market.client("aspen").places(campaign.sha256))  # fmt: skip

    def check(self, use, needs, places) -> None:
        folder = self.folder / "node"
        folder.mkdir(exist_ok=True)
        snapshot = Consents(folder, "aspen").sync(self.market.client("aspen"), TRAINING_PURPOSE)
        found = snapshot.usable(places, needs)
        hidden = {name: found.patterns[pattern] for name, pattern in found.hidden().items()}
        mine = {person.pseudonym for person in self.people}
        for name in mine & set(found.members):
            yes = {kind: self.yes[name, kind] for kind in KINDS if (name, kind) in self.yes}
            shown = {feature["name"] for feature in use.features} - hidden.get(name, frozenset())
            allowed = covers(yes, name in self.children, use)
            assert yes.get("ordinary") is not None, "nobody is used without a yes"
            assert name not in self.objections, "nobody is used who objects"
            assert shown <= allowed, (shown - allowed, yes)
            type(self).let_through += len(shown)

    @invariant()
    def counted(self) -> None:
        type(self).steps += 1


@pytest.mark.timeout(10_800)
def test_no_row_is_let_through_that_an_answered_notice_does_not_cover(tmp_path_factory) -> None:
    folder = tmp_path_factory.mktemp("coverage")
    with open_market(folder) as market:
        machine = type("Machine", (Consortium,), {"market": market, "folder": folder})
        for _ in range(10):  # by chance few steps of a short run train anybody: then there are more steps
            run_state_machine_as_test(
                machine,
                settings=settings(
                    max_examples=max(1, STEPS // STEPS_EACH), stateful_step_count=STEPS_EACH, deadline=None,
                    phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
                ),
            )  # fmt: skip
            if machine.trained > machine.steps / 200:
                break
        assert machine.steps >= STEPS / 2
        assert machine.imported > machine.steps / 200 and machine.trained > machine.steps / 200
        assert machine.let_through > machine.steps / 20, f"{machine.answers} answers: nearly nothing was let through"
