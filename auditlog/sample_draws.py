"""Whom a sample draws from the rosters in a verified log, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from hashlib import sha256
from typing import Any

from auditlog.audit import Audit
from auditlog.authority import LoggedCommitment
from auditlog.entries import day_of
from auditlog.sample_answers import Unproved
from auditlog.sampling import (
    Broken,
    Judge,
    NoticeRules,
    Verdicts,
    too_few_masked,
    who_stands_in,
)
from crypto.merkle import leaf_hash, leaves_reader, tree_root
from protocol.campaigns import RosterCommitment
from protocol.errors import AuditFailed
from protocol.samples import (
    Draw,
    DrawnRoster,
    OpenedCellOfRoster,
    OpenedSample,
    cells,
    seed_of,
    shares,
)


def rosters_of(
    audit: Audit, campaign: str, before: int
) -> dict[LoggedCommitment, RosterCommitment]:
    """The opened roster commitments of a campaign that stand in the log before an entry."""
    return {
        one: one.opened
        for one in audit.commitments
        if one.leaf["campaign"] == campaign and one.index < before and one.opened is not None
    }


def draws(audit: Audit, campaign: str, index: int, nonce: str) -> dict[str, Draw]:
    """Whom each lender is to open, by lender.

    Args:
        index: of the entry that announced the sample. nonce: what it committed to, hex.

    Raises:
        AuditFailed: the log holds no such request, or no roster before it.
    """
    leaf = audit.know.samples.get(index)
    if leaf is None or leaf["campaign"] != campaign:
        raise AuditFailed(f"entry {index} announces no sample of campaign {campaign[:12]}…")
    if leaf["nonce"] != sha256(bytes.fromhex(nonce)).hexdigest():
        raise AuditFailed(f"entry {index} announces the sample with another number")
    hashes = [leaf_hash(one) for one in audit.leaves[: index + 1]]
    root = tree_root(len(hashes), leaves_reader(hashes)).hex()
    seed = seed_of(root, nonce, campaign)
    rosters = rosters_of(audit, campaign, index)
    counts = shares(seed, leaf["people"], {one: found.size for one, found in rosters.items()})
    if not counts:
        raise AuditFailed(f"campaign {campaign[:12]}… has nobody in any roster yet")
    asked: dict[str, list[DrawnRoster]] = {}
    for one, count in counts.items():
        found = rosters[one]
        which = (found.release, found.attempt)
        drawn = DrawnRoster(
            release=found.release,
            attempt=found.attempt,
            size=found.size,
            cells=cells(seed, found.lender, which, found.size, count),
        )
        asked.setdefault(found.lender, []).append(drawn)
    return {
        lender: Draw(
            campaign_sha256=campaign,
            lender=lender,
            entry_index=index,
            root=root,
            nonce=nonce,
            rosters=tuple(rosters),
        )
        for lender, rosters in asked.items()
    }


def judged(
    audit: Audit,
    asked: Mapping[str, Draw],
    opened: Mapping[str, OpenedSample],
    evidence: Mapping[str, Mapping[str, Any]],
    rules: NoticeRules,
) -> Verdicts:
    """Everybody in a drawn cell of every lender, judged. A cell that its lender did not open, or
    that is none of the committed roster, counts as one bad member.

    Args:
        opened: by lender, signature verified. evidence: what the registry opened of the same.
        rules: see :class:`auditlog.sampling.Judge`.

    Raises:
        AuditFailed: the registry says of more people than the log shows that they were erased.
    """
    found, erased, first = Verdicts(), 0, ""
    for lender, draw in sorted(asked.items()):
        rosters = {
            (one.release, one.attempt): commitment
            for commitment, one in rosters_of(audit, draw.campaign_sha256, draw.entry_index).items()
            if one.lender == lender
        }
        answered = opened.get(lender)
        shown = {
            (roster.release, roster.attempt, cell.number): cell
            for roster in (answered.rosters if answered is not None else ())
            for cell in roster.cells
            if answered is not None and answered.draw_sha256 == draw.sha256
        }
        judge = Judge(audit.know, audit.leaves, lender, evidence.get(lender, {}), rules)
        most = 0
        for roster in draw.rosters:
            commitment = rosters[roster.release, roster.attempt]
            one = _roster(judge, commitment, roster, shown)
            found += one
            drawn_on = day_of(commitment.leaf)
            first = min(first or drawn_on, drawn_on)
            most = max(most, one.forgotten)  # everybody stands in a roster once
        erased += most
    since = sum(count for day, count in audit.know.erasures.items() if day >= _before(first))
    if erased > since:
        raise AuditFailed(
            f"the registry says that {erased} of the drawn people were erased, and the log shows "
            f"{since} erasures since they were used: verify the log anew, and ask the registry if "
            "it says so again"
        )
    return found


def _before(day: str) -> str:
    """The day before, on which a state can have been served from which a roster was drawn."""
    return (date.fromisoformat(day) - timedelta(days=1)).isoformat() if day else day


def _roster(
    judge: Judge,
    commitment: LoggedCommitment,
    roster: DrawnRoster,
    shown: Mapping[tuple[int, int, int], OpenedCellOfRoster],
) -> Verdicts:
    """Everybody in the drawn cells of one roster."""
    found, to_mask = Verdicts(), list[tuple[str, int, int, int]]()
    for number in roster.cells:
        where = (judge.lender, roster.release, roster.attempt, number)
        try:
            cell = shown.get(where[1:])
            if cell is None:
                raise Unproved("opened", f"{judge.lender} did not open this cell")
            names = who_stands_in(commitment, cell)
        except Unproved as error:
            found.broken.append(Broken(*where, error.rule, str(error)))
            continue
        for name in names:
            try:
                masked = judge.judge(commitment, name)
            except Unproved as error:
                found.broken.append(Broken(*where, error.rule, str(error)))
                continue
            found.clean += masked is not None
            found.forgotten += masked is None
            to_mask += [where] if masked else []
    stated = commitment.opened
    if stated is not None and too_few_masked(stated, found.clean, len(to_mask)):
        why = (
            f"a feature had to be masked in {len(to_mask)} of {found.clean} rows that were judged, "
            f"and the lender says that it masked some in {stated.masked_sensitive} of {stated.size}"
        )
        found.broken += [Broken(*where, "masked", why) for where in to_mask]
        found.clean -= len(to_mask)
        to_mask = []
    found.masked = len(to_mask)
    return found
