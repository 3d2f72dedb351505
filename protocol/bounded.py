"""What another host answers over HTTP: at most so much, and within so long. Who asks decides that,
not who answers.

A client's timeouts bound the time between two bytes, so whoever sends one byte a second, of its
headers too, is never late. Here the whole has a deadline, from the first byte that is sent to the
last one that comes, and a length. Before that, resolving the name takes what the resolver takes,
and each of its addresses ``CONNECT_S``. Answers come as they are: compressed ones, of which a few
bytes may be any number, are neither asked for nor read.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import httpx

CONNECT_S = 2.0


KEPT_S = 2.0
"""How long a connection rests before it is given up. Our services keep one far longer
(``ops.serving.KEEP_S``): whoever keeps it as long as the server does sends, now and then, what the
server hangs up on."""


def kept() -> httpx.Limits:
    """What a client may keep of connections that rest."""
    return httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=KEPT_S)


class Unending(httpx.TransportError):
    """An answer that is longer than it may be, or did not end in time."""


@dataclass(frozen=True)
class Bounds:
    """Of one answer: bytes of its body, and seconds for all of it."""

    most: int
    within_s: float


@dataclass
class _Watch:
    """Hangs up when the time is over, whatever is waited for."""

    within_s: float
    over: bool = False
    _socket: socket.socket | None = field(default=None, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __enter__(self) -> Self:
        self._timer = threading.Timer(self.within_s, self._hang_up)
        self._timer.daemon = True
        self._timer.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._timer.cancel()

    def seen(self, _event: str, info: Mapping[str, Any]) -> None:
        """HTTPX tells (its extension "trace") when a connection was made, and again when TLS is
        spoken on it."""
        extra = getattr(info.get("return_value"), "get_extra_info", None)
        if extra is not None:
            with self._lock:
                self._socket = extra("socket")
            if self.over:
                self._hang_up()

    def _hang_up(self) -> None:
        with self._lock:
            self.over = True
            if self._socket is not None:
                with suppress(OSError):
                    # not TLS's own, which takes its state away
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


def ask(
    http: httpx.Client,
    method: str,
    url: str,
    bounds: Bounds,
    *,
    content: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    """One request over a connection of its own, and its whole answer, whatever its status;
    redirects are not followed.

    Raises:
        Unending: the answer is too long or too late. httpx.HTTPError, httpx.InvalidURL: there is
            none.
    """
    deadline = time.monotonic() + bounds.within_s
    said = {**(headers or {}), "Accept-Encoding": "identity", "Connection": "close"}
    timeout = httpx.Timeout(bounds.within_s, connect=min(CONNECT_S, bounds.within_s))
    with _Watch(bounds.within_s) as watch:
        try:
            with http.stream(
                method,
                url,
                content=content,
                headers=said,
                follow_redirects=False,
                timeout=timeout,
                extensions={"trace": watch.seen},
            ) as answer:
                whole = _whole(answer, bounds.most, deadline)
        except httpx.TransportError as error:
            if watch.over:
                raise Unending("the answer does not end in time") from error
            raise
        if watch.over:  # without a stated length, hanging up looks like the end
            raise Unending("the answer does not end in time")
        return whole


def ask_again(
    http: httpx.Client,
    method: str,
    url: str,
    bounds: Bounds,
    *,
    content: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    """As :func:`ask`, over a connection that is kept for the next request, with the client's own
    timeouts.

    For a peer whom the caller cannot do without anyway. How slowly such a peer sends its *headers*
    is bounded from byte to byte only; the body has the deadline.

    Raises: as :func:`ask`.
    """
    deadline = time.monotonic() + bounds.within_s
    said = {**(headers or {}), "Accept-Encoding": "identity"}
    with http.stream(method, url, content=content, headers=said, follow_redirects=False) as answer:
        return _whole(answer, bounds.most, deadline)


def _whole(answer: httpx.Response, most: int, deadline: float) -> httpx.Response:
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        raise httpx.DecodingError(
            "the answer is compressed, which was not asked for", request=answer.request
        )
    body = bytearray()
    for part in answer.iter_bytes():
        body += part
        if len(body) > most:
            raise Unending(f"the answer is longer than {most} bytes")
        if time.monotonic() > deadline:
            raise Unending("the answer does not end in time")
    return httpx.Response(
        answer.status_code, headers=answer.headers, content=bytes(body), request=answer.request
    )
