"""Addresses at which an application is answered: of this process alone, or real ones of loopback.

Whoever asks an address under ``.test`` by HTTPX, wherever in the product, is answered without a socket: the
application runs in an event loop and a thread of its own, as it would behind a server.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import uvicorn
from anyio.from_thread import BlockingPortal, start_blocking_portal
from support.waiting import PATIENCE_S

from ops.processes import free_port

HERE = ".test"
_over_sockets = httpx.HTTPTransport.handle_request


@dataclass(frozen=True)
class _Answering:
    app: Any
    portal: BlockingPortal

    async def answer(self, request: httpx.Request) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False, client=("127.0.0.1", 1))
        answer = await transport.handle_async_request(request)
        body = await answer.aread()
        headers = [*answer.headers.raw, (b"date", formatdate(usegmt=True).encode())]
        return httpx.Response(answer.status_code, headers=headers, stream=httpx.ByteStream(body))


_answering: dict[str, _Answering] = {}


def _handle(transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
    if not request.url.host.endswith(HERE):
        return _over_sockets(transport, request)
    answering = _answering.get(request.url.host)
    if answering is None:
        raise httpx.ConnectError("[Errno 111] Connection refused", request=request)
    request.read()
    try:
        future = answering.portal.start_task_soon(answering.answer, request)
        return future.result(request.extensions.get("timeout", {}).get("read"))
    except TimeoutError as error:
        future.cancel()
        raise httpx.ReadTimeout("timed out", request=request) from error
    except (CancelledError, RuntimeError) as error:  # the application ended meanwhile
        raise httpx.ReadError("[Errno 104] Connection reset by peer", request=request) from error


httpx.HTTPTransport.handle_request = _handle  # type: ignore[method-assign]


@contextmanager
def within(app: Any, host: str) -> Iterator[str]:
    """An application that this process alone can ask, at ``http://host``, as long as the context is open."""
    assert host.endswith(HERE) and host not in _answering, host
    with start_blocking_portal() as portal:
        with portal.wrap_async_context_manager(app.router.lifespan_context(app)):
            _answering[host] = _Answering(app, portal)
            try:
                yield f"http://{host}"
            finally:
                del _answering[host]
        portal.call(portal.stop, True)


@contextmanager
def plain_server(answer: Callable[[str, bytes], tuple[int, bytes]]) -> Iterator[str]:
    """A real HTTP server without any framework: whatever it is asked, it answers by path and body."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answer(self.path, self.rfile.read(int(self.headers.get("Content-Length", 0))))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Quietly."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(PATIENCE_S)


@contextmanager
def serve(app: Any, port: int | None = None, begun: bool = False) -> Iterator[str]:
    """An application's real HTTP face in a thread; ``begun``: somebody else begins and ends it."""
    how: Any = "off" if begun else "auto"
    server = uvicorn.Server(uvicorn.Config(app, port=port or free_port(), log_level="error", lifespan=how))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise OSError(f"nothing was served at port {server.config.port}: somebody else took it")
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.config.port}"
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
