"""The part of HashiCorp Vault's transit engine that a key store uses, over HTTP, with real keys in memory.

A stand-in for the network's far end only; ``tests/consent/test_keys.py`` runs the same tests against a real Vault where
``VAULT_ADDR`` and ``VAULT_TOKEN`` name one.
"""

from __future__ import annotations

import json
import os
import threading
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


class Transit:
    """One derived transit key with versions."""

    def __init__(self) -> None:
        self.versions: dict[int, bytes] = {}
        self.least = {"min_decryption_version": 1, "min_encryption_version": 0}
        self.available = 0

    def newest(self) -> int:
        return max(self.versions)

    def create(self) -> None:
        if not self.versions:
            self.versions[1] = os.urandom(32)

    def rotate(self) -> None:
        self.versions[self.newest() + 1] = os.urandom(32)

    def trim(self, version: int) -> None:
        if version > min(self.least.values()):
            raise ValueError("minimum available version cannot be above minimum encryption or decryption version")
        self.versions = {v: key for v, key in self.versions.items() if v >= version}
        self.available = version

    def encrypt(self, item: dict[str, str]) -> dict[str, str]:
        nonce = os.urandom(12)
        sealed = AESGCM(self.versions[self.newest()]).encrypt(
            nonce, b64decode(item["plaintext"]), item["context"].encode()
        )
        return {"ciphertext": f"vault:v{self.newest()}:{b64encode(nonce + sealed).decode()}"}

    def decrypt(self, item: dict[str, str]) -> dict[str, str]:
        _, version, text = item["ciphertext"].split(":")
        number, sealed = int(version[1:]), b64decode(text)
        if number < self.least["min_decryption_version"] or number not in self.versions:
            return {"error": "ciphertext or signature version is disallowed by policy (too old)"}
        try:
            plain = AESGCM(self.versions[number]).decrypt(sealed[:12], sealed[12:], item["context"].encode())
        except InvalidTag:
            return {"error": "cipher: message authentication failed"}
        return {"plaintext": b64encode(plain).decode()}

    def rewrap(self, item: dict[str, str]) -> dict[str, str]:
        opened = self.decrypt(item)
        return opened if "error" in opened else self.encrypt({**opened, "context": item["context"]})


def _handler(transit: Transit, token: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

        def _answer(self, status: int, body: dict[str, Any] | None = None) -> None:
            content = json.dumps(body or {}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            if self.headers.get("X-Vault-Token") != token:
                return self._answer(403, {"errors": ["permission denied"]})
            data = {"latest_version": transit.newest(), "min_available_version": transit.available, **transit.least}
            return self._answer(200, {"data": data})

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            body = json.loads(self.rfile.read(length) or b"{}")
            if self.headers.get("X-Vault-Token") != token:
                return self._answer(403, {"errors": ["permission denied"]})
            verb = self.path.removeprefix("/v1/transit/").split("/")
            if verb[0] == "keys" and len(verb) == 2:
                transit.create()
            elif verb[-1] == "rotate":
                transit.rotate()
            elif verb[-1] == "config":
                transit.least |= {name: value for name, value in body.items() if name in transit.least}
            elif verb[-1] == "trim":
                transit.trim(body["min_available_version"])
            else:
                results = [getattr(transit, verb[0])(item) for item in body["batch_input"]]
                failed = all("error" in result for result in results)
                return self._answer(400 if failed else 200, {"data": {"batch_results": results}})
            return self._answer(200)

        do_PUT = do_POST  # noqa: N815

    return Handler


@contextmanager
def vault_server(token: str) -> Iterator[str]:
    """The URL of a transit engine at ``transit``."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(Transit(), token))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
