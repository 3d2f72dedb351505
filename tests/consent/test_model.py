"""Random borrowers and lenders against the real application and, side by side, the obvious model of it.

One registry serves the whole test; each example brings people and notices of its own. What the model says of all
people of all examples must hold to the end.
"""

from __future__ import annotations

import json
import secrets
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from support.consent_model import ANSWERS, Asked, Model, Refused
from support.desk import answers, asked
from support.effort import EFFORT, effort
from support.market import open_market, shown

from clients.consents import Consents
from crypto.keys import SigningKey
from protocol.snapshots import REASONS, unpacked
from protocol.terms import TRAINING_PURPOSE

STEPS_EACH = 50
STEPS = effort(10_000 if EFFORT >= 1 else 5_000)
KINDS = ("ordinary", "sensitive", "income")
WITH_ACCOUNT = (("aspen", 0), ("birch", 0))
kinds = st.sampled_from(KINDS)
who = st.integers(0, 5)
actions = st.sampled_from(("give", "give", "refuse", "withdraw", "suspend", "resume"))
matches = st.sampled_from((None, None, None, "right", "right", "wrong"))
keys = st.sampled_from((None, None, None, None, "one", "two"))


class Consortium(RuleBasedStateMachine):
    market = model = folder = None
    examples = steps = 0

    @initialize()
    def newcomers(self) -> None:
        type(self).examples += 1
        self.clock = self.market.clock
        self.clock.move(seconds=1)
        self.mine, self.gone, self.answers, self.turn, self.returned = [], set(), {}, 0, {}
        self.objected = []
        self.published = []
        self.publish(False)
        for lender in ("aspen", "birch", "cedar", "aspen", "birch", "aspen"):
            self.enrol(lender)
        self.account = secrets.token_hex(32)
        self.linked = [self.mine[0], self.mine[1]]
        self.market.login(*self.linked, account=self.account)

    # --- helpers

    def key(self, person, kind):
        return person.lender, person.number, kind

    def tag(self, persons) -> str:
        return f'"{sum(self.model.get(self.key(p, k)).version for p in persons for k in KINDS)}"'

    def caller(self, persons):
        if len(persons) > 1:
            return self.market.login(account=self.account)
        return persons[0].pseudonym

    def commit(self, changes) -> None:
        for key, made in changes:
            self.model.said(key, made)

    def expect(self, choices, notice, ends, times):
        """What the model would make of these answers; None where the registry must refuse them."""
        try:
            return [
                (key, self.model.answered(key, action, notice, times[key], ends, self.clock()))
                for key, action in choices
            ]
        except Refused:
            return None

    def too_early(self, notice, action, said_at) -> bool:
        """No yes is older than what it answers, but for what clocks may differ."""
        return action in {"give", "resume"} and said_at < notice.published_at - timedelta(minutes=5)

    # --- what people do

    @rule(lender=st.sampled_from(("aspen", "birch", "cedar")))
    def enrol(self, lender) -> None:
        if len(self.mine) < 12:
            self.mine += self.market.enrol(lender)

    @rule(material=st.booleans())
    def publish(self, material) -> None:
        if len(self.published) < 3:
            version = len(self.model.notices) + 1
            self.published.append(self.market.publish(version, material_change=material))
            self.model.notices.append(Asked(version, "credit", version, material))

    def number(self, notice) -> int:
        return next(n.number for n in self.model.notices if (n.id, n.version) == (notice.id, notice.version))

    @rule(
        at=who, choices=st.lists(st.tuples(st.integers(0, 1), kinds, actions), min_size=1, max_size=3),
        version=st.integers(0, 2), lasts=st.sampled_from((None, None, 5, 60)), match=matches, once=keys,
        account=st.booleans(),
    )  # fmt: skip
    def state(self, at, choices, version, lasts, match, once, account) -> None:
        """Answers made here and now, for one lender with an own key or for several after a login."""
        self.clock.move(seconds=1)
        persons = self.linked if account and not self.gone & set(WITH_ACCOUNT) else [self.mine[at % len(self.mine)]]
        if account and any(p.pseudonym in self.gone for p in persons):
            return
        notice = self.published[version % len(self.published)]
        asked = {(persons[i % len(persons)].lender, kind): action for i, kind, action in choices}
        ends = None if lasts is None else self.clock() + timedelta(seconds=lasts)
        body = self.market.statement(
            [(lender, kind, action) for (lender, kind), action in asked.items()], notice,
            expiry_time=None if ends is None else ends.isoformat(),
        )  # fmt: skip
        headers = {}
        tag = self.tag(persons)
        if match is not None:
            headers["If_Match"] = tag if match == "right" else '"999"'
        if once is not None:
            headers["Idempotency_Key"] = once
        answer = self.market.call(self.caller(persons), "POST", "/v1/me/consents", body, **headers)
        same = (self.account if len(persons) > 1 else persons[0].pseudonym, once)
        earlier = self.answers.get(same) if once else None
        if earlier is not None and earlier[2] > self.clock():
            if earlier[0] == body:
                assert answer.headers["idempotent-replayed"] == "true"
                assert (answer.status_code, answer.json()) == (201, earlier[1])
            else:
                assert answer.status_code == 422
            return
        assert "idempotent-replayed" not in answer.headers
        if persons[0].pseudonym in self.gone:
            assert answer.status_code in {401, 412}
            return
        if match == "wrong":
            assert answer.status_code == 412
            return
        by_lender = {p.lender: p for p in persons}
        wanted = [(self.key(by_lender[lender], kind), action) for (lender, kind), action in asked.items()]
        times = {key: self.model.login_time(key, self.clock()) for key, _ in wanted}
        changes = self.expect(wanted, self.number(notice), ends, times)
        assert answer.status_code == (409 if changes is None else 201), answer.text
        if changes is None:
            return
        self.commit(changes)
        told = {name: state for one in answer.json()["recorded"] for name, state in one["states"].items()}
        assert told == {f"{key[0]}/{key[2]}": made.state for key, made in changes}
        if once is not None:
            self.answers[same] = (body, answer.json(), self.clock() + timedelta(hours=24))

    @rule(
        at=who,
        kind=kinds,
        action=actions,
        version=st.integers(0, 2),
        late=st.sampled_from((0, 0, 0, 1, 40, 400, -1, -240)),
    )
    def hand_in(self, at, kind, action, version, late) -> None:
        """A decision that was signed a while ago, or by a clock that is ahead, handed in now by whoever has it."""
        self.clock.move(seconds=1)
        person, notice = self.mine[at % len(self.mine)], self.published[version % len(self.published)]
        said_at = self.clock() - timedelta(seconds=late)
        answer = self.market.decide(self.market.decision(person, {kind: action}, notice, event_time=said_at))
        key = self.key(person, kind)
        changes = self.expect([(key, action)], self.number(notice), None, {key: said_at})
        if self.too_early(notice, action, said_at):
            changes = None
        if said_at <= self.returned.get(key[:2], said_at - timedelta(1)):
            changes = None  # from a life that was erased
        expected = 401 if person.pseudonym in self.gone else 409 if changes is None else 201
        assert answer.status_code == expected, answer.text
        if answer.status_code == 201:
            self.commit(changes)

    @rule(at=who, kind=kinds, match=matches, account=st.booleans())
    def withdraw_record(self, at, kind, match, account) -> None:
        person = self.mine[at % len(self.mine)]
        linked = account and person in self.linked and not any(p.pseudonym in self.gone for p in self.linked)
        persons = self.linked if linked else [person]
        key = self.key(person, kind)
        kept = self.model.get(key)
        if kept.version == 0 or person.pseudonym in self.gone:
            return
        caller = self.caller(persons)
        records = self.market.call(caller, "GET", "/v1/me/consents").json()["items"]
        (record,) = [
            r for r in records
            if (r["pii_principal_id"], r["pii_processing"]["sensitivity"]) == (person.pseudonym, kind)
        ]  # fmt: skip
        target = f"/v1/me/consents/{record['record_id']}"
        tag = self.market.call(caller, "GET", target).headers["etag"]
        headers = {} if match is None else {"If_Match": tag if match == "right" else '"7-given-given"'}
        answer = self.market.call(caller, "POST", f"{target}/withdrawal", **headers)
        if match == "wrong":
            assert answer.status_code == 412
            return
        times = {key: self.model.login_time(key, self.clock())}
        changes = self.expect([(key, "withdraw")], kept.notice, None, times)
        assert answer.status_code == (409 if changes is None else 201), answer.text
        self.commit(changes or [])

    @rule(at=who, account=st.booleans())
    def withdraw_everything(self, at, account) -> None:
        linked = account and not any(p.pseudonym in self.gone for p in self.linked)
        persons = self.linked if linked else [self.mine[at % len(self.mine)]]
        if persons[0].pseudonym in self.gone:
            return
        answer = self.market.call(self.caller(persons), "POST", "/v1/me/withdrawals")
        assert answer.status_code == 201, answer.text
        wanted = self.open_consents(persons)
        for key in wanted:
            self.commit(
                self.expect(
                    [(key, "withdraw")], self.model.get(key).notice, None,
                    {key: self.model.login_time(key, self.clock())},
                )
            )  # fmt: skip
        assert len(answer.json()["recorded"]) == len(wanted)

    def open_consents(self, persons):
        every = [self.key(p, k) for p in persons for k in KINDS]
        return [key for key in every if "withdraw" in ANSWERS[self.model.get(key).at(self.clock())]]

    @rule(at=who)
    def forget(self, at) -> None:
        person = self.mine[at % len(self.mine)]
        answer = self.market.call(person.pseudonym, "DELETE", "/v1/me")
        if person.pseudonym in self.gone:
            assert answer.status_code == 401
            return
        wanted = self.open_consents([person])
        assert (answer.status_code, answer.json()) == (200, {"ended": len(wanted)})
        self.model.erased(person.lender, person.number)
        self.answers = {
            same: kept
            for same, kept in self.answers.items()
            if same[0] != person.pseudonym and person.pseudonym not in json.dumps(kept[1])
        }
        self.gone.add(person.pseudonym)

    @rule(at=who, features=st.sampled_from(((), ("late",))))
    def object_or_end_it(self, at, features) -> None:
        """Somebody objects, or ends the objection that they made; the lender may have answered it meanwhile."""
        person = self.mine[at % len(self.mine)]
        about, name = (person.lender, person.number), person.pseudonym
        if name in self.gone or self.objected.count(name) > 8:
            return
        if about in self.model.marked:
            (mine,) = [
                one for one in self.market.call(name, "GET", "/v1/me/requests").json()["items"]
                if one["status"] != "closed"
            ]  # fmt: skip
            if mine["status"] == "received" and features:
                assert answers(self.market, mine["request_sha256"], person.lender).status_code == 201
                return
            target = f"/v1/me/requests/{mine['request_sha256']}/closings"
            assert self.market.call(name, "POST", target).status_code == 201
            self.model.marked.discard(about)
            return
        asked(self.market, person, features=features)
        self.objected.append(name)
        self.model.marked.add(about)

    @rule(at=who)
    def come_back(self, at) -> None:
        """Enrolled again under the same names, with a new key: nothing is there, and nothing from before counts."""
        person = self.mine[at % len(self.mine)]
        person.key = person.key if person.pseudonym not in self.gone else SigningKey.generate()
        body = {"subjects": [person.enrolment.model_dump(mode="json")]}
        answer = self.market.call(person.lender, "POST", "/v1/subjects", body)
        if person.pseudonym not in self.gone:
            assert answer.status_code == 409
            return
        assert answer.status_code == 201, answer.text
        person.number = answer.json()["first"]
        self.returned[person.lender, person.number] = self.clock()
        self.gone.remove(person.pseudonym)
        if person in self.linked:
            self.market.login(person, account=self.account)

    @rule(
        lender=st.sampled_from(("aspen", "birch")), version=st.integers(0, 2), late=st.integers(0, 10**6),
        records=st.lists(st.tuples(who, kinds, st.sampled_from(("give", "refuse", "withdraw", "suspend"))),
                         min_size=1, max_size=4, unique_by=lambda r: r[:2]),
    )  # fmt: skip
    def collected_elsewhere(self, lender, version, late, records) -> None:
        people = [p for p in self.mine if p.lender == lender]
        notice = self.published[version % len(self.published)]
        said_at = self.clock() - timedelta(seconds=late)
        chosen = {(people[i % len(people)].number, kind): action for i, kind, action in records}
        rows = [
            {"number": number, "sensitivity": kind, "action": action, "event_time": said_at.isoformat(),
             "evidence_sha256": "ab" * 32}
            for (number, kind), action in chosen.items()
        ]  # fmt: skip
        body = shown(notice, "zh") | {"channel": "paper", "records": rows}
        answer = self.market.call(lender, "POST", "/v1/imports", body)
        wanted = [((lender, number, kind), action) for (number, kind), action in chosen.items()]
        forgotten = {p.number for p in people if p.pseudonym in self.gone}
        first_only = all(a not in {"give", "refuse"} or self.model.get(k).version == 0 for k, a in wanted)
        changes = self.expect(wanted, self.number(notice), None, {key: said_at for key, _ in wanted})
        early = any(said_at <= self.returned.get(key[:2], said_at - timedelta(1)) for key, _ in wanted)
        early = early or any(self.too_early(notice, action, said_at) for _, action in wanted)
        if early or changes is None or not first_only or forgotten & {key[1] for key, _ in wanted}:
            assert answer.status_code == 409, answer.text
            return
        assert answer.status_code == 201, answer.text
        self.commit(changes)

    @rule(seconds=st.sampled_from((1, 1, 1, 7, 61, 3600, 90_000)))
    def time_passes(self, seconds) -> None:
        self.clock.move(seconds=seconds)

    # --- what everybody sees

    @rule(at=who)
    def my_records(self, at) -> None:
        person = self.mine[at % len(self.mine)]
        answer = self.market.call(person.pseudonym, "GET", "/v1/me/consents")
        if person.pseudonym in self.gone:
            assert answer.status_code == 401
            return
        assert answer.headers["etag"] == self.tag([person])
        found = {}
        for record in answer.json()["items"]:
            about, event = record["pii_processing"], record["event"]
            notice = about["privacy_notice"]
            found[about["sensitivity"]] = (
                event["event_state"], event["version"], event["usable"], event["validity_duration"],
                notice["id"], notice["version"], notice["stale"],
            )  # fmt: skip
        expected = {}
        for kind in KINDS:
            kept = self.model.get(self.key(person, kind))
            if kept.version:
                state, stale = kept.at(self.clock()), self.model.stale(kept.notice)
                asked = self.model.notices[kept.notice - 1]
                usable = "notice-changed" if state == "given" and stale else state
                ends = kept.ends and f"{kept.ends:%Y-%m-%dT%H:%M:%SZ}"
                expected[kind] = (state, kept.version, usable, ends, asked.id, asked.version, stale)
        assert found == expected

    @rule(lender=st.sampled_from(("aspen", "birch", "cedar")))
    def keep_in_step(self, lender) -> None:
        """A node's copy, brought up to date by changes, is the whole, and what the model says of everybody."""
        home = self.folder / lender
        home.mkdir(exist_ok=True)
        snapshot = Consents(home, lender).sync(self.market.client(lender), TRAINING_PURPOSE)
        mine = [p for p in self.mine if p.lender == lender]
        assert all((snapshot.names[p.number] == p.pseudonym) == (p.pseudonym not in self.gone) for p in mine)
        assert len(set(snapshot.names)) == len(snapshot.names)
        assert not self.gone & set(snapshot.names)
        for kind in KINDS:
            numbers = range(len(snapshot.names))
            expected = [self.model.code((lender, number, kind), self.clock()) for number in numbers]
            assert snapshot.answered(kind).tolist() == expected

    @rule(lender=st.sampled_from(("aspen", "birch", "cedar")), kind=kinds)
    def decide_about_everybody(self, lender, kind) -> None:
        told = self.market.check(lender, kind)
        rules = [REASONS[i] for i in unpacked(told["rules"], "uint8")]
        assert rules == [self.model.rule(lender, number, kind, self.clock()) for number in range(len(rules))]
        assert told["allowed"] == rules.count("given")

    @rule(lender=st.sampled_from(("aspen", "birch", "cedar")))
    def learn_of_revocations(self, lender) -> None:
        """Numbered from where the acknowledgement stands, without a gap, each told once."""
        told = self.market.client(lender).revocations()
        done = self.acknowledged.get(lender, 0)
        numbers = {name: number for number, name in enumerate(self.market.client(lender).whole_roll())}
        places = [numbers[r.pii_principal_id] if r.place is None else r.place for r in told]
        found = [(at, r.sensitivity, r.event_type) for at, r in zip(places, told, strict=True)]
        assert all(r.place is None or numbers[r.tombstone] == r.place for r in told)
        assert [r.number for r in told] == list(range(done + 1, done + 1 + len(told)))
        assert sorted(found) == sorted(self.model.revoked.get(lender, [])[done:])
        if told:
            assert self.market.acknowledge(lender, told[-1].number).status_code == 201
            self.acknowledged[lender] = told[-1].number

    @invariant()
    def decisions_agree(self) -> None:
        """After every step, about everybody of this example at one lender, and a stranger."""
        self.turn += 1
        type(self).steps += 1
        lender, kind = ("aspen", "birch", "cedar")[self.turn % 3], KINDS[self.turn // 3 % 3]
        others = [p for p in self.mine if p.lender != lender][:1]
        people = [p for p in self.mine if p.lender == lender]
        names = [p.pseudonym for p in (*people, *others)]
        told = self.market.check(lender, kind, subjects=names)["decisions"]
        expected = [
            "not-enrolled" if p.pseudonym in self.gone else self.model.rule(lender, p.number, kind, self.clock())
            for p in people
        ]
        expected += ["not-enrolled"] * len(others)
        assert [d["rule"] for d in told] == expected
        assert all((d["decision"] == "allow") == (d["rule"] == "given") for d in told)


@pytest.mark.timeout(3600)
def test_the_registry_and_its_model_never_differ(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("model")
    with open_market(folder) as market:
        model = Model([Asked(1, "credit", 1, False)])
        shared = {"market": market, "model": model, "folder": folder, "acknowledged": {}}
        machine = type("Machine", (Consortium,), shared)
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=max(1, STEPS // STEPS_EACH), stateful_step_count=STEPS_EACH, deadline=None,
                phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
            ),
        )  # fmt: skip
        changes = sum(kept.version for kept in model.kept.values())
        assert machine.steps >= STEPS / 2
        assert changes > machine.steps / 50 or machine.steps < 500, "nearly all that was tried was refused"
