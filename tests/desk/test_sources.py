"""Where facts come from: one row of a table that cannot be written, a file, a third party with a signed request."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
import sqlalchemy as sa
from support.counter import Counter
from support.waiting import PATIENCE_S, until
from support.wire import plain_server
from support.world import pseudonym

from crypto.keys import SigningKey
from desk.described import AskedAs, read_sources
from desk.errors import SourceFailed
from desk.own_tables import FileSource, SqlSource
from desk.sources import About, HttpSource, Inquiry, Readable, Reading, Sources
from desk.verifying import AT_ONCE, HttpVerifier, Verifying
from law.categories import DataCategory
from protocol.errors import BadSettings
from protocol.requests import SignedRequest
from protocol.schema import now
from protocol.uses import UseStatement

BOOK = About("book", DataCategory.REPAYMENT, ("late", "income"), 5.0)
COLUMNS = {"late": "times_late", "income": "income"}
KEY = SigningKey(b"k" * 32)


def inquiry(name: str = "p") -> Inquiry:
    return Inquiry("application", name, now())


@pytest.fixture
def table(tmp_path: Path) -> sa.URL:
    url = sa.make_url(f"sqlite:///{tmp_path / 'own.db'}")
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE customers (name TEXT, times_late INT, income REAL, as_of DATE)")
        rows = [
            ("p", 2, 4000.5, "2026-11-01"),
            ("q", None, 1.0, None),
            ("twice", 1, 1.0, None),
            ("twice", 2, 1.0, None),
        ]
        connection.exec_driver_sql("INSERT INTO customers VALUES (?, ?, ?, ?)", rows)
    engine.dispose()
    return url


def test_one_row_of_the_lenders_own_table(table):
    source = SqlSource(BOOK, table, "customers", "name", COLUMNS)
    assert source.ask(inquiry()) == {"late": Reading(2), "income": Reading(4000.5)}
    assert source.ask(inquiry("q")) == {"income": Reading(1.0)}
    assert source.ask(inquiry("nobody' OR 1=1 --")) == {}
    with pytest.raises(SourceFailed, match="several rows"):
        source.ask(inquiry("twice"))


def test_a_database_without_truth_values_holds_them_as_1_and_0(table):
    """A policy that asks for true or false would know of none of them, and a person had to look at everybody."""
    source = SqlSource(BOOK, table, "customers", "name", COLUMNS, booleans=("income", "late"))
    assert source.ask(inquiry("q"))["income"].value is True
    assert source.ask(inquiry())["late"] == Reading(2), "what is neither stays what it is"


def test_the_lenders_own_table_cannot_be_written(table):
    source = SqlSource(BOOK, table, "customers", "name", COLUMNS)
    with pytest.raises(sa.exc.DBAPIError), source._engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM customers")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_one_row_of_a_file(kind, tmp_path):
    path = tmp_path / f"facts.{kind}"
    rows = pd.DataFrame(
        {"name": ["p", "q"], "times_late": [2, 0], "income": [4000.5, None], "as_of": [date(2026, 1, 2)] * 2}
    )
    rows.to_csv(path, index=False) if kind == "csv" else rows.to_parquet(path)
    source = FileSource(BOOK, path, "name", COLUMNS, "as_of")
    assert source.ask(inquiry()) == {"late": Reading(2, date(2026, 1, 2)), "income": Reading(4000.5, date(2026, 1, 2))}
    assert source.ask(inquiry("q")) == {"late": Reading(0, date(2026, 1, 2))}


HONEST = "ann,3,0123,2026-01-02"
BESIDE = ["bob,n.a.,0123A,2026-01-02", "bob,1", 'bob,"x,y,z', "bob,1e400,1,soon", "bob,,,", "ann2,true,01,1-1"]


@pytest.mark.parametrize("many", [1, 70_000])
@pytest.mark.parametrize("other", BESIDE)
def test_what_a_file_says_of_somebody_depends_on_nobody_elses_line(other: str, many: int, tmp_path: Path):
    source = FileSource(BOOK, tmp_path / "facts.csv", "p", {"late": "late", "income": "zip"}, "day")

    def asked(*lines: str) -> Any:
        source.path.write_text("\n".join(["p,late,zip,day", *lines, ""]), encoding="utf-8")
        return source.ask(inquiry("ann"))

    alone = {"late": Reading(3, date(2026, 1, 2)), "income": Reading("0123", date(2026, 1, 2))}
    assert asked(HONEST) == alone
    if many == 1:
        assert asked(other, HONEST) == asked(HONEST, other) == alone
    else:
        assert asked(*["bob,2,4,2026-01-02"] * many, other, HONEST) == alone


def http_source(url: str, about: About = BOOK) -> HttpSource:
    return HttpSource(about, f"{url}/v1/facts", "bureau.example", "aspen", KEY, httpx.Client())


def test_a_third_party_is_asked_with_a_signed_request():
    heard: list[Any] = []

    def answer(path: str, body: bytes) -> tuple[int, bytes]:
        heard.append((path, json.loads(body)))
        return 200, json.dumps({"facts": {"income": {"value": 3000, "observed_on": "2026-11-01"}}}).encode()

    with plain_server(answer) as url:
        sent = []
        source = http_source(url)
        source.http.event_hooks["request"].append(lambda request: sent.append(request.headers["Authorization"]))
        assert source.ask(inquiry()) == {"income": Reading(3000, date(2026, 11, 1))}
    ((path, body),) = heard
    assert body == {"application": "application", "subject": "p", "features": ["late", "income"]}
    signed = SignedRequest.verify(sent[0].removeprefix("Bearer "), KEY.public)
    assert (signed.iss, signed.aud, signed.htm, signed.htu) == ("aspen", "bureau.example", "POST", path)


BAD_ANSWERS = [
    (500, b"{}"), (200, b"no JSON"), (200, b"[]"), (200, b'{"facts": 1}'), (200, b'{"facts": {"late": 1}}'),
    (200, b'{"facts": {"late": {"value": [1]}}}'), (200, b'{"facts": {"late": {"value": 1, "observed_on": "x"}}}'),
    (200, b'{"facts": {"late": {"value": null}}}'), (302, b""),
]  # fmt: skip


@pytest.mark.parametrize("answer", BAD_ANSWERS)
def test_what_a_third_party_answers_otherwise_is_late_and_never_a_fact(answer):
    with plain_server(lambda *_: answer) as url:
        found = Sources([http_source(url)]).gather(inquiry(), Readable({DataCategory.REPAYMENT}))
    assert {one.status for one in found.values()} == {"late"}


def test_a_third_party_that_does_not_answer_costs_its_deadline_and_nobody_elses(tmp_path):
    rest = threading.Event()
    slow = replace(BOOK, name="slow", features=("slow",), deadline_s=0.3)

    def answer(*_: Any) -> tuple[int, bytes]:
        rest.wait(PATIENCE_S)
        return 200, b'{"facts": {"slow": {"value": 1}}}'

    path = tmp_path / "facts.csv"
    pd.DataFrame({"name": ["p"], "times_late": [2], "income": [1.0]}).to_csv(path, index=False)
    with plain_server(answer) as url:
        sources = Sources([http_source(url, slow), FileSource(BOOK, path, "name", COLUMNS)])
        found = sources.gather(inquiry(), Readable({DataCategory.REPAYMENT}))
        rest.set()
    assert {name: one.status for name, one in found.items()} == {"slow": "late", "late": "present", "income": "present"}


def test_what_is_disputed_is_not_used():
    class Known:
        about = BOOK

        def ask(self, _: Inquiry) -> dict[str, Reading]:
            return {"late": Reading(2), "income": Reading(1)}

    found = Sources([Known()]).gather(inquiry(), Readable({DataCategory.REPAYMENT}, {"late"}))
    assert (found["late"].status, found["late"].value, found["income"].status) == ("disputed", None, "present")


def test_two_sources_do_not_answer_for_one_feature():
    with pytest.raises(SourceFailed, match="answer for one feature"):
        Sources([http_source("http://a"), http_source("http://b", replace(BOOK, name="other"))])


WRONG = [
    ("", "sources"), ("x", "TOML"), ('[sources.a]\nkind = "file"', "path"),
    ('[sources.a]\nkind = "sql"\ncategory = "social-media"\ntable = "t"\nkey = "k"\ncolumns = {a = "a"}', "category"),
    ('[sources.a]\nkind = "http"\ncategory = "income"\nurl = "file:///etc/passwd"\naudience = "x"\nfeatures = ["a"]',
     "url"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "told"), WRONG)
def test_a_description_that_is_wrong_is_refused_in_a_sentence(text, told, tmp_path):
    (tmp_path / "sources.toml").write_text(text, encoding="utf-8")
    with pytest.raises(BadSettings, match=told):
        read_sources(tmp_path, AskedAs("aspen", KEY, None))


def test_a_verifier_confirms_what_was_stated_and_the_reviewer_is_told(desk: Counter):
    about = About("employer", DataCategory.REPAYMENT, (), 5.0)
    with plain_server(lambda *_: (200, b'{"result": "confirmed"}')) as url:
        verifier = HttpVerifier(about, f"{url}/check", "verify.example", "aspen", KEY, httpx.Client())
        desk.desk.verifiers = {"employer": verifier}
        said = desk.asks(2).json()
        path = f"/v1/applications/{said['id']}/verifications"
        body = {"provider": "employer", "kind": "employment"}
        told = desk.call("origination", "POST", path, body, Idempotency_Key="k")
        again = desk.call("origination", "POST", path, body, Idempotency_Key="k")
    assert told.json() == again.json() and told.json()["result"] == "confirmed"
    assert desk.log.steps() == ["use.read", "use.scored", "use.read"], "once, and before anybody was asked"
    (review,) = desk.call("reader", "GET", "/v1/reviews").json()["items"]
    seen = desk.call("reviewer.li", "POST", f"/v1/reviews/{review['id']}/taking").json()
    (verified,) = seen["verifications"]
    assert seen["read_at"] <= seen["case"]["now"] and verified.pop("asked_at")
    assert verified == {"kind": "employment", "provider": "employer", "result": "confirmed"}
    first, _, read = (UseStatement.verify(token, desk.log.key.public) for token in desk.log.entries[:3])
    assert read.follows == first.application, "part of the same use"


ADAPTER = """
import threading
from desk.verifying import Verification

def verify(kind, inquiry):
    if kind == "slow":
        threading.Event().wait()
    if kind == "broken":
        raise RuntimeError(inquiry.pseudonym)
    if kind == "leak":
        return Verification("Wang earns 3000 yuan")
    return Verification("confirmed") if kind == "employment" else kind
word = "no function"
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of the lender's own that names an adapter, and some that cannot be had."""
    told = tmp_path / "site" / "acme_payroll-1.dist-info"
    told.mkdir(parents=True)
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-payroll\nVersion: 1\n", encoding="utf-8")
    names = ("acme-payroll = acme_payroll:verify", "gone = acme_payroll:gone", "word = acme_payroll:word")
    (told / "entry_points.txt").write_text("\n".join(["[tahini.verifiers]", *names]), encoding="utf-8")
    (tmp_path / "site" / "acme_payroll.py").write_text(ADAPTER, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path / "site")
    return tmp_path


def described(home: Path, adapter: str, more: str = "", within_ms: int = 60_000) -> Verifying:
    source = '[sources.book]\nkind = "file"\ncategory = "repayment"\npath = "b.csv"\nkey = "p"\ncolumns = {a = "a"}\n'
    verifier = f'[verifiers.payroll]\ncategory = "repayment"\nadapter = "{adapter}"\ndeadline_ms = {within_ms}\n{more}'
    (home / "sources.toml").write_text(source + verifier, encoding="utf-8")
    (home / "b.csv").write_text("p,a\nx,1\n", encoding="utf-8")
    return read_sources(home, AskedAs("aspen", KEY, None))[1]["payroll"]


def test_a_lenders_own_adapter_is_a_function_of_a_package_of_its_own(
    desk: Counter, installed: Path, caplog: pytest.LogCaptureFixture
):
    own, hurried = (described(installed, "acme-payroll", within_ms=limit) for limit in (60_000, 1))
    desk.desk.verifiers = {"payroll": own, "hurried": hurried}
    asked = pseudonym()
    said = desk.asks(2, pseudonym=asked).json()
    path = f"/v1/applications/{said['id']}/verifications"
    for provider, kind, result in [
        ("payroll", "employment", "confirmed"), ("payroll", "nonsense", "late"), ("payroll", "broken", "late"),
        ("payroll", "leak", "late"),         ("hurried", "slow", "late"),
    ]:  # fmt: skip
        answer = desk.call("origination", "POST", path, {"provider": provider, "kind": kind}, Idempotency_Key=kind)
        assert answer.json()["result"] == result, kind
    assert "RuntimeError" in caplog.text and asked not in caplog.text


def test_an_adapter_that_does_not_come_back_holds_so_many_calls_and_no_more(installed: Path):
    hurried = described(installed, "acme-payroll", within_ms=1)
    for _ in range(AT_ONCE):
        with pytest.raises(TimeoutError):
            hurried.verify("slow", inquiry())
    with pytest.raises(SourceFailed, match="calls to answer yet"):
        hurried.verify("employment", inquiry())


def test_an_adapter_that_is_not_to_be_had_stops_the_desk_from_opening(installed: Path):
    for name, told in (("other", "no package"), ("gone", "cannot be had"), ("word", "is no function")):
        with pytest.raises(BadSettings, match=told):
            described(installed, name)
    with pytest.raises(BadSettings, match="url and audience, or adapter"):
        described(installed, "acme-payroll", 'url = "https://x.example"\naudience = "x"\n')


def test_nobody_is_asked_to_verify_without_consent_to_that_kind_of_data(desk: Counter):
    asked: list[Any] = []
    about = About("employer", DataCategory.EMPLOYMENT, (), 5.0)
    with plain_server(lambda *call: (asked.append(call), (200, b"{}"))[1]) as url:
        desk.desk.verifiers = {
            "employer": HttpVerifier(about, f"{url}/check", "verify.example", "aspen", KEY, httpx.Client())
        }
        said = desk.asks(2).json()
        desk.consents.refused = {DataCategory.EMPLOYMENT}
        body = {"provider": "employer", "kind": "employment"}
        refused = desk.call("origination", "POST", f"/v1/applications/{said['id']}/verifications", body)
    assert refused.status_code == 403 and asked == []


def test_a_late_source_holds_up_nobody_else(desk: Counter):
    """Its threads are its own; what still runs is not waited for."""
    desk.income.wait = threading.Event()
    object.__setattr__(desk.income, "about", replace(desk.income.about, deadline_s=0.05))
    answers = [desk.asks(pseudonym=pseudonym()).status_code for _ in range(3)]
    assert answers == [201] * 3
    desk.income.wait.set()
    until(lambda: desk.income.asked == 3, "the slow source had been asked")
