"""Evidence packs, as an auditor puts them together: parts opened, each believed for its maker's
signature alone, laid side by side; and whose part is missing.

A pack is a folder: ``pack.json`` (its scope and the hash of each manifest), ``missing.json`` (whose
part is not in it), ``README.md``, and a folder for each maker that holds its part as it was handed
in. Whether what the parts say is true is checked in ``auditlog.pack_checks``.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from crypto.documents import canonical_json
from crypto.errors import CryptoError
from crypto.keys import RecipientKey
from protocol.campaigns import Campaign
from protocol.errors import AuditFailed, Conflict
from protocol.evidence import MANIFEST_FILE, EvidenceManifest, PackScope, ScopeKind
from protocol.parties import Consortium, Role
from protocol.parts import is_sealed, opened_tar, unpack, unseal_part

PACK_FILE, MISSING_FILE, README_FILE = "pack.json", "missing.json", "README.md"
_README = """# Evidence pack: {scope}

Put together from the parts of: {present}. Missing: {missing}.

Each folder is one institution's part. Its `manifest.jws` names every file with its SHA-256 and is
signed with the key that the consortium document names for that institution; `log/` holds the
checkpoint, cosigned by the witnesses, and entries of the log with their inclusion proofs
(C2SP tlog-proof). Check all of it, offline:

    tahini evidence verify PACK --consortium consortium.jws --registry-key KEY

with the consortium document and the registry's key as you pinned them, not as they lie in here.
`missing.json` says whose part is not here. Counts of consents of fewer than ten people are left
out. This is evidence of what systems recorded; it is not legal advice.

## 说明

本证据包由各机构各自签名的部分组成:{present}。缺少:{missing}。每个文件夹的 `manifest.jws`
列出全部文件及其 SHA-256;`log/` 中是经见证者联署的日志检查点和各条目的包含证明。
请用上面的命令离线核验,
并使用您自己保存的联盟文件和登记处公钥,不要使用包内的副本。不足十人的同意计数不列出。
本包只证明系统所记录的内容,不构成法律意见。
"""


@dataclass(frozen=True)
class PackPart:
    """One maker's part in a pack."""

    folder: Path
    token: str
    manifest: EvidenceManifest

    @property
    def maker(self) -> str:
        return self.manifest.maker


@contextmanager
def _plain(path: Path, key: RecipientKey | None) -> Iterator[IO[bytes]]:
    """The tar in a file, opened if it is sealed. Raises SealError, AuditFailed: no key."""
    with path.open("rb") as file:
        if not is_sealed(file):
            yield file
            return
        if key is None:
            raise AuditFailed(f"{path.name} is sealed; say with which key it opens: --key")
        with TemporaryFile() as opened:
            unseal_part(file, key, opened)
            opened.seek(0)
            yield opened


def signed_by_its_maker(token: str, consortium: Consortium) -> EvidenceManifest:
    """The manifest, if it is signed with the key that the consortium names for its maker; raises
    SignatureError."""
    maker = consortium.party(EvidenceManifest.claimed(token).maker)
    return EvidenceManifest.verify(token, maker.key)


def expected(
    consortium: Consortium, scope: PackScope, campaign_lenders: Iterable[str] = ()
) -> list[str]:
    """Who has something to say about this scope.

    Args:
        campaign_lenders: of the campaign, where the scope is one and its document is at hand; else
            every lender is asked.
    """
    named = set(campaign_lenders) or {lender.id for lender in consortium.lenders}
    if scope.kind is ScopeKind.LENDER:
        named = {scope.lender or ""}
    others = (Role.REGISTRY, Role.COORDINATOR)
    return sorted(
        party.id
        for party in consortium.parties
        if party.role in others or (party.role is Role.LENDER and party.id in named)
    )


def merge(
    parts: Sequence[Path], out: Path, consortium: Consortium, key: RecipientKey | None = None
) -> dict[str, Any]:
    """Put parts together in the new folder ``out``; returns what ``missing.json`` says.

    Raises:
        AuditFailed: a file is no part, not signed by its maker, of another scope, or another file
            than its manifest says. Conflict: ``out`` exists, or two parts are of one maker.
    """
    if out.exists():
        raise Conflict(f"{out} exists already")
    out.mkdir(parents=True, mode=0o700)
    try:
        return _merged(parts, out, consortium, key)
    except BaseException:
        shutil.rmtree(out)  # half a pack looks like a whole one
        raise


def _merged(
    parts: Sequence[Path], out: Path, consortium: Consortium, key: RecipientKey | None
) -> dict[str, Any]:
    scope: str | None = None
    for path in parts:
        try:
            with _plain(path, key) as file, opened_tar(file, path.name) as (token, members, tar):
                manifest = signed_by_its_maker(token, consortium)
                if scope not in (None, manifest.scope):
                    raise AuditFailed(f"it is about {manifest.scope}, another part about {scope}")
                scope = manifest.scope
                folder = out / manifest.maker
                if folder.exists():
                    raise Conflict(f"{path.name}: there is a part of {manifest.maker!r} already")
                folder.mkdir()
                unpack(tar, members, manifest.files, folder)
                (folder / MANIFEST_FILE).write_text(token, encoding="ascii")
        except (CryptoError, AuditFailed) as error:
            raise AuditFailed(f"{path.name}: {error}") from error
    if scope is None:
        raise AuditFailed("there is no part to put together")
    found = parts_of(out, consortium)
    missing = missing_of(found, consortium)
    manifests = {part.maker: part.manifest.sha256 for part in found}
    (out / PACK_FILE).write_bytes(canonical_json({"scope": scope, "parts": manifests}))
    (out / MISSING_FILE).write_bytes(canonical_json(missing))
    said = _README.format(
        scope=scope,
        present=", ".join(manifests),
        missing=", ".join(missing["missing"]) or "nobody's",
    )
    (out / README_FILE).write_text(said, encoding="utf-8")
    return missing


def parts_of(pack: Path, consortium: Consortium) -> list[PackPart]:
    """Every part in the folder of a pack, by its maker; raises AuditFailed."""
    found = []
    for folder in sorted(path for path in pack.iterdir() if path.is_dir()):
        name = f"{folder.name}/{MANIFEST_FILE}"
        try:
            token = (folder / MANIFEST_FILE).read_text(encoding="ascii")
            part = PackPart(folder, token, signed_by_its_maker(token, consortium))
        except (OSError, UnicodeDecodeError, CryptoError) as error:
            raise AuditFailed(f"{name}: {error}") from error
        if part.maker != folder.name:
            raise AuditFailed(f"{name}: it is the manifest of {part.maker!r}")
        found.append(part)
    return found


def missing_of(parts: Sequence[PackPart], consortium: Consortium) -> dict[str, Any]:
    """Whose part is there, and whose is not."""
    scope = PackScope.parse(parts[0].manifest.scope)
    present = [part.maker for part in parts]
    lenders = next(filter(None, (_lenders(part, scope) for part in parts)), ())
    wanted = expected(consortium, scope, lenders)
    return {"present": present, "missing": [name for name in wanted if name not in present]}


def _lenders(part: PackPart, scope: PackScope) -> tuple[str, ...]:
    """Who trains in the campaign that the pack is about. It is known by its hash, so whose copy it
    is does not matter. Raises AuditFailed: the copy is of another campaign."""
    path = part.folder / "campaigns" / (scope.campaign or "") / "campaign.jws"
    if scope.campaign is None or not path.exists():
        return ()
    campaign = Campaign.claimed(path.read_text(encoding="utf-8"))
    if campaign.sha256 != scope.campaign:
        raise AuditFailed(f"{part.maker}/campaigns/{scope.campaign}/campaign.jws: it is another")
    return campaign.lenders


def json_in(folder: Path, path: str) -> Any:
    """The JSON in a file of a part; raises AuditFailed."""
    try:
        return json.loads((folder / path).read_bytes())
    except (OSError, ValueError) as error:
        raise AuditFailed(f"{folder.name}/{path}: {error}") from error
