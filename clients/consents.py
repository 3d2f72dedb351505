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
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clients.errors import NodeError
from crypto.errors import SignatureError
from crypto.keys import replace_file
from law.categories import SENSITIVITIES, Sensitivity
from protocol.client.nodes import NodeClient
from protocol.coverage import Needs
from protocol.enrolment import EnrolmentList
from protocol.errors import ConsentError, Malformed, RegistryUnavailable
from protocol.snapshots import (
    CHILD,
    REASONS,
    ConsentSnapshot,
    Flags,
    Places,
    Reason,
    ReceivedSnapshot,
    StatusCodes,
    reasons_of,
)
from protocol.terms import Limits

FOLDER = "consents"
_GIVEN = REASONS.index(Reason.GIVEN)


@dataclass(frozen=True)
class Usable:
    """Who may be used, and which features of whom may not: ``patterns[which[i]]`` of
    ``members[i]``."""

    members: list[str]
    which: NDArray[np.int32]
    patterns: tuple[frozenset[str], ...]

    def hidden(self) -> dict[str, int]:
        """The pattern of each member of whom something is hidden."""
        some = np.flatnonzero(np.array([bool(names) for names in self.patterns])[self.which])
        return {self.members[i]: int(self.which[i]) for i in some}


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

    def answered(self, kind: Sensitivity) -> StatusCodes:
        """The code of everybody for this consent; zeros where nobody was asked."""
        found = self.codes.get(kind)
        return np.zeros(len(self.names), dtype=np.uint32) if found is None else found

    def _given(self, kind: Sensitivity, places: Places) -> NDArray[np.uint32]:
        """The notice that each gave this consent to, if it can be used in a campaign with these
        places; else 0."""
        codes = self.answered(kind)
        usable = reasons_of(codes, self.state.notices) == _GIVEN
        return np.where(usable & self._on_roll(places.flags(kind)), codes >> 8, 0)

    def usable(self, places: Places, needs: Needs) -> Usable:
        """Who may be used in a campaign, and for which of its features: what each one's own answers
        cover, by the version of the notice that they were given to.

        Args:
            places: who has a place in the campaign; whoever came later has none.
            needs: of the campaign.
        """
        notices = self.state.notices
        given = {kind: self._given(kind, places) for kind in needs.consents}
        allowing = [number for number, notice in notices.items() if needs.beyond(notice) is None]
        may = np.isin(given["ordinary"], allowing)
        children = (self.answered("ordinary") & CHILD) != 0
        answered: list[tuple[NDArray[Any], Callable[[Any], frozenset[str]]]] = [
            (given[kind], partial(needs.uncovered, kind)) for kind in needs.consents
        ]
        if children.any():
            guarded = self._given("sensitive", places)
            may &= ~children | np.isin(guarded, allowing)
            answered.append((np.where(children, guarded, 0), needs.unguarded))
        members = np.flatnonzero(may)
        which, patterns = np.zeros(len(members), dtype=np.int64), [frozenset[str]()]
        for numbers, not_allowed in answered:
            found, answers = _numbered(numbers[members])
            hidden = [not_allowed(notices.get(int(number))) for number in found]
            pairs, which = _numbered(which * len(found) + answers)
            patterns = [
                patterns[pair // len(found)] | hidden[pair % len(found)] for pair in map(int, pairs)
            ]
        return Usable([self.names[i] for i in members], which.astype(np.int32), tuple(patterns))

    def _on_roll(self, flags: Flags) -> Flags:
        placed = np.zeros(len(self.names), dtype=bool)
        placed[: len(flags)] = flags[: len(self.names)]
        return placed

    def limits(self, kind: Sensitivity) -> dict[str, Limits]:
        """The limits on using this kind of data, of everybody whose notice sets any."""
        limited = {
            number: notice.limits
            for number, notice in self.state.notices.items()
            if notice.limits != Limits()
        }
        numbers = self.answered(kind) >> 8
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
        self, client: NodeClient, purpose: str, progress: Callable[[str], None] = lambda _: None
    ) -> HeldSnapshot:
        """Bring the copy up to date: ask for what changed, or for everything where that does not
        fit.

        Raises:
            RegistryUnavailable: the registry did not answer, or not with something that can be
                believed.
            NodeError: the disk does not take it.
        """
        held = self.held(purpose)
        try:
            snapshot = self._fetched(client, purpose, held, progress)
        except _Mismatch:
            progress("fetching everything again")
            snapshot = self._fetched(client, purpose, None, progress)
        self._keep(purpose, snapshot)
        return snapshot

    def _fetched(
        self,
        client: NodeClient,
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
        client: NodeClient,
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

    def held(self, purpose: str) -> HeldSnapshot | None:
        """The copy on disk, if there is one that is whole."""
        try:
            with np.load(self._file(purpose), allow_pickle=False) as file:
                token = file["token"].tobytes().decode()
                # signed by the registry when it was kept; the files are the node's
                state = ConsentSnapshot.claimed(token)
                codes: dict[Sensitivity, StatusCodes] = {
                    kind: file[kind] for kind in SENSITIVITIES if kind in file
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


def _numbered(values: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The values that occur, ascending, and the place of each among them; they are small."""
    found = np.flatnonzero(np.bincount(values))
    places = np.zeros(int(found[-1]) + 1 if len(found) else 0, dtype=np.int64)
    places[found] = np.arange(len(found))
    return found, places[values]


class _Mismatch(Exception):
    """What changed cannot be applied to what is held."""


def _whole(found: ReceivedSnapshot, people: int) -> dict[Sensitivity, StatusCodes]:
    if found.numbers is not None or {len(codes) for codes in found.codes.values()} - {people}:
        raise RegistryUnavailable(
            "the consent registry answered with another state than was asked for"
        )
    return dict(found.codes)


def _changed(
    found: ReceivedSnapshot, held: HeldSnapshot, people: int
) -> dict[Sensitivity, StatusCodes]:
    numbers = found.numbers
    if (
        numbers is None
        or found.state.since != held.state.sequence
        or (numbers.size and int(numbers.max()) >= people)
        or {len(codes) for codes in found.codes.values()} - {len(numbers)}
    ):
        raise _Mismatch
    codes: dict[Sensitivity, StatusCodes] = {}
    for kind in SENSITIVITIES:
        if kind in held.codes or kind in found.codes:
            before = held.answered(kind)
            codes[kind] = np.zeros(people, dtype=np.uint32)
            codes[kind][: len(before)] = before
            codes[kind][numbers] = found.codes.get(kind, 0)
    return codes
