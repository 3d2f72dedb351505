"""A bell between two processes of one machine: who waits for the other's work need not look again
and again."""

from __future__ import annotations

import select
import socket
import time
from contextlib import suppress
from dataclasses import dataclass


@dataclass(frozen=True)
class Bell:
    """One end. A ring says nothing but that it is time to look; one too many does no harm."""

    end: socket.socket

    @classmethod
    def pair(cls) -> tuple[Bell, Bell]:
        """Both ends of a new one."""
        here, there = socket.socketpair()
        return cls.at(here), cls.at(there)

    @classmethod
    def at(cls, end: socket.socket) -> Bell:
        end.setblocking(False)
        return cls(end)

    def ring(self) -> None:
        """Wake whoever waits at the other end."""
        # full: rings enough are waiting there; broken: the other process ended, and is noticed so
        with suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            self.end.send(b".")

    def wait(self, seconds: float) -> None:
        """Return when the other end rang, or after so many seconds."""
        ready = select.poll()  # select() takes no descriptor above 1023
        ready.register(self.end, select.POLLIN)
        heard = ready.poll(1000 * seconds)
        with suppress(BlockingIOError, ConnectionResetError):
            if heard and not self.end.recv(4096):
                time.sleep(seconds)  # nobody holds the other end any more
