"""The registry as callers see it: signed requests and commands that act once, preconditions, pages, records, what is
one's own, and that bad requests change nothing and say why. Who may call what is in ``test_access``."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
from sqlalchemy import func, select, text
from support.market import shown
from support.world import pseudonym

from consent.commands.append_entries import NewEntry, append_entries
from consent.commands.forget_subject import forget_subject
from consent.identity.access import declarations
from consent.storage import idempotency
from consent.storage.idempotency import remember
from consent.storage.tables import ConsentEventRow, IdempotencyRow, SubjectRow
from crypto.keys import SigningKey, b64
from protocol.cursors import cursor_of
from protocol.requests import SignedRequest
from protocol.schema import now
from protocol.terms import BROADER_PURPOSE, TRAINING_PURPOSE

MINE = "/v1/me/consents"
UTC_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")


@pytest.fixture
def market(market):
    for lender in ("aspen", "birch"):
        market.enrol(lender, 4)
    return market


def everything(market):
    with market.registry.ledger.read() as session:
        events = session.scalar(select(func.count()).select_from(ConsentEventRow))
        people = session.scalar(select(func.count()).select_from(SubjectRow))
        return events, people, market.registry.ledger.log.size(session)


def problem(answer, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert set(body) - ({"errors"} if status == 422 else set()) == {"type", "title", "status", "detail"}
    assert body["status"] == status
    assert body["type"].startswith("urn:tahini:problem:")
    return body["detail"]


# --- signed requests


def own_request(market) -> str:
    """A borrower's signed request for their own consents."""
    name = market.people["aspen"][0].pseudonym
    return market.signature(name, "GET", MINE, b"")["Authorization"].removeprefix("Bearer ")


def asked_with(market, token: str):
    return market.call({"Authorization": f"Bearer {token}"}, "GET", MINE)


def test_a_signed_request_acts_once(market):
    token = own_request(market)
    assert asked_with(market, token).status_code == 200
    assert "acts once" in problem(asked_with(market, token), 401)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"htm": "DELETE"}, "another call"),
        ({"htu": "/v1/me"}, "another call"),
        ({"aud": "another-registry"}, "another call"),
        ({"body_sha256": "0" * 64}, "another call"),
        ({"iat": now().replace(year=2020)}, "older than a minute"),
        ({"iss": "v1." + "A" * 43}, "signature does not verify"),
    ],
)
def test_a_signature_for_another_call_is_refused(market, changes, says):
    made = SignedRequest.claimed(own_request(market))
    token = made.model_copy(update=changes).sign(market.people["aspen"][0].key)
    assert says in problem(asked_with(market, token), 401)


def test_unsigned_tokens_and_confused_keys_are_refused(market):
    _, payload, signature = own_request(market).split(".")
    for algorithm in ("none", "HS256"):
        header = json.dumps({"alg": algorithm, "typ": SignedRequest.typ}).encode()
        assert problem(asked_with(market, f"{b64(header)}.{payload}.{signature}"), 401)
    stranger = SignedRequest.claimed(own_request(market)).sign(SigningKey.generate())
    assert problem(asked_with(market, stranger), 401)


# --- commands act once


def commands(market):
    """Some commands of every kind of caller: who, target, body, another body."""
    person = market.people["aspen"][0]
    fresh = [{"pseudonym": pseudonym(), "ledger_pseudonym": pseudonym()} for _ in range(2)]
    asked = {"purpose": TRAINING_PURPOSE, "lenders": ["aspen"]}
    record = {
        "number": 1, "sensitivity": "ordinary", "action": "give", "event_time": market.clock().isoformat(),
        "evidence_sha256": "0" * 64,
    }  # fmt: skip
    imported = shown(market.notices[0]) | {"channel": "branch", "records": [record]}
    return [
        (person.pseudonym, MINE, market.statement([("aspen", "ordinary", "give")]),
         market.statement([("aspen", "ordinary", "refuse")])),
        ("aspen", "/v1/subjects", {"subjects": fresh[:1]}, {"subjects": fresh[1:]}),
        ("aspen", "/v1/imports", imported, imported | {"channel": "paper"}),
        ("coordinator", "/v1/populations", asked, asked | {"sensitivity": "sensitive"}),
        (person.pseudonym, "/v1/me/requests", {"recipient": "aspen", "asked": {"kind": "access"}},
         {"recipient": "aspen", "asked": {"kind": "explain"}}),
    ]  # fmt: skip


@pytest.mark.parametrize("which", range(5))
def test_the_same_command_twice_is_done_once_and_answered_alike(market, which):
    caller, target, body, other = commands(market)[which]
    first = market.call(caller, "POST", target, body, Idempotency_Key="k-1")
    assert first.is_success, first.text
    assert "idempotent-replayed" not in first.headers
    before = everything(market)
    market.clock.move(hours=23)
    again = market.call(caller, "POST", target, body, Idempotency_Key="k-1")
    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert again.headers["idempotent-replayed"] == "true"
    assert "another request" in problem(market.call(caller, "POST", target, other, Idempotency_Key="k-1"), 422)
    assert everything(market) == before


def test_a_key_is_the_caller_s_own(market):
    first, second = market.people["aspen"][:2]
    body = market.statement([("aspen", "ordinary", "give")])
    answers = [market.call(p.pseudonym, "POST", MINE, body, Idempotency_Key="same") for p in (first, second)]
    assert [a.status_code for a in answers] == [201, 201]
    assert all("idempotent-replayed" not in a.headers for a in answers)
    assert market.rule(first) == market.rule(second) == "given"


def test_an_answer_is_kept_for_a_day_and_not_longer(market):
    person = market.people["aspen"][0]
    body = market.statement([("aspen", "ordinary", "give")])
    assert market.call(person.pseudonym, "POST", MINE, body, Idempotency_Key="k").status_code == 201
    market.clock.move(hours=24)
    detail = problem(market.call(person.pseudonym, "POST", MINE, body, Idempotency_Key="k"), 409)
    assert "cannot be changed" in detail, "it was tried again"


def test_a_command_that_was_refused_may_be_tried_again_under_its_key(market):
    person = market.people["aspen"][0]
    body = market.statement([("aspen", "ordinary", "withdraw")])
    assert problem(market.call(person.pseudonym, "POST", MINE, body, Idempotency_Key="k"), 409)
    assert market.says(person, "give").status_code == 201
    market.clock.move(seconds=1)
    assert market.call(person.pseudonym, "POST", MINE, body, Idempotency_Key="k").status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 65, "two words", "ümlaut".encode().decode("latin-1")])
def test_a_key_is_visible_ascii(market, key):
    body = market.statement([("aspen", "ordinary", "give")])
    person = market.people["aspen"][0].pseudonym
    assert problem(market.call(person, "POST", MINE, body, Idempotency_Key=key.encode("latin-1")), 422)


@pytest.mark.parametrize("which", range(5))
def test_the_answer_is_kept_in_the_transaction_that_did_what_it_says(market, monkeypatch, which):
    """The process may die at any instruction: either both are there or neither is."""
    caller, target, body, _ = commands(market)[which]
    before = everything(market)

    def dies(*arguments):
        remember(*arguments)
        raise RuntimeError("the process dies here")

    with monkeypatch.context() as patch:
        patch.setattr(idempotency, "remember", dies)
        answer = market.call(caller, "POST", target, body, Idempotency_Key="k")
    assert answer.status_code >= 500
    assert everything(market) == before
    with market.registry.ledger.read() as session:
        assert session.scalars(select(IdempotencyRow)).all() == []
    done = market.call(caller, "POST", target, body, Idempotency_Key="k")
    assert done.is_success
    assert "idempotent-replayed" not in done.headers


# --- what was read has changed since


def test_an_etag_covers_all_that_a_caller_may_decide_about(market):
    here, there = market.people["aspen"][0], market.people["birch"][0]
    login = market.login(here, there)
    body = market.statement([("aspen", "ordinary", "give"), ("birch", "ordinary", "give")])
    assert market.call(login, "POST", MINE, body).status_code == 201
    tag = market.call(login, "GET", MINE).headers["etag"]
    one = market.statement([("aspen", "ordinary", "suspend")])
    assert market.call(login, "POST", MINE, one, If_Match=tag).status_code == 201
    assert "changed since" in problem(market.call(login, "POST", MINE, one, If_Match=tag), 412)
    other = market.statement([("birch", "ordinary", "withdraw")])
    assert problem(market.call(login, "POST", MINE, other, If_Match=tag), 412)
    assert market.rule(there) == "given"
    assert market.call(login, "POST", MINE, other, If_Match="*").status_code == 201


def test_a_record_s_etag_changes_with_expiry_and_with_the_notice(market):
    person = market.people["aspen"][0]
    ends = (market.clock() + timedelta(seconds=50)).isoformat()
    body = market.statement([("aspen", "ordinary", "give")], expiry_time=ends)
    assert market.call(person.pseudonym, "POST", MINE, body).status_code == 201
    (record,) = market.call(person.pseudonym, "GET", MINE).json()["items"]
    target = f"{MINE}/{record['record_id']}"
    first = market.call(person.pseudonym, "GET", target).headers["etag"]
    market.publish(2, material_change=True)
    second = market.call(person.pseudonym, "GET", target).headers["etag"]
    market.clock.move(seconds=60)
    third = market.call(person.pseudonym, "GET", target).headers["etag"]
    assert len({first, second, third}) == 3
    assert problem(market.call(person.pseudonym, "POST", f"{target}/withdrawal", If_Match=first), 412)
    assert market.call(person.pseudonym, "POST", f"{target}/withdrawal", If_Match=third).status_code == 201


# --- pages


def paged(market, caller, target, limit=2):
    found, cursor = [], ""
    while True:
        page = market.call(caller, "GET", f"{target}?limit={limit}{cursor}").json()
        assert len(page["items"]) <= limit
        found += page["items"]
        if page["next"] is None:
            return found
        assert page["items"]
        cursor = f"&cursor={page['next']}"


def test_every_list_comes_whole_and_once_whatever_the_page(market):
    person = market.people["aspen"][0]
    for action in ("give", "withdraw", "give", "suspend", "resume"):
        market.says(person, action, ("ordinary", "sensitive"))
    for number in range(3):
        market.publish(2 + number)
        market.campaign(("aspen", "birch"))
    lists = {
        person.pseudonym: ["/v1/me/notices", "/v1/me/consents", "/v1/me/receipts", "/v1/me/uses"],
        "aspen": ["/v1/subjects", "/v1/campaigns", "/v1/revocations"],
        "coordinator": ["/v1/campaigns", "/v1/notices"],
    }
    for caller, targets in lists.items():
        for target in targets:
            whole = market.call(caller, "GET", f"{target}?limit=500").json()
            assert whole["next"] is None
            parts = paged(market, caller, target)
            if target == "/v1/revocations":
                parts, whole["items"] = len(parts), len(whole["items"])  # signed anew each time
            assert parts == whole["items"], target


@pytest.mark.parametrize("cursor", ["!", "eA", "LTE", "MQ==", "A" * 65, cursor_of(10**18), "%00", "MQ%0A"])
def test_a_cursor_that_nobody_gave_is_refused(market, cursor):
    for caller, target in (("aspen", "/v1/subjects"), (market.people["aspen"][0].pseudonym, "/v1/me/receipts")):
        assert problem(market.call(caller, "GET", f"{target}?cursor={cursor}"), 422)


def test_a_cursor_is_a_place_in_one_s_own_list_and_opens_no_other(market):
    here, there = market.people["aspen"][0], market.people["birch"][0]
    market.says(there, "give", ("ordinary", "sensitive"))
    for number in range(9):
        answer = market.call(here.pseudonym, "GET", f"{MINE}?cursor={cursor_of(number)}").json()
        assert answer["items"] == []
        names = market.call("birch", "GET", f"/v1/subjects?cursor={cursor_of(number)}").json()["items"]
        assert set(names) <= {p.pseudonym for p in market.people["birch"]}


# --- records


def test_a_record_has_the_fields_of_iso_27560(market):
    person = market.people["aspen"][0]
    notice = market.publish(
        1, "full", recipients=("aspen",), purpose=BROADER_PURPOSE, jurisdiction=("CN", "US-CA"),
        automated_decision=True, validity_days=30,
        retention_period_days=99, storage_locations=("CN",),
        limits={"fetch_type": "one-time", "data_life_days": 7},
    )  # fmt: skip
    market.says(person, "give", ("income",), notice=notice)
    (record,) = market.call(person.pseudonym, "GET", MINE).json()["items"]
    assert record["schema_version"].endswith("dpv-27560#consent-record")
    assert record["pii_principal_id"] == person.pseudonym
    processing = record["pii_processing"]
    assert processing["privacy_notice"] == {"id": "full", "version": 1, "stale": False}
    assert processing["pii_controllers"] == ["aspen"]
    assert processing["pii_type"] == ["https://w3id.org/dpv/pd#Income"]
    assert processing["sensitivity"] == "income"
    assert (processing["retention_period"], processing["jurisdiction"]) == ("P99D", ["CN", "US-CA"])
    assert processing["automated_decision"] is True
    assert (processing["limits"]["fetch_type"], processing["limits"]["data_life_days"]) == ("one-time", 7)
    assert {"purpose_type", "lawful_basis", "withdrawal_method", "privacy_rights", "storage_locations"} <= set(
        processing
    )
    event = record["event"]
    assert (event["event_state"], event["version"], event["usable"]) == ("given", 1, "given")
    assert event["validity_duration"] > event["event_time"]


def test_a_materially_changed_notice_is_to_be_confirmed_again(market):
    person = market.people["aspen"][0]

    def asked():
        (notice,) = market.call(person.pseudonym, "GET", "/v1/me/notices").json()["items"]
        (open_,) = {one["open"] for one in notice["questions"] if one["sensitivity"] == "ordinary"}
        return notice["version"], open_

    assert asked() == (1, "unanswered")
    market.says(person, "give")
    assert asked() == (1, None)
    market.publish(2)
    assert (asked(), market.rule(person)) == ((2, None), "given"), "another wording alone asks for nothing"
    market.publish(3, material_change=True)
    assert (asked(), market.rule(person)) == ((3, "changed"), "notice-changed")
    assert market.says(person, "give").status_code == 201
    assert (asked(), market.rule(person)) == ((3, None), "given")


def test_who_said_no_is_not_asked_again(market):
    """网络数据安全管理条例 22(5): neither the same question nor a new version of it."""
    person = market.people["aspen"][0]
    assert market.says(person, "refuse").status_code == 201
    market.publish(2, material_change=True)
    (notice,) = market.call(person.pseudonym, "GET", "/v1/me/notices").json()["items"]
    (question,) = (one for one in notice["questions"] if one["sensitivity"] == "ordinary")
    assert (notice["version"], question["state"], question["open"]) == (2, "refused", None)


# --- what is one's own


def used(market, person, campaign):
    """The lender authorises and commits a release, and logs a use of this very person."""
    market.commit(campaign, person.lender)
    entry = NewEntry(type="use.explained", subject=person.pseudonym, body=b64(b"why"))
    append_entries(market.registry, market.party(person.lender), [entry])


def test_uses_receipts_and_export_are_complete_and_only_one_s_own(market):
    here, other = market.people["aspen"][:2]
    for person in (here, other):
        market.says(person, "give", ("ordinary", "sensitive"))
    campaign = market.campaign(("aspen", "birch"))
    market.clock.move(seconds=1)
    used(market, here, campaign)
    market.says(here, "withdraw", ("sensitive",))
    market.registry.ledger.catch_up()
    uses = market.call(here.pseudonym, "GET", "/v1/me/uses").json()["items"]
    assert [(u["kind"], u["what"], u["who"]) for u in uses] == [
        ("may-have-used", "release", "aspen"), ("logged", "use.explained", "aspen"),
    ]  # fmt: skip
    assert [u["kind"] for u in market.call(other.pseudonym, "GET", "/v1/me/uses").json()["items"]] == ["may-have-used"]
    assert market.call(market.people["aspen"][2].pseudonym, "GET", "/v1/me/uses").json()["items"] == []
    receipts = market.call(here.pseudonym, "GET", "/v1/me/receipts").json()["items"]
    assert len(receipts) == 2
    target = f"/v1/me/receipts/{receipts[0]['decision_sha256']}"
    assert market.call(here.pseudonym, "GET", target).is_success
    assert problem(market.call(other.pseudonym, "GET", target), 404)
    export = market.call(here.pseudonym, "GET", "/v1/me/export")
    assert export.headers["cache-control"] == "no-store"
    mine = export.json()
    assert [(one["pii_principal_id"], one["lender"]) for one in mine["accounts"]] == [(here.pseudonym, "aspen")]
    assert [e["event_type"] for e in mine["events"]] == ["give", "give", "withdraw"]
    assert len(mine["consents"]) == 2
    assert market.call(here.pseudonym, "GET", MINE).json()["items"] == mine["consents"]
    assert {record["pii_principal_id"] for record in mine["consents"]} == {here.pseudonym}
    assert [e["entry"]["type"] for e in mine["log_entries"]] == [
        "consent.decided", "use.explained", "consent.decided",
    ]  # fmt: skip
    assert mine["log_entries"][0]["body"]["token"], "sealed bodies are opened for the person they are about"
    assert mine["uses"] == uses
    assert other.pseudonym not in export.text


def test_what_was_used_after_the_consent_ended_is_not_said_to_have_used_it(market):
    person, other = market.people["aspen"][:2]
    market.says(person, "give", expiry_time=market.clock() + timedelta(seconds=50))
    market.says(other, "give")
    campaign = market.campaign(("aspen", "birch"))
    market.clock.move(seconds=200)
    used(market, other, campaign)
    assert len(market.call(other.pseudonym, "GET", "/v1/me/uses").json()["items"]) == 2
    assert market.call(person.pseudonym, "GET", "/v1/me/uses").json()["items"] == []


# --- problems and times everywhere


NOWHERE = (
    "/tile/0/..%2f..%2fregistry.key", "/tile/0/000.p/0", "/tile/0/000.p/256", "/tile/0/0", "/tile/64/000",
    "/tile/0/x000/000", "/tile/entries/999", "/tile/entries/" + "x999/" * 12 + "999", "/tile/0/" + "x999/" * 12 + "999",
    "/v1/log/consistency?old=0&new=1", "/v1/log/consistency?old=5&new=2",
    "/v1/log/consistency?old=1&new=" + "9" * 40, "/v1/log/inclusion/-1", "/v1/log/inclusion/" + "9" * 40,
    "/v1/notices/x/" + "9" * 40, "/nowhere",
)  # fmt: skip


def test_what_does_not_exist_is_a_clear_4xx(market):
    for target in NOWHERE:
        answer = market.call(None, "GET", target)
        assert problem(answer, 422 if answer.status_code == 422 else 404), target


def test_bodies_that_are_no_decisions_are_refused(market):
    for body, status in (({"tokens": []}, 422), ({"tokens": ["not a token"]}, 401), (["x"], 422)):
        assert problem(market.call(None, "POST", "/v1/decisions", body), status)


def test_every_endpoint_refuses_with_problem_details(market):
    for endpoint in declarations(market.http.app):
        if endpoint.callers is None:
            continue
        target = re.sub(r"\{[^}]*(sha256|record_id)[^}]*\}", "0" * 64, endpoint.path)
        target = re.sub(r"\{[^}]*\}", "0", target)
        assert problem(market.call(None, endpoint.method, target), 401)
    assert problem(market.call(None, "GET", "/v1/nowhere"), 404)
    assert problem(market.call(None, "PUT", "/v1/notices"), 405)


def times(value):
    """Everything in an answer whose name says that it is a time."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if re.search(r"(_at|_time|time|since|duration)$", name) and inner is not None:
                yield name, inner
            yield from times(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from times(inner)


def test_every_time_is_rfc_3339_in_utc(market):
    person = market.people["aspen"][0]
    market.says(person, "give")
    campaign = market.campaign(("aspen", "birch"))
    market.clock.move(seconds=1)
    used(market, person, campaign)
    market.says(person, "suspend")
    market.clock.move(hours=2)
    targets = {
        person.pseudonym: ["/v1/me/consents", "/v1/me/uses", "/v1/me/export"],
        "auditor": [f"/v1/campaigns/{campaign.sha256}/authorisations", "/v1/revocations/outstanding", "/v1/campaigns"],
        "aspen": ["/v1/notices", "/v1/campaigns"],
    }
    seen = set()
    for caller, paths in targets.items():
        for path in paths:
            for name, value in times(market.call(caller, "GET", path).json()):
                assert UTC_TIME.fullmatch(value), (path, name, value)
                seen.add(name)
    seen |= {name for name, value in times(market.check("aspen")) if UTC_TIME.fullmatch(value)}
    assert {"event_time", "time", "exported_at", "expires_at", "overdue_since", "published_at", "decided_at"} <= seen


def kept_answers(market) -> list[str]:
    with market.registry.ledger.read() as session:
        return [f"{caller} {body}" for caller, body in session.execute(text("SELECT caller, body FROM idempotency"))]


def test_forgetting_leaves_no_answer_that_ties_a_login_to_a_name(market):
    """The answer of a command is kept under the login that gave it; it names whom it was about."""
    [gone], [stays] = market.consenting("aspen", 1), market.consenting("birch", 1)
    former = gone.pseudonym
    login = market.login(gone, stays)
    market.clock.move(seconds=1)
    everybody = market.people["aspen"]
    assert market.rename(everybody, [person.ledger.replace("v1.", "v2.") for person in everybody]).is_success
    for number, lender in enumerate(("aspen", "birch")):
        asked = market.statement([(lender, "ordinary", "withdraw")])
        answer = market.call(login, "POST", "/v1/me/consents", asked, Idempotency_Key=f"key-{number}")
        assert answer.status_code == 201, answer.text
    own = market.call(former, "POST", "/v1/me/withdrawals", key=gone.key, Idempotency_Key="own")
    assert own.status_code in {201, 409}, own.text
    forget_subject(market.registry, gone.pseudonym)
    left = kept_answers(market)
    assert not [one for one in left if gone.pseudonym in one or former in one]
    assert [one for one in left if stays.pseudonym in one], "what was answered of others stays"
