"""The whole log in an evidence pack: whatever letters an entry is written with, it is found."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.effort import effort

from auditlog.pack_log import _KEPT, _whole
from auditlog.packs import PackPart
from crypto.log_tiles import Frontier
from crypto.merkle import leaf_hash
from crypto.notes import Checkpoint
from protocol.errors import AuditFailed
from protocol.evidence import EvidenceManifest, FileFact, LogHead, PackScope
from protocol.parts import CHUNK
from protocol.schema import now

CAMPAIGN = "c" * 64
OF_CAMPAIGN, OF_PERIOD = PackScope.parse(f"campaign:{CAMPAIGN}"), PackScope.parse("period:2026")
DAY = "2026-11-27T00:00:00.000000Z"


def whole(folder: Path, scope: PackScope, entries: list[bytes]):
    """What is found in a part that holds these entries, under the root of these entries."""
    tree, name = Frontier(), "log/bundles/000000.gz"
    for raw in entries:
        tree.append(leaf_hash(raw))
    head = Checkpoint("log.example", tree.size, tree.root)
    plain = b"".join(len(raw).to_bytes(2, "big") + raw for raw in entries)
    packed = gzip.compress(plain)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(packed)
    fact = FileFact(sha256=hashlib.sha256(packed).hexdigest(), bytes=len(packed), unpacked=len(plain))
    manifest = EvidenceManifest(
        scope=scope.text, maker="registry", consortium_sha256="0" * 64, code_sha256="0" * 64, entry_index=0,
        log_origin="log.example", first=LogHead.of(head), last=LogHead.of(head), made_at=now(), files={name: fact},
    )  # fmt: skip
    return _whole(PackPart(folder, "", manifest), head, scope)


def escaped(raw: str, word: str) -> str:
    """The same JSON with every letter of a word written as its number."""
    return raw.replace(word, "".join(f"\\u{ord(letter):04x}" for letter in word))


WRITTEN = {
    "plainly": lambda leaf: json.dumps(leaf).encode(),
    "in numbers": lambda leaf: escaped(escaped(json.dumps(leaf), "campaign"), leaf["type"]).encode(),
    "in UTF-16": lambda leaf: json.dumps(leaf).encode("utf-16-le"),
    "in UTF-32": lambda leaf: json.dumps(leaf).encode("utf-32-be"),
    "with a mark": lambda leaf: b"\xef\xbb\xbf" + json.dumps(leaf).encode(),
    "twice": lambda leaf: json.dumps({"typf": "use.read", **leaf}).replace("typf", "type").encode(),
}
LEAVES = st.fixed_dictionaries(
    {
        "actor": st.text(max_size=5),
        "time": st.just(DAY),
        "type": st.sampled_from(["consent.decided", "use.read", "roster.committed", *sorted(_KEPT)]),
    },
    optional={"campaign": st.sampled_from([CAMPAIGN, "d" * 64]), "notice": st.text(max_size=5)},
)


@settings(max_examples=effort(500))
@given(
    st.lists(st.tuples(LEAVES, st.sampled_from(sorted(WRITTEN))), min_size=1, max_size=8),
    st.sampled_from([1, 50, 300, CHUNK]),
)
def test_what_is_found_is_what_reading_every_entry_finds(entries, piece):
    """However few bytes are unpacked at a time."""
    raws = [WRITTEN[how](leaf) for leaf, how in entries]
    read = list(enumerate(json.loads(raw) for raw in raws))
    kept = {at: leaf for at, leaf in read if "campaign" in leaf or leaf["type"] in _KEPT}
    for scope in (OF_CAMPAIGN, OF_PERIOD):
        with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
            patch.setattr("protocol.parts.CHUNK", piece)
            leaves, by_type = whole(Path(folder), scope, raws)
        assert leaves == kept
        in_scope = [leaf["type"] for _, leaf in read if scope.wants(leaf)]
        assert by_type == {kind: in_scope.count(kind) for kind in in_scope}


@pytest.mark.parametrize("raw", [b'"campaign"', b'{"campaign":', b'["campaign"]', b'{"campaign":1,"type":[]}'])
def test_an_entry_of_no_form_is_named(tmp_path, raw):
    with pytest.raises(AuditFailed, match=r"registry/log/bundles/000000\.gz: entry 1: "):
        whole(tmp_path, OF_CAMPAIGN, [b"{}", raw])
