"""Looks that wait: for whoever may look, until there is something, and for nobody who left."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from fleet.long_polls import MAX_LOOK_BYTES, LongPolls, News

LOOK, SEND = "/look", "/send"


@dataclass
class Post:
    """An application with one box: what is in it is given once, to whoever is let in."""

    box: list[bytes] = field(default_factory=list)
    status: int = 200
    asked: list[tuple[str, bytes]] = field(default_factory=list)

    async def __call__(self, scope, receive, send):
        body = b""
        while (event := await receive()).get("more_body"):
            body += event["body"]
        self.asked.append((scope["path"], body + event["body"]))
        assert "seen" not in scope["state"], "what was noted of one request is not known to the next"
        scope["state"]["seen"] = True
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        found = self.box.pop() if self.status == 200 and self.box and scope["path"] == LOOK else b""
        await send({"type": "http.response.body", "body": found})


class Caller:
    """One request, and what it was answered."""

    def __init__(self, path: str, *body: bytes):
        self.scope = {"type": "http", "path": path, "state": {}}
        self.said: asyncio.Queue = asyncio.Queue()
        for part in body[:-1]:
            self.said.put_nowait({"type": "http.request", "body": part, "more_body": True})
        self.said.put_nowait({"type": "http.request", "body": body[-1] if body else b"", "more_body": False})
        self.answer: list = []

    def leave(self):
        self.said.put_nowait({"type": "http.disconnect"})

    async def send(self, event):
        self.answer.append(event)

    def asks(self, app):
        return asyncio.ensure_future(app(self.scope, self.said.get, self.send))

    @property
    def status(self):
        return self.answer[0]["status"]

    @property
    def found(self):
        return b"".join(event.get("body", b"") for event in self.answer)


async def asked(post: Post, times: int) -> None:
    """Until the application was asked so often."""
    async with asyncio.timeout(60):
        while len(post.asked) < times:
            await asyncio.sleep(0)


def polls(post: Post, news: News, hold_s: float = 60.0, told: News | None = None) -> LongPolls:
    return LongPolls(post, {LOOK: news}, {SEND: news}, {LOOK: told or News()}, hold_s)


def run(story) -> None:
    asyncio.run(asyncio.wait_for(story, 60))


def test_a_look_is_answered_when_there_is_something():
    async def story():
        post, news = Post(), News()
        caller = Caller(LOOK, b"who ", b"asks")
        waiting = caller.asks(polls(post, news))
        await asked(post, 1)
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done()
        news.tell()  # for somebody else: it goes on waiting
        await asked(post, 2)
        post.box.append(b"a message")
        news.tell()
        await waiting
        assert (caller.status, caller.found) == (200, b"a message")
        assert post.asked == [(LOOK, b"who asks")] * 3

    run(story())


def test_what_is_there_already_is_given_at_once():
    async def story():
        caller = Caller(LOOK)
        await caller.asks(polls(Post([b"a message"]), News()))
        assert caller.found == b"a message"

    run(story())


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_who_may_not_look_is_told_at_once_and_nothing_is_kept_open(status):
    async def story():
        post = Post([b"a message"], status)
        caller = Caller(LOOK)
        await caller.asks(polls(post, News()))
        assert (caller.status, caller.found) == (status, b"")
        assert len(post.asked) == 1

    run(story())


def test_who_may_not_look_any_more_when_there_is_something_gets_nothing():
    async def story():
        post, news = Post(), News()
        caller = Caller(LOOK)
        waiting = caller.asks(polls(post, news))
        await asked(post, 1)
        post.status = 401
        post.box.append(b"a message")
        news.tell()
        await waiting
        assert (caller.status, caller.found) == (200, b""), "and is told why at its next look"
        assert post.box == [b"a message"]

    run(story())


def test_a_message_is_not_given_to_a_caller_who_left():
    """Who died while it waited; the next life of the same node shall have it."""

    async def story():
        post, news = Post(), News()
        dead = Caller(LOOK)
        waiting = dead.asks(polls(post, news))
        await asked(post, 1)
        dead.leave()
        post.box.append(b"a message")
        news.tell()
        await waiting
        assert dead.found == b""
        alive = Caller(LOOK)
        await alive.asks(polls(post, news))
        assert alive.found == b"a message"

    run(story())


def test_nor_while_a_message_was_on_its_way_when_the_caller_left():
    async def story():
        post, news = Post(), News()
        held = polls(post, news)
        await Caller(SEND).asks(held)
        dead = Caller(LOOK)
        waiting = dead.asks(held)
        await asyncio.sleep(0)
        dead.leave()
        post.box.append(b"a message")
        news.tell()
        await waiting
        assert [path for path, _ in post.asked] == [SEND], "nobody is asked for in the name of who left"
        alive = Caller(LOOK)
        await alive.asks(held)
        assert alive.found == b"a message"

    run(story())


def test_what_is_refused_is_not_on_its_way():
    """Who may not send holds up no look."""

    async def story():
        post, news = Post(status=401), News()
        held = polls(post, news)
        await Caller(SEND).asks(held)
        post.status = 200
        post.box.append(b"a message")
        caller = Caller(LOOK)
        await caller.asks(held)
        assert caller.found == b"a message"

    run(story())


def test_nobody_waits_for_ever():
    async def story():
        caller = Caller(LOOK)
        await caller.asks(polls(Post(), News(), hold_s=0.0))
        assert (caller.status, caller.found) == (200, b"")

    run(story())


def test_what_is_on_its_way_is_not_looked_for_before_its_sender_looks_itself():
    """A message is there before its content; found too early, it costs a second."""

    async def story():
        post, messages = Post(), News()
        nodes, runs = polls(post, messages), polls(Post(), News(), told=messages)
        await Caller(SEND, b"the first half").asks(nodes)
        post.box.append(b"half a message")
        early = Caller(LOOK)
        waiting = early.asks(nodes)
        for _ in range(20):
            await asyncio.sleep(0)
        assert [path for path, _ in post.asked] == [SEND]
        post.box[:] = [b"a message"]
        sender = Caller(LOOK).asks(runs)
        await waiting
        assert early.found == b"a message"
        sender.cancel()

    run(story())


def test_a_sender_who_never_comes_again_holds_nobody_up_for_ever():
    async def story():
        post, messages = Post(), News()
        held = polls(post, messages, hold_s=0.01)
        await Caller(SEND).asks(held)
        post.box.append(b"a message")
        caller = Caller(LOOK)
        await caller.asks(held)
        assert caller.found == b"a message"

    run(story())


def test_a_look_that_is_longer_than_any_is_refused_unread():
    async def story():
        post = Post()
        caller = Caller(LOOK, *[b"x" * MAX_LOOK_BYTES] * 3)
        await caller.asks(polls(post, News()))
        assert caller.status == 413
        assert post.asked == []
        assert caller.said.qsize() == 1, "the rest was not read"

    run(story())


def test_whatever_is_no_look_goes_straight_through():
    async def story():
        post = Post()
        caller = Caller(SEND, b"x" * (MAX_LOOK_BYTES + 1))
        await caller.asks(polls(post, News()))
        assert caller.status == 200
        assert len(post.asked[0][1]) == MAX_LOOK_BYTES + 1

    run(story())
