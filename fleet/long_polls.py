"""Looks for messages that wait until there may be one, instead of coming again and again.

Flower's programs look for messages every few seconds, and a round is mostly these pauses; looking
more often costs a busy coordinator half of a core. Here a look that found nothing is kept open for
up to ``HOLD_S`` and taken again when there is news. It is answered by Flower's application each
time: who may look is decided there, before anything is kept open, and again before anything is
given.

News is told late on purpose. A message is there before its content is, and whoever finds it too
early waits a whole second; so the next look of its sender tells it, who then has sent everything.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

HOLD_S = 2.0
"""Shorter than any client waits, and than an operator who wants to stop a run."""
MAX_LOOK_BYTES = 1 << 20
"""More than any look has to say: it names messages by their hashes."""

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
Asgi = Callable[[Event, Receive, Send], Awaitable[None]]


@dataclass
class News:
    """Whether something came, for waiters in the event loops of several threads."""

    number: int = field(default=0, init=False)
    """How often there was news so far."""
    coming: bool = field(default=False, init=False)
    """Something is being sent, and is not whole yet."""
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _waiting: dict[asyncio.Event, asyncio.AbstractEventLoop] = field(
        default_factory=dict, init=False
    )

    def tell(self) -> None:
        """Something is there, whole."""
        with self._lock:
            self.number += 1
            self.coming = False
            # under the lock: a waiter leaves before its loop ends
            for event, loop in self._waiting.items():
                loop.call_soon_threadsafe(event.set)
            self._waiting.clear()

    async def after(self, number: int) -> None:
        """Return once there was more news than ``number``."""
        event = asyncio.Event()
        with self._lock:
            if self.number != number:
                return
            self._waiting[event] = asyncio.get_running_loop()
        try:
            await event.wait()
        finally:
            with self._lock:
                self._waiting.pop(event, None)


@dataclass(frozen=True)
class LongPolls:
    """Keeps looks open until there is news.

    Args:
        looks: paths of looks, each with the news that it waits for.
        sends: paths of what is sent, each with the news that it will be.
        tells: paths whose request says that what its caller sent before is whole, each with that
            news.
    """

    app: Asgi
    looks: Mapping[str, News]
    sends: Mapping[str, News] = field(default_factory=dict)
    tells: Mapping[str, News] = field(default_factory=dict)
    hold_s: float = HOLD_S

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        path = str(scope["path"]) if scope["type"] == "http" else ""
        if path in self.sends:
            self.sends[path].coming = True
        told = self.tells.get(path)
        if told is not None and told.coming:
            told.tell()
        if path in self.looks:
            await self._look(scope, receive, send, self.looks[path])
        else:
            await self.app(scope, receive, send)

    async def _look(self, scope: Event, receive: Receive, send: Send, news: News) -> None:
        body = await _whole(receive)
        if body is None:
            await send({"type": "http.response.start", "status": 413, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        until = asyncio.get_running_loop().time() + self.hold_s
        if news.coming:
            await _first(until, news.after(news.number))
        answer: list[Event] = []
        while True:
            number = news.number
            found = await self._asked(scope, receive, body)
            # a later look that fails is no answer to this caller, who was let in: it will ask again
            if not answer or _succeeded(found):
                answer = found
            if not _empty(found) or not await self._news_of(receive, news, number, until):
                break
        for event in answer:
            await send(event)

    async def _asked(self, scope: Event, receive: Receive, body: bytes) -> list[Event]:
        """What the application answers, whole."""
        answer: list[Event] = []
        given = False

        async def replay() -> Event:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def keep(event: Event) -> None:
            answer.append(event)

        # what an application notes in a scope is about one request
        await self.app({**scope, "state": dict(scope.get("state", {}))}, replay, keep)
        return answer

    async def _news_of(self, receive: Receive, news: News, number: int, until: float) -> bool:
        """Whether there is news while the caller is still there: a message that is given to nobody
        would be lost."""
        gone = asyncio.ensure_future(receive())
        told = asyncio.ensure_future(news.after(number))
        try:
            left = max(0.0, until - asyncio.get_running_loop().time())
            await asyncio.wait((gone, told), timeout=left, return_when=asyncio.FIRST_COMPLETED)
            return told.done() and not gone.done()
        finally:
            gone.cancel()
            told.cancel()
            await asyncio.gather(gone, told, return_exceptions=True)


async def _first(until: float, awaited: Awaitable[None]) -> None:
    try:
        async with asyncio.timeout_at(until):
            await awaited
    except TimeoutError:
        return


async def _whole(receive: Receive) -> bytes | None:
    """The body of a request; None where it is longer than a look may be, or its caller left."""
    body = b""
    while True:
        event = await receive()
        body += bytes(event.get("body", b""))
        if event["type"] != "http.request" or len(body) > MAX_LOOK_BYTES:
            return None
        if not event.get("more_body", False):
            return body


def _succeeded(answer: list[Event]) -> bool:
    return bool(answer) and answer[0].get("status") == 200


def _empty(answer: list[Event]) -> bool:
    """An answer without messages is a success of no bytes: protobuf writes nothing for nothing."""
    return _succeeded(answer) and not any(event.get("body") for event in answer)
