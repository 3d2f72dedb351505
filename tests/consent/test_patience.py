"""A client that waits for a registry which restarts: nothing that may have been heard is said twice."""

import socket
import threading
import time

import pytest

from consent.errors import RegistryUnavailable
from consent.log_client import LogClient

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-type: application/json\r\n\r\n{}"


class Registry:
    """Answers, or hangs up, as often as it is told to before it answers."""

    def __init__(self, hang_up: int = 0) -> None:
        self.asked, self._hang_up = [], hang_up
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def start(self, after: float = 0.0) -> None:
        threading.Thread(target=self._serve, args=(after,), daemon=True).start()

    def _serve(self, after: float) -> None:
        time.sleep(after)
        with socket.create_server(("127.0.0.1", self.port)) as listening:
            while True:
                connection, _ = listening.accept()
                with connection:
                    head = connection.recv(65536)
                    self.asked.append(head.split()[0].decode())
                    if len(self.asked) > self._hang_up:
                        connection.sendall(ANSWER)


@pytest.fixture
def client_of(house):
    def client(registry: Registry, patience_s: float) -> LogClient:
        made = LogClient(f"http://127.0.0.1:{registry.port}", house.founded.consortium.policy)
        made.patience_s = patience_s
        house.clients.append(made)
        return made

    return client


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_was_never_heard_is_said_again(client_of, method):
    registry = Registry()
    registry.start(after=0.6)
    body = {} if method == "POST" else None
    assert client_of(registry, 10.0)._send(method, "/", body).status_code == 200
    assert registry.asked == [method]


def test_without_patience_the_first_refusal_counts(client_of):
    with pytest.raises(RegistryUnavailable, match="does not answer"):
        client_of(Registry(), 0.0)._send("GET", "/")


def test_patience_ends(client_of):
    began = time.monotonic()
    with pytest.raises(RegistryUnavailable, match="does not answer"):
        client_of(Registry(), 0.8)._send("GET", "/")
    assert time.monotonic() - began >= 0.5


def test_what_may_have_been_heard_is_asked_again_only_if_it_changes_nothing(client_of):
    asking = Registry(hang_up=1)
    asking.start()
    time.sleep(0.1)
    assert client_of(asking, 5.0)._send("GET", "/").status_code == 200
    assert asking.asked == ["GET", "GET"]
    saying = Registry(hang_up=1)
    saying.start()
    time.sleep(0.1)
    with pytest.raises(RegistryUnavailable, match="nothing was acknowledged"):
        client_of(saying, 5.0)._send("POST", "/", {})
    assert saying.asked == ["POST"]
