"""A client that waits for a registry which restarts: nothing that may have been heard is said twice."""

import itertools
import socket
import threading
from contextlib import ExitStack

import httpx
import pytest
from support.waiting import PATIENCE_S

from crypto.keys import SigningKey
from crypto.notes import Verifier
from crypto.policies import Log, unwitnessed
from ops.serving import KEEP_S
from protocol.bounded import KEPT_S
from protocol.errors import RegistryUnavailable
from protocol.log_client import ASK_AGAIN_S, LogClient

POLICY = unwitnessed(Log(Verifier("log.test/x", SigningKey.generate().public)))
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-type: application/json\r\n\r\n{}"


class Registry:
    """Answers, or hangs up, as often as it is told to before it answers."""

    def __init__(self, hang_up: int = 0) -> None:
        self.asked, self._hang_up = [], hang_up
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def start(self) -> None:
        listening = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._serve, args=(listening,), daemon=True).start()

    def _serve(self, listening: socket.socket) -> None:
        with listening:
            while True:
                connection, _ = listening.accept()
                with connection:
                    head = connection.recv(65536)
                    self.asked.append(head.split()[0].decode())
                    if len(self.asked) > self._hang_up:
                        connection.sendall(ANSWER)


@pytest.fixture
def client_of():
    with ExitStack() as made:

        def client(registry: Registry, patience_s: float, asked=lambda count: None) -> LogClient:
            """A client; ``asked`` is told before each of its attempts how many there were."""
            client = LogClient(f"http://127.0.0.1:{registry.port}", POLICY)
            made.callback(client.close)
            attempts = itertools.count()
            client._http.event_hooks["request"].append(lambda _: asked(next(attempts)))
            client.patience_s = patience_s
            return client

        yield client


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_was_never_heard_is_said_again(client_of, method):
    registry = Registry()
    body = {} if method == "POST" else None
    client = client_of(registry, PATIENCE_S, asked=lambda before: registry.start() if before == 2 else None)
    assert client._send(method, "/", body).status_code == 200
    assert registry.asked == [method]


@pytest.mark.parametrize(("status", "says"), [(429, ("0", "1", "soon")), (502, ("0",)), (503, ("0",)), (504, ("0",))])
def test_who_has_too_much_to_do_is_asked_again_when_it_says(status, says):
    answers = [httpx.Response(status, headers={"Retry-After": said}) for said in says]
    answers.append(httpx.Response(200, text="so"))
    http = httpx.Client(base_url="http://log.test", transport=httpx.MockTransport(lambda _: answers.pop(0)))
    client = LogClient("http://log.test", POLICY, None, http)
    client.patience_s = PATIENCE_S
    assert client._send("GET", "/").text == "so"
    answers += [httpx.Response(status), httpx.Response(status, headers={"Retry-After": "999999"})]
    with pytest.raises(RegistryUnavailable, match=str(status)):
        client._send("POST", "/", {})
    with pytest.raises(RegistryUnavailable, match=str(status)):
        client._send("GET", "/")
    assert answers == []


def test_without_patience_the_first_refusal_counts(client_of):
    with pytest.raises(RegistryUnavailable, match="does not answer"):
        client_of(Registry(), 0.0)._send("GET", "/")


def test_patience_ends(client_of):
    attempts = []
    with pytest.raises(RegistryUnavailable, match="does not answer"):
        client_of(Registry(), 3 * ASK_AGAIN_S, asked=attempts.append)._send("GET", "/")
    assert len(attempts) > 1


def test_what_may_have_been_heard_is_asked_again_only_if_it_changes_nothing(client_of):
    asking = Registry(hang_up=1)
    asking.start()
    assert client_of(asking, PATIENCE_S)._send("GET", "/").status_code == 200
    assert asking.asked == ["GET", "GET"]
    saying = Registry(hang_up=1)
    saying.start()
    with pytest.raises(RegistryUnavailable, match="nothing was acknowledged"):
        client_of(saying, PATIENCE_S)._send("POST", "/", {})
    assert saying.asked == ["POST"]


def test_a_connection_is_given_up_when_it_rests_and_long_before_our_services_hang_up(monkeypatch):
    """Both at the same second: whoever sends in it is hung up on, and an audit ends."""
    assert KEPT_S <= KEEP_S / 5
    connections = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_answer_all, args=(listening, connections), daemon=True).start()
        for kept_s, expected in ((3600.0, 1), (0.0, 4)):
            monkeypatch.setattr("protocol.bounded.KEPT_S", kept_s)
            with LogClient(f"http://127.0.0.1:{listening.getsockname()[1]}", POLICY) as client:
                for _ in range(3):
                    assert client._send("GET", "/").text == "{}"
            assert len(connections) == expected


def _answer_all(listening: socket.socket, connections: list[socket.socket]) -> None:
    """Each connection for as long as its client keeps it."""

    def answer(connection: socket.socket) -> None:
        with connection:
            while connection.recv(65536):
                connection.sendall(ANSWER)

    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        connections.append(connection)
        threading.Thread(target=answer, args=(connection,), daemon=True).start()
