"""A peer on a real socket that answers as it likes: slowly, without an end, or with more than anybody can hold."""

from __future__ import annotations

import itertools
import socket
import ssl
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

PACE_S, MAX_PARTS = 0.05, 600
"""Half a minute, or 40 MB: nobody of ours listens to so much, and a test of somebody who does comes to an end."""
OK = b"HTTP/1.1 200 OK\r\n"
SLOWLY: dict[str, tuple[bytes, bytes]] = {
    "headers": (OK + b"X: ", b"x"),
    "a stated length": (OK + b"Content-Length: 1000000\r\n\r\n", b"x"),
    "chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "until it hangs up": (OK + b"\r\n", b"x"),
}
"""How an answer begins, and what then comes again and again, a little at a time."""
MEGABYTES: dict[str, tuple[bytes, bytes]] = {
    "a stated length": (OK + b"Content-Length: 1000000000000\r\n\r\n", b"x" * 65536),
    "chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65536 + b"\r\n"),
    "until it hangs up": (OK + b"\r\n", b"x" * 65536),
    "headers": (OK, b"X: " + b"x" * 65536 + b"\r\n"),
}
"""The same as fast as it goes, for as long as somebody listens."""


class Peer:
    """Answers every request alike: ``first``, then ``again`` and again until the other side hangs up, or nearly so."""

    def __init__(
        self, first: bytes, again: bytes | None, pace_s: float = PACE_S, tls: ssl.SSLContext | None = None
    ) -> None:
        self._first, self._again, self._pace_s, self._tls = first, again, pace_s, tls
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._ended = threading.Event()
        self.asked = self.hung_up = 0
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._ended.set()
        self._listening.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _parts(self) -> Iterable[bytes]:
        return (
            (self._first,)
            if self._again is None
            else itertools.chain((self._first,), itertools.repeat(self._again, MAX_PARTS))
        )

    def _answer(self, plain: socket.socket) -> None:
        gone = True  # an error on the way says so too
        with suppress(OSError), self._tls.wrap_socket(plain, server_side=True) if self._tls else plain as connection:
            head = b""
            while b"\r\n\r\n" not in head and (part := connection.recv(65536)):
                head += part
            self.asked += 1
            connection.settimeout(self._pace_s or None)
            for part in self._parts():
                if self._pace_s and self._gone(connection):
                    break
                if self._ended.is_set():
                    gone = False
                    break
                connection.sendall(part)
            else:
                gone = self._again is None
        self.hung_up += gone

    def _gone(self, connection: socket.socket) -> bool:
        """Whether the other side hung up, within the time that lies between two parts."""
        try:
            return connection.recv(1) == b""
        except TimeoutError:
            return False


@contextmanager
def answering(
    first: bytes, again: bytes | None = None, pace_s: float = PACE_S, tls: ssl.SSLContext | None = None
) -> Iterator[Peer]:
    peer = Peer(first, again, pace_s, tls)
    try:
        yield peer
    finally:
        peer.close()
