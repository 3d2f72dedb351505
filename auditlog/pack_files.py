"""Which files a part of an evidence pack can hold, by its maker's role, and of which of them
nothing in a pack shows that they are true: those are their maker's word.

A file that nothing here knows is refused: nobody would check it, and it would be believed for lying
beside files that were checked.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from auditlog.packs import PackPart
from protocol.errors import AuditFailed
from protocol.parties import Role

_HASH = "[0-9a-f]{64}"
_CAMPAIGN = f"campaigns/{_HASH}"
_SLUG = "[a-z0-9][a-z0-9-]{0,62}"
_LANGUAGE = "[a-z]{2}"
_MADE = (r"log/checkpoint", r"log/entries/\d+\.json", r"log/entries/\d+\.tlog-proof")
"""What shows of every part that the log says that it was made."""

CHECKED: Mapping[Role, tuple[str, ...]] = {
    Role.REGISTRY: (
        *_MADE,
        r"log/(policy|first\.checkpoint|consistency\.json|counts\.json)",
        r"log/bundles/\d{6}\.gz",
        r"parties/consortium\.jws",
        r"parties/earlier/[A-Za-z0-9._-]+\.jws",
        rf"notices/{_SLUG}-\d+\.jws",
        rf"{_CAMPAIGN}/(campaign|assessment)\.jws",
        rf"{_CAMPAIGN}/(approvals|rejections)/{_SLUG}\.jws",
        rf"{_CAMPAIGN}/cards/{_HASH}\.jws",
        rf"{_CAMPAIGN}/(recalls|heard)/{_HASH}\.{_SLUG}\.jws",
        rf"{_CAMPAIGN}/(authorisations|coverage)\.json",
        r"incidents/index\.json",
        rf"incidents/{_HASH}(\.closed)?\.jws",
        rf"audits/{_HASH}(\.{_SLUG}\.remedy)?\.jws",
        rf"assessments/{_HASH}\.jws",
        r"retention/reviews\.json",
    ),
    Role.COORDINATOR: (
        *_MADE,
        rf"{_CAMPAIGN}/(campaign|who-sees-what|model-card)\.jws",
        rf"{_CAMPAIGN}/(evaluation|bom\.cdx|figures)\.json",
        rf"{_CAMPAIGN}/instructions\.{_LANGUAGE}\.md",
    ),
    Role.LENDER: (*_MADE, rf"{_CAMPAIGN}/(campaign|approval)\.jws"),
    Role.NAMING: (*_MADE, r"names/keys\.jws"),
    Role.AUDITOR: _MADE,
}
"""Files whose content follows from the log and from signatures, as far as docs/auditor.md says."""

WORD: Mapping[Role, tuple[str, ...]] = {
    Role.REGISTRY: (
        rf"parties/arrangement\.{_LANGUAGE}\.txt",
        r"notices/review\.json",
        r"consents/(states|withdrawals)\.json",
        r"requests/statistics\.json",
        r"erasures/counts\.json",
        r"audits/due\.json",
        r"retention/rules\.json",
    ),
    Role.COORDINATOR: (rf"{_CAMPAIGN}/releases\.json",),
    Role.LENDER: (rf"{_CAMPAIGN}/rosters\.json",),
    Role.NAMING: (r"names/settings\.json",),
}
"""Files that their maker alone vouches for, at least for a part of what they say: of a roster its
size, of a release whose sums it took. What the log shows of them is compared with it."""


def _is_one_of(patterns: Collection[str], path: str) -> bool:
    return any(re.fullmatch(pattern, path) for pattern in patterns)


def check_names(part: PackPart, role: Role) -> None:
    """Raises AuditFailed: a file is none that such a part holds."""
    known = (*CHECKED[role], *WORD.get(role, ()))
    for path in sorted(part.manifest.files):
        if not _is_one_of(known, path):
            raise AuditFailed(
                f"{part.maker}/{path}: the part of a party in the role {role.value!r} holds no "
                "such file; nothing here checks it"
            )


def on_their_word(part: PackPart, role: Role, campaigns: Collection[str]) -> list[str]:
    """The files of a part that are believed for its maker's signature alone.

    Args:
        campaigns: those that the registry's part shows; of another one nothing can be compared.
    """
    found = []
    for path in sorted(part.manifest.files):
        folder, _, rest = path.partition("/")
        stranger = folder == "campaigns" and rest.partition("/")[0] not in campaigns
        if stranger or _is_one_of(WORD.get(role, ()), path):
            found.append(path)
    return found
