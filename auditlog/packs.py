"""Evidence packs, as an auditor has them: parts side by side, each believed for its maker's
signature alone; and whose part is missing.

A pack is a folder: ``pack.json`` (its scope and the hash of each manifest), ``missing.json`` (whose
part is not in it), ``README.html`` and ``VERIFY.md`` for people, and a folder for each maker that
holds its part as it was handed in. Whether what the parts say is true is checked in
``auditlog.pack_checks``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crypto.errors import CryptoError
from protocol.campaigns import Campaign
from protocol.errors import AuditFailed
from protocol.evidence import MANIFEST_FILE, EvidenceManifest, PackScope, ScopeKind
from protocol.parties import Consortium, Role

PACK_FILE, MISSING_FILE = "pack.json", "missing.json"
PAGE_FILE, VERIFY_FILE = "README.html", "VERIFY.md"
"""For people (``auditlog.pack_page``)."""


@dataclass(frozen=True)
class PackPart:
    """One maker's part in a pack."""

    folder: Path
    token: str
    manifest: EvidenceManifest

    @property
    def maker(self) -> str:
        return self.manifest.maker


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
    others = {Role.REGISTRY, Role.COORDINATOR}
    if scope.kind is ScopeKind.PERIOD:  # names are no campaign's, and of all lenders alike
        others.add(Role.NAMING)
    return sorted(
        party.id
        for party in consortium.parties
        if party.role in others or (party.role is Role.LENDER and party.id in named)
    )


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
    is does not matter. Raises AuditFailed: the copy is none, or of another campaign."""
    path = part.folder / "campaigns" / (scope.campaign or "") / "campaign.jws"
    if scope.campaign is None or not path.exists():
        return ()
    name = f"{part.maker}/campaigns/{scope.campaign}/campaign.jws"
    try:
        campaign = Campaign.claimed(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, CryptoError) as error:
        raise AuditFailed(f"{name}: {error}") from error
    if campaign.sha256 != scope.campaign:
        raise AuditFailed(f"{name}: it is another")
    return campaign.lenders


def json_in(folder: Path, path: str) -> Any:
    """The JSON in a file of a part; raises AuditFailed."""
    try:
        return json.loads((folder / path).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise AuditFailed(f"{folder.name}/{path}: {error}") from error
