"""Every page of the auditor's view as it is sent, what may be asked of it, and what it logs; no browser."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections.abc import Iterator

import httpx
import pytest
from click.testing import CliRunner
from support.house import Ground
from support.pages import Seen
from support.viewer import OWN, Watch, lying, open_viewer, viewing

from auditlog.entry_checks import FORMS
from crypto.merkle import leaf_hash, node_hash, tree_root
from crypto.notes import InclusionProof
from protocol.client.institutions import InstitutionClient
from protocol.errors import BadSettings, Conflict
from screens.house.forms import new_once
from screens.house.headers import HEADERS
from screens.house.words import FOLDER, TAGS, catalogue
from screens.viewer.app import create_viewer
from screens.viewer.drawing import full_trees, grown_tree, proof_steps
from screens.viewer.home import ViewerHome, ViewerListening
from screens.viewer.index import EntryQuery
from screens.viewer.words_of import TYPES
from tahini import main

WORDS = FOLDER.parents[1] / "viewer" / "words"


@pytest.fixture(scope="module")
def watch(after_release: Ground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    with open_viewer(after_release, tmp_path_factory.mktemp("viewer") / "house") as opened:
        opened.verify()
        yield opened


@pytest.fixture(scope="module")
def paths(watch: Watch) -> list[str]:
    (campaign,) = re.findall(r'"(/campaigns/[0-9a-f]{64})"', watch.get("/campaigns").text)
    return [
        "/", "/entries", "/entries?type=campaign.approved&actor=aspen", "/entries?first=2020-01-01&last=2020-01-02",
        "/entries/0", "/entries/4", "/campaigns", campaign, "/exports", "/there-is-no-such-page",
    ]  # fmt: skip


def numbered(watch: Watch, kind: str) -> int:
    (entry,) = watch.verifications.index.newest(EntryQuery(type=kind), None, 1)
    return int(entry.index)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_page_is_whole_and_loads_nothing_but_our_own(watch: Watch, paths: list[str], language: str) -> None:
    links: set[str] = set()
    for path in [*paths, "/enter"]:
        answer = watch.get(path, language)
        assert answer.status_code == (404 if path == "/there-is-no-such-page" else 200), (path, answer.text)
        for name, value in HEADERS.items():
            assert answer.headers[name] == value, (path, name)
        assert answer.headers["cache-control"] == "no-store", path
        seen = Seen(answer.text)
        assert [one["lang"] for one in seen.all("html")] == [TAGS[language]], path
        assert len(seen.all("h1")) == 1 and len(seen.all("main")) == 1, path
        assert seen.labelled == len([one for one in seen.all("input") if one["type"] != "hidden"]), path
        for tag, attributes in seen.elements:
            assert not [name for name in attributes if name == "style" or name.startswith("on")], (path, tag)
        assert all(one.get("src") for one in seen.all("script")), path
        links |= {link["href"] or "" for link in seen.all("a")}
    for target in sorted(links):
        if not target.startswith(("#", "/there")):
            assert watch.get(target, language).status_code < 400, target


def test_nothing_is_left_in_english(watch: Watch, paths: list[str]) -> None:
    sentences = {
        one
        for folder in (FOLDER, WORDS)
        for one in catalogue("zh", folder)._catalog  # type: ignore[attr-defined]
        if isinstance(one, str) and len(one) > 5 and "%(" not in one
    }
    for path in paths:
        text = " ".join(Seen(watch.get(path, "zh").text).text)
        assert not {one for one in sentences if one in text}, path


def test_every_type_of_entry_has_words() -> None:
    assert set(TYPES) == set(FORMS)


def test_who_has_not_come_in_sees_nothing_and_does_nothing(watch: Watch, paths: list[str]) -> None:
    for path in [*paths[:-1], "/progress", "/exports/entries.csv", "/entries/4/proof", "/exports/policy"]:
        assert httpx.get(f"{watch.url}{path}").status_code == 401, path
    for path in ("/verify", "/entries/4/open"):
        answer = httpx.post(f"{watch.url}{path}", data={"once": new_once()}, headers=OWN)
        assert answer.status_code == 401, path


def test_a_form_of_another_site_does_nothing(watch: Watch) -> None:
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "none"}, {"Origin": "null"}, {}):
        for path in ("/verify", "/entries/4/open", "/logout"):
            answer = watch.http.post(f"{watch.url}{path}", data={"once": new_once()}, headers=headers)
            assert answer.status_code == 403, (path, headers)


def test_a_form_that_somebody_else_was_shown_does_nothing(watch: Watch) -> None:
    for path in ("/verify", "/entries/4/open"):
        answer = watch.post(path, whose="w" * 44)
        assert answer.status_code == 409 and "opened by somebody else" in answer.text, path


def test_only_this_machine_is_served(watch: Watch) -> None:
    opened = ViewerHome(watch.home)
    for origin in ("http://0.0.0.0:8724", "http://viewer.example:8724"):
        with pytest.raises(BadSettings, match="can be reached from other machines"):
            create_viewer(opened, origin)
    assert ViewerListening(host="::1").origin == "http://[::1]:8724"


def test_the_command_refuses_what_others_would_reach(watch: Watch) -> None:
    asked = ["audit", "view", "--home", str(watch.home), "--host", "0.0.0.0"]
    refused = CliRunner().invoke(main, asked)
    assert refused.exit_code == 1 and "can be reached from other machines" in refused.output
    asked = ["audit", "view", "--home", str(watch.home), "--as", "no staff id"]
    assert CliRunner().invoke(main, asked).exit_code == 1


def test_entries_are_found_by_what_they_are(watch: Watch) -> None:
    index = watch.verifications.index
    everything = list(index.walk(EntryQuery()))
    for query, wanted in {
        EntryQuery(type="roster.committed"): lambda one: one["type"] == "roster.committed",
        EntryQuery(actor="cedar"): lambda one: "cedar" in (one["actor"], one.get("lender")),
        EntryQuery(first="2020-01-01", last="2020-01-02"): lambda one: False,
    }.items():
        expected = [one.index for one in everything if wanted(one.fields)]
        assert [one.index for one in index.walk(query)] == expected
        assert index.count(query) == len(expected)
        assert [one.index for one in index.newest(query, None, 3)] == expected[::-1][:3]
    assert "No entry is like that" in watch.get("/entries?first=2020-01-01&last=2020-01-02").text
    for odd in ("type=%3Cb%3E", "first=yesterday", "before=-1", "index=1e3", "campaign=" + "a" * 101):
        assert watch.get(f"/entries?{odd}").status_code == 422, odd
    assert watch.http.get(f"{watch.url}/entries?index=7").headers["location"] == "/entries/7"
    assert watch.get("/entries/999999").status_code == 404


def test_every_entry_has_a_proof_that_verifies_and_a_drawing_that_leads_to_the_root(watch: Watch) -> None:
    trust, index = watch.house.founded.consortium.policy, watch.verifications.index
    for number in (0, 1, 100, 127, 128, index.size() - 1):
        leaf = watch.get(f"/entries/{number}/leaf").content
        proof = InclusionProof.parse(watch.get(f"/entries/{number}/proof").text)
        head = proof.verify(leaf, trust)
        assert (proof.index, head.size) == (number, index.size())
        steps = proof_steps(leaf_hash(leaf), number, head.size, proof.path)
        assert steps[-1].found == head.root
        covered = sorted([(number, number), *((one.first, one.last) for one in steps)])
        assert covered[0][0] == 0 and covered[-1][1] == head.size - 1
        assert all(a[1] + 1 == b[0] for a, b in itertools.pairwise(covered))


def test_the_tree_is_drawn_out_of_full_trees_that_make_the_root(watch: Watch) -> None:
    watch.verify()
    head = watch.verifications.outcome
    with watch.verifications.index.tree() as read:
        for size in (1, 2, 3, 7, 100, watch.verifications.index.size()):
            trees = full_trees(size, size // 2, read)
            assert [one.first for one in trees[1:]] == [one.last + 1 for one in trees[:-1]]
            assert trees[0].first == 0 and trees[-1].last == size - 1
            assert sum(one.entries for one in trees) == size and len(trees) == size.bit_count()
            root = trees[-1].hash
            for one in reversed(trees[:-1]):
                root = node_hash(one.hash, root)
            assert root == tree_root(size, read)
            for one in trees:
                assert (one.known == "all") == (one.last < size // 2) and (one.known == "none") == (
                    one.first >= size // 2
                )
            drawn = grown_tree(trees)
            assert drawn is not None and len(drawn.shapes) == len(trees)
            assert all(0 < one.x < drawn.width for one in drawn.shapes)
    assert grown_tree(full_trees(0, 0, lambda *_: b"")) is None and head.verdict == "verified"
    page = watch.get("/").text
    assert page.count('<path class="') >= 1 and "The tree as it stands" in page


def test_what_is_sealed_is_opened_once_it_is_logged(watch: Watch) -> None:
    at = numbered(watch, "campaign.proposed")
    before = watch.get(f"/entries/{at}").text
    assert "Opening it is itself logged" in before and "&#34;coordinator&#34;: " not in before
    assert _of_type(watch, b'"evidence.read"') == 0
    for _ in range(2):  # a double tap opens once
        assert watch.post(f"/entries/{at}/open").status_code == 303
    assert _of_type(watch, b'"evidence.read"') == 1
    page = watch.get(f"/entries/{at}").text
    assert "&#34;coordinator&#34;: " in page and "was checked when the log was verified" in page
    secret = (watch.home / "auditor.recipient.key").read_text(encoding="utf-8", errors="replace").strip()
    assert secret not in page


def _of_type(watch: Watch, kind: bytes) -> int:
    ledger = watch.house.registry.ledger
    with ledger.read() as session:
        return sum(kind in leaf for leaf in ledger.log.leaves(session, 0, ledger.log.size(session)))


def test_nothing_is_opened_that_cannot_be_logged(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def full(*_: object) -> list[int]:
        raise Conflict("the log is full")

    def seen(target: str, answer: httpx.Response) -> httpx.Response:
        asked.append(target)
        return answer

    lying(monkeypatch, seen)
    monkeypatch.setattr(InstitutionClient, "append", full)
    at = numbered(watch, "campaign.activated")
    answer = watch.post(f"/entries/{at}/open")
    assert answer.status_code == 409 and "could not be opened" in answer.text
    assert not [one for one in asked if "/bodies/" in one]
    assert "Open it" in watch.get(f"/entries/{at}").text


def test_what_is_not_sealed_to_the_auditor_is_not_offered(watch: Watch) -> None:
    at = numbered(watch, "consent.decided")
    page = watch.get(f"/entries/{at}").text
    assert "only the borrower whom it is about" in page and "Open it" not in page
    assert watch.post(f"/entries/{at}/open").status_code == 409


def test_a_campaign_is_shown_as_a_chain_that_holds(watch: Watch, paths: list[str]) -> None:
    page = watch.get(paths[-3]).text
    assert page.count('data-state="holds"') == 6 and "Verified here, on this machine" in page
    card = numbered(watch, "model.released")
    assert f'href="/entries/{card}"' in page


def test_files_to_keep_say_what_the_pages_say(watch: Watch) -> None:
    rows = list(csv.DictReader(io.StringIO(watch.get("/exports/entries.csv?type=campaign.approved").text)))
    assert {row["actor"] for row in rows} == {"aspen", "birch", "cedar"}
    entry = watch.verifications.index.entry(int(rows[0]["index"]))
    assert entry is not None and rows[0]["leaf_hash"] == leaf_hash(entry.leaf).hex()
    head = watch.house.founded.consortium.policy.open(watch.get("/exports/checkpoint").text)
    assert head.size == watch.verifications.index.size()
    assert watch.get("/exports/policy").text == watch.house.founded.consortium.policy.text
    period = "first=2020-01-01&last=2100-01-01"
    record = json.loads(watch.get(f"/exports/record.json?{period}").text)
    assert record["log"] == {**record["log"], "entries": head.size, "root": head.root.hex()}
    assert record["entries"]["in_period"] == head.size
    assert [one["campaign"] for one in record["activities"] if "campaign" in one] == list(
        watch.verifications.index.grouped("campaign")
    )
    assert "<html" in watch.get(f"/exports/record.html?{period}").text
    assert watch.get("/exports/record.json?first=2100-01-01&last=2020-01-01").status_code == 422


def test_a_restart_remembers_what_was_verified_but_opens_nothing(watch: Watch) -> None:
    with viewing(watch.house) as again:
        assert "Verified here, on this machine" in again.get("/").text
        assert "Verify first" in again.get("/exports").text
        assert again.get("/exports/record.json?first=2020-01-01&last=2100-01-01").status_code == 404
