"""Tasks of Flower's Runtime API, each in a forked child of a warm parent.

Flower's own executor starts a Python for every task, which imports for seconds. Here the parent has
imported everything and forks; the child has one task, one token, and ends. The parent holds nothing
but the secret to ask for tasks with.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx
from flwr.proto.runtime_pb2 import AcquireTaskRequest
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
    SuperExecAuthHttpInterceptor,
)
from flwr.supercore.protobuf.client import ProtobufClientInterceptor
from flwr.supercore.retry import make_simple_http_retry_invoker
from flwr.supercore.runtime import RuntimeHttpClient

from ops.processes import die_with
from protocol import tracing

ACQUIRE = frozenset({"/flwr.proto.Runtime/AcquireTask"})
IDLE_S = 0.5
logger = logging.getLogger("tahini.executor")

Work = Callable[[str], None]
"""Does one task, given its token."""


def runtime_client(address: str, token: str, patient: bool = True) -> RuntimeHttpClient:
    """A client of the Runtime API on this machine, for the one task of this token.

    Args:
        patient: try again while nobody answers, for ever, and end this process when the token is
            not valid any more, as Flower does for whoever works on a task.
    """
    interceptors: list[ProtobufClientInterceptor] = [
        RuntimeVersionHttpInterceptor(component_name="tahini"),
        RuntimeTokenHttpInterceptor(token),
    ]
    return RuntimeHttpClient.from_server_address(
        address,
        True,
        None,
        interceptors,
        retry_invoker=make_simple_http_retry_invoker() if patient else None,
    )


@dataclass
class Executor:
    """Asks for tasks of these types until it is told to stop.

    Args:
        address: host:port of the Runtime API, on loopback.
        secret: shared with whoever serves it.
    """

    address: str
    secret: bytes
    kinds: tuple[str, ...]
    work: Work
    between: Callable[[], None] = lambda: None
    """Called again and again between tasks; must not take long."""
    failed: Callable[[str, float], None] = lambda _, __: None
    """Called when a task's child ended other than in order, with its token and when it began
    (monotonic seconds)."""
    pause: Callable[[float], None] = time.sleep
    """Waits for so many seconds, or until there may be a task."""
    _children: dict[int, tuple[str, float]] = field(default_factory=dict, init=False)
    """Each with its token, and when it began."""
    _stopping: bool = field(default=False, init=False)

    def run(self) -> None:
        """Until SIGTERM or SIGINT; children that work then are ended with it, and their tasks with
        them."""
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, self._stop)
        interceptors: list[ProtobufClientInterceptor] = [
            RuntimeVersionHttpInterceptor(component_name="SuperExec"),
            SuperExecAuthHttpInterceptor(master_secret=self.secret, protected_methods=ACQUIRE),
        ]
        client = RuntimeHttpClient.from_server_address(self.address, True, None, interceptors)
        while not self._stopping:
            self._reap()
            self.between()
            began = time.monotonic()
            try:
                found = client.AcquireTask(
                    AcquireTaskRequest(supported_task_types=list(self.kinds))
                )
            except httpx.HTTPError as error:
                logger.info(
                    "the runtime at %s does not answer (%s)", self.address, type(error).__name__
                )
                time.sleep(IDLE_S)
                continue
            if found.HasField("task") and found.token:
                self._start(found.token)
            else:
                # a runtime that kept the question open has waited already
                self.pause(max(0.0, IDLE_S - (time.monotonic() - began)))
        for child in self._children:
            os.kill(child, signal.SIGKILL)
        client.close()

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _reap(self) -> None:
        for child in tuple(self._children):
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                token, began = self._children.pop(pid)
                if status:
                    logger.warning("a task ended with status %d", status)
                    self.failed(token, began)

    def _start(self, token: str) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        child = os.fork()
        if child:
            self._children[child] = token, time.monotonic()
            return
        code = 1
        try:
            die_with(parent)
            for signum in (signal.SIGTERM, signal.SIGINT):
                signal.signal(signum, signal.SIG_DFL)
            self.work(token)
            code = 0
        except BaseException:
            logger.error("a task failed: %s", "".join(traceback.format_exc(limit=-3)))
        finally:
            try:
                tracing.flush()
            finally:
                os._exit(code)
