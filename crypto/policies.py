"""Which checkpoints are believed: C2SP tlog-policy (https://c2sp.org/tlog-policy).

A policy names the log, its witnesses, and the quorum of witnesses that must have cosigned a
checkpoint. With lenders as witnesses the log's operator cannot show two lenders two histories: two
quorums share a witness who is honest, and an honest witness signs one history only.

Of ``n`` witnesses let ``f`` be dishonest: colluding with the log, or set back to an old copy of
what they remember. Two quorums of ``q`` share at least ``2q - n`` witnesses, and one of these is
honest if ``2q - n > f``: the smallest such ``q`` is ``(n + f) // 2 + 1``. The log goes on while
``f`` are silent only if ``q <= n - f``. Both hold where ``n >= 3f + 1`` only: three witnesses allow
``f = 0``, four allow 1, seven 2 (a dissemination quorum system: Malkhi and Reiter 1998).

>>> Policy.parse("quorum none\\n").satisfied(set())
True
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from crypto.cosignatures import Cosigner
from crypto.errors import PolicyError, SignatureError
from crypto.notes import Checkpoint, Verifier, signers

NO_QUORUM = "none"
MAX_LINES = 1000
_BLANK = re.compile(r"[ \t]+")


@dataclass(frozen=True)
class Log:
    verifier: Verifier
    url: str | None = None


@dataclass(frozen=True)
class Witness:
    """``name`` is the policy's own; the name that signs is ``key.name``."""

    name: str
    key: Cosigner
    url: str | None = None


@dataclass(frozen=True)
class Group:
    """Has witnessed what ``threshold`` of its members have witnessed."""

    name: str
    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True)
class Policy:
    logs: tuple[Log, ...]
    witnesses: tuple[Witness, ...]
    groups: tuple[Group, ...]
    quorum: str

    @classmethod
    def parse(cls, text: str) -> Policy:
        """Raises PolicyError with the number of the first line that is wrong."""
        return _Parser().read(text)

    @property
    def text(self) -> str:
        lines = [f"log {log.verifier.vkey} {log.url or ''}".rstrip(" ") for log in self.logs]
        lines += [
            f"witness {w.name} {w.key.vkey} {w.url or ''}".rstrip(" ") for w in self.witnesses
        ]
        lines += [f"group {g.name} {g.threshold} {' '.join(g.members)}" for g in self.groups]
        return "\n".join([*lines, f"quorum {self.quorum}"]) + "\n"

    def satisfied(self, cosigned: Collection[str]) -> bool:
        """Whether these witnesses (by policy name) make the quorum."""
        witnessed = set(cosigned)
        for group in self.groups:
            if len(witnessed.intersection(group.members)) >= group.threshold:
                witnessed.add(group.name)
        return self.quorum == NO_QUORUM or self.quorum in witnessed

    @property
    def shared(self) -> int:
        """How many witnesses any two quorums have in common at least. Whoever outnumbers them can
        split the view."""
        return self._fewest(lambda threshold, members: 2 * threshold - members)

    @property
    def blocking(self) -> int:
        """How many witnesses must be silent at least before no quorum is left."""
        return self._fewest(lambda threshold, members: members - threshold + 1)

    def _fewest(self, needed: Callable[[int, int], int]) -> int:
        """The fewest witnesses that make up ``needed(threshold, members)`` of every group's
        members, from below."""
        if self.quorum == NO_QUORUM:
            return 0
        count = {witness.name: 1 for witness in self.witnesses}
        for group in self.groups:
            held = sorted(count[member] for member in group.members)
            count[group.name] = sum(held[: max(0, needed(group.threshold, len(held)))])
        return count[self.quorum]

    def tolerate(self, dishonest: int) -> None:
        """Raises PolicyError unless ``dishonest`` witnesses can neither split the view nor stop the
        log."""
        if self.shared <= dishonest:
            raise PolicyError(
                f"two quorums may share only {self.shared} of {len(self.witnesses)} witnesses, and "
                f"{dishonest} may be dishonest, so two histories could be believed; "
                f"{_most(len(self.witnesses))}"
            )
        if self.blocking <= dishonest:
            raise PolicyError(
                f"{self.blocking} silent of {len(self.witnesses)} witnesses stop the log, and "
                f"{dishonest} may be dishonest; {_most(len(self.witnesses))}"
            )

    def open(self, note: str) -> Checkpoint:
        """The checkpoint in ``note``, if a known log signed it and the quorum cosigned it.

        Raises:
            SignatureError: not signed by a log of this policy, too few cosignatures, or a known one
                does not verify.
        """
        text, keys = signers(
            note, [*(log.verifier for log in self.logs), *(w.key for w in self.witnesses)]
        )
        checkpoint = Checkpoint.parse(text)
        if not any(
            log.verifier in keys and log.verifier.name == checkpoint.origin for log in self.logs
        ):
            raise SignatureError("the checkpoint is not signed by a log that is trusted here")
        cosigned = [witness.name for witness in self.witnesses if witness.key in keys]
        if not self.satisfied(cosigned):
            raise SignatureError(
                f"the checkpoint of {checkpoint.size} entries lacks the quorum {self.quorum!r}: "
                f"cosigned by {', '.join(cosigned) or 'nobody'}"
            )
        return checkpoint


def most_dishonest(witnesses: int) -> int:
    """How many of so many witnesses may be dishonest at most: the largest f with
    ``n >= 3f + 1``."""
    return max(0, (witnesses - 1) // 3)


def _most(witnesses: int) -> str:
    return f"{witnesses} witnesses tolerate {most_dishonest(witnesses)} (n >= 3f + 1)"


def quorum_size(witnesses: int, dishonest: int) -> int:
    """The smallest quorum of which two always share an honest witness: ``(n + f) // 2 + 1``.

    Raises:
        PolicyError: so many dishonest ones could stop the log, or there is no witness.
    """
    if witnesses < 1:
        raise PolicyError("there are no witnesses to make a quorum")
    if not 0 <= dishonest <= most_dishonest(witnesses):
        raise PolicyError(
            f"{dishonest} dishonest witnesses cannot be tolerated: {_most(witnesses)}"
        )
    return (witnesses + dishonest) // 2 + 1


def unwitnessed(log: Log) -> Policy:
    """The policy that believes the log's own signature alone: its operator can show everybody
    another history."""
    return Policy((log,), (), (), NO_QUORUM)


def witnessed_by(log: Log, witnesses: Sequence[Witness], threshold: int) -> Policy:
    """The policy of one log and a flat quorum: any ``threshold`` of ``witnesses``
    (:func:`quorum_size`).

    Raises:
        PolicyError: no such quorum can be. Without witnesses say :func:`unwitnessed`.
    """
    if not 1 <= threshold <= len(witnesses):
        raise PolicyError(f"a quorum of {threshold} among {len(witnesses)} witnesses cannot be")
    group = Group("witnesses", threshold, tuple(witness.name for witness in witnesses))
    return Policy((log,), tuple(witnesses), (group,), group.name)


class _Parser:
    def __init__(self) -> None:
        self.logs: list[Log] = []
        self.witnesses: list[Witness] = []
        self.groups: list[Group] = []
        self.quorum: str | None = None
        self._names: set[str] = {NO_QUORUM}
        self._free: set[str] = set()
        """Defined and not yet a member of any group."""
        self._keys: set[bytes] = set()

    def read(self, text: str) -> Policy:
        lines = text.split("\n")
        if lines[-1] or len(lines) - 1 > MAX_LINES:
            raise PolicyError(f"a policy has at most {MAX_LINES} lines and ends in a newline")
        for number, line in enumerate(lines[:-1], 1):
            try:
                self._line(line)
            except (PolicyError, SignatureError) as error:
                raise PolicyError(f"line {number} of the policy: {error}") from error
        if self.quorum is None:
            raise PolicyError("the policy has no quorum line")
        return Policy(tuple(self.logs), tuple(self.witnesses), tuple(self.groups), self.quorum)

    def _line(self, line: str) -> None:
        if any((ord(c) < 0x20 and c != "\t") or ord(c) == 0x7F for c in line):
            raise PolicyError("control characters are not allowed")
        words = _BLANK.split(line.strip(" \t"))
        if not words[0] or words[0].startswith("#"):
            return
        match words:
            case ["log", vkey, *url] if len(url) <= 1:
                verifier = Verifier.from_vkey(vkey)
                self._new_key(verifier.key.raw)
                self.logs.append(Log(verifier, *url))
            case ["witness", name, vkey, *url] if len(url) <= 1:
                cosigner = Cosigner.from_vkey(vkey)
                self._new_key(cosigner.raw)
                self._new_name(name)
                self.witnesses.append(Witness(name, cosigner, *url))
            case ["group", name, rule, *members] if members:
                self._group(name, rule, members)
            case ["quorum", name]:
                if self.quorum is not None:
                    raise PolicyError("a policy has one quorum line")
                if name not in self._names:
                    raise PolicyError(f"{name!r} is not defined above")
                self.quorum = name
            case _:
                raise PolicyError(f"not a policy line: {line[:80]!r}")

    def _group(self, name: str, rule: str, members: list[str]) -> None:
        sizes = {"any": 1, "all": len(members)}
        if rule not in sizes and not re.fullmatch(r"[1-9][0-9]{0,3}", rule):
            raise PolicyError(f"{rule!r} is not all, any or a number")
        threshold = sizes.get(rule) or int(rule)
        if threshold > len(members) or len(set(members)) != len(members):
            raise PolicyError(
                f"group {name!r} names a member twice, or fewer members than it asks for"
            )
        for member in members:
            if member not in self._free:
                raise PolicyError(
                    f"{member!r} is not defined above, or is a member of another group"
                )
        self._free.difference_update(members)
        self._new_name(name)
        self.groups.append(Group(name, threshold, tuple(members)))

    def _new_name(self, name: str) -> None:
        if name in self._names:
            raise PolicyError(f"{name!r} is defined twice")
        self._names.add(name)
        self._free.add(name)

    def _new_key(self, raw: bytes) -> None:
        if raw in self._keys:
            raise PolicyError("the same key stands twice")
        self._keys.add(raw)
