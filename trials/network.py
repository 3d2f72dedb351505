"""A consortium in network namespaces, over wires that delay, lose and cut.
``unshare --net python -m trials.network``

Every lender's node lives in a namespace of its own; its only way out is a point-to-point link to
the namespace of registry and coordinator. The link is two TUN devices with this file between them,
so that it can do what ``tc netem`` does on kernels without that module: delay, loss and partition
of IP packets, changed while everything runs. One lender has no route beyond its link and reaches
everybody through an HTTP proxy. Needs root and ``/dev/net/tun``; the namespace that it runs in goes
when it ends.
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import heapq
import json
import os
import random
import select
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from support.deployment import LENDERS, Consortium, brought_up

from demo.deployment import Place
from server.desired_state import events

HUB = "10.77.0.1"
PROXY_PORT = 3128
BEHIND_PROXY = "cedar"
TUNSETIFF, IFF_TUN, IFF_NO_PI, CLONE_NEWNET = 0x400454CA, 0x0001, 0x1000, 0x40000000
PACKET = 65536


def ip(*arguments: str, inside: int | None = None) -> None:
    enter = () if inside is None else ("nsenter", "--target", str(inside), "--net")
    subprocess.run([*enter, "ip", *arguments], check=True, capture_output=True)


def tun(name: str) -> int:
    """A TUN device in the namespace of this thread; returns what its packets are read from and
    written to."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
    return device


@dataclass
class Wire:
    """One lender's namespace and its link. What the link does to packets stands in a file that it
    reads again."""

    lender: str
    number: int
    folder: Path
    routed: bool = True
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def here(self) -> str:
        return f"10.77.{self.number}.1"

    @property
    def there(self) -> str:
        return f"10.77.{self.number}.2"

    def lay(self) -> None:
        self.behave()
        sleeping = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        self._processes.append(sleeping)
        mine = Path("/proc/self/ns/net").readlink()
        while Path(f"/proc/{sleeping.pid}/ns/net").readlink() == mine:
            time.sleep(0.01)
        self.pid = sleeping.pid
        relay = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "trials.network",
                "relay",
                f"w{self.number}",
                str(self.pid),
                str(self._file),
            ],
            stdout=subprocess.PIPE,
        )
        self._processes.append(relay)
        assert relay.stdout is not None
        assert relay.stdout.readline() == b"ready\n"
        ip("addr", "add", self.here, "peer", self.there, "dev", f"w{self.number}")
        ip("link", "set", f"w{self.number}", "up", "mtu", "1400")
        ip("link", "set", "lo", "up", inside=self.pid)
        ip("addr", "add", self.there, "peer", self.here, "dev", "out", inside=self.pid)
        ip("link", "set", "out", "up", "mtu", "1400", inside=self.pid)
        if self.routed:
            ip("route", "add", "default", "via", self.here, "dev", "out", inside=self.pid)

    @property
    def inside(self) -> tuple[str, ...]:
        """What runs a command at the lender's end."""
        proxy = () if self.routed else ("env", f"HTTPS_PROXY=http://{self.here}:{PROXY_PORT}")
        return ("nsenter", "--target", str(self.pid), "--net", *proxy)

    @property
    def _file(self) -> Path:
        return self.folder / f"{self.lender}.json"

    def behave(self, delay_s: float = 0.0, loss: float = 0.0, cut: bool = False) -> None:
        """Delay what the lender sends; lose a share of the packets of either direction; or all of
        them."""
        path = self._file.with_suffix(".new")
        path.write_text(
            json.dumps({"delay_s": delay_s, "loss": loss, "cut": cut}), encoding="utf-8"
        )
        path.replace(self._file)

    def end(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


def relay(name: str, pid: int, behaviour: Path) -> None:
    """Carry packets between a device here and one in another process's namespace, until killed."""
    here = tun(name)
    with Path(f"/proc/{pid}/ns/net").open(encoding="utf-8") as there:
        if ctypes.CDLL(None, use_errno=True).setns(there.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
    away = tun("out")
    print("ready", flush=True)
    chance = random.Random(1)
    late = []
    order = 0
    looked = 0.0
    does = json.loads(behaviour.read_text(encoding="utf-8"))
    while True:
        moment = time.monotonic()
        if moment > looked + 0.05:
            looked = moment
            does = json.loads(behaviour.read_text(encoding="utf-8"))
        while late and late[0][0] <= moment:
            _write(*heapq.heappop(late)[2:])
        wait = min(0.05, late[0][0] - moment) if late else 0.05
        for device in select.select([here, away], [], [], wait)[0]:
            packet = os.read(device, PACKET)
            if does["cut"] or chance.random() < does["loss"]:
                continue
            if device == here:
                _write(away, packet)
            else:
                order += 1
                heapq.heappush(late, (time.monotonic() + does["delay_s"], order, here, packet))


def _write(device: int, packet: bytes) -> None:
    try:
        os.write(device, packet)
    except (BlockingIOError, OSError):  # a queue that is full loses packets, as queues do
        return


def serve_proxy(host: str) -> None:
    """An HTTP proxy that does CONNECT (RFC 9110 section 9.3.6), in a thread until the process
    ends."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(PACKET):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, _ = head.split(b"\r\n")[0].decode().split()
        if method != "CONNECT":
            writer.write(b"HTTP/1.1 405 Method Not Allowed\r\n\r\n")
            writer.close()
            return
        address, _, port = target.rpartition(":")
        try:
            reader2, writer2 = await asyncio.open_connection(address, int(port))
        except OSError:
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
            writer.close()
            return
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(carry(reader, writer2), carry(reader2, writer))

    async def main() -> None:
        server = await asyncio.start_server(connected, host, PROXY_PORT)
        await server.serve_forever()

    threading.Thread(target=lambda: asyncio.run(main()), daemon=True).start()


# --- what is tried


@dataclass
class Trial:
    consortium: Consortium
    wires: dict[str, Wire]

    def behave(self, *lenders: str, **how: Any) -> None:
        for lender in lenders or LENDERS:
            self.wires[lender].behave(**how)

    def wait_for_answers(self, seconds: float) -> None:
        """How long a release waits for a node; read anew by every run."""
        path = self.consortium.home / "coordinator.json"
        path.write_text(
            json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"answer_s": seconds}),
            encoding="utf-8",
        )

    def campaign(self, midway: Callable[[], None] = lambda: None) -> dict[str, Any]:
        """How one campaign went; ``midway`` is called after its second release."""
        campaign = self.consortium.propose(epsilon=0.3)
        self.consortium.approve(campaign)
        began = time.monotonic()
        self.consortium.launch(campaign)
        self.consortium.wait_for_release(campaign, 1)
        midway()
        stage = self.consortium.wait_until_ended(campaign, 240)
        happened = list(events(self.consortium.folder(campaign)))
        return {
            "stage": str(stage),
            "reason": self.consortium.state(campaign).reason,
            "lenders": sorted(self.consortium.verified(campaign).lenders)
            if stage == "released"
            else [],
            "lost": [event["lenders"] for event in happened if event["event"] == "lost"],
            "seconds": round(time.monotonic() - began, 1),
            "attempts": {name: len(self.consortium.attempts(campaign, name)) for name in LENDERS},
        }

    def briefly_cut(self) -> None:
        self.behave(cut=True)
        time.sleep(5)
        self.behave()


def main() -> None:
    ip("link", "set", "lo", "up")
    ip("addr", "add", f"{HUB}/32", "dev", "lo")
    with tempfile.TemporaryDirectory(prefix="tahini-network-") as name:
        folder = Path(name)
        wires = {
            lender: Wire(lender, at, folder, lender != BEHIND_PROXY)
            for at, lender in enumerate(LENDERS, 1)
        }
        try:
            for wire in wires.values():
                wire.lay()
            serve_proxy(wires[BEHIND_PROXY].here)
            inside = {lender: wire.inside for lender, wire in wires.items()}
            with brought_up(folder / "root", Place(HUB, inside=inside)) as consortium:
                trial = Trial(consortium, wires)
                found = {"a clean network, one node behind a proxy": trial.campaign()}
                trial.behave(delay_s=0.3, loss=0.05)
                trial.wait_for_answers(60.0)
                found["300 ms later, 5% lost"] = trial.campaign()
                trial.behave()
                trial.wait_for_answers(15.0)
                found["everybody cut off for 5 s"] = trial.campaign(trial.briefly_cut)
                found["birch cut off for good"] = trial.campaign(
                    lambda: trial.behave("birch", cut=True)
                )
                trial.behave()
                time.sleep(25)  # a node is let in again when the SuperLink has missed it
                found["birch is back"] = trial.campaign()
            print(json.dumps(found, indent=2))
        finally:
            for wire in wires.values():
                wire.end()


if __name__ == "__main__":
    if sys.argv[1:2] == ["relay"]:
        relay(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
    else:
        main()
