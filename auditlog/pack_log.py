"""What a part of an evidence pack shows of the log, checked: its files against the manifest, its
heads under the policy, every entry by its proof, and by the root where the part holds the whole
log: then no entry can have been left out.

What is compressed is unpacked as its manifest says and in pieces, and hashed up to the root before
anything in it is read.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any

from auditlog.packs import PackPart, json_in
from crypto.errors import CryptoError
from crypto.log_tiles import Frontier
from crypto.merkle import leaf_hash, verify_consistency, verify_inclusion
from crypto.notes import Checkpoint, InclusionProof
from protocol.errors import AuditFailed, ConsentError
from protocol.evidence import MANIFEST_FILE, LogHead, PackScope
from protocol.parties import Consortium
from protocol.parts import CHUNK, unpacked

Leaf = dict[str, Any]
MEAN_ENTRY_BYTES = 4096
"""More than the entries of a log have on average: what parties write themselves, with the longest
list of readers, has less."""
_KEPT = frozenset(
    {
        "notice.published",
        "incident.opened",
        "incident.closed",
        "assessment.recorded",
        "audit.reported",
        "audit.remedied",
        "retention.reviewed",
        "names.keys",
    }
)
_TELLING = (
    b'"campaign"',
    *(f'"{kind}"'.encode() for kind in sorted(_KEPT)),
    b"\\",
    b"\0",
)
"""One of these stands in every entry that names a campaign, or is of a type that is kept: the word
as it is, or, where JSON writes its letters otherwise (RFC 8259), what that takes: a backslash; in
UTF-16 and UTF-32 a zero byte."""


@contextmanager
def naming(file: str) -> Iterator[None]:
    """Whatever does not hold within is the fault of this file. Raises AuditFailed."""
    try:
        yield
    except OSError as error:
        raise AuditFailed(f"{file}: {error.strerror or error}") from error
    except (LookupError, TypeError, AttributeError) as error:
        raise AuditFailed(f"{file}: it is not of the form that it should have ({error})") from error
    except (CryptoError, ConsentError, ValueError) as error:
        raise AuditFailed(f"{file}: {error}") from error


def require(holds: bool, what: str) -> None:
    """Raises AuditFailed."""
    if not holds:
        raise AuditFailed(what)


@dataclass(frozen=True)
class ShownLog:
    """What a part shows of the log, all of it under one believed head."""

    head: Checkpoint
    leaves: dict[int, Leaf]
    """Entries by index; of a whole log those that name a campaign, or are of a type that documents
    in a pack are compared with."""
    by_type: dict[str, int]
    """How many entries there are of each type in scope."""
    whole: bool
    """Whether the part holds every entry."""


def check_files(part: PackPart) -> int:
    """Every file is as the manifest says, and there is no other; returns how many there are."""
    found = {}
    for path in sorted(part.folder.rglob("*")):
        name = f"{part.maker}/{path.relative_to(part.folder).as_posix()}"
        require(not path.is_symlink(), f"{name}: it is a link")
        if path.is_file():
            found[name.partition("/")[2]] = path
    found.pop(MANIFEST_FILE)
    if odd := sorted(set(found) ^ set(part.manifest.files)):
        raise AuditFailed(
            f"{part.maker}/{odd[0]}: it is in the folder or the manifest, not in both"
        )
    for name, fact in part.manifest.files.items():
        digest = hashlib.sha256()
        with found[name].open("rb") as file:
            while piece := file.read(CHUNK):
                digest.update(piece)
        same = (digest.hexdigest(), found[name].stat().st_size) == (fact.sha256, fact.bytes)
        require(same, f"{part.maker}/{name}: it is another file than the manifest says")
    return len(found)


def check_log(part: PackPart, consortium: Consortium, since: str | None) -> ShownLog:
    """Raises AuditFailed: a head is not believed, an entry is not under it, or nothing says that
    the part was made.

    Args:
        since: a checkpoint that was kept from before; the part must show that the log extends it,
            if it shows the registry's own heads.
    """
    manifest, folder = part.manifest, part.folder
    with naming(f"{part.maker}/log/checkpoint"):
        note = (folder / "log/checkpoint").read_text(encoding="utf-8")
        head = consortium.policy.open(note)
        require(LogHead.of(head) == manifest.last, "the manifest names another head")
        require(head.origin == manifest.log_origin, "the manifest names another log")
    scope = PackScope.parse(manifest.scope)
    leaves = _proved(part, head, note)
    with naming(f"{part.maker}/log/entries/{manifest.entry_index}.json"):
        made = leaves[manifest.entry_index]
        said = {name: made[name] for name in ("export", "campaign") if name in made}
        right = (made["type"], made["actor"], said) == (
            "evidence.exported",
            part.maker,
            scope.public(),
        )
        require(right, "it does not say that this part was made")
    whole = (folder / "log/bundles").is_dir()
    if whole:
        proved, (leaves, by_type) = leaves, _whole(part, head, scope)
        alone = {at for at, leaf in leaves.items() if scope.campaign and scope.wants(leaf)}
        for index in sorted(alone - set(proved)):
            raise AuditFailed(f"{part.maker}/log/entries/{index}.json: it is in the log, not here")
    else:
        by_type = {}
        for leaf in leaves.values():
            if scope.wants(leaf):
                by_type[leaf["type"]] = by_type.get(leaf["type"], 0) + 1
    if (folder / "log/first.checkpoint").exists():
        _extends(part, consortium, head, since)
    else:
        require(manifest.first == manifest.last, f"{part.maker}/{MANIFEST_FILE}: no first head")
    return ShownLog(head, leaves, by_type, whole)


def _proved(part: PackPart, head: Checkpoint, note: str) -> dict[int, Leaf]:
    leaves = {}
    for path in (part.folder / "log/entries").glob("*.json"):
        with naming(f"{part.maker}/log/entries/{path.name}"):
            raw = path.read_bytes()
            proof = InclusionProof.parse(
                path.with_suffix(".tlog-proof").read_text(encoding="utf-8")
            )
            require(path.stem == str(proof.index), "its proof is of another entry")
            require(proof.checkpoint_note == note, "its proof leads to another head")
            verify_inclusion(leaf_hash(raw), proof.index, head.size, proof.path, head.root)
            leaves[proof.index] = json.loads(raw)
    return dict(sorted(leaves.items()))


def _whole(
    part: PackPart, head: Checkpoint, scope: PackScope
) -> tuple[dict[int, Leaf], dict[str, int]]:
    """Every entry of the log: hashed up to the root, and only then read."""
    bundles = [name for name in sorted(part.manifest.files) if name.startswith("log/bundles/")]
    stated = sum(part.manifest.files[name].unpacked or 0 for name in bundles)
    require(
        stated <= head.size * MEAN_ENTRY_BYTES,
        f"{part.maker}/log/bundles: {head.size:,} entries do not unpack to {stated:,} bytes",
    )
    tree, looked_into = Frontier(), list[tuple[int, str]]()
    for name in bundles:
        first, tells = tree.size, scope.campaign is None
        for entries in _stretches(part, name):
            fits = tree.size + len(entries) <= head.size
            require(fits, f"{part.maker}/log/bundles: more than the whole log")
            tree.extend([leaf_hash(raw) for raw in entries])
            tells = tells or _tells(b"\n".join(entries))
        if tells:
            looked_into.append((first, name))
    same = (tree.size, tree.root) == (head.size, head.root)
    require(same, f"{part.maker}/log/bundles: the entries do not hash to the signed root")
    leaves, by_type = dict[int, Leaf](), dict[str, int]()
    for first, name in looked_into:
        for index, raw in enumerate(chain.from_iterable(_stretches(part, name)), first):
            if scope.campaign is None or _tells(raw):
                with naming(f"{part.maker}/{name}: entry {index}"):
                    _take(index, json.loads(raw), scope, leaves, by_type)
    return leaves, by_type


def _tells(raw: bytes) -> bool:
    return any(word in raw for word in _TELLING)


def _take(
    index: int, leaf: Leaf, scope: PackScope, leaves: dict[int, Leaf], by_type: dict[str, int]
) -> None:
    if scope.wants(leaf):
        by_type[leaf["type"]] = by_type.get(leaf["type"], 0) + 1
    if leaf["type"] in _KEPT or "campaign" in leaf:
        leaves[index] = leaf


def _stretches(part: PackPart, name: str) -> Iterator[list[bytes]]:
    """The entries of a bundle, as many at a time as are unpacked at once: each stands behind its
    length in two bytes."""
    held = b""
    with naming(f"{part.maker}/{name}"):
        for piece in unpacked(part.folder / name, part.manifest.files[name]):
            held += piece
            entries, at = list[bytes](), 0
            while len(held) - at >= 2:
                end = at + 2 + int.from_bytes(held[at : at + 2], "big")
                if end > len(held):
                    break
                entries.append(held[at + 2 : end])
                at = end
            yield entries
            held = held[at:]
        require(not held, "it is cut off")


def _extends(part: PackPart, consortium: Consortium, head: Checkpoint, since: str | None) -> None:
    """The newest head extends the first one in the part, and the one that was kept."""
    with naming(f"{part.maker}/log/first.checkpoint"):
        first = consortium.policy.open((part.folder / "log/first.checkpoint").read_text("utf-8"))
        require(LogHead.of(first) == part.manifest.first, "the manifest names another first head")
    heads = [first]
    if since is not None:
        with naming("the checkpoint that was kept"):
            heads.append(consortium.policy.open(since))
    proofs = json_in(part.folder, "log/consistency.json")
    with naming(f"{part.maker}/log/consistency.json"):
        for old in heads:
            known = proofs.get(str(old.size), [] if old.size == head.size else None)
            if known is None:
                raise AuditFailed(
                    f"there is no proof that the log extends its first {old.size} entries; have "
                    "the registry collect again with that checkpoint: --since"
                )
            path = [b64decode(one, validate=True) for one in known]
            verify_consistency(old.size, head.size, path, old.root, head.root)
