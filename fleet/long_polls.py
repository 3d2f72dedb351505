"""Looks for messages that wait until there is one, instead of coming again and again.

Flower's programs look for messages every few seconds, and a round is mostly these pauses; looking
more often costs a busy coordinator half of a core. Here a look that found nothing is kept open for
some seconds and taken again when there is news. It is answered by Flower's application each time:
who may look is decided there, before anything is kept open, and again before anything is given.

News is told late on purpose. A message is there before its content is, and whoever finds it too
early waits a whole second; so the next look of its sender tells it, who then has sent everything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

HOLD_S = 2.0
"""Shorter than any client waits."""
MAX_LOOK_BYTES = 1 << 20
"""More than any look has to say: it names messages by their hashes."""

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
Asgi = Callable[[Event, Receive, Send], Awaitable[None]]


@dataclass
class News:
    """Whether something came, for waiters in one event loop."""

    number: int = field(default=0, init=False)
    """How often there was news so far."""
    coming: bool = field(default=False, init=False)
    """Something is being sent, and is not whole yet."""
    _grown: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def tell(self) -> None:
        """Something is there, whole. From another thread: ``loop.call_soon_threadsafe``."""
        self.number += 1
        self.coming = False
        self._grown.set()
        self._grown = asyncio.Event()

    async def after(self, number: int) -> None:
        """Return once there was more news than ``number``."""
        while self.number == number:
            await self._grown.wait()


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
    sends: Mapping[str, News]
    tells: Mapping[str, News]
    hold_s: float = HOLD_S

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        path = str(scope["path"]) if scope["type"] == "http" else ""
        if path in self.sends:
            await self._sent(scope, receive, send, self.sends[path])
            return
        if path in self.tells and self.tells[path].coming:
            self.tells[path].tell()
        if path not in self.looks:
            await self.app(scope, receive, send)
            return
        body = await _whole(receive)
        if body is None:
            await send({"type": "http.response.start", "status": 413, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        for event in await self._looked(scope, receive, body, self.looks[path]):
            await send(event)

    async def _sent(self, scope: Event, receive: Receive, send: Send, news: News) -> None:
        """Hand on what is sent; where it is refused nothing is coming."""
        statuses: list[int] = []

        async def heard(event: Event) -> None:
            if event["type"] == "http.response.start":
                statuses.append(int(event["status"]))
            await send(event)

        news.coming = True
        try:
            await self.app(scope, receive, heard)
        finally:
            if statuses != [200]:
                news.tell()

    async def _looked(self, scope: Event, receive: Receive, body: bytes, news: News) -> list[Event]:
        """What a look finds now, or when there is news."""
        until = asyncio.get_running_loop().time() + self.hold_s
        if news.coming and await _heard(receive, news, news.number, until) is Awaited.GONE:
            return []
        number = news.number
        answer = await self._asked(scope, receive, body)
        while _empty(answer) and await _heard(receive, news, number, until) is Awaited.NEWS:
            number = news.number
            found = await self._asked(scope, receive, body)
            if not _succeeded(found):  # to be told again at its next look, which is another request
                break
            answer = found
        return answer

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
        own = {**scope, "state": dict(scope.get("state", {}))}
        await self.app(own, replay, keep)
        return answer


class Awaited(Enum):
    """How waiting for news ended."""

    NEWS = auto()
    NOTHING = auto()
    GONE = auto()
    """The caller left: a message that is given to nobody would be lost."""


async def _heard(receive: Receive, news: News, number: int, until: float) -> Awaited:
    """Wait for more news than ``number``, until then at the latest."""
    gone = asyncio.ensure_future(receive())
    told = asyncio.ensure_future(news.after(number))
    try:
        left = max(0.0, until - asyncio.get_running_loop().time())
        await asyncio.wait((gone, told), timeout=left, return_when=asyncio.FIRST_COMPLETED)
        if gone.done():
            return Awaited.GONE
        return Awaited.NEWS if told.done() else Awaited.NOTHING
    finally:
        gone.cancel()
        told.cancel()
        await asyncio.gather(gone, told, return_exceptions=True)


async def _whole(receive: Receive) -> bytes | None:
    """The body of a request; None where it is longer than it may be, or its caller left."""
    parts: list[bytes] = []
    size = 0
    while True:
        event = await receive()
        parts.append(bytes(event.get("body", b"")))
        size += len(parts[-1])
        if event["type"] != "http.request" or size > MAX_LOOK_BYTES:
            return None
        if not event.get("more_body", False):
            return b"".join(parts)


def _succeeded(answer: list[Event]) -> bool:
    return bool(answer) and answer[0].get("status") == 200


def _empty(answer: list[Event]) -> bool:
    """An answer without messages is a success of no bytes: protobuf writes nothing for nothing."""
    return _succeeded(answer) and not any(event.get("body") for event in answer)
