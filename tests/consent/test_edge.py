"""Where HTTP comes in: no answer is made of ``Host``, HEAD is GET without a body, chunked bodies have a limit."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Iterator

import httpx
import pytest
from fastapi.testclient import TestClient
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from support.market import Market
from support.waiting import until
from support.wire import serve

from consent.api.log import create_log_app
from consent.commands.withdraw_consents import ReadLanguages
from consent.identity.devissuer import create_issuer
from ops.http import MAX_BODY_BYTES, LimitBody, application
from ops.processes import free_port
from protocol.languages import accepted, lookup
from protocol.log_client import why_silent

ELSEWHERE = {"Host": "elsewhere.example:8443", "X-Forwarded-Host": "elsewhere.example", "X-Forwarded-Proto": "http"}


@pytest.fixture
def market(market: Market) -> Market:
    market.enrol("aspen", 3)
    market.says(market.people["aspen"][0], "give")
    market.checkpoint()
    return market


@pytest.fixture
def log(market: Market) -> Iterator[TestClient]:
    with TestClient(create_log_app(market.registry, read_only=True)) as http:
        yield http


def paths(http: TestClient) -> list[str]:
    return [path for path, methods in http.get("/openapi.json").json()["paths"].items() if "get" in methods]


@pytest.mark.parametrize("which", ["registry", "log"])
def test_nothing_that_is_answered_comes_from_the_host_header(market, log, which):
    http = market.http if which == "registry" else log
    asked = [re.sub(r"\{[^}]*\}", "0", path) for path in paths(http)]
    for path in [*asked, *(f"{path}/" for path in asked), "/docs", "/docs/", "/openapi.json", "/", "//checkpoint"]:
        answer = http.get(path, headers=ELSEWHERE, follow_redirects=False)
        assert not 300 <= answer.status_code < 400, path
        assert "elsewhere.example" not in answer.text, path
        assert not any("elsewhere.example" in value for value in answer.headers.values()), path


@pytest.mark.parametrize("path", ["/checkpoint/", "/v1/me/consents/", "/v1/notices/"])
def test_a_path_with_a_slash_too_many_is_not_found(market, path):
    assert market.http.get(path, follow_redirects=False).status_code == 404


def test_the_documentation_loads_nothing(market, log):
    for http in (market.http, log, TestClient(create_issuer_for_development())):
        page = http.get("/docs")
        assert page.status_code == 200
        assert not re.search(r"<script|<link|<img|src=|@import|https?://", page.text)
        assert page.headers["content-security-policy"].startswith("default-src 'none'")
        for path in http.get("/openapi.json").json()["paths"]:
            assert path in page.text


def create_issuer_for_development():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TAHINI_ENVIRONMENT", "development")
        return create_issuer("http://127.0.0.1:8790")


@pytest.mark.parametrize(
    "path", ["/checkpoint", "/tile/0/000.p/1", "/tile/entries/000.p/1", "/v1/log/entries/0", "/v1/log/inclusion/0",
             "/v1/log/consistency?old=1&new=2", "/healthz", "/v1/notices", "/v1/consortium", "/openapi.json", "/docs"],
)  # fmt: skip
def test_head_is_answered_as_get_is_without_the_body(market, path):
    whole, head = market.http.get(path), market.http.head(path)
    assert whole.status_code == 200, whole.text
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-type", "content-length", "cache-control"):
        assert head.headers.get(name) == whole.headers.get(name), name


def test_head_of_what_is_not_there_or_not_public(market):
    assert market.http.head("/tile/0/999").status_code == 404
    assert market.http.head("/v1/me/consents").status_code == 401
    assert market.http.head("/v1/decisions").status_code == 405


def chunks(size: int, of: int = 1 << 16) -> Iterator[bytes]:
    for _ in range(0, size, of):
        yield b" " * of


def test_a_body_in_chunks_is_read(market):
    person = market.people["aspen"][1]
    body = ('{"tokens": ["%s"]}' % market.decision(person, {"ordinary": "give"})).encode()  # noqa: UP031
    sent = iter([body[:10], body[10:]])
    answer = market.http.post("/v1/decisions", content=sent, headers={"Content-Type": "application/json"})
    assert answer.status_code == 201, answer.text
    assert market.rule(person) == "given"


def test_a_body_in_chunks_is_read_up_to_the_limit(market):
    answer = market.http.post("/v1/decisions", content=chunks(MAX_BODY_BYTES + (1 << 20)))
    assert (answer.status_code, answer.json()["title"]) == (413, "too large")


async def _echo(scope, receive, send):
    await PlainTextResponse(str(len(await Request(scope, receive).body())))(scope, receive, send)


@pytest.mark.parametrize(("size", "status"), [(0, 200), (1, 200), (100, 200), (101, 413), (10_000, 413)])
@pytest.mark.parametrize("whole", [True, False], ids=["stated", "chunked"])
def test_the_limit_is_to_the_byte(size, status, whole):
    limited = LimitBody(_echo, 100, lambda said: PlainTextResponse(said, 413))
    content = b"x" * size if whole else iter([b"x"] * size)
    answer = TestClient(limited).post("/", content=content)
    assert answer.status_code == status
    assert answer.text == (str(size) if status == 200 else "a request body may hold at most 100 bytes")


def test_a_length_beside_chunks_or_one_that_is_none_is_refused():
    http = TestClient(LimitBody(_echo, 100, lambda said: PlainTextResponse(said, 413)))
    for headers in ({"Content-Length": "3", "Transfer-Encoding": "chunked"}, {"Content-Length": "-1"}):
        assert http.post("/", content=b"abc", headers=headers).status_code == 413


CUT = [
    pytest.param(b"Content-Length: 10", b"abc", id="stated"),
    pytest.param(b"Transfer-Encoding: chunked", b"3\r\nabc\r\n", id="chunked"),
    pytest.param(b"Content-Length: 10", b"", id="stated, nothing came"),
    pytest.param(b"Transfer-Encoding: chunked", b"", id="chunked, nothing came"),
    pytest.param(b"Transfer-Encoding: chunked", b"3\r\nabc\r\n4\r\nab", id="within a chunk"),
]


def send_and_hang_up(url: str, message: bytes) -> None:
    with socket.create_connection((httpx.URL(url).host, httpx.URL(url).port)) as connection:
        connection.sendall(message)


class Counted:
    """Counts the requests that the application has done with."""

    def __init__(self, app) -> None:
        self._app, self.ended = app, 0

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] == "http":
            await self._app(scope, receive, send)
            self.ended += 1


class Acts(Counted):
    """Acts on whatever request it is handed, without a look at the body: as on a tap."""

    def __init__(self) -> None:
        super().__init__(LimitBody(self._act, 100, lambda said: PlainTextResponse(said, 413)))
        self.acted: list[str] = []

    async def _act(self, scope, receive, send) -> None:
        self.acted.append(scope["path"])
        await PlainTextResponse("done")(scope, receive, send)


@pytest.mark.parametrize(("length", "_body"), CUT)
@pytest.mark.parametrize("parts", [(), (b"abc",), (b"{}", b"")], ids=["nothing", "a part", "parts"])
def test_a_request_that_was_cut_is_not_handed_on_and_nobody_is_answered(length, _body, parts):
    acts, sent = Acts(), []
    came = [*({"type": "http.request", "body": part, "more_body": True} for part in parts), {"type": "http.disconnect"}]

    async def receive():
        return came.pop(0)

    async def send(message):
        sent.append(message)

    name, _, value = length.partition(b": ")
    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(name.lower(), value)]}
    asyncio.run(acts(scope, receive, send))
    assert (acts.acted, sent, acts.ended) == ([], [], 1)


@pytest.mark.parametrize(("length", "body"), CUT)
def test_over_a_socket_a_request_that_was_cut_is_not_executed(length, body):
    acts = Acts()
    with serve(acts, free_port()) as url:
        send_and_hang_up(url, b"POST /cut HTTP/1.1\r\nHost: x\r\n" + length + b"\r\n\r\n" + body)
        until(lambda: acts.ended == 1, "the server saw that the caller hung up")
        assert httpx.post(f"{url}/whole", content=b"abc").text == "done"
        assert httpx.post(f"{url}/chunks", content=iter([b"a", b"bc"])).text == "done"
        assert httpx.post(f"{url}/empty").text == "done"
    assert acts.acted == ["/whole", "/chunks", "/empty"]


@pytest.mark.parametrize(("length", "body"), CUT)
def test_a_withdrawal_that_was_cut_withdraws_nothing(market, length, body):
    """A tap needs no body, so nobody looks whether it came to its end."""
    person = market.people["aspen"][0]
    target, counted = "/v1/me/withdrawals", Counted(market.http.app)
    login = "".join(f"{name}: {value}\r\n" for name, value in market.login(person).items()).encode()
    with serve(counted, free_port()) as url:
        head = f"POST {target} HTTP/1.1\r\nHost: x\r\n".encode()
        send_and_hang_up(url, head + login + length + b"\r\n\r\n" + body)
        until(lambda: counted.ended == 1, "the server saw that the caller hung up")
    assert market.rule(person) == "given"
    assert market.call(market.login(person), "POST", target).status_code == 201
    assert market.rule(person) == "withdrawn"


def test_an_application_of_ours_never_redirects():
    assert application("x").router.redirect_slashes is False


@pytest.mark.parametrize("everything", [False, True], ids=["one", "all"])
@pytest.mark.parametrize("shown", ["en", "zh", "zh-CN"])
def test_a_withdrawal_is_recorded_in_the_language_in_which_the_notice_was_shown(market, shown, everything):
    """A tap says no language, and what the browser says is not what was shown."""
    person, notice = market.people["aspen"][2], market.notices[-1]
    text = notice.text_sha256(shown[:2])
    said = market.decision(person, {"ordinary": "give"}, notice_language=shown, notice_sha256=text)
    assert market.decide(said).status_code == 201
    market.clock.move(seconds=1)
    (record,) = market.call(person.pseudonym, "GET", "/v1/me/consents").json()["items"]
    target = "/v1/me/withdrawals" if everything else f"/v1/me/consents/{record['record_id']}/withdrawal"
    answer = market.call(person.pseudonym, "POST", target, Accept_Language="en, zh;q=0.1")
    assert answer.status_code == 201, answer.text
    (record,) = market.call(person.pseudonym, "GET", "/v1/me/consents").json()["items"]
    assert record["event"]["event_state"] == "withdrawn"
    assert (record["served"]["language"], record["served"]["text_sha256"]) == (shown[:2], text)


def test_where_it_cannot_be_read_how_a_notice_was_shown_the_browser_says(market):
    notice = market.notices[-1]
    key = (1, 1, "ordinary")
    assert ReadLanguages({}, accepted("zh-CN")).language(key, notice) == "zh"
    assert ReadLanguages({key: "zh"}, accepted("en")).language(key, notice) == "zh"
    assert ReadLanguages({key: "fr"}, accepted("zh")).language(key, notice) == "zh"
    assert ReadLanguages({}, ()).language(key, notice) == "en"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://127.0.0.1:1/", "nobody listens there"),
        ("http://nowhere.invalid/", "there is no such host"),
        ("nowhere/", "that is no http:// or https:// URL"),
    ],
)
def test_why_there_is_no_answer_is_said_in_words(url, says):
    with pytest.raises(httpx.HTTPError) as silent:
        httpx.get(url)
    assert why_silent(silent.value) == says


@pytest.mark.parametrize(
    ("header", "tags", "found"),
    [
        ("zh-CN", ("en", "zh"), "zh"),
        ("zh-CN,zh;q=0.9,en;q=0.8", ("en", "zh"), "zh"),
        ("en;q=0.1, zh-CN;q=0.9", ("en", "zh"), "zh"),
        ("zh-Hant-TW", ("en", "zh", "zh-Hant"), "zh-Hant"),
        ("zh-hant-tw", ("en", "zh-Hant"), "zh-Hant"),
        ("zh-TW", ("en", "zh-Hans"), "zh-Hans"),
        ("zh-x-private, en", ("en", "zh"), "zh"),
        ("fr, *;q=0.1", ("zh", "en"), "en"),
        ("fr, en;q=0", ("en", "zh"), None),
        ("en;q=2, zh", ("en", "zh"), "zh"),
        ("en;q=x, zh", ("en", "zh"), "zh"),
        ("EN", ("en", "zh"), "en"),
        ("", ("en", "zh"), None),
        (";;,,;q=1", ("en", "zh"), None),
    ],
)
def test_languages_are_matched_as_in_rfc_4647(header, tags, found):
    assert lookup(accepted(header), tags) == found
