"""A second reader of evidence packs, written from the documents alone: nothing of ours is imported.

    python read_pack.py PACK consortium.jws REGISTRY_KEY

RFC 7515 (JWS, Ed25519), C2SP signed-note, tlog-cosignature (Ed25519), tlog-policy, tlog-proof, RFC 6962. It says what
it checked, or what does not hold and in which file, with exit code 1.
"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
from base64 import b64decode, urlsafe_b64decode
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class Wrong(Exception):
    """Something does not hold."""


def demand(holds: bool, file: object, what: str) -> None:
    if not holds:
        raise Wrong(f"{file}: {what}")


def unb64(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def verified(key: bytes, signature: bytes, message: bytes, file: object) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise Wrong(f"{file}: a signature does not verify") from error


def document(path: Path, typ: str, key: bytes) -> dict:
    """The payload of a compact JWS; only Ed25519, only of this type."""
    header, payload, signature = path.read_text("ascii").strip().split(".")
    fields = json.loads(unb64(header))
    demand((fields["alg"], fields["typ"]) == ("Ed25519", typ), path, "another algorithm or type of document")
    verified(key, unb64(signature), f"{header}.{payload}".encode(), path)
    return json.loads(unb64(payload))


def claimed(path: Path) -> dict:
    return json.loads(unb64(path.read_text("ascii").split(".")[1]))


def vkey(text: str) -> tuple[str, bytes, bytes]:
    """Name, key id, and type byte with key."""
    name, number, material = text.split("+", 2)
    found = b64decode(material)
    computed = hashlib.sha256(name.encode() + b"\n" + found).digest()[:4]
    demand(computed.hex() == number, "policy", "a key id does not belong to its key")
    return name, computed, found


def head(note: str, policy: str, file: object) -> tuple[int, bytes]:
    """Size and root of a checkpoint that its log signed and a quorum cosigned (one group of all, or nobody)."""
    text, _, tail = note.rpartition("\n\n")
    text += "\n"
    lines = {tuple(line.split(" ")[1:]) for line in tail.splitlines()}
    signatures = {(name, b64decode(value)[:4]): b64decode(value)[4:] for name, value in lines}
    words = [line.split() for line in policy.splitlines() if line.strip()]
    name, number, material = vkey(next(word[1] for word in words if word[0] == "log"))
    demand((name, number) in signatures and material[0] == 1, file, "the log did not sign it")
    verified(material[1:], signatures[name, number], text.encode(), file)
    cosigned = set()
    for _, short, key, *_ in (word for word in words if word[0] == "witness"):
        who, number, material = vkey(key)
        if material[0] == 4 and (who, number) in signatures:
            dated = signatures[who, number]
            (moment,) = struct.unpack(">Q", dated[:8])
            verified(material[1:], dated[8:], f"cosignature/v1\ntime {moment}\n{text}".encode(), file)
            cosigned.add(short)
    quorum = next(word[1] for word in words if word[0] == "quorum")
    for _, group, least, *members in (word for word in words if word[0] == "group"):
        if group == quorum:
            demand(len(cosigned & set(members)) >= int(least), file, "too few witnesses cosigned it")
            quorum = "none"
    demand(quorum == "none", file, "this reader does not know such a quorum")
    origin, size, root, *_ = text.split("\n")
    demand(origin == name, file, "it is of another log")
    return int(size), b64decode(root)


def included(leaf: bytes, index: int, size: int, path: list[bytes], root: bytes, file: object) -> None:
    """RFC 9162 section 2.1.3.2."""
    demand(0 <= index < size, file, "it is not in the tree")
    found, fn, sn = hashlib.sha256(b"\0" + leaf).digest(), index, size - 1
    for sibling in path:
        demand(sn != 0, file, "the proof is too long")
        if fn & 1 or fn == sn:
            found = hashlib.sha256(b"\1" + sibling + found).digest()
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            found = hashlib.sha256(b"\1" + found + sibling).digest()
        fn, sn = fn >> 1, sn >> 1
    demand(sn == 0 and found == root, file, "it is not under the signed root")


def read(pack: Path, consortium_file: Path, registry_key: str) -> str:
    consortium = document(consortium_file, "tahini-consortium", unb64(registry_key))
    keys = {party["id"]: unb64(party["signing_key"]) for party in consortium["parties"]}
    files = entries = 0
    folders = sorted(path for path in pack.iterdir() if path.is_dir())
    for folder in folders:
        listed = folder / "manifest.jws"
        demand(claimed(listed)["maker"] == folder.name and folder.name in keys, listed, "it is another maker's")
        manifest = document(listed, "tahini-evidence-manifest", keys[folder.name])
        present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        demand(present - {"manifest.jws"} == set(manifest["files"]), listed, "other files than it lists")
        for name, fact in manifest["files"].items():
            content = (folder / name).read_bytes()
            same = (hashlib.sha256(content).hexdigest(), len(content)) == (fact["sha256"], fact["bytes"])
            demand(same, folder / name, "it is another file than the manifest says")
        files += len(manifest["files"])
        note = (folder / "log/checkpoint").read_text("utf-8")
        size, root = head(note, consortium["log_policy"], folder / "log/checkpoint")
        demand(manifest["last"] == {"size": size, "root": root.hex()}, listed, "it names another head")
        for proof in sorted((folder / "log/entries").glob("*.tlog-proof")):
            top, _, under = proof.read_text("utf-8").partition("\n\n")
            lines = top.split("\n")
            demand(lines[0] == "c2sp.org/tlog-proof@v1" and under == note, proof, "it is no proof under this head")
            index = int(lines[1].removeprefix("index "))
            demand(str(index) == proof.stem, proof, "it is of another entry")
            leaf = proof.with_suffix(".json").read_bytes()
            included(leaf, index, size, [b64decode(line) for line in lines[2:]], root, proof)
            entries += 1
    listed = {folder.name: hashlib.sha256(unb64((folder / "manifest.jws").read_text("ascii").split(".")[1])).hexdigest()
              for folder in folders}  # fmt: skip
    demand(json.loads((pack / "pack.json").read_bytes())["parts"] == listed, "pack.json", "it lists other parts")
    return f"{len(folders)} manifests, {files} files, {entries} entries of the log"


if __name__ == "__main__":
    try:
        print(read(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))  # noqa: T201
    except (Wrong, OSError, ValueError, KeyError) as error:
        sys.exit(str(error))
