"""Two histories meet: a registry and dishonest witnesses convince two readers, who then hear the honest witnesses."""

from __future__ import annotations

import shutil
import socket
import threading
from base64 import b64encode
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from support.logs import ORIGIN
from support.peers import MEGABYTES, PACE_S, SLOWLY, answering
from support.waiting import until
from support.wire import within
from support.witnesses import VERIFIER, History, forked, new_witness

from clients.witness import WITNESS_FOLDER, LenderWitness, origin_hash, witness_app
from crypto.keys import replace_file
from crypto.notes import open_checkpoint
from crypto.policies import Log, Policy, quorum_size, witnessed_by
from crypto.policies import Witness as Asked
from ops.processes import free_port
from protocol.bounded import Bounds
from protocol.errors import RegistryUnavailable, SplitView
from protocol.gossip import HEAD, compare_heads
from protocol.heads import HeadStore
from protocol.log_client import LogClient

NAMES = ("aspen", "birch", "cedar", "damson")
COMMON = 3
LEFT, RIGHT = forked(COMMON, "left"), forked(COMMON, "right")


class Town:
    """Real witnesses, and an operator who asks whom it wants for what it wants."""

    def __init__(self, root: Path, url: str, witnesses: dict[str, LenderWitness], dishonest: int) -> None:
        self.root, self.witnesses = root, witnesses
        asked = [Asked(name, witness.key.public, f"{url}/{name}") for name, witness in witnesses.items()]
        self.policy = witnessed_by(Log(VERIFIER), asked, quorum_size(len(asked), dishonest))
        self.reach = 12
        """Entries of which the operator proves anything."""
        self.says: httpx.Response | None = None
        """What it says instead of a proof."""
        self.asked: list[str] = []

    def cosigned(self, history: History, size: int, *names: str) -> str:
        lines = ""
        for name in names:
            latest = self.witnesses[name].latest(ORIGIN)
            old = open_checkpoint(latest, VERIFIER).size if latest else 0
            lines += self.witnesses[name].add_checkpoint(history.request(old, size).text.encode())
        return history.note(size) + lines

    def set_back(self, name: str) -> None:
        """From a copy of when only what both histories share had been seen."""
        folder = self.root / name / WITNESS_FOLDER
        shutil.rmtree(folder)
        shutil.copytree(self.root / f"{name}.backup", folder)

    def keep_copies(self) -> None:
        for name in self.witnesses:
            shutil.copytree(self.root / name / WITNESS_FOLDER, self.root / f"{name}.backup")

    def reader(self, name: str, history: History, note: str) -> LogClient:
        """Who is shown ``history`` and nothing else."""

        def answer(request: httpx.Request) -> httpx.Response:
            self.asked.append(request.url.path)
            if request.url.path == "/checkpoint":
                return httpx.Response(200, text=note)
            if self.says is not None:
                return self.says
            old, new = (int(request.url.params[name]) for name in ("old", "new"))
            if new > self.reach:
                return httpx.Response(404, json={"detail": f"the log has no {new} entries yet", "type": "x:not-found"})
            return httpx.Response(200, json={"proof": [b64encode(one).decode() for one in history.proof(old, new)]})

        mounts = {"all://log.test": httpx.MockTransport(answer)}
        client = httpx.Client(base_url="http://log.test", mounts=mounts)
        return LogClient("http://log.test", self.policy, HeadStore(self.root / f"{name}.head"), client)


@pytest.fixture(params=[3, 4])
def town(request, tmp_path):
    names = NAMES[: request.param]
    witnesses = {name: new_witness(tmp_path / name) for name in names}
    with within(witness_app(witnesses), "town.test") as url:
        yield Town(tmp_path, url, witnesses, (len(names) - 1) // 3)


ONE_TOWN = pytest.mark.parametrize("town", [4], indirect=True)
"""Where it does not matter how many the witnesses are."""


def split(town: Town, left: int, right: int) -> tuple[LogClient, LogClient]:
    """One more dishonest witness than the policy allows: set back, they cosign both. Two readers believe two heads."""
    dishonest = NAMES[: (len(town.witnesses) - 1) // 3 + 1]
    honest = [name for name in town.witnesses if name not in dishonest]
    town.cosigned(LEFT, COMMON, *town.witnesses)
    town.keep_copies()
    one = town.cosigned(LEFT, left, *dishonest, *honest[:1])
    for name in dishonest:
        town.set_back(name)
    other = town.cosigned(RIGHT, right, *dishonest, *honest[1:])
    readers = town.reader("left", LEFT, one), town.reader("right", RIGHT, other)
    assert [reader.head().size for reader in readers] == [left, right], "each has its quorum"
    return readers


def test_two_heads_of_one_size_prove_the_split_view_and_stop_both_readers(town):
    for reader, name in zip(split(town, 6, 6), ("left", "right"), strict=True):
        with pytest.raises(SplitView, match="signed two heads of 6 entries"):
            compare_heads(reader, town.policy, reader.accepted_note())
        kept = (town.root / f"{name}.split").read_text(encoding="utf-8")
        heads = [open_checkpoint(note, VERIFIER) for note in notes_in(kept)]
        assert len({head.root for head in heads}) == 2
        assert {head.size for head in heads} == {6}
        with pytest.raises(SplitView, match="until all parties have settled"):
            reader.head()


def notes_in(kept: str) -> list[str]:
    first, _, second = kept.partition(f"\n{ORIGIN}\n")
    return [first, f"{ORIGIN}\n{second}"]


@pytest.mark.parametrize(("left", "right"), [(6, 7), (7, 6)])
def test_heads_of_different_sizes_that_are_not_of_one_history_stop_both_readers(town, left, right):
    for reader in split(town, left, right):
        with pytest.raises(RegistryUnavailable, match="history was rewritten"):
            compare_heads(reader, town.policy, reader.accepted_note())


def test_a_registry_that_proves_nothing_beyond_what_it_shows_is_told_apart_from_one_that_is_away(town):
    reader, _ = split(town, 6, 7)
    town.reach = 6
    with pytest.raises(RegistryUnavailable, match="no 7 entries yet") as refused:
        compare_heads(reader, town.policy, reader.accepted_note())
    assert not isinstance(refused.value, SplitView), "what is not proved is not disproved"
    town.reach = 12
    with pytest.raises(SplitView, match="cannot be believed"):
        compare_heads(reader, town.policy, reader.accepted_note())


def behind(town: Town) -> LogClient:
    """A reader at 5 entries, of whose witnesses one stands at 8 of the same history."""
    first, *_ = town.witnesses
    note = town.cosigned(LEFT, 5, *town.witnesses)
    town.cosigned(LEFT, 8, first)
    reader = town.reader("left", LEFT, note)
    assert reader.head().size == 5
    return reader


def last_at(town: Town, url: str) -> Policy:
    """The town's policy, with its last witness at another address."""
    *others, last = town.policy.witnesses
    return replace(town.policy, witnesses=(*others, replace(last, url=url)))


def problem(status: int) -> httpx.Response:
    return httpx.Response(status, json={"detail": "not now", "type": "x:said"}, headers={"Retry-After": "1"})


@ONE_TOWN
@pytest.mark.parametrize("says", [problem(status) for status in (400, 401, 403, 404, 422, 429, 500, 503)] + [
    httpx.Response(404, text="no such page"), httpx.Response(302, headers={"Location": "http://log.test/"}),
    httpx.Response(200, text="{"), httpx.Response(200, json={"proof": ["?"]}), httpx.Response(200, json={"proof": 1}),
], ids=str)  # fmt: skip
def test_a_registry_that_does_not_answer_is_no_split_view_and_is_believed_once_it_does(town, says):
    reader = behind(town)
    town.says = says
    with pytest.raises(RegistryUnavailable) as refused:
        compare_heads(reader, town.policy, reader.accepted_note())
    assert not isinstance(refused.value, SplitView)
    assert (refused.value.status, refused.value.code) == (503, "registry-unavailable") or says.status_code >= 500
    assert "try again" in str(refused.value) or says.status_code not in range(400, 500) or says.text == "no such page"
    town.says = None
    assert compare_heads(reader, town.policy, reader.accepted_note()).silent == ()


def test_where_no_witness_answers_there_is_nothing_to_compare(town):
    note = town.cosigned(LEFT, 5, *town.witnesses)
    reader = town.reader("left", LEFT, note)
    reader.head()
    away = f"http://127.0.0.1:{free_port()}"
    town.policy = replace(town.policy, witnesses=tuple(replace(one, url=away) for one in town.policy.witnesses))
    town.says, town.asked = problem(429), []
    heard = compare_heads(reader, town.policy, reader.accepted_note())
    assert (heard.agree, heard.silent, town.asked) == ((), tuple(town.witnesses), [])


@ONE_TOWN
@pytest.mark.parametrize("how", ["headers", "until it hangs up"])
@pytest.mark.parametrize("slowly", [True, False], ids=["slowly", "fast"])
def test_a_witness_that_does_not_come_to_an_end_is_silent_and_holds_nobody(town, how, slowly):
    """One dribbles, or says more than anybody can hold; what the others say is compared all the same."""
    names, reader = list(town.witnesses), behind(town)
    endless, pace_s, bounds = (SLOWLY, PACE_S, HEAD) if slowly else (MEGABYTES, 0.0, Bounds(HEAD.most, 600.0))
    with answering(*endless[how], pace_s=pace_s) as peer:
        heard = compare_heads(reader, last_at(town, peer.url), reader.accepted_note(), bounds)
        assert (heard.agree, heard.silent) == (tuple(names[:-1]), (names[-1],))
        until(lambda: peer.hung_up == peer.asked == 1, "the node hung up")


@ONE_TOWN
def test_a_witness_whose_host_cannot_be_found_in_time_is_not_waited_for(town, monkeypatch):
    names, reader = list(town.witnesses), behind(town)
    looked_up, found, look_up = threading.Event(), threading.Event(), socket.getaddrinfo

    def slowly(host, *rest, **more):
        if host == "lost.invalid":
            looked_up.set()
            found.wait()
        return look_up(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", slowly)
    try:
        heard = compare_heads(reader, last_at(town, "http://lost.invalid"), reader.accepted_note())
        assert (heard.agree, heard.silent) == (tuple(names[:-1]), (names[-1],))
        assert looked_up.is_set() and not found.is_set()
    finally:
        found.set()


def test_honest_witnesses_at_different_sizes_agree(town):
    reader = behind(town)
    heard = compare_heads(reader, town.policy, reader.accepted_note())
    assert (heard.agree, heard.silent) == (tuple(town.witnesses), ())
    assert not (town.root / "left.split").exists()


def test_two_that_extend_the_reader_s_head_are_compared_with_each_other(town):
    """A reader who lags behind is of both histories; the two ahead of it are not of one."""
    names = list(town.witnesses)
    note = town.cosigned(LEFT, COMMON, *names)
    town.cosigned(LEFT, 6, names[0])
    town.cosigned(RIGHT, 6, names[1])
    reader = town.reader("left", LEFT, note)
    reader.head()
    with pytest.raises(SplitView, match="two heads of 6"):
        compare_heads(reader, town.policy, reader.accepted_note())


def test_a_witness_that_is_away_new_or_talks_nonsense_is_silent_and_stops_nobody(town):
    names = list(town.witnesses)
    note = town.cosigned(LEFT, 5, *names[1:])
    forged = RIGHT.note(5).replace(ORIGIN, "log.test/other")
    replace_file(town.root / names[1] / WITNESS_FOLDER / f"{origin_hash(ORIGIN)}.checkpoint", forged.encode())
    moved = Policy(
        town.policy.logs,
        (*town.policy.witnesses[:2], Asked("away", town.policy.witnesses[2].key, f"http://127.0.0.1:{free_port()}")),
        (),
        "none",
    )
    reader = town.reader("left", LEFT, note)
    heard = compare_heads(reader, moved, note)
    assert (heard.agree, heard.silent) == ((names[0],), (names[1], "away"))


def test_a_reader_who_is_shown_another_head_of_the_same_size_keeps_both(town):
    """Without any witness to hear: what it accepted, and what it is shown now, are proof enough."""
    one, other = split(town, 6, 6)
    with pytest.raises(SplitView, match="signed two heads"):
        one.accept_head(other.checkpoint_note())
    assert (town.root / "left.split").exists()
