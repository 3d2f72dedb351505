"""Parts of evidence packs as files: a tar that is the same byte for byte whenever it holds the
same, and that tar sealed to whom it is for.

Files are written to disk one by one, so that a part may be larger than memory.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

from crypto.bodies import Envelope, open_enclosed, open_envelope
from crypto.documents import canonical_json
from crypto.errors import SealError
from crypto.keys import RecipientKey, RecipientPublicKey
from protocol.errors import AuditFailed, Conflict
from protocol.evidence import MANIFEST_FILE, MAX_FILES, FileFact, checked_path

CHUNK = 1 << 20
MAX_MANIFEST_BYTES = 16 << 20
MAX_HEADER_BYTES = 1 << 16
_GZIP = 31
"""A gzip frame (RFC 1952) that holds neither a name nor a time."""
_OVERHEAD = 1 << 10
"""More than the sealing adds to a piece."""
_CONTEXT = b"tahini/evidence-part/v1"


class PartWriter:
    """The files of a part, gathered in a folder of its own until :meth:`write`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.files: dict[str, FileFact] = {}

    def add(self, path: str, content: bytes | Iterable[bytes]) -> None:
        """One more file, at once or in pieces. Raises Malformed, Conflict: no such path, or two
        files under one."""
        if checked_path(path) in self.files or path == MANIFEST_FILE:
            raise Conflict(f"a part holds {path} once")
        digest, length = hashlib.sha256(), 0
        with (self._folder / f"{len(self.files)}").open("wb") as file:
            for piece in (content,) if isinstance(content, bytes) else content:
                digest.update(piece)
                length += len(piece)
                file.write(piece)
        self.files[path] = FileFact(sha256=digest.hexdigest(), bytes=length)

    def add_packed(self, path: str, pieces: Iterable[bytes]) -> None:
        """One more file, compressed; its manifest says how much comes out of it.

        Entries of the log are mostly hashes as digits, in which short repetitions are chance: left
        as they are (``Z_FILTERED``) they take less, and less time at level 4 than at zlib's own.
        """
        packer, length = zlib.compressobj(4, wbits=_GZIP, strategy=zlib.Z_FILTERED), 0

        def packed() -> Iterator[bytes]:
            nonlocal length
            for piece in pieces:
                length += len(piece)
                yield packer.compress(piece)
            yield packer.flush()

        self.add(path, packed())
        self.files[path] = self.files[path].model_copy(update={"unpacked": length})

    def add_json(self, path: str, value: Any) -> None:
        """As canonical JSON."""
        self.add(path, canonical_json(value))

    def write(self, manifest: str, out: IO[bytes]) -> None:
        """The tar: sorted by name, of nobody, of no time."""
        spooled = {path: self._folder / f"{at}" for at, path in enumerate(self.files)}
        with tarfile.open(fileobj=out, mode="w|", format=tarfile.USTAR_FORMAT) as tar:
            for path in sorted([*spooled, MANIFEST_FILE]):
                entry = tarfile.TarInfo(path)
                if path == MANIFEST_FILE:
                    entry.size = len(manifest)
                    tar.addfile(entry, BytesIO(manifest.encode("ascii")))
                    continue
                entry.size = self.files[path].bytes
                with spooled[path].open("rb") as file:
                    tar.addfile(entry, file)


@contextmanager
def new_part() -> Iterator[PartWriter]:
    """An empty part; what it gathers is gone from the disk on the way out."""
    with TemporaryDirectory(prefix="tahini-part-") as folder:
        yield PartWriter(Path(folder))


# --- reading


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(CHUNK):
        yield piece


@contextmanager
def opened_tar(
    file: IO[bytes], named: str
) -> Iterator[tuple[str, dict[str, tarfile.TarInfo], Any]]:
    """The manifest of a part, unverified, its other members by path, and the tar.

    Raises:
        AuditFailed: it is no tar of plain files with one manifest, each path once.
    """
    try:
        _require_plain(file, named)
        with tarfile.open(fileobj=file, mode="r:") as tar:
            members: dict[str, tarfile.TarInfo] = {}
            for member in tar:
                plain = member.type in {tarfile.REGTYPE, tarfile.AREGTYPE} and not member.issparse()
                if not plain or member.name in members or len(members) > MAX_FILES:
                    raise AuditFailed(f"{named}: {member.name[:100]!r} is no plain file, or twice")
                members[checked_path(member.name)] = member
            manifest = members.pop(MANIFEST_FILE, None)
            if manifest is None or manifest.size > MAX_MANIFEST_BYTES:
                raise AuditFailed(f"{named} holds no {MANIFEST_FILE}")
            signed = tar.extractfile(manifest)
            yield (b"" if signed is None else signed.read()).decode("ascii"), members, tar
    except (tarfile.TarError, ValueError) as error:
        raise AuditFailed(f"{named} is no part of an evidence pack ({error})") from error


def _require_plain(file: IO[bytes], named: str) -> None:
    """Every header is a plain file's: of an extended one (pax, GNU) ``tarfile`` would read all into
    memory, long before a signature is looked at. Raises AuditFailed."""
    while len(header := file.read(tarfile.BLOCKSIZE)) == tarfile.BLOCKSIZE and any(header):
        size = header[124:136].strip(b"\0 ")
        if header[156:157] not in {tarfile.REGTYPE, tarfile.AREGTYPE} or not size.isdigit():
            raise AuditFailed(f"{named}: it holds something that is no plain file")
        file.seek(-(-int(size, 8) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE, 1)
    file.seek(0)


def unpack(
    tar: tarfile.TarFile,
    members: Mapping[str, tarfile.TarInfo],
    files: Mapping[str, FileFact],
    to: Path,
) -> None:
    """Write the members into the folder ``to``, each as its manifest says.

    Raises:
        AuditFailed: one is missing, too many, or another than the manifest says.
    """
    if odd := sorted(set(members) ^ set(files)):
        raise AuditFailed(f"{odd[0]} is in the part or in its manifest, not in both")
    for path, fact in files.items():
        if members[path].size != fact.bytes:
            raise AuditFailed(f"{path} is another file than its manifest says")
        source = tar.extractfile(members[path])
        target = to / path
        target.parent.mkdir(parents=True, exist_ok=True)
        digest, length = hashlib.sha256(), 0
        with target.open("xb") as file:
            for piece in _pieces(source) if source is not None else ():
                digest.update(piece)
                length += len(piece)
                file.write(piece)
        if (digest.hexdigest(), length) != (fact.sha256, fact.bytes):
            raise AuditFailed(f"{path} is another file than its manifest says")


def unpacked(path: Path, fact: FileFact) -> Iterator[bytes]:
    """What comes out of a compressed file, in pieces: exactly as much as its manifest says, and
    never more in memory than a piece.

    Raises:
        AuditFailed: more or less comes out, or it is no gzip frame.
    """
    if fact.unpacked is None:
        raise AuditFailed("its manifest does not say how much comes out of it")
    engine, left = zlib.decompressobj(wbits=_GZIP), fact.unpacked
    with path.open("rb") as file:
        for packed in _pieces(file):
            rest = packed
            while rest and not engine.eof:
                try:
                    piece = engine.decompress(rest, min(CHUNK, left + 1))
                except zlib.error as error:
                    raise AuditFailed(f"it cannot be unpacked ({error})") from error
                left -= len(piece)
                if left < 0:
                    raise AuditFailed(
                        f"more than the {fact.unpacked:,} bytes of its manifest come out"
                    )
                rest = engine.unconsumed_tail
                yield piece
            if engine.unused_data or (rest and engine.eof):
                raise AuditFailed("something follows what is packed in it")
    if left or not engine.eof:
        raise AuditFailed(f"fewer than the {fact.unpacked:,} bytes of its manifest come out")


# --- sealed


def seal_part(plain: IO[bytes], name: str, to: RecipientPublicKey, out: IO[bytes]) -> None:
    """Seal what ``plain`` holds to one reader: a line with the envelope, then pieces, each with its
    length in four bytes. The last piece says that it is the last, so nothing can be cut off."""
    envelope = Envelope.seal({name: to})
    out.write(envelope.header + b"\n")
    piece = plain.read(CHUNK)
    while True:
        following = plain.read(CHUNK)
        body = envelope.add(piece, _context(envelope.used, not following))
        out.write(len(body).to_bytes(4, "big") + body)
        if not following:
            return
        piece = following


def _context(number: int, last: bool) -> bytes:
    return _CONTEXT + f"/{number}/{int(last)}".encode()


def is_sealed(file: IO[bytes]) -> bool:
    """Whether the file is a sealed part; it stays where it stands."""
    first = file.read(1)
    file.seek(-len(first), 1)
    return first == b"{"


def unseal_part(sealed: IO[bytes], key: RecipientKey, out: IO[bytes]) -> None:
    """Inverse of :func:`seal_part`; raises SealError."""
    header = sealed.readline(MAX_HEADER_BYTES).rstrip(b"\n")
    try:
        (name,) = json.loads(header)["keys"]
    except (ValueError, KeyError, TypeError) as error:
        raise SealError("this is no sealed part of an evidence pack") from error
    content, number = open_envelope(header, name, key), 0
    length = sealed.read(4)
    while length:
        if int.from_bytes(length, "big") > CHUNK + _OVERHEAD:
            raise SealError("the sealed part has a longer piece than there can be")
        body = sealed.read(int.from_bytes(length, "big"))
        length = sealed.read(4)
        out.write(open_enclosed(content, body, _context(number, not length)))
        number += 1
    if not number:
        raise SealError("the sealed part is empty")
