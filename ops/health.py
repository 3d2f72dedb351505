"""Whether a service lives, for whoever restarts it: ``/healthz`` on loopback."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from protocol.errors import ConsentError

PATIENCE_S = 15.0


@dataclass
class Heartbeat:
    """A service's loop beats; one that has not for ``PATIENCE_S`` hangs."""

    clock: Callable[[], float] = time.monotonic
    _last: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self.beat()

    def beat(self) -> None:
        self._last = self.clock()

    @property
    def alive(self) -> bool:
        return self.clock() - self._last < PATIENCE_S


def serve_health(heartbeat: Heartbeat, port: int) -> None:
    """Answer ``/healthz`` with 200 or 503 until the process ends; raises ConsentError when the port
    is taken."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code = 404 if self.path != "/healthz" else 200 if heartbeat.alive else 503
            body = {200: b"ok\n", 503: b"its loop has stopped\n"}.get(code, b"")
            self.send_response(code)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Probes are not worth a line."""

    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), Answer)
    except OSError as error:
        raise ConsentError(
            f"cannot answer health checks at 127.0.0.1:{port} ({error.strerror})"
        ) from error
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
