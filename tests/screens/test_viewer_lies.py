"""Whatever a registry serves instead of the truth, the auditor's pages say so loudly and never that it is verified;
and what they say of a log that is new, or large."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser
from support.house import Ground
from support.pages import Visitor
from support.viewer import Lie, Watch, auditor_home, browser_says, come_in, lying, open_viewer, viewing
from support.waiting import until

from crypto.keys import SigningKey
from crypto.merkle import tree_root
from crypto.notes import Checkpoint, claimed_checkpoint
from protocol.errors import BadSettings, RegistryUnavailable
from protocol.log_client import LogClient
from screens.viewer.home import INDEX_FILE, ViewerHome
from screens.viewer.index import EntryQuery

MANY = 10_000
PATHS = ("/", "/entries", "/entries/0", "/campaigns", "/exports")


@pytest.fixture
def watch(after_release: Ground, tmp_path: Path) -> Iterator[Watch]:
    with open_viewer(after_release, tmp_path / "house") as opened:
        yield opened


def changed(answer: httpx.Response, content: bytes) -> httpx.Response:
    return httpx.Response(answer.status_code, content=content, request=answer.request)


def served(target: str, content: Callable[[bytes], bytes]) -> Lie:
    """The registry answers at this target, or at whatever begins so, with something else."""
    return lambda asked, answer: changed(answer, content(answer.content)) if asked.startswith(target) else answer


def head_of(watch: Watch) -> Checkpoint:
    return claimed_checkpoint(watch.verifications.outcome.note)


def grow(watch: Watch) -> None:
    """One more entry, published."""
    watch.house.late("aspen")
    watch.house.registry.ledger.catch_up()


def alarmed(watch: Watch, step: str, why: str) -> str:
    """What the head's page says after a verification; no page says that anything is verified."""
    page = watch.verify()
    outcome = watch.verifications.outcome
    assert (outcome.verdict, outcome.failed) == ("refused", step), outcome
    assert re.search(why, outcome.reason), outcome.reason
    for path in [*PATHS, *campaigns(watch)]:
        answer = watch.get(path)
        assert answer.status_code == 200, (path, answer.text)
        assert "Verified here" not in answer.text, path
        assert 'role="alert"' in answer.text and "The log does not verify" in answer.text, path
        assert "核验通过" not in watch.get(path, "zh").text and "日志核验不通过" in watch.get(path, "zh").text, path
    return page


def campaigns(watch: Watch) -> list[str]:
    return re.findall(r'"(/campaigns/[0-9a-f]{64})"', watch.get("/campaigns").text)


def altered_entry(content: bytes) -> bytes:
    assert content.count(b'"subjects.enrolled"')
    return content.replace(b'"subjects.enrolled"', b'"subjects.renamedd"')


def test_an_altered_tile_is_found(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        lying(patch, served("/tile/entries/", altered_entry))
        watch.verify()
        assert watch.verifications.outcome.failed == "root" and watch.verifications.index.size() == 0
        assert "Verified here" not in watch.get("/").text
    assert "Verified here, on this machine" in watch.verify()
    grow(watch)
    with monkeypatch.context() as patch:
        lying(patch, served("/tile/entries/", lambda content: content.replace(b'"actor":"aspen"', b'"actor":"birch"')))
        alarmed(watch, "root", "do not hash to the signed root")
    assert "Verified here, on this machine" in watch.verify()


def test_a_split_view_is_found_kept_and_not_forgotten(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    watch.verify()
    head = head_of(watch)
    other = watch.house.colluding(Checkpoint(head.origin, head.size, b"\7" * 32)).encode()
    with monkeypatch.context() as patch:
        lying(patch, served("/checkpoint", lambda _: other))
        alarmed(watch, "extends", "signed two heads")
    assert (watch.home / "log.split").read_bytes().count(b"\n\n") >= 2
    watch.verify()
    assert watch.verifications.outcome.verdict == "refused"
    with viewing(watch.house) as again:  # a restart forgets nothing
        assert "Verified here" not in again.get("/").text and "The log does not verify" in again.get("/").text


def test_a_longer_log_of_another_history_is_found(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    watch.verify()
    head = head_of(watch)
    other = watch.house.colluding(Checkpoint(head.origin, head.size + 9, b"\7" * 32)).encode()

    def lie(target: str, answer: httpx.Response) -> httpx.Response:
        return changed(answer, other) if target == "/checkpoint" else answer

    with monkeypatch.context() as patch:
        lying(patch, lie)
        watch.verify()
    assert watch.verifications.outcome.verdict == "refused"
    assert "Verified here" not in watch.get("/").text


def test_a_log_that_was_rolled_back_is_found(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    watch.verify()
    head = head_of(watch)
    with watch.verifications.index.tree() as read:
        root = tree_root(head.size - 5, read)
    older = watch.house.colluding(Checkpoint(head.origin, head.size - 5, root)).encode()
    lying(monkeypatch, served("/checkpoint", lambda _: older))
    alarmed(watch, "extends", "rolled back")
    (watch.home / "log.checkpoint").unlink()  # the index remembers as well
    alarmed(watch, "root", "rolled back")


def test_a_head_without_enough_witnesses_is_no_head(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    watch.verify()

    def lonely(content: bytes) -> bytes:
        text, _, signatures = content.decode().rpartition("\n\n")
        return f"{text}\n\n{''.join(signatures.splitlines(keepends=True)[:2])}".encode()

    lying(monkeypatch, served("/checkpoint", lonely))
    alarmed(watch, "head", "lacks the quorum")


def test_a_body_that_is_not_the_one_in_the_leaf_breaks_the_chain(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    watch.verify()
    (path,) = campaigns(watch)
    chain = watch.get(path).text
    assert "Verified here, on this machine" in chain and "It does not verify" not in chain
    index = watch.verifications.index
    (entry,) = index.newest(EntryQuery(type="campaign.activated"), None, 1)
    at = entry.index
    lying(monkeypatch, served(f"/v1/log/bodies/{at}", lambda content: content[:-1] + bytes([content[-1] ^ 1])))
    alarmed(watch, "entries", f"entry {at}")
    broken = watch.get(path).text
    assert 'data-state="broken"' in broken and "Not checked" in broken
    assert f'href="/entries/{at}">It failed at entry' in broken


def test_an_index_that_was_altered_on_this_disk_is_made_anew(watch: Watch) -> None:
    watch.verify()
    with closing(sqlite3.connect(watch.home / INDEX_FILE)) as connection, connection:
        (leaf,) = connection.execute("SELECT leaf FROM entries WHERE idx = 4").fetchone()
        altered = leaf.replace(b'"aspen"', b'"birch"')
        connection.execute("UPDATE entries SET leaf = ? WHERE idx = 4", [altered])
    assert "Verified here, on this machine" in watch.verify()
    entry = watch.verifications.index.entry(4)
    assert entry is not None and entry.fields["actor"] == "aspen"


def test_of_a_registry_that_does_not_answer_nothing_is_said(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    watch.verify()

    def silent(*_: object) -> httpx.Response:
        raise RegistryUnavailable("it does not answer") from httpx.ConnectError("refused")

    monkeypatch.setattr(LogClient, "_send", silent)
    page = watch.verify()
    assert "Verified here" not in page and "Not checked" in page and "came to no end" in page


def test_the_registry_key_that_was_pinned_first_stays(watch: Watch) -> None:
    again = ViewerHome(auditor_home(watch.house))
    assert again.settings.registry_url == watch.house.url
    with pytest.raises(BadSettings, match="pins another registry key"):
        ViewerHome(watch.home, registry_key=SigningKey.generate().public.text)


def test_before_anything_was_verified_nothing_is_listed(ground: Ground, tmp_path: Path) -> None:
    with open_viewer(ground, tmp_path / "house") as fresh:
        assert "Nothing was checked here yet" in fresh.get("/").text
        for path in ("/entries", "/campaigns", "/exports"):
            assert "Nothing is here yet" in fresh.get(path).text
        fresh.verify()
        assert "The log speaks of no campaign yet" in fresh.get("/campaigns").text


def test_a_log_of_ten_thousand_entries_is_verified_and_says_how_far_it_is(
    ground: Ground, tmp_path: Path, chromium: Browser
) -> None:
    with open_viewer(ground, tmp_path / "house") as large:
        registry = large.house.registry
        many = [registry.sealed_to_auditor("system.started", "aspen", {}, b"{}") for _ in range(MANY)]
        with registry.ledger.write() as session:
            registry.ledger.log.append(session, many)
        registry.ledger.catch_up()
        context = chromium.new_context(viewport={"width": 360, "height": 640}, locale="en-GB")
        visitor = Visitor(context.new_page())
        come_in(visitor.page, large)
        visitor.tap("Verify")
        until(lambda: visitor.page.locator("#verdict[data-verdict=verified]").count(), "it verified", 120)
        assert browser_says(visitor.page) == "Verified here, by your browser"
        assert large.verifications.index.size() > MANY
        visitor.page.goto(f"{large.url}/entries/{MANY}")
        assert browser_says(visitor.page) == "Verified here, by your browser"
        assert visitor.page.locator(".proof-tree rect.beside").count() >= 10
        context.close()
        assert not visitor.complaints
