"""Consent snapshots, the node's own copy: fetched once, then kept in step change by change.

In the node's home, ``consents/`` holds the roll (every name in the order of enrolment) and, for
each purpose, the last
state: two arrays of codes and the signed document they belong to. A file is replaced whole or not
at all.
"""

from __future__ import annotations

import hashlib
import io
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clients.errors import NodeError
from crypto.errors import SignatureError
from crypto.keys import replace_file
from protocol.client.lenders import LenderClient
from protocol.enrolment import EnrolmentList
from protocol.errors import ConsentError, Malformed, RegistryUnavailable
from protocol.snapshots import (
    REASONS,
    SENSITIVITY_ORDER,
    ConsentSnapshot,
    Flags,
    Places,
    Reason,
    ReceivedSnapshot,
    StatusCodes,
    reasons_of,
)
from protocol.terms import Limits, Sensitivity

FOLDER = "consents"
_GIVEN = REASONS.index(Reason.GIVEN)


@dataclass(frozen=True)
class HeldSnapshot:
    """A consent snapshot as this node keeps it: the status of everybody on the roll, for one
    purpose."""

    state: ConsentSnapshot
    token: str
    """The signed document as it came."""
    names: tuple[str, ...]
    """The roll, in order."""
    codes: dict[Sensitivity, StatusCodes]

    @property
    def token_sha256(self) -> str:
        return hashlib.sha256(self.token.encode()).hexdigest()

    def _given(self, sensitivity: Sensitivity) -> Flags:
        rules = reasons_of(self.codes[sensitivity], self.state.notices)
        return np.asarray(rules == _GIVEN)

    def usable(self, places: Places) -> tuple[list[str], set[str]]:
        """Who may be used in a campaign: for ordinary features, and of these for sensitive ones
        too.

        Args:
            places: who has a place in the campaign; whoever came later has none.
        """
        ordinary = self._given("ordinary") & self._on_roll(places.flags())
        sensitive = ordinary & self._given("sensitive") & self._on_roll(places.flags("sensitive"))
        return [self.names[i] for i in np.flatnonzero(ordinary)], {
            self.names[i] for i in np.flatnonzero(sensitive)
        }

    def _on_roll(self, flags: Flags) -> Flags:
        placed = np.zeros(len(self.names), dtype=bool)
        placed[: len(flags)] = flags[: len(self.names)]
        return placed

    def limits(self, sensitivity: Sensitivity) -> dict[str, Limits]:
        """The limits on using this kind of data, of everybody whose notice sets any."""
        limited = {
            number: notice.limits
            for number, notice in self.state.notices.items()
            if notice.limits != Limits()
        }
        numbers = self.codes[sensitivity] >> 8
        return {
            self.names[i]: limited[int(numbers[i])]
            for i in np.flatnonzero(np.isin(numbers, list(limited)))
        }


@dataclass(frozen=True)
class Consents:
    """The copy in one node's home."""

    home: Path
    lender: str

    @property
    def _roll_file(self) -> Path:
        return self.home / FOLDER / "roll"

    def _file(self, purpose: str) -> Path:
        return self.home / FOLDER / f"{hashlib.sha256(purpose.encode()).hexdigest()[:32]}.state"

    def names(self) -> tuple[str, ...]:
        """The roll as this node knows it."""
        try:
            return tuple(self._roll_file.read_text(encoding="utf-8").split())
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise NodeError(f"cannot read {self._roll_file}: {error.strerror}") from error

    def replace(self, place: int, name: str) -> None:
        """Put nobody's name in an erased person's place on the roll; nothing if it is not known."""
        names = list(self.names())
        if place < len(names):
            names[place] = name
            replace_file(self._roll_file, "\n".join(names).encode())

    def sync(
        self, client: LenderClient, purpose: str, progress: Callable[[str], None] = lambda _: None
    ) -> HeldSnapshot:
        """Bring the copy up to date: ask for what changed, or for everything where that does not
        fit.

        Raises:
            RegistryUnavailable: the registry did not answer, or not with something that can be
                believed.
            NodeError: the disk does not take it.
        """
        held = self._held(purpose)
        try:
            snapshot = self._fetched(client, purpose, held, progress)
        except _Mismatch:
            progress("fetching everything again")
            snapshot = self._fetched(client, purpose, None, progress)
        self._keep(purpose, snapshot)
        return snapshot

    def _fetched(
        self,
        client: LenderClient,
        purpose: str,
        held: HeldSnapshot | None,
        progress: Callable[[str], None],
    ) -> HeldSnapshot:
        challenge = secrets.token_urlsafe(24)
        since = held.state if held is not None else None
        try:
            found = client.consent_state(purpose, challenge, since)
        except ConsentError as error:
            if since is not None and error.status in {Malformed.status, 409}:
                raise _Mismatch from error
            raise
        names = self._roll(client, found.state, held.names if held else self.names(), progress)
        codes = _whole(found, len(names)) if held is None else _changed(found, held, len(names))
        return HeldSnapshot(found.state, found.token, names, codes)

    def _roll(
        self,
        client: LenderClient,
        state: ConsentSnapshot,
        names: tuple[str, ...],
        progress: Callable[[str], None],
    ) -> tuple[str, ...]:
        """The roll that the state speaks of: what is known, and what came since. Raises
        RegistryUnavailable."""
        known = names[: state.people]
        if EnrolmentList().extended(known) != EnrolmentList(state.people, state.names_sha256):
            progress("fetching names")
            known = (*known, *client.roll(len(known), state.people))
            # renamed, or another registry
            if EnrolmentList().extended(known) != EnrolmentList(state.people, state.names_sha256):
                known = tuple(client.roll(0, state.people))
            if EnrolmentList().extended(known) != EnrolmentList(state.people, state.names_sha256):
                raise RegistryUnavailable(
                    "the consent registry's list of names is not the one that it signed"
                )
            self._folder()
            replace_file(self._roll_file, "\n".join(known).encode())
        return known

    def _folder(self) -> None:
        (self.home / FOLDER).mkdir(mode=0o700, exist_ok=True)

    def _held(self, purpose: str) -> HeldSnapshot | None:
        """The copy on disk, if there is one that is whole."""
        try:
            with np.load(self._file(purpose), allow_pickle=False) as file:
                token = file["token"].tobytes().decode()
                # signed by the registry when it was kept; the files are the node's
                state = ConsentSnapshot.claimed(token)
                codes: dict[Sensitivity, StatusCodes] = {
                    kind: file[kind] for kind in SENSITIVITY_ORDER
                }
        except (OSError, ValueError, KeyError, EOFError, SignatureError):
            return None
        names = self.names()[: state.people]
        whole = EnrolmentList().extended(names) == EnrolmentList(state.people, state.names_sha256)
        if not whole or any(len(kind) != state.people for kind in codes.values()):
            return None
        return HeldSnapshot(state, token, names, codes)

    def _keep(self, purpose: str, snapshot: HeldSnapshot) -> None:
        self._folder()
        content = io.BytesIO()
        token_bytes = np.frombuffer(snapshot.token.encode(), dtype=np.uint8)
        np.savez(content, token=token_bytes, **snapshot.codes)  # type: ignore[arg-type]
        try:
            replace_file(self._file(purpose), content.getvalue())
        except OSError as error:
            raise NodeError(
                f"the node's copy of its consents could not be kept ({error.strerror})"
            ) from error


class _Mismatch(Exception):
    """What changed cannot be applied to what is held."""


def _whole(found: ReceivedSnapshot, people: int) -> dict[Sensitivity, StatusCodes]:
    if found.numbers is not None or len(found.ordinary) != people or len(found.sensitive) != people:
        raise RegistryUnavailable(
            "the consent registry answered with another state than was asked for"
        )
    return {"ordinary": found.ordinary, "sensitive": found.sensitive}


def _changed(
    found: ReceivedSnapshot, held: HeldSnapshot, people: int
) -> dict[Sensitivity, StatusCodes]:
    numbers = found.numbers
    if (
        numbers is None
        or found.state.since != held.state.sequence
        or (numbers.size and int(numbers.max()) >= people)
    ):
        raise _Mismatch
    codes: dict[Sensitivity, StatusCodes] = {}
    changed: dict[Sensitivity, NDArray[np.uint32]] = {
        "ordinary": found.ordinary,
        "sensitive": found.sensitive,
    }
    for kind in SENSITIVITY_ORDER:
        codes[kind] = np.zeros(people, dtype=np.uint32)
        codes[kind][: len(held.codes[kind])] = held.codes[kind]
        codes[kind][numbers] = changed[kind]
    return codes
