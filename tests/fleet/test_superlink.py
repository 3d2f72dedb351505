"""The SuperLink's doors: what can be reached from outside, from this machine, and by nobody."""

import ssl
from base64 import b64encode
from datetime import UTC, datetime

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from flwr.common.constant import TIMESTAMP_HEADER
from flwr.proto.control_pb2 import ListRunsRequest, StartRunRequest, StopRunRequest
from flwr.proto.fleet_pb2 import ActivateNodeRequest, PullMessagesRequest, RegisterNodeFleetRequest
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import AcquireTaskRequest
from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER, FLEET_HTTP_SIGNATURE_HEADER
from flwr.supercore.interceptors import SuperExecAuthHttpInterceptor
from flwr.supercore.primitives.asymmetric import public_key_to_bytes, sign_message
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from fleet.bundle import build_bundle
from fleet.errors import FleetError
from fleet.executor import ACQUIRE
from fleet.keys import FLEET_KEY_FILE, create_fleet_key, fleet_key_text, superlink_key
from fleet.superlink import SuperLink
from fleet.tls import CA_CERT, create_authority, issue
from ops.processes import free_port

CONTROL = {
    "/v1/control/start-run": StartRunRequest(),
    "/v1/control/stop-run": StopRunRequest(run_id=1),
    "/v1/control/list-runs": ListRunsRequest(),
}


class Site:
    def __init__(self, folder):
        create_authority(folder / "ca", "sesame")
        issue(folder / "ca", folder, "coordinator", ["127.0.0.1"])
        self.authority, self.port = folder / "ca" / CA_CERT, free_port()
        self.homes = {}
        for lender in ("aspen", "birch", "stranger"):
            (folder / lender).mkdir()
            create_fleet_key(folder / lender)
            self.homes[lender] = folder / lender
        self.link = SuperLink(folder / "coordinator.crt", folder / "coordinator.key", ("127.0.0.1", self.port))
        self.link.start()
        self.nodes = self.link.admit({lender: fleet_key_text(self.homes[lender]) for lender in ("aspen", "birch")})

    def key(self, lender):
        return load_ssh_private_key((self.homes[lender] / FLEET_KEY_FILE).read_bytes(), None)

    def fleet(self, lender):
        """A client with this node's credentials."""
        key = self.key(lender)
        return FleetHttpClient.from_server_address(
            f"127.0.0.1:{self.port}",
            False,
            self.authority.read_bytes(),
            [NodeAuthHttpInterceptor(key, key.public_key())],
        )

    def outside(self):
        return httpx.Client(
            base_url=f"https://127.0.0.1:{self.port}", verify=ssl.create_default_context(cafile=str(self.authority))
        )

    def inside(self):
        return httpx.Client(base_url=f"http://127.0.0.1:{self.link.runtime_port}")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    opened = Site(tmp_path_factory.mktemp("superlink"))
    yield opened
    opened.link.stop()


def status(error):
    return error.value.response.status_code


def test_a_node_of_the_roster_is_let_in_as_itself(site):
    with site.fleet("aspen") as client:
        public = public_key_to_bytes(site.key("aspen").public_key())
        answer = client.ActivateNode(ActivateNodeRequest(public_key=public, heartbeat_interval=30))
        assert answer.node_id == site.nodes["aspen"]
        assert not client.PullMessages(PullMessagesRequest(node=Node(node_id=answer.node_id))).messages_list


def test_a_node_cannot_be_another(site):
    with site.fleet("aspen") as client, pytest.raises(httpx.HTTPStatusError) as refused:
        client.PullMessages(PullMessagesRequest(node=Node(node_id=site.nodes["birch"])))
    assert status(refused) == 401


def test_a_stranger_is_not_let_in_and_cannot_register_itself(site):
    public = public_key_to_bytes(site.key("stranger").public_key())
    with site.fleet("stranger") as client:
        with pytest.raises(httpx.HTTPStatusError):
            client.ActivateNode(ActivateNodeRequest(public_key=public, heartbeat_interval=30))
        with pytest.raises(httpx.HTTPStatusError):
            client.RegisterNode(RegisterNodeFleetRequest(public_key=public))
        with pytest.raises(httpx.HTTPStatusError):
            client.ActivateNode(ActivateNodeRequest(public_key=public, heartbeat_interval=30))


@pytest.mark.parametrize("path", [*CONTROL, "/docs", "/openapi.json", "/health", "/v1/runtime/acquire-task", "/"])
@pytest.mark.parametrize("whose", ["nobody's", "a node's"])
def test_runs_cannot_be_started_stopped_or_read_from_outside_with_a_nodes_credentials_or_none(site, path, whose):
    content = CONTROL.get(path, AcquireTaskRequest()).SerializeToString()
    headers = {"Content-Type": "application/x-protobuf"}
    if whose == "a node's":
        headers |= credentials(site.key("aspen"))
        assert FLEET_HTTP_SIGNATURE_HEADER in headers
    with site.outside() as client:
        for method in ("POST", "GET"):
            assert client.request(method, path, content=content, headers=headers).status_code == 404


def credentials(key):
    """The headers that a node sends: its key, the time, and its signature over the time."""
    stated = datetime.now(UTC).isoformat()
    signature = sign_message(key, stated.encode())
    return {
        FLEET_HTTP_PUBLIC_KEY_HEADER: b64encode(public_key_to_bytes(key.public_key())).decode(),
        FLEET_HTTP_SIGNATURE_HEADER: b64encode(signature).decode(),
        TIMESTAMP_HEADER: stated,
    }


@pytest.mark.parametrize(
    "path", ["/v1/fleet/../control/list-runs", "/v1/fleet/%2e%2e/control/list-runs", "//v1/control/list-runs"]
)
def test_no_path_leads_around_the_door(site, path):
    with site.outside() as client:
        raw = client.build_request("POST", "/v1/fleet/x", content=b"")
        raw.url = raw.url.copy_with(raw_path=path.encode())
        assert client.send(raw).status_code in (404, 405)


def test_the_control_interface_is_not_served_on_loopback_either(site):
    with site.inside() as client:
        for path, request in CONTROL.items():
            answer = client.post(
                path, content=request.SerializeToString(), headers={"Content-Type": "application/x-protobuf"}
            )
            assert answer.status_code == 404


def test_tasks_are_given_to_whoever_knows_the_secret_and_to_nobody_else(site):
    def acquire(secret):
        interceptors = [SuperExecAuthHttpInterceptor(master_secret=secret, protected_methods=ACQUIRE)] if secret else []
        client = RuntimeHttpClient.from_server_address(f"127.0.0.1:{site.link.runtime_port}", True, None, interceptors)
        try:
            return client.AcquireTask(AcquireTaskRequest(supported_task_types=["flwr-serverapp"]))
        finally:
            client.close()

    run = site.link.launch(build_bundle(), "c" * 64)
    for wrong in (None, b"x" * 32):
        with pytest.raises(httpx.HTTPStatusError) as refused:
            acquire(wrong)
        assert status(refused) in (401, 403)
    assert acquire(site.link.secret).task.run_id == run
    site.link.end(run)
    assert site.link.over(run)


def test_a_lender_that_leaves_the_roster_is_shut_out(site):
    keys = {lender: fleet_key_text(site.homes[lender]) for lender in ("aspen", "birch")}
    site.link.admit({"aspen": keys["aspen"]})
    with site.fleet("birch") as client, pytest.raises(httpx.HTTPStatusError):
        client.PullMessages(PullMessagesRequest(node=Node(node_id=site.nodes["birch"])))
    again = site.link.admit(keys)
    assert again == {"aspen": site.nodes["aspen"]}, "a key that was taken away is not taken again"
    site.nodes = site.link.admit({**keys, "birch": create_fleet_key(site.homes["birch"])})
    assert set(site.nodes) == {"aspen", "birch"}


def test_a_rotated_key_takes_the_place_of_the_old_one(site):
    keys = {lender: fleet_key_text(site.homes[lender]) for lender in ("aspen", "birch")}
    old = site.key("aspen")
    site.nodes = site.link.admit({**keys, "aspen": create_fleet_key(site.homes["aspen"])})
    with site.fleet("aspen") as client:
        public = public_key_to_bytes(site.key("aspen").public_key())
        assert client.ActivateNode(ActivateNodeRequest(public_key=public, heartbeat_interval=30)).node_id
    assert site.link.connected() == {"aspen": True, "birch": False}
    stale = FleetHttpClient.from_server_address(
        f"127.0.0.1:{site.port}", False, site.authority.read_bytes(), [NodeAuthHttpInterceptor(old, old.public_key())]
    )
    with stale as client, pytest.raises(httpx.HTTPStatusError):
        client.PullMessages(PullMessagesRequest(node=Node(node_id=site.nodes["aspen"])))


def test_a_port_that_is_taken_is_one_sentence(site, tmp_path):
    second = SuperLink(site.link.certificate, site.link.key, ("127.0.0.1", site.port))
    with pytest.raises(FleetError, match="cannot listen"):
        second.start()


def test_a_key_that_is_none_is_one_sentence():
    for text in ("", "!!!", "AAAA"):
        with pytest.raises(FleetError):
            superlink_key(text)
