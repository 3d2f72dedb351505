"""A model that its consortium recalls scores nobody at a desk from then on, people decide, and the lender says so."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.commands import done, refused, tahini, told
from support.house import Ground
from support.lending_house import LendingHouse, lending_house
from support.observed import entries
from support.waiting import until

from clients.models import MODELS_FOLDER, RECALLS_FILE, KeptModel, keep_recalls
from crypto.keys import SigningKey
from desk import standing as standing_module
from desk.commands.apply import Applying
from desk.commands.monitor import keep_review
from desk.commands.replay import replay
from desk.commands.status import standing
from desk.commands.watch import watch
from desk.errors import RulesMissing
from desk.home import open_desk
from desk.lending_rules import NO_MODEL, ReleasedRules
from desk.standing import UNHEARD_S
from lending.account.default import Definition
from protocol.client.desks import DeskClient
from protocol.client.filing import acknowledge_recall, recalls_of
from protocol.errors import ConsentError
from protocol.recalls import ModelRecall, RecallAcknowledgement
from protocol.schema import now

REASON = "It declines whoever lives by the river."


def folder(lender: LendingHouse) -> Path:
    return lender.house.node().home / MODELS_FOLDER / lender.house.campaign.sha256


def recalled_by(lender: LendingHouse, name: str = "birch") -> str:
    home = lender.house.founded.node_home(name)
    return told("model", "recall", lender.house.campaign.sha256, "--home", home, "--reason", REASON)["card_sha256"]


def recall_token(lender: LendingHouse, signer: SigningKey, party: str = "birch") -> str:
    card = lender.desk.standing._card
    return ModelRecall(
        campaign_sha256=lender.house.campaign.sha256, card_sha256=card.sha256, party=party, reason=REASON,
        recalled_at=now(),
    ).sign(signer)  # fmt: skip


def logged(lender: LendingHouse, kind: str) -> list[str]:
    return [leaf["actor"] for leaf in entries(lender.house.registry) if leaf["type"] == kind]


class Lying:
    """A registry that hands out what it likes."""

    def __init__(self, client: DeskClient, *tokens: str) -> None:
        self.consortium, self._checked = client.consortium, client._checked
        self._tokens, self.sent = list(tokens), 0

    def _send(self, method: str, *_: object) -> httpx.Response:
        self.sent += method == "POST"
        return httpx.Response(200, json={"recalls": self._tokens, "acknowledgements": ["{}"], "entry_index": 1})


def test_a_recall_reaches_a_desk_which_decides_by_hand_and_acknowledges_it(lender: LendingHouse):
    before, after = lender.people[:2]
    for person in (before, after):
        lender.knows(person)
    first = lender.asks(before).json()
    assert first["status"] == "offered"
    assert lender.desk.standing.hear() is None and logged(lender, "recall.acknowledged") == []
    recalled_by(lender)
    sha256, home = lender.house.campaign.sha256, lender.house.founded.node_home("birch")
    asked = tahini("model", "recalls", sha256, "--home", home, "--json")
    waits = json.loads(asked.stdout)
    assert asked.exit_code == 3
    assert waits["not_acknowledged"] == list(lender.house.campaign.lenders) and waits["acknowledged"] == {}
    assert lender.desk.standing.hear().party == "birch"
    assert logged(lender, "recall.acknowledged") == ["aspen"]
    lender.desk.standing.hear()
    assert logged(lender, "recall.acknowledged") == ["aspen"], "once more is no more"
    said = lender.asks(after).json()
    assert (said["status"], said["decision"]["outcome"]) == ("in-review", "review")
    made = lender.desk.lending
    assert isinstance(made, ReleasedRules) and made.model is None
    assert replay(lender.home).same == 2, "what was decided before is still told alike"
    found = standing(lender.desk, ["daily-30"])
    assert REASON in (found.stopped or "") and len(found.policies["daily-30"]) == 64
    for name in lender.house.campaign.lenders[1:]:
        done("model", "acknowledge", sha256, "--home", lender.house.founded.node_home(name))
    whole = told("model", "recalls", sha256, "--home", lender.house.founded.coordinator_home)
    assert set(whole["acknowledged"]) == set(lender.house.campaign.lenders) and whole["not_acknowledged"] == []
    assert [one["reason"] for one in whole["recalls"]] == [REASON]


def test_every_process_of_a_desk_knows_what_one_has_heard(lender: LendingHouse):
    """Another worker of the same desk asks nobody: it looks beside the model before it decides."""
    person = lender.people[0]
    lender.knows(person)
    recalled_by(lender)
    other = open_desk(lender.home, lender.house.clock)
    try:
        assert other.lending.model is not None
        other.standing.hear()
    finally:
        other.close()
    lender.desk.standing._client = None
    said = lender.asks(person).json()
    assert said["status"] == "in-review" and lender.desk.lending.model is None


def test_a_desk_whose_model_was_recalled_opens_and_decides_by_hand(lender: LendingHouse):
    recalled_by(lender)
    lender.desk.standing.hear()
    again = open_desk(lender.home, lender.house.clock)
    try:
        assert again.lending.model is None and again.wording.scorer is not None
        assert again.lending.versions("daily-30", now().date()).model == NO_MODEL
    finally:
        again.close()
    assert REASON in done("desk", "status", "--home", lender.home)


def test_nobody_outside_the_campaign_stops_a_model_and_nobody_else_says_that_it_stopped(lender: LendingHouse):
    """Not the registry either, whatever it hands out."""
    key, client = lender.house.node("birch").key, lender.desk.standing._client
    for token in (
        recall_token(lender, SigningKey.generate()),
        recall_token(lender, lender.house.registry.signing_key, "registry"),
    ):
        kept = (folder(lender) / RECALLS_FILE).read_bytes()
        lender.desk.standing._client = Lying(client, token, "no token")
        assert lender.desk.standing.hear() is None and lender.desk.standing._client.sent == 0
        assert (folder(lender) / RECALLS_FILE).read_bytes() == kept and lender.desk.heed_standing() is None
    stopped = RecallAcknowledgement(
        campaign_sha256=lender.house.campaign.sha256, card_sha256=lender.desk.standing._card.sha256, lender="aspen",
        acknowledged_at=now(),
    )  # fmt: skip
    client = lender.house.client("aspen")
    with pytest.raises(ConsentError, match="nobody recalled"):
        acknowledge_recall(client, stopped, lender.house.node("aspen").key)
    recalled_by(lender)
    with pytest.raises(ConsentError):
        acknowledge_recall(client, stopped, key)
    with pytest.raises(ConsentError, match="another lender's"):
        acknowledge_recall(client, stopped.model_copy(update={"lender": "birch"}), lender.house.node("aspen").key)
    with pytest.raises(ConsentError, match="nobody recalled"):
        other = stopped.model_copy(update={"card_sha256": "0" * 64})
        acknowledge_recall(client, other, lender.house.node("aspen").key)
    standing_ = lender.desk.standing
    assert recalls_of(client, standing_._campaign, standing_._card).acknowledgements == ()


def test_a_recall_that_was_spoiled_on_the_disk_stops_everything(lender: LendingHouse):
    person = lender.people[0]
    lender.knows(person)
    keep_recalls(folder(lender), [recall_token(lender, lender.house.node("birch").key)])
    text = (folder(lender) / RECALLS_FILE).read_text(encoding="utf-8")
    (folder(lender) / RECALLS_FILE).write_text(text[:-20] + text[-1:], encoding="utf-8")
    with pytest.raises(RulesMissing, match="nothing is decided by that model"):
        lender.desk.heed_standing()
    assert lender.asks(person).status_code == 503


def test_a_desk_that_serves_asks_by_itself(after_release: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(standing_module, "EVERY_S", 0.2)
    with lending_house(after_release, tmp_path) as lender:
        recalled_by(lender)
        until(lambda: logged(lender, "recall.acknowledged") == ["aspen"], "the desk heard of the recall")
        assert REASON in lender.desk.heed_standing() and lender.desk.lending.model is None


def test_a_model_is_good_for_a_year_and_for_another_once_somebody_looked_and_found_nothing(lender: LendingHouse):
    person, standing_, desk = lender.people[0], lender.desk.standing, lender.desk
    lender.knows(person)
    model = standing_._card.model_sha256
    released, year = standing_._card.released_at, timedelta(days=365)
    assert standing(desk, ["daily-30"]).good_until == (released + year).date().isoformat()
    later = lender.house.clock() + timedelta(days=366)
    standing_._clock = lambda: later
    assert "evaluated anew" in standing(desk, ["daily-30"]).stopped
    said = lender.asks(person).json()
    assert (said["status"], desk.lending.model) == ("in-review", None)
    keep_review(desk, model, now().date(), alarm=False)
    assert desk.heed_standing() is not None, "somebody looked, but more than a year ago"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(desk.transactions, "clock", lambda: later)
        keep_review(desk, model, later.date(), alarm=True)
        assert desk.heed_standing() is not None, "there was an alarm"
        keep_review(desk, model, later.date(), alarm=False)
    assert desk.heed_standing() is None and desk.lending.model is not None
    assert standing(desk, ["daily-30"]).good_until == (later + year).date().isoformat()


def test_a_recall_is_heard_whatever_stands_beside_it(lender: LendingHouse):
    genuine = recall_token(lender, lender.house.node("birch").key)
    forged = recall_token(lender, SigningKey.generate())
    lender.desk.standing._client = Lying(lender.desk.standing._client, forged, "no token", genuine)
    assert lender.desk.standing.hear().reason == REASON and lender.desk.standing._client.sent == 1
    assert json.loads((folder(lender) / RECALLS_FILE).read_text("utf-8")) == [genuine]


def test_no_fetch_takes_back_what_was_heard_and_nothing_of_another_card_is_kept(lender: LendingHouse):
    before = KeptModel.read(folder(lender))
    genuine = recall_token(lender, lender.house.node("birch").key)
    keep_recalls(folder(lender), [genuine])
    before.write(folder(lender))
    assert KeptModel.read(folder(lender)).recalls == (genuine,) and lender.desk.heed_standing() is not None
    other = ModelRecall.claimed(genuine).model_copy(update={"card_sha256": "1" * 64})
    keep_recalls(folder(lender), [ModelRecall.model_validate(other.model_dump()).sign(lender.house.node("birch").key)])
    assert KeptModel.read(folder(lender)).recalls == (genuine,)
    open_desk(lender.home, lender.house.clock).close()


def test_what_is_decided_while_a_recall_is_acknowledged_is_not_recorded(lender: LendingHouse, monkeypatch):
    person = lender.people[0]
    lender.knows(person)
    owed = Applying.owed

    def meanwhile(self: Applying, asked: Any) -> Any:
        keep_recalls(folder(lender), [recall_token(lender, lender.house.node("birch").key)])
        return owed(self, asked)

    monkeypatch.setattr(Applying, "owed", meanwhile)
    answer = lender.asks(person)
    assert answer.status_code == 409 and "apply again" in answer.text
    monkeypatch.undo()
    assert lender.asks(person).json()["status"] == "in-review"


def test_a_model_that_may_not_be_used_can_still_be_looked_at(lender: LendingHouse):
    later = lender.house.clock() + timedelta(days=366)
    lender.desk.standing._clock = lambda: later
    assert lender.desk.heed_standing() is not None and lender.desk.lending.model is None
    assert watch(lender.desk, Definition(window_days=365)).model == lender.desk.released.model.scorer.model_sha256


def test_a_desk_that_serves_and_cannot_ask_uses_the_model_no_more(lender: LendingHouse):
    standing_ = lender.desk.standing
    standing_._thread = threading.current_thread()
    assert lender.desk.heed_standing() is None
    standing_._heard -= UNHEARD_S + 1
    assert "could not be asked" in lender.desk.heed_standing() and lender.desk.lending.model is None
    standing_.hear()
    assert lender.desk.heed_standing() is None and lender.desk.lending.model is not None
    standing_._thread = None


def test_nobody_acknowledges_what_nobody_recalled(lender: LendingHouse):
    home = lender.house.founded.node_home("aspen")
    assert "nobody recalled" in refused("model", "acknowledge", lender.house.campaign.sha256, "--home", home)
    assert logged(lender, "recall.acknowledged") == []


def test_a_look_at_days_of_long_ago_says_nothing_of_today(lender: LendingHouse):
    standing_ = lender.desk.standing
    before = standing_.good_until
    keep_review(lender.desk, standing_._card.model_sha256, now().date() - timedelta(days=200), alarm=False)
    assert standing_.good_until == before
