"""Evidence packs to be tampered with, by whoever has no key and by whoever has one."""

from __future__ import annotations

import gzip
import hashlib
import json
from contextlib import suppress
from pathlib import Path

from auditlog.pack_page import pages
from auditlog.packs import missing_of, parts_of
from crypto.documents import canonical_json
from naming.keys import NamingHome
from protocol.errors import AuditFailed
from protocol.evidence import EvidenceManifest


def trusting(folder):
    return ("--consortium", folder / "consortium.jws", "--registry-key", folder / "registry.pub")


def merging(folder, out, *parts):
    return ("evidence", "merge", *parts, "--out", out, "--key", folder / "auditor.key", *trusting(folder))


def campaign_of(pack: Path) -> str:
    return json.loads((pack / "pack.json").read_text("utf-8"))["scope"].partition(":")[2]


def signed_again(house, pack: Path, maker: str, unpacked: int | None = -1, **fields) -> None:
    """The maker of a part signs what lies in its folder now: the attack of whoever holds its key."""
    token = (pack / maker / "manifest.jws").read_text("utf-8")
    below = pack / maker
    files = {
        path.relative_to(below).as_posix(): {
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "bytes": path.stat().st_size,
            **({"unpacked": len(gzip.decompress(path.read_bytes())) if unpacked == -1 else unpacked}
               if path.suffix == ".gz" else {}),
        }
        for path in below.rglob("*") if path.is_file() and path.name != "manifest.jws"
    }  # fmt: skip
    said = EvidenceManifest.claimed(token).payload() | {"files": files} | fields
    keys = {"registry": house.founded.registry_key, "coordinator": house.coordinator().key}
    keys["naming"] = NamingHome.open(house.founded.naming_home).key
    key = keys[maker] if maker in keys else house.node(maker).key
    manifest = EvidenceManifest.model_validate(said)
    (below / "manifest.jws").write_text(manifest.sign(key), encoding="utf-8")
    listed = json.loads((pack / "pack.json").read_text("utf-8"))
    listed["parts"][maker] = manifest.sha256
    (pack / "pack.json").write_bytes(canonical_json(listed))
    consortium = house.founded.consortium
    with suppress(AuditFailed):  # what cannot be read is refused before the pages are looked at
        parts = parts_of(pack, consortium)
        for name, text in pages(parts, missing_of(parts, consortium), consortium).items():
            (pack / name).write_text(text, encoding="utf-8")


def verifying(folder, pack):
    return ("evidence", "verify", pack, *trusting(folder))


def edited(path: Path, change) -> None:
    value = json.loads(path.read_text("utf-8"))
    change(value)
    path.write_bytes(canonical_json(value))
