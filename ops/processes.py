"""Processes that end with the one that started them."""

from __future__ import annotations

import ctypes
import os
import secrets
import signal
import socket
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
LOWEST_LASTING = 10_000


def die_with(parent: int) -> None:
    """Where the kernel knows how (Linux), this process does not outlive ``parent``, which started
    it."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def lasting_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on now, and that the kernel gives to nobody who only calls out:
    free tomorrow, too."""
    try:
        above = int(EPHEMERAL.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        above = 32_768
    while True:
        port = LOWEST_LASTING + secrets.randbelow(max(above - LOWEST_LASTING, 1_000))
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
        return port
