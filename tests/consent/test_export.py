"""What a person takes away is all that the registry holds of them, by the schema and by the rows, and can be read."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest
from sqlalchemy import inspect, text
from support.market import shown

from auditlog.column_types import Base
from consent.commands.forget_subject import forget_subject
from consent.keys.datakeys import DataKeys

IN_EXPORT = {
    "subjects": "accounts", "former_names": "former_names", "data_keys": "data_key", "login_links": "logins",
    "assignments": "place", "consents": "consents", "consent_events": "events", "decisions": "decisions",
    "subject_entries": "log_entries", "revocations": "revocations", "tombstones": "hashes_of_names",
    "legal_holds": "what_was_signed_is_held_until", "idempotency": "kept_answers",
    "rights_requests": "requests", "incident_people": "incidents", "own_keys": "signing_keys",
    "signed_only": "only_keys_say_yes",
}  # fmt: skip
"""Tables that name a borrower, and under which name the export has what they hold."""


def strings(node) -> set[str]:
    if isinstance(node, dict):
        return {one for child in node.values() for one in strings(child)}
    if isinstance(node, list):
        return {one for child in node for one in strings(child)}
    return {str(node)}


def names(node) -> set[str]:
    if isinstance(node, dict):
        return set(node) | {one for child in node.values() for one in names(child)}
    return {one for child in node for one in names(child)} if isinstance(node, list) else set()


@pytest.fixture
def told(market):
    """Somebody to whom everything has happened: renamed, logged in, decided, handed in, used, erased once and back."""
    first, other = market.consenting("aspen", 2)
    forget_subject(market.registry, first.pseudonym)
    market.clock.move(seconds=1)
    body = {"subjects": [first.enrolment.model_dump(mode="json")]}
    first.number = market.call("aspen", "POST", "/v1/subjects", body).json()["first"]
    market.clock.move(seconds=1)
    headers = market.login(first)
    market.says(first, "give", kinds=("ordinary", "sensitive"))
    said = market.statement([("aspen", "sensitive", "suspend")])
    assert market.call(headers, "POST", "/v1/me/consents", said, Idempotency_Key="one").status_code == 201
    record = {
        "number": first.number, "sensitivity": "sensitive", "action": "withdraw", "evidence_sha256": "ab" * 32,
        "event_time": market.clock().isoformat(),
    }  # fmt: skip
    paper = shown(market.notices[-1], "zh") | {"channel": "paper", "records": [record]}
    assert market.call("aspen", "POST", "/v1/imports", paper).status_code == 201
    campaign = market.campaign(lenders=("aspen", "birch"))
    market.acknowledge("aspen", 2)
    market.commit(campaign)
    export = market.call(headers, "GET", "/v1/me/export")
    assert export.status_code == 200, export.text
    return market, first, other, campaign, export.json(), headers


def test_every_table_that_names_a_borrower_is_in_the_export(told):
    _market, *_, export, _ = told
    keyed = {
        table.name for table in Base.metadata.sorted_tables
        if {"subject_id", "pseudonym", "ledger_pseudonym", "caller"} & set(table.columns.keys())
    }  # fmt: skip
    assert keyed == set(IN_EXPORT)
    assert set(IN_EXPORT.values()) <= names(export)


def test_every_value_of_the_persons_rows_is_in_the_export(told):
    """By the rows themselves: whatever a table with a subject holds about this one stands somewhere in the file."""
    market, first, other, _campaign, export, _ = told
    found = strings(export)
    wanted: set[str] = set()
    with market.registry.ledger.read() as session:
        row = session.execute(text("SELECT id, pseudonym FROM subjects WHERE pseudonym = :p"), {"p": first.pseudonym})
        ((me, _),) = row.all()
        for table in inspect(market.registry.ledger.database.engine).get_table_names():
            columns = [c["name"] for c in inspect(market.registry.ledger.database.engine).get_columns(table)]
            key = "id" if table == "subjects" else "subject_id"
            if key not in columns or table in {"consents", "legal_holds", "tombstones"}:
                continue
            for held in session.execute(text(f"SELECT * FROM {table} WHERE {key} = {me}")).mappings():
                skipped = (
                    "_at",
                    "_time",
                    "_id",
                    "sensitivity",
                    "event",
                    "notice",
                    "sequence",
                    "wrapped",
                    "id",
                    "position",
                    "record",  # JSON, whose values stand among the imports
                )
                wanted |= {str(v) for name, v in held.items() if v is not None and not name.endswith(skipped)}
    assert first.key.public.text in wanted
    assert wanted <= found, wanted - found
    assert other.pseudonym not in json.dumps(export)


def test_what_the_export_says_is_so(told):
    market, first, _other, campaign, export, _ = told
    (account,) = export["accounts"]
    (key,) = account["signing_keys"]
    assert (key["public_key"], key["named_by"], key["ended_at"]) == (first.key.public.text, "lender", None)
    assert account["number_on_roll"] == first.number
    assert account["place"] == "here"
    assert [one["number_on_roll"] for one in account["erased_before"]] == [0]
    assert len(account["erased_before"][0]["what_was_signed_is_held_until"]) == 1
    assert account["came_back_at"] is not None
    assert len(account["logins"]) == 1
    (placed,) = export["campaigns"]
    assert (placed["campaign"], placed["sensitive_data_too"]) == (campaign.sha256, False)
    assert 0 < export["budget"]["spent_epsilon"] <= export["budget"]["most_ever"]
    (notice,) = export["notices"]
    assert notice["texts"] == market.notices[-1].texts
    assert [r["event_type"] for r in export["revocations"]] == ["suspend", "withdraw"]
    assert all(r["acknowledged_by_entry"] is None or r["number"] <= 2 for r in export["revocations"])
    assert [answer["key"] for answer in export["kept_answers"]] == ["one"]
    assert len(export["imports"]) == 1
    assert len(export["decisions"]) == 2


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.outside: list[str] = []

    def handle_starttag(self, tag, attributes) -> None:
        self.tags.append(tag)
        self.outside += [value for name, value in attributes if name in {"src", "href", "action", "srcset"}]


@pytest.mark.parametrize("asked", [{"Accept": "text/html,*/*;q=0.8"}, {}])
@pytest.mark.parametrize(
    ("language", "heading"), [("zh-CN", "您的决定及回执"), ("en", "Your decisions and their receipts")]
)
def test_the_export_is_a_page_to_read_too(told, asked, language, heading):
    market, first, *_, headers = told
    target = "/v1/me/export" if asked else "/v1/me/export?format=html"
    answer = market.call(headers, "GET", target, Accept_Language=language, **asked)
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-language"] == language[:2]
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    page = _Page()
    page.feed(answer.text)
    assert page.outside == []
    assert not {"script", "link", "img", "iframe", "form"} & set(page.tags)
    assert heading in answer.text
    for shown_value in (first.pseudonym, first.key.public.text, market.notices[-1].texts["zh"]):
        assert shown_value in answer.text


def test_what_a_lender_wrote_cannot_act_in_the_page(told, monkeypatch):
    market, *_, headers = told
    from consent.commands import export_consents

    hostile = "<script>alert(1)</script>"
    monkeypatch.setattr(export_consents, "_kept_answers", lambda *_: [{"key": hostile, "x": {"y": hostile}}])
    answer = market.call(headers, "GET", "/v1/me/export?format=html")
    assert "<script" not in answer.text
    assert "&lt;script&gt;" in answer.text


def test_nobody_is_exported_after_the_erasure_nor_when_the_key_is_gone(market, monkeypatch):
    (person,) = market.consenting("aspen")
    monkeypatch.setattr(DataKeys, "unwrap", lambda self, keys: [None for _ in keys])
    assert market.call(person.pseudonym, "GET", "/v1/me/export").status_code == 401


def test_the_listed_kinds_are_sensitive_data_too(market):
    """Only the consent to other sensitive data was looked at."""
    (person,) = market.consenting("aspen", kinds=("ordinary", "income"))
    market.campaign(lenders=("aspen", "birch"))
    (placed,) = market.call(person.pseudonym, "GET", "/v1/me/export").json()["campaigns"]
    assert placed["sensitive_data_too"] is True
