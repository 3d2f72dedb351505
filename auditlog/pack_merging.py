"""Evidence packs put together: parts opened and laid side by side, and what people read first."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from auditlog.pack_page import pages
from auditlog.packs import MISSING_FILE, PACK_FILE, missing_of, parts_of, signed_by_its_maker
from crypto.documents import canonical_json
from crypto.errors import CryptoError
from crypto.keys import RecipientKey
from protocol.errors import AuditFailed, Conflict
from protocol.evidence import MANIFEST_FILE
from protocol.parties import Consortium
from protocol.parts import is_sealed, opened_tar, unpack, unseal_part


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
    for name, text in pages(found, missing, consortium).items():
        (out / name).write_text(text, encoding="utf-8")
    return missing
