"""Try the images that build.sh made, the way an engine would run them, without an engine.

Each runs what its own configuration says (entry point, command, user, health check) in namespaces
of its own: the root read-only, no capability, no new privileges, the home a folder of user 10001,
keys as a secret's files that only root's mount shows. Registry, witness and naming service share
one network: what is appended to the one must come out cosigned by the other. Needs root, Linux,
buildah.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

USER = 10001
SERVICES = ("registry", "witness", "names")
MODULES = {
    "registry": "consent.api.app consent.serving consent.load consent.keys.vault "
    "consent.keys.backup consent.export auditlog.fsck cli.keys",
    "names": "naming.service cli.names",
    "witness": "clients.witness cli.witness",
    "coordinator": "server.fleet_app server.home protocol.cards flwr.server torch opacus",
    "node": (
        "clients.app clients.gate clients.data.book flwr.client clients.inbox cli.book "
        "cli.consents torch opacus"
    ),
}
TOO_MUCH = {
    "registry": "torch flwr ray opacus sklearn matplotlib pip",
    "names": "torch flwr ray opacus sklearn matplotlib pandas pip",
    "witness": "torch flwr ray opacus sklearn matplotlib pip",
    "coordinator": "ray sklearn matplotlib bbbrisk pip",
    "node": "ray sklearn matplotlib bbbrisk pip",
}
FOUND = """
from dataclasses import replace
from pathlib import Path
from clients import home as node
from clients.witness import create_witness
from consent import home as registry
from protocol.parties import Consortium, Party, Role
from naming import keys as naming
from crypto.keys import RecipientKey, SigningKey, save_recipient_key, save_signing_key
from crypto.notes import Verifier
from crypto.policies import Log, Witness, witnessed_by
at = Path("/var/lib/tahini")
key, log_key = registry.create_home(at / "registry")
keys = {"registry": key, "aspen": node.create_home(at / "witness"), "naming": naming.create_home(at / "names")}
roles = {"registry": Role.REGISTRY, "aspen": Role.LENDER, "naming": Role.NAMING, "coordinator": Role.COORDINATOR,
         "auditor": Role.AUDITOR}
cosigner = create_witness(at / "witness", "witness.example/aspen")
policy = witnessed_by(Log(Verifier("log.example/smoke", log_key.public)),
                      [Witness("aspen", cosigner, "http://127.0.0.1:8710")], 1)
parties = [Party(id=name, name=name, role=role, signing_key=keys.get(name, SigningKey.generate()).public.text,
                 recipient_key=RecipientKey.generate().public.text) for name, role in roles.items()]
consortium = Consortium(name="smoke", parties=tuple(parties), log_policy=policy.text, max_epsilon=1.0, max_delta=1e-5)
token = registry.found(at / "registry", consortium)
url = "http://127.0.0.1:8700"
node.join(at / "witness", node.NodeSettings(lender="aspen", registry_url=url, registry_key=key.public.text), token)
naming.join(at / "names", naming.NamingSettings(party="naming", registry_url=url, registry_key=key.public.text), token)
(at / "consortium.jws").write_text(token, encoding="utf-8")
(at / "registry.pub").write_text(key.public.text, encoding="utf-8")
save_signing_key(at / "aspen.key", keys["aspen"])
(at / "body.json").write_text("{}", encoding="utf-8")
"""
FOUND_FLEET = """
import shutil
from pathlib import Path
from demo.consortium import found
from fleet.tls import CA_CERT, create_authority, issue
from privacy.charges import Budget
at = Path("/var/lib/tahini/fleet")
founded = found(at, ["aspen", "birch"], Budget(8.0, 1e-5), {"aspen": "http://127.0.0.1:8710"})
founded.connect("http://127.0.0.1:8700", "http://127.0.0.1:8720", "127.0.0.1:9443")
authority = create_authority(at / "ca", "smoke")
issue(at / "ca", at / "tls", "server", ["127.0.0.1"])
shutil.copyfile(at / "tls" / "server.crt", founded.coordinator_home / "coordinator.crt")
shutil.copyfile(at / "tls" / "server.key", founded.coordinator_home / "coordinator.tls.key")
for home in (founded.coordinator_home, founded.node_home("aspen"), founded.node_home("birch")):
    shutil.copyfile(authority, home / CA_CERT)
"""
ASK = """
import secrets
from datetime import date
from pathlib import Path
import numpy as np, pandas as pd, tomli_w
from clients.home import BOOK_FILE, Node
from clients.data.importing import import_book
from protocol.client.borrowers import BorrowerClient
from protocol.client.lenders import LenderClient
from protocol.client.operator import OperatorClient
from naming.client import Names
from credit.features import schema_from
from crypto.keys import b64, load_signing_key
from demo.assessing import assess
from demo.borrowers import make_borrowers, make_notice
from server.home import Coordinator
at, url, people = Path("/var/lib/tahini/fleet"), "http://127.0.0.1:8700", 300
reason = {"source": "made up", "relevance": "the smoke test learns from it"}
features = {"name": "smoke", "target": "bad", "outcomes_since": f"{date.today().year - 1}-01-01", "features": [
    {"name": "late", "kind": "integer", "category": "repayment", **reason},
    {"name": "debt", "kind": "number", "category": "bureau", **reason}]}
(at / "coordinator" / "features.toml").write_text(tomli_w.dumps(features), encoding="utf-8")
nodes = [Node.open(at / "lenders" / name) for name in ("aspen", "birch")]
key = load_signing_key(at / "registry" / "registry.key")
notice, rng = make_notice(nodes[0].consortium, ["aspen", "birch"], 8.0), np.random.default_rng(1)
OperatorClient(url, nodes[0].consortium, "registry", key).publish_notice(notice, key)
for node in nodes:
    names = [Names("v1." + b64(secrets.token_bytes(32)), "v1." + b64(secrets.token_bytes(32))) for _ in range(people)]
    late, debt = rng.poisson(1.0, people), rng.lognormal(8, 1, people)
    bad = (rng.random(people) < 1 / (1 + np.exp(2 - late))).astype(int)
    table = pd.DataFrame({"late": late, "debt": debt, "bad": bad})
    pairwise, schema = [n.pairwise for n in names], schema_from(features, "smoke")
    import_book(node.home / BOOK_FILE, table, pairwise, schema, node.lender)
    borrowers = make_borrowers(node.lender, names, rng)
    node.connected(LenderClient).enrol([one.enrolment for one in borrowers])
    said = [one.first_answer(notice) for one in borrowers if one.answer != "silent"]
    BorrowerClient(url, node.consortium).decide(said)
assess(Coordinator.open(at / "coordinator"), features)
"""
INSPECT = """
import importlib, importlib.util, os, sys
for name in {modules!r}.split():
    importlib.import_module(name)
found = [name for name in {too_much!r}.split() if importlib.util.find_spec(name)]
assert not found, f"the image carries {{found}}"
assert os.getuid() == os.getgid() == {user}, os.getuid()
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
assert int(status["CapBnd"], 16) == int(status["CapEff"], 16) == 0 and int(status["NoNewPrivs"]) == 1
for path in ("/opt/tahini/x", "/opt/x", "/etc/x", "/usr/x"):
    try:
        open(path, "w")
    except OSError as error:
        assert error.strerror == "Read-only file system", error
    else:
        raise SystemExit(f"{{path}} can be written")
from fleet.code import installed_code
print(installed_code()[:16])
"""


def buildah(store: str, *arguments: str) -> str:
    command = ["buildah", "--root", f"{store}/root", "--runroot", f"{store}/run", *arguments]
    return subprocess.run(
        command, check=True, text=True, stdout=subprocess.PIPE, encoding="utf-8"
    ).stdout.strip()


# --- within the namespaces


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def become(plan: dict[str, Any]) -> None:
    """Arrange the mounts as an engine does with a read-only root, let go of everything, and be the
    command."""
    root = Path(plan["root"])
    mount("--make-rprivate", "/")
    mount("--bind", str(root), str(root))
    mount("-t", "proc", "proc", f"{root}/proc")
    mount("-t", "tmpfs", "-o", "nosuid,nodev,noexec,mode=1777", "tmpfs", f"{root}/tmp")
    mount("-t", "tmpfs", "-o", "nosuid,nodev,noexec,mode=0755", "tmpfs", f"{root}/run")
    (root / "run/secrets/tahini").mkdir(parents=True)
    (root / "run/tahini").mkdir(mode=0o700)
    os.chown(root / "run/tahini", USER, USER)
    if plan["secrets"]:
        mount("--bind", "-o", "ro", plan["secrets"], f"{root}/run/secrets/tahini")
    mount("--bind", plan["home"], f"{root}/var/lib/tahini")
    mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", f"{root}/dev")
    for device in ("null", "zero", "random", "urandom"):
        (root / "dev" / device).touch()
        mount("--bind", f"/dev/{device}", f"{root}/dev/{device}")
    (root / "dev/shm").mkdir(mode=0o1777)
    mount("-t", "tmpfs", "-o", "nosuid,nodev,mode=1777", "tmpfs", f"{root}/dev/shm")
    mount("-o", "remount,bind,ro", str(root))
    os.chroot(root)
    os.chdir(plan["folder"])
    drop_everything()
    os.execve(plan["command"][0], plan["command"], plan["environment"])


def drop_everything() -> None:
    """No capability can be had again, no privilege gained; user and group of the image."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(64):
        libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
    os.setgroups([])
    os.setgid(USER)
    os.setuid(USER)
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS


def hold_network() -> None:
    """A network with a loopback that is up, for as long as this process lives."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        fcntl.ioctl(wire, 0x8914, struct.pack("16sH14x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP
    sys.stdout.write("up\n")
    sys.stdout.flush()
    signal.pause()


# --- outside


@dataclass
class Image:
    """One image, mounted, and what it says of itself."""

    role: str
    root: str
    config: dict[str, Any]
    network: int

    @property
    def environment(self) -> dict[str, str]:
        return dict(item.split("=", 1) for item in self.config["Env"])

    def start(
        self, command: Sequence[str], home: Path, secrets: Path | None = None
    ) -> subprocess.Popen[str]:
        plan = {
            "root": self.root,
            "home": str(home),
            "secrets": str(secrets) if secrets else None,
            "command": list(command),
            "environment": self.environment,
            "folder": self.config["WorkingDir"],
        }
        new = ["unshare", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child"]
        inside = [sys.executable, __file__, "--become", json.dumps(plan)]
        return subprocess.Popen(
            ["nsenter", f"--net=/proc/{self.network}/ns/net", *new, *inside],
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )

    def run(self, command: Sequence[str], home: Path, expected: int = 0) -> str:
        process = self.start(command, home)
        said, _ = process.communicate(timeout=300)
        if process.returncode != expected:
            raise SystemExit(
                f"{self.role}: {' '.join(command)[:200]} ended with {process.returncode}:\n{said}"
            )
        return said

    def python(self, code: str, home: Path) -> str:
        return self.run(["/opt/tahini/bin/python", "-c", code], home)

    def tahini(self, home: Path, *arguments: str, expected: int = 0) -> str:
        return self.run([*self.config["Entrypoint"], *arguments], home, expected)

    def healthy(self, home: Path) -> bool:
        """Its own health check, as an engine would run it, in the same network."""
        kind, *command = self.config["Healthcheck"]["Test"]
        if kind != "CMD":
            raise SystemExit(f"{self.role}: a health check that needs a shell")
        process = self.start(command, home)
        process.communicate(timeout=60)
        return process.returncode == 0

    @contextmanager
    def serving(
        self, home: Path, secrets: Path | None = None, more: Sequence[str] = ()
    ) -> Iterator[None]:
        """The image's own command, until it is healthy; on the way out it must end in order when it
        is told to."""
        begun = time.monotonic()
        command = [*self.config["Cmd"], *more]
        process = self.start([*self.config["Entrypoint"], *command], home, secrets)
        try:
            while not self.healthy(home):
                if process.poll() is not None or time.monotonic() - begun > 120:
                    process.kill()
                    raise SystemExit(
                        f"{self.role} does not become healthy:\n{process.communicate()[0]}"
                    )
                time.sleep(0.3)
            say(self.role, f"healthy after {time.monotonic() - begun:.1f} s: {' '.join(command)}")
            yield
        finally:
            if process.poll() is None:
                os.kill(inner(process.pid), signal.SIGTERM)
                try:
                    said, _ = process.communicate(timeout=40)
                except subprocess.TimeoutExpired:
                    process.kill()
                    raise SystemExit(f"{self.role} does not end within 40 s of SIGTERM") from None
                say(self.role, f"SIGTERM: exit code {process.returncode}")
                if process.returncode not in {0, 128 + signal.SIGTERM}:
                    raise SystemExit(said)


def inner(pid: int) -> int:
    """The process that unshare started in the new namespace."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()[0])


def say(role: str, line: str) -> None:
    sys.stdout.write(f"{role:<12} {line}\n")
    sys.stdout.flush()


def owned(path: Path) -> Path:
    """Give a folder and all in it to the images' user, as a volume is."""
    for each in [path, *path.rglob("*")]:
        os.chown(each, USER, USER, follow_symlinks=False)
    return path


def keys_as_secrets(home: Path, names: Sequence[str], folder: Path) -> Path:
    """Take keys out of a home: a secret's files, owned by root and readable by the pod's group, as
    in Kubernetes."""
    folder.mkdir()
    for name in names:
        shutil.move(home / name, folder / name)
        os.chown(folder / name, 0, USER)
        (folder / name).chmod(0o440)
    return folder


@contextmanager
def database(image: Image, binaries: Path, work: Path) -> Iterator[str]:
    """A PostgreSQL of this machine's own, in the images' network; its URL, with a password."""
    folder = Path(tempfile.mkdtemp(dir=work))
    password = secrets.token_urlsafe(16)
    nobody = 65534
    (folder / "password").write_text(password, encoding="utf-8")
    for path in (folder, folder / "password"):
        os.chown(path, nobody, nobody)
    as_user = ["setpriv", f"--reuid={nobody}", f"--regid={nobody}", "--clear-groups"]
    made = [
        *as_user,
        f"{binaries}/initdb",
        "--username=tahini",
        "--auth=scram-sha-256",
        "--no-sync",
    ]
    made += [f"--pwfile={folder}/password", str(folder / "data")]
    subprocess.run(made, check=True, stdout=subprocess.DEVNULL)
    running = subprocess.Popen(
        [
            "nsenter",
            f"--net=/proc/{image.network}/ns/net",
            *as_user,
            f"{binaries}/postgres",
            "-k",
            str(folder),
            "-h",
            "127.0.0.1",
            "-D",
            str(folder / "data"),
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        while subprocess.run(
            [f"{binaries}/pg_isready", "-q", "-h", folder], check=False
        ).returncode:
            if running.poll() is not None:
                raise SystemExit("PostgreSQL does not start")
            time.sleep(0.2)
        yield f"postgresql://tahini:{password}@127.0.0.1/postgres\n"
    finally:
        running.send_signal(signal.SIGINT)
        running.wait(30)


def alone(image: Image, work: Path) -> str:
    """What every image must do; returns the hash of its code."""
    home = owned(Path(tempfile.mkdtemp(dir=work)))
    config = image.config
    if config["User"] != f"{USER}:{USER}":
        raise SystemExit(f"{image.role} runs as {config['User']!r}")
    asked = {"modules": MODULES[image.role], "too_much": TOO_MUCH[image.role], "user": USER}
    code = image.python(INSPECT.format(**asked), home).strip().splitlines()[-1]
    say(image.role, f"user {USER}, read-only root, no capabilities, modules import; code {code}")
    known = image.tahini(home, "--help")
    room = str(config["Cmd"][0])
    if f" {room} " in known:
        image.tahini(home, *config["Cmd"][:2], "--help")
        say(image.role, f"tahini {' '.join(config['Cmd'][:2])} --help")
    else:
        image.tahini(home, room, "--help", expected=2)
        say(
            image.role,
            f"NOT TRIED: there is no `tahini {room}` in this version; tahini --help answers",
        )
    return code


def together(images: dict[str, Image], work: Path) -> None:
    """Found a consortium in the registry's image, serve it with three images, append, have it
    cosigned."""
    home = owned(Path(tempfile.mkdtemp(dir=work)))
    registry = images["registry"]
    registry.python(FOUND, home)
    given = {
        role: keys_as_secrets(home / role, names, work / f"secrets-{role}")
        for role, names in {
            "registry": ("registry.key", "log.key", "ledger.key"),
            "witness": ("node.key", "witness.key"),
            "names": ("naming.key",),
        }.items()
    }
    with ExitStack() as stack:
        more: tuple[str, ...] = ()
        if binaries := sorted(Path("/usr/lib/postgresql").glob("*/bin")):
            (given["registry"] / "database.url").write_text(
                stack.enter_context(database(registry, binaries[-1], work)), encoding="utf-8"
            )
            more = ("--workers", "2")
        else:
            say(
                "together",
                "NOT TRIED: PostgreSQL is not installed here; the registry uses SQLite, with one "
                "worker",
            )
        for role in ("witness", "registry", "names"):
            more_of = more if role == "registry" else ()
            stack.enter_context(images[role].serving(home / role, given[role], more_of))
        for page in ("8700/healthz", "8700/readyz", "8720/healthz", "9700/metrics"):
            code = (
                "import urllib.request as u; "
                f"print(u.urlopen('http://127.0.0.1:{page}').read()[:160].decode())"
            )
            say("together", f":{page} {registry.python(code, home).strip().splitlines()[0]}")
        options = [
            "--consortium",
            "/var/lib/tahini/consortium.jws",
            "--registry-key",
            "/var/lib/tahini/registry.pub",
        ]
        options += [
            "--party",
            "aspen",
            "--key",
            "/var/lib/tahini/aspen.key",
            "--url",
            "http://127.0.0.1:8700",
        ]
        options += ["--type", "use.read", "--to", "auditor", "--body", "/var/lib/tahini/body.json"]
        said = registry.tahini(home, "log", "append", *options)
        say("together", f"tahini log append: {said.strip().splitlines()[-1]}")
        code = (
            "import urllib.request as u; "
            "print(u.urlopen('http://127.0.0.1:8700/v1/log/inclusion/0?wait=true').status)"
        )
        say(
            "together",
            "its inclusion proof under a head that the witness cosigned: "
            f"{registry.python(code, home).strip()}",
        )
        code = (
            "import urllib.request as u, json; "
            "print(json.load(u.urlopen('http://127.0.0.1:8720/v1/naming-keys')).keys())"
        )
        say(
            "together",
            f"naming keys, logged at the registry first: {registry.python(code, home).strip()}",
        )
    for role, folder in given.items():
        left = [
            file.name for file in folder.iterdir() if not (home / role / file.name).is_symlink()
        ]
        if left:
            raise SystemExit(f"{role}: {left} were written to the home's disk")


def campaign(images: dict[str, Image], work: Path) -> None:
    """A consortium of two lenders, every service in its image; one campaign from proposal to signed
    model."""
    home = owned(Path(tempfile.mkdtemp(dir=work)))
    coordinator, node, registry = images["coordinator"], images["node"], images["registry"]
    coordinator.python(FOUND_FLEET, home)
    homes = {name: home / "fleet" / "lenders" / name for name in ("aspen", "birch")}
    at_home = ("--home", "/var/lib/tahini")
    with ExitStack() as stack:
        stack.enter_context(images["witness"].serving(homes["aspen"]))
        stack.enter_context(registry.serving(home / "fleet" / "registry"))
        stack.enter_context(images["names"].serving(home / "fleet" / "naming"))
        node.python(ASK, home)
        center = home / "fleet" / "coordinator"
        stack.enter_context(coordinator.serving(center))
        metrics = {"aspen": "9465", "birch": "9466"}  # they share a network here
        for name, folder in homes.items():
            stack.enter_context(node.serving(folder, more=("--metrics-port", metrics[name])))
        plan = [
            "--steps",
            "2",
            "--hold-out",
            "0",
            "--epsilon",
            "4",
            "--collusion-bound",
            "0",
            "--spare-attempts",
            "1",
        ]
        features = ("--features", "/var/lib/tahini/features.toml")
        said = coordinator.tahini(
            center,
            "campaign",
            "propose",
            *at_home,
            "--id",
            "smoke",
            "--title",
            "Smoke",
            *features,
            *plan,
            "--json",
        )
        sha256 = json.loads(said[said.index("{") :])["campaign"]
        for folder in homes.values():
            node.tahini(folder, "campaign", "approve", sha256, *at_home, "--yes", "--json")
        coordinator.tahini(center, "campaign", "launch", sha256, *at_home)
        said = coordinator.tahini(center, "campaign", "watch", sha256, *at_home, "--timeout", "240")
        say("campaign", said.strip().splitlines()[-1])
        for image, folder in (
            (registry, home / "fleet" / "registry"),
            (coordinator, center),
            (node, homes["aspen"]),
        ):
            image.tahini(folder, "doctor", *at_home)
        say("campaign", "tahini doctor finds registry, coordinator and node in order")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--become", help=argparse.SUPPRESS)
    parser.add_argument("--hold-network", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--store", default="build/images")
    parser.add_argument("--tag", default="dev")
    parser.add_argument("roles", nargs="*")
    given = parser.parse_args()
    if given.become:
        become(json.loads(given.become))
    if given.hold_network:
        hold_network()
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tahini-smoke-")))
        work.chmod(0o711)
        holder = subprocess.Popen(
            ["unshare", "--net", sys.executable, __file__, "--hold-network"],
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        stack.callback(holder.kill)
        if holder.stdout is None or holder.stdout.readline() != "up\n":
            raise SystemExit("no network namespace could be made")
        images = {}
        for role in given.roles or list(MODULES):
            name = f"localhost/tahini-{role}:{given.tag}"
            container = buildah(given.store, "from", "--pull-never", name)
            stack.callback(buildah, given.store, "rm", container)
            config = json.loads(buildah(given.store, "inspect", "--type", "image", name))["Docker"][
                "config"
            ]
            images[role] = Image(role, buildah(given.store, "mount", container), config, holder.pid)
        codes = {alone(image, work) for image in images.values()}
        if len(codes) != 1:
            raise SystemExit(
                "the images carry different code; a campaign approved for one would be refused by "
                "another"
            )
        if all(role in images for role in SERVICES):
            together(images, work)
        if set(MODULES) <= set(images):
            campaign(images, work)


if __name__ == "__main__":
    main()
