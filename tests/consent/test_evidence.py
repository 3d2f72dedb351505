"""The registry's part of an evidence pack: counts without people, days without times, the same bytes again."""

from __future__ import annotations

import gzip
import json
from base64 import urlsafe_b64encode

import pytest
from support.market import open_market

from consent.commands.append_entries import NewEntries, NewEntry
from consent.evidence import FEWEST, check_scope, collect
from crypto.keys import b64
from protocol.errors import NotFound
from protocol.evidence import PackScope
from protocol.parts import new_part


@pytest.fixture
def market(tmp_path):
    with open_market(tmp_path) as opened:
        yield opened


def test_on_postgresql_the_same_is_told(postgresql, tmp_path):
    with open_market(tmp_path, postgresql()) as market:
        market.consenting("aspen", FEWEST)
        campaign = market.campaign()
        for text in (f"campaign:{campaign.sha256}", f"period:{market.clock():%Y}"):
            scope = PackScope.parse(text)
            files = collected(market, scope, exported(market, scope))
            (cell,) = json.loads(files["consents/states.json"])["cells"]
            assert (cell["lender"], cell["people"], cell["state"]) == ("aspen", FEWEST, "given")


def exported(market, scope: PackScope, by: str = "registry") -> int:
    answer = market.call(by, "POST", "/v1/log/entries", {"entries": [entry(scope)]})
    assert answer.status_code == 201, answer.text
    market.checkpoint()
    return answer.json()["first"]


def entry(scope: PackScope, **changes):
    said = {"type": "evidence.exported", "to": ["auditor"], "body": b64(json.dumps({"scope": scope.text}).encode())}
    return said | scope.public() | changes


def collected(market, scope: PackScope, made: int) -> dict[str, bytes]:
    with new_part() as part:
        collect(market.registry, scope, made, part)
        names = list(part.files)
        return {path: (part._folder / str(at)).read_bytes() for at, path in enumerate(names)}


def test_counts_of_consents_leave_few_people_out(market):
    market.consenting("aspen", FEWEST)
    market.consenting("birch", FEWEST - 1)
    campaign = market.campaign()
    scope = PackScope.parse(f"campaign:{campaign.sha256}")
    files = collected(market, scope, exported(market, scope))
    told = json.loads(files["consents/states.json"])
    assert [(one["lender"], one["people"], one["state"]) for one in told["cells"]] == [("aspen", FEWEST, "given")]
    assert (told["cells_left_out"], told["fewest_told"]) == (1, FEWEST)


def test_a_yes_that_is_over_is_told_as_expired(market):
    notice = market.publish(version=2, validity_days=30)
    market.consenting("aspen", FEWEST)
    market.clock.move(seconds=31 * 86_400)
    campaign = market.campaign()
    scope = PackScope.parse(f"campaign:{campaign.sha256}")
    (cell,) = json.loads(collected(market, scope, exported(market, scope))["consents/states.json"])["cells"]
    assert (cell["state"], cell["notice"]) == ("expired", f"{notice.id}-2")


def test_how_long_withdrawals_waited_is_told_in_days(market):
    people = market.consenting("aspen", 4)
    campaign = market.campaign(hours=24 * 30)
    for person in people[:2]:
        market.says(person, "withdraw")
    market.acknowledge("aspen", 1)
    market.clock.move(seconds=3 * 86_400)
    market.acknowledge("aspen", 2)
    market.says(people[2], "withdraw")
    market.clock.move(seconds=2 * 86_400)
    scope = PackScope.parse(f"campaign:{campaign.sha256}")
    told = json.loads(collected(market, scope, exported(market, scope))["consents/withdrawals.json"])["aspen"]
    assert told["acknowledged_after_days"] == {"0": 1, "3": 1}
    assert (told["p50_days"], told["p95_days"], told["most_days"]) == (0, 3, 3)
    assert (told["acknowledged_a_day_too_late"], told["not_acknowledged_yet"]) == (1, 1)
    assert told["overdue_since"] is not None


def test_the_same_registry_makes_the_same_bytes(market, monkeypatch):
    monkeypatch.setattr("consent.evidence_log.BUNDLE", 3)
    market.consenting("aspen", FEWEST)
    campaign = market.campaign()
    for text in (f"campaign:{campaign.sha256}", f"period:{market.clock():%Y}", f"lender:aspen:{market.clock():%Y}"):
        scope = PackScope.parse(text)
        made = exported(market, scope)
        first = collected(market, scope, made)
        assert collected(market, scope, made) == first
        assert sum(path.startswith("log/bundles/") for path in first) > 2


def test_nobody_is_in_a_part(market):
    """After every kind of event that there is about people: no name, whole or in part, no key, no hash of evidence."""
    people = market.consenting("aspen", FEWEST)
    market.says(people[0], "withdraw")
    market.acknowledge("aspen", 1)
    assert market.call(market.login(people[1]), "DELETE", "/v1/me").is_success
    market.campaign()
    scope = PackScope.parse(f"period:{market.clock():%Y}")
    files = collected(market, scope, exported(market, scope))
    everything = b"".join(gzip.decompress(c) if path.endswith(".gz") else c for path, c in files.items())
    assert b"consent.decided" in everything, "the search itself is broken"
    for person in people:
        for name in (person.pseudonym, person.ledger, person.key.public.text):
            for piece in (name, name.partition(".")[2] or name):
                assert piece.encode() not in everything
                assert urlsafe_b64encode(piece.encode()).rstrip(b"=") not in everything


def test_an_entry_that_names_what_was_never_proposed_keeps_nobody_from_collecting(market):
    entries = [{"type": "use.read", "campaign": "1" * 64, "to": ["auditor"]}]
    assert market.call("aspen", "POST", "/v1/log/entries", {"entries": entries}).status_code == 201
    for text in (f"period:{market.clock():%Y}", f"lender:aspen:{market.clock():%Y}"):
        scope = PackScope.parse(text)
        assert "log/counts.json" in collected(market, scope, exported(market, scope))


def test_what_there_is_not_cannot_be_collected(market):
    for text, said in ((f"campaign:{'0' * 64}", "no campaign"), ("lender:nobody:2026", "no lender")):
        with pytest.raises(NotFound, match=said):
            check_scope(market.registry, PackScope.parse(text))


# --- its entry


@pytest.mark.parametrize(
    "changes",
    [
        {"to": ["aspen"]},
        {"export": {"kind": "period", "scope": "0" * 64}},
        {"export": None},
        {"campaign": "1" * 64},
        {"body": ""},
        {"body": b64(b"no json")},
        {"body": b64(b'{"scope": "person:x"}')},
        {"counts": {"files": 3}},
        {"hashes": {"document": "0" * 64}},
        {"type": "use.exported"},
    ],
)
def test_an_entry_says_its_scope_to_the_auditor_and_nothing_else(market, changes):
    scope = PackScope.parse("period:2026")
    answer = market.call("aspen", "POST", "/v1/log/entries", {"entries": [entry(scope, **changes)]})
    assert answer.status_code == 422, answer.text


def test_every_institution_that_makes_parts_can_log_it(market):
    scope = PackScope.parse("period:2026")
    for who in ("registry", "coordinator", "aspen"):
        exported(market, scope, who)
    assert market.call("auditor", "POST", "/v1/log/entries", {"entries": [entry(scope)]}).status_code == 403
    (one,) = NewEntries.model_validate({"entries": [entry(scope)]}).entries
    assert one.public() == scope.public()
    assert isinstance(one, NewEntry)
