"""The outside view: verify a log without trusting who serves it.

What is checked, in order:

1. the newest checkpoint is signed by the log's key and cosigned by the quorum of witnesses;
2. it extends the checkpoint that the auditor kept from the beginning, and is of one history with
   what each witness cosigned last;
3. every leaf hashes, in its place, into the signed root (recomputed from the raw entries);
4. every roster commitment has an inclusion proof under that root, as a lender would hold it;
5. every entry is of a type that is known here, of that type's form, and holds what its type is
   checked for (``auditlog.entry_checks``): nothing was used without authority, each roster
   commitment coming after an authorisation for the same lender, that after the campaign's
   activation, that after approvals; a model card comes after all of them; counts of people cost no
   more than the consortium set aside for them; time never runs backwards;
6. with the auditor's key also what is sealed: the campaign is the coordinator's and rests on the
   pinned consortium document, every one of its lenders signed its approval, the authorisation was
   in force (at the time that the lender signed: a leaf tells the day), the release is one the
   campaign planned, the commitment is signed by its lender, says what its skeleton says, and was
   drawn from a consent state and from places that were logged before; the model card is the
   coordinator's and says what was approved and spent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from auditlog.authority import AuditState, LoggedCommitment
from auditlog.entry_checks import check_entry
from auditlog.opening import Archive, Bodies
from crypto.errors import CryptoError
from crypto.keys import RecipientKey
from crypto.merkle import leaf_hash, leaves_reader, tree_root
from crypto.notes import Checkpoint
from protocol.client.auditor import AuditorClient
from protocol.errors import AuditFailed, ConsentError
from protocol.gossip import compare_heads
from protocol.parties import Consortium, Role


@dataclass(frozen=True)
class Audit:
    """What was verified."""

    checkpoint: Checkpoint
    first: Checkpoint
    leaves: Sequence[bytes] = field(repr=False)
    know: AuditState
    """What the whole log says."""
    note: str
    """The checkpoint as it was signed, to be kept until the next time."""

    @property
    def entries(self) -> int:
        return self.checkpoint.size

    @property
    def by_type(self) -> dict[str, int]:
        return dict(self.know.by_type)

    @property
    def commitments(self) -> tuple[LoggedCommitment, ...]:
        return tuple(self.know.commitments)


@dataclass(frozen=True)
class Past:
    """What an auditor holds of before the consortium document that is pinned now."""

    consortiums: Sequence[Consortium] = ()
    """Earlier versions of it, each signed by the registry."""
    archive: Archive | None = None
    """What earlier auditors handed over."""


STEPS = ("head", "extends", "witnesses", "root", "entries")
"""What is verified, in this order."""


@dataclass(frozen=True)
class AuditStep:
    """One thing that was found to hold."""

    name: str
    """One of :data:`STEPS`."""
    said: str
    """In words, for a terminal."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """The same as values."""


Reading = Callable[[Checkpoint], Sequence[bytes]]
"""Where the leaves under a head come from; nothing of them is believed."""


def verify_log(
    client: AuditorClient,
    first_note: str,
    auditor: RecipientKey | None = None,
    progress: Callable[[str], None] = lambda _: None,
    past: Past | None = None,
) -> Audit:
    """Verify the whole log; raises AuditFailed with the first thing that is wrong.

    Args:
        client: a connection to the registry; only what it serves is used, nothing is taken on
            trust.
        first_note: a checkpoint note the auditor kept from earlier.
        auditor: the auditor's key, to open what is sealed to it.
        past: what was before the pinned consortium document.
    """
    return followed(
        audit_steps(client, first_note, auditor, past), lambda step: progress(step.said)
    )


def followed(steps: Generator[AuditStep, None, Audit], told: Callable[[AuditStep], None]) -> Audit:
    """The audit at the end of its steps, each of which is told as it holds. Raises AuditFailed."""
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            return cast(Audit, end.value)
        told(step)


def audit_steps(
    client: AuditorClient,
    first_note: str,
    auditor: RecipientKey | None = None,
    past: Past | None = None,
    read: Reading | None = None,
    check: Callable[[AuditState, int, Mapping[str, Any]], None] = check_entry,
) -> Generator[AuditStep, None, Audit]:
    """:func:`verify_log`, a step at a time: each of :data:`STEPS` as it holds, and then the audit.

    Args:
        read: the leaves under a head, where they are at hand already; fetched without it.
        check: called for every entry in order; :func:`auditlog.entry_checks.check_entry`, or what
            calls it and looks on.

    Raises:
        AuditFailed: the first thing that is wrong.
    """
    past = past or Past()
    try:
        first = client.trust.open(first_note)
        note = client.checkpoint_note()
        head = client.trust.open(note)
        yield AuditStep(
            "head",
            "checkpoint is signed by the log and cosigned by its witnesses",
            {"head": head, "note": note},
        )
        if head.size < first.size:
            raise AuditFailed(
                f"the log shows {head.size:,} entries and had {first.size:,} when its checkpoint "
                "was kept: it was rolled back, or shows an old state"
            )
        client.one_history((first_note, note))
        yield AuditStep(
            "extends",
            f"the log of {head.size:,} entries extends the log of {first.size:,}",
            {"first": first},
        )
        heard = compare_heads(client, client.consortium.policy, note)
        unheard = f"; not heard: {', '.join(heard.silent)}" if heard.silent else ""
        yield AuditStep(
            "witnesses",
            f"{len(heard.agree)} witnesses stand in the same history{unheard}",
            {"heard": heard},
        )
        raw = client.leaves(head.size) if read is None else read(head)
        if tree_root(head.size, leaves_reader([leaf_hash(leaf) for leaf in raw])) != head.root:
            raise AuditFailed("the entries that are served do not hash to the signed root")
        yield AuditStep("root", f"{head.size:,} entries hash to the signed root")
        me = client.consortium.one(Role.AUDITOR).id
        bodies = Bodies(client, me, auditor, past.archive)
        know = AuditState(bodies, (client.consortium, *past.consortiums))
        _fold(client, raw, know, check)
        how = (
            "authorised, as planned and signed by their lenders"
            if auditor
            else "in order; bodies were not opened"
        )
        yield AuditStep(
            "entries", f"{len(know.commitments)} roster commitments included, {how}", {"know": know}
        )
    except (CryptoError, ConsentError, KeyError, ValueError) as error:
        if isinstance(error, AuditFailed):
            raise
        raise AuditFailed(f"the log does not verify: {error}") from error
    return Audit(head, first, raw, know, note)


def _fold(
    client: AuditorClient,
    raw: Sequence[bytes],
    know: AuditState,
    check: Callable[[AuditState, int, Mapping[str, Any]], None],
) -> None:
    for index, leaf in enumerate(raw):
        check(know, index, json.loads(leaf))
    for commitment in know.commitments:
        client.inclusion(commitment.index).verify(raw[commitment.index], client.trust)
    archive, logged = know.bodies.archive, know.archives.get(know.bodies.name)
    if archive is not None and logged not in {None, archive.sha256}:
        raise AuditFailed("the archive of earlier auditors is another than the log says")
