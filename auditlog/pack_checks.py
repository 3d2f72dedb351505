"""An evidence pack checked offline: nothing is asked of anybody, nothing in it is believed for its
own sake.

What is believed is the consortium document as it was pinned. From it follow whose signature a
manifest needs and which checkpoints count; from these the hash of every file, the place in the log
of every entry, and from the entries what the documents of a campaign must say: the same checks as
``tahini log verify`` makes (``auditlog.entry_checks``), with the signed documents of the pack in
place of sealed bodies, and epsilon computed anew by this build.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from auditlog.pack_files import check_names, on_their_word
from auditlog.pack_log import check_files, check_log, require
from auditlog.pack_others import agrees_with_coordinator, agrees_with_lender, agrees_with_naming
from auditlog.pack_page import pages
from auditlog.pack_registry import RegistryPart
from auditlog.pack_schemas import check_contents
from auditlog.packs import (
    MISSING_FILE,
    PACK_FILE,
    PAGE_FILE,
    VERIFY_FILE,
    PackPart,
    json_in,
    missing_of,
    parts_of,
)
from protocol.evidence import PackScope
from protocol.parties import Consortium, Role


@dataclass(frozen=True)
class CheckedPack:
    """A pack in which everything holds."""

    scope: str
    parts: Sequence[str]
    missing: Sequence[str]
    checked: Sequence[str]
    """In words, what was checked."""
    not_shown: Sequence[str]
    """In words, of what nothing in the pack shows that nothing was left out."""

    @property
    def whole(self) -> bool:
        """Whether no entry of the log that is in scope, and no document that it speaks of, can have
        been left out."""
        return not self.not_shown


THE_REGISTRYS_WORD = (
    "counts of consents, withdrawals, requests and erasures are the registry's word, signed by it: "
    "the log does not show them"
)


def verify_pack(pack: Path, consortium: Consortium, since: str | None = None) -> CheckedPack:
    """Check a pack.

    Args:
        consortium: as it was pinned, never as it lies in the pack.
        since: a checkpoint kept from before, which the log must extend.

    Raises:
        AuditFailed: the first thing that does not hold, and in which file.
    """
    parts = parts_of(pack, consortium)
    require(bool(parts), f"{PACK_FILE}: there is no part in {pack}")
    scope, missing = _listed(pack, parts, consortium)
    checked = [f"{len(parts)} manifests are signed by their makers"]
    for part in parts:
        check_names(part, consortium.party(part.maker).role)
    files = sum(check_files(part) for part in parts)
    checked.append(f"{files:,} files are as their manifests say, and there are no others")
    for part in parts:
        check_contents(part)
    checked.append("no file says what such a file cannot say, or names a person by a pseudonym")
    logs = {}
    for part in parts:
        holds_heads = (part.folder / "log/first.checkpoint").exists()
        logs[part.maker] = check_log(part, consortium, since if holds_heads else None)
    require(
        since is None or any((part.folder / "log/first.checkpoint").exists() for part in parts),
        f"{MISSING_FILE}: without the registry's part nothing shows that the log extends the one "
        "that was kept",
    )
    shown = sum(len(log.leaves) for log in logs.values())
    checked.append(f"{shown:,} entries of the log stand under checkpoints with their quorum")
    if since is not None:
        checked.append("the log extends the checkpoint that was kept")
    by_role = {role: [p for p in parts if consortium.party(p.maker).role is role] for role in Role}
    campaigns = set[str]()
    for part in by_role[Role.REGISTRY]:
        known = RegistryPart(part, logs[part.maker], consortium, scope)
        checked += known.check()
        campaigns.update(known.campaigns)
        for other in parts:
            known.knows(other)
        for other in by_role[Role.COORDINATOR]:
            checked.append(agrees_with_coordinator(known, other))
        for other in by_role[Role.LENDER]:
            checked.append(agrees_with_lender(known, other))
        for other in by_role[Role.NAMING]:
            checked.append(agrees_with_naming(known, other))
        checked.append(THE_REGISTRYS_WORD)
    for part in parts:
        checked += _on_their_word(part, consortium.party(part.maker).role, campaigns)
    truth = {"present": [part.maker for part in parts], "missing": missing}
    for name, text in pages(parts, truth, consortium).items():
        there = pack / name
        same = there.is_file() and there.read_bytes() == text.encode()
        require(same, f"{name}: it says something else than the parts, or is missing")
    not_shown = [f"the part of {name} is not here" for name in missing]
    not_shown += [
        f"{part.maker}'s part does not hold the whole log: an entry may have been left out"
        for part in by_role[Role.REGISTRY]
        if not logs[part.maker].whole
    ]
    return CheckedPack(scope.text, [part.maker for part in parts], missing, checked, not_shown)


def _on_their_word(part: PackPart, role: Role, campaigns: Collection[str]) -> list[str]:
    """Names the files of which nothing in the pack shows that they are true."""
    files = on_their_word(part, role, campaigns)
    return [f"on {part.maker}'s word alone: {', '.join(files)}"] if files else []


def _listed(
    pack: Path, parts: Sequence[PackPart], consortium: Consortium
) -> tuple[PackScope, Sequence[str]]:
    """One scope, and the pack says truly what is in it and whose part is not."""
    scopes = {part.manifest.scope for part in parts}
    require(len(scopes) == 1, f"{PACK_FILE}: its parts are about {' and '.join(sorted(scopes))}")
    manifests = {part.maker: part.manifest.sha256 for part in parts}
    said = {"scope": min(scopes), "parts": manifests}
    require(json_in(pack, PACK_FILE) == said, f"{PACK_FILE}: it lists other parts than are there")
    truth = missing_of(parts, consortium)
    told = json_in(pack, MISSING_FILE)
    require(told == truth, f"{MISSING_FILE}: it is not true of the parts that are there")
    strangers = {path.name for path in pack.iterdir() if not path.is_dir()}
    strangers -= {PACK_FILE, MISSING_FILE, PAGE_FILE, VERIFY_FILE}
    require(not strangers, f"{min(strangers, default='')}: it belongs to no part")
    return PackScope.parse(min(scopes)), truth["missing"]
