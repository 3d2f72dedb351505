"""How a lender has its people named. Every proof is verified under pinned keys; nothing is kept.

Large jobs run in a few processes, each of which does whole batches (``naming.batches``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from pydantic import ValidationError

from crypto.errors import PseudonymError
from crypto.keys import SigningKey
from crypto.pseudonyms import Kind, normal_identity
from naming.batches import Asking, end_with_caller, name_batch, patiently
from naming.errors import NamingUnavailable
from naming.keylist import NamingKeys, naming_party, pinned, verified, verify_logged
from naming.messages import KeysAnswer
from protocol.client.base import RegistryClient
from protocol.parties import Consortium

BATCH = 2048
ALONE_UP_TO = 2048
"""Fewer people than this are named in the calling process: starting others would take longer."""
PATIENCE_S = 120.0
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Names:
    """A person's two names: one for the lender and the registry, one for the registry's count of
    people alone."""

    pairwise: str
    ledger: str


@dataclass(frozen=True)
class Renaming:
    """A person's former pairwise name, and both new ones."""

    old: str
    new: str
    ledger: str


@dataclass(frozen=True)
class KeyListChecks:
    """What the service's list of keys is held against, besides its signature."""

    pin: Path | None = None
    """Where the list is pinned; without it, the list of the first answer counts for one client."""
    registry: RegistryClient | None = None
    """Whose audit log has to hold the list; without it, only the service's signature is checked."""


@dataclass(frozen=True)
class Effort:
    """How a large job is done."""

    workers: int = field(default_factory=lambda: 1 + (os.cpu_count() or 1))
    """Processes. One more than there are cores: while a batch is at the service, every core has
    another."""
    batch: int = BATCH
    """People in one request."""
    patience_s: float = PATIENCE_S
    """For how long a service that does not answer is asked again."""


class NamingClient:
    """One lender's connection to the naming service.

    Args:
        url: the service's base URL.
        lender, key: who asks.
    """

    def __init__(
        self,
        url: str,
        consortium: Consortium,
        lender: str,
        key: SigningKey,
        checks: KeyListChecks | None = None,
        effort: Effort | None = None,
    ) -> None:
        self._consortium, self._lender = consortium, lender
        self._checks = checks or KeyListChecks()
        self._effort = effort or Effort()
        audience = naming_party(consortium).id
        self._asking = partial(
            Asking, url, audience, lender, key.seed, patience_s=self._effort.patience_s
        )
        self._keys: NamingKeys | None = None

    def keys(self) -> NamingKeys:
        """The service's keys: asked for once, verified, and held against what was pinned before.

        Raises:
            PseudonymError: a key changed, or the list is not the one in the log. SignatureError:
                not the service's.
        """
        response = patiently(self._asking(()), "GET", "/v1/naming-keys", b"")
        try:
            answer = KeysAnswer.model_validate_json(response.content)
        except ValidationError as error:
            raise PseudonymError(
                "the naming service's list of keys does not fit its schema"
            ) from error
        keys = verified(answer.token, self._consortium)
        known = self._keys
        pin, registry = self._checks.pin, self._checks.registry
        if known is None and pin is not None and pin.exists():
            known = verified(pin.read_text(encoding="utf-8"), self._consortium)
        if known is None or known.sha256 != keys.sha256:
            if known is not None:
                keys.may_follow(known)
            if registry is not None:
                verify_logged(registry, keys, answer.index)
            if pin is not None:
                keys = pinned(pin, answer.token, self._consortium)
        self._keys = keys
        return keys

    def names(
        self,
        identities: Sequence[str],
        progress: Progress | None = None,
        version: int | None = None,
    ) -> list[Names]:
        """Both names of each person, in order; the current version's unless another is wanted.

        Each distinct identity number is asked for once, however it was typed.

        Raises:
            QuotaSpent: today's quota is used up. NamingUnavailable: the service did not answer for
                too long.
            PseudonymError: an answer does not verify, or an identity number is empty.
        """
        normal = [normal_identity(identity) for identity in identities]
        distinct = list(dict.fromkeys(normal))
        found: list[Names] = []
        for batch in self.batches(distinct, version):
            found += batch
            if progress is not None:
                progress(len(found), len(distinct))
        by_identity = dict(zip(distinct, found, strict=True))
        return [by_identity[identity] for identity in normal]

    def batches(
        self, identities: Sequence[str], version: int | None = None
    ) -> Iterator[list[Names]]:
        """As :meth:`names`, one batch after the other as they are done: what was yielded need not
        be asked again."""
        keys = self.keys()
        wanted = version or keys.current
        for rows in self._rows(identities, keys, [(Kind.PAIRWISE, wanted), (Kind.LEDGER, wanted)]):
            yield [Names(pairwise, ledger) for pairwise, ledger in rows]

    def renamings(
        self, identities: Sequence[str], old: int, new: int, progress: Progress | None = None
    ) -> list[Renaming]:
        """Each distinct person's former name and new ones, while both versions are answered for."""
        distinct = list(dict.fromkeys(normal_identity(identity) for identity in identities))
        wanted = [(Kind.PAIRWISE, old), (Kind.PAIRWISE, new), (Kind.LEDGER, new)]
        found: list[Renaming] = []
        for rows in self._rows(distinct, self.keys(), wanted):
            found += [Renaming(*row) for row in rows]
            if progress is not None:
                progress(len(found), len(distinct))
        return found

    def _rows(
        self, identities: Sequence[str], keys: NamingKeys, wanted: Sequence[tuple[Kind, int]]
    ) -> Iterator[list[tuple[str, ...]]]:
        scopes = [keys.scope(kind, self._lender, version) for kind, version in wanted]
        asking = self._asking(tuple((scope, keys.public_key(scope)) for scope in scopes))
        size, workers = self._effort.batch, self._effort.workers
        batches = [identities[at : at + size] for at in range(0, len(identities), size)]
        if workers == 1 or len(identities) <= ALONE_UP_TO:
            yield from (_by_person(name_batch(asking, batch)) for batch in batches)
            return
        pool = processes(min(workers, len(batches)))
        try:
            yield from map(_by_person, pool.map(partial(name_batch, asking), batches))
        except BrokenProcessPool as error:
            raise NamingUnavailable(
                "a process that was naming people was ended; start again"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def processes(count: int) -> ProcessPoolExecutor:
    """As many processes, each of which can name batches, and ends with the caller's."""
    context = get_context("forkserver")
    context.set_forkserver_preload([name_batch.__module__])
    return ProcessPoolExecutor(count, context, initializer=end_with_caller)


def _by_person(columns: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Each person's names, of the names of each kind."""
    return list(zip(*columns, strict=True))
