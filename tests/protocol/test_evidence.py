"""Parts of evidence packs: scopes, files, seals, and the model card in other tools' words."""

from __future__ import annotations

import io
import tarfile
import tracemalloc

import pytest

from crypto.errors import SealError
from crypto.keys import RecipientKey
from protocol.bom import bill_of_materials
from protocol.cards import ModelCard
from protocol.errors import AuditFailed, Conflict, Malformed
from protocol.evidence import PackScope, ScopeKind, percentiles
from protocol.parts import CHUNK, new_part, opened_tar, seal_part, unpack, unseal_part

MANIFEST = "eyJ.eyJ.AA"


def part(*files: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with new_part() as made:
        for path, content in files:
            made.add(path, content)
        made.write(MANIFEST, out)
    return out.getvalue()


def facts(*files: tuple[str, bytes]):
    with new_part() as made:
        for path, content in files:
            made.add(path, content)
        return made.files


FILES = (("log/checkpoint", b"c"), ("a.json", b"{}"), ("b/c/d.jws", b"x" * 5000))


def test_the_same_files_make_the_same_bytes_in_whatever_order_they_come():
    assert part(*FILES) == part(*reversed(FILES)), "order, time and owner leave no trace"
    with tarfile.open(fileobj=io.BytesIO(part(*FILES))) as tar:
        members = tar.getmembers()
    assert [one.name for one in members] == sorted(one.name for one in members)
    assert {(one.mtime, one.uid, one.gid, one.uname) for one in members} == {(0, 0, 0, "")}


def test_what_was_added_in_pieces_is_added_as_a_whole():
    with new_part() as made:
        made.add("a", iter([b"one", b"two"]))
        assert made.files == facts(("a", b"onetwo"))


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../b", ".hidden", "a//b", "", "a/b/", "ü", "a" * 201])
def test_a_path_that_leads_elsewhere_is_refused(path):
    with new_part() as made, pytest.raises(Malformed):
        made.add(path, b"")


def test_a_path_twice_is_refused():
    with new_part() as made, pytest.raises(Conflict):
        made.add("a", b"")
        made.add("a", b"")


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize(
    "members",
    [
        [member("manifest.jws"), member("../evil")],
        [member("manifest.jws"), member("link", tarfile.SYMTYPE, "/etc/passwd")],
        [member("manifest.jws"), member("link", tarfile.LNKTYPE, "manifest.jws")],
        [member("manifest.jws"), member("a"), member("a")],
        [member("a")],
        [member("manifest.jws"), member("null", tarfile.CHRTYPE)],
    ],
)
def test_a_tar_that_holds_anything_but_plain_files_is_refused(members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for one in members:
            tar.addfile(one)
    out.seek(0)
    with pytest.raises((AuditFailed, Malformed)), opened_tar(out, "x.part"):
        pass


def test_an_extended_header_is_refused_and_not_read(tmp_path):
    """One of 300 MiB took 2 GiB of memory, before any signature was looked at."""
    info, file = member("manifest.jws"), tmp_path / "pax.part"
    info.pax_headers = {"comment": "x" * (16 << 20)}
    with tarfile.open(file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(info)
    tracemalloc.start()
    try:
        with file.open("rb") as opened, pytest.raises(AuditFailed, match="no plain file"), opened_tar(opened, "x.part"):
            pass
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    with pytest.raises(AuditFailed), opened_tar(io.BytesIO(b"\xff" * 1024), "x.part"):
        pass


def test_only_what_the_manifest_says_is_unpacked(tmp_path):
    with opened_tar(io.BytesIO(part(*FILES)), "x") as (token, members, tar):
        assert token == MANIFEST
        unpack(tar, members, facts(*FILES), tmp_path / "good")
        assert (tmp_path / "good/b/c/d.jws").read_bytes() == b"x" * 5000
        with pytest.raises(AuditFailed, match="another file than"):
            unpack(tar, members, facts(("a.json", b"[]"), *FILES[:1], *FILES[2:]), tmp_path / "other")
        with pytest.raises(AuditFailed, match="not in both"):
            unpack(tar, members, facts(*FILES[1:]), tmp_path / "less")


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_a_sealed_part_opens_whole_or_not_at_all(size):
    key, content = RecipientKey.generate(), bytes(size)
    sealed, opened = io.BytesIO(), io.BytesIO()
    seal_part(io.BytesIO(content), "auditor", key.public, sealed)
    unseal_part(io.BytesIO(sealed.getvalue()), key, opened)
    assert opened.getvalue() == content
    header, _, rest = sealed.getvalue().partition(b"\n")
    pieces = []
    while rest:
        length = 4 + int.from_bytes(rest[:4], "big")
        pieces.append(rest[:length])
        rest = rest[length:]
    damaged = [pieces[:-1], [*pieces, pieces[-1]], pieces[::-1] if len(pieces) > 1 else pieces[:-1]]
    damaged.append([*pieces[:-1], pieces[-1][:-1] + bytes([pieces[-1][-1] ^ 1])])
    for some in damaged:
        with pytest.raises(SealError):
            unseal_part(io.BytesIO(header + b"\n" + b"".join(some)), key, io.BytesIO())
    with pytest.raises(SealError):
        unseal_part(io.BytesIO(sealed.getvalue()), RecipientKey.generate(), io.BytesIO())


def test_a_scope_has_one_spelling():
    year = PackScope.parse("period:2026")
    assert year.text == PackScope.parse("period:2026-01-01..2026-12-31").text
    assert PackScope.parse("lender:aspen:2026").text == "lender:aspen:2026-01-01..2026-12-31"
    campaign = PackScope.parse("campaign:" + "a" * 64)
    assert campaign.public() == {"export": {"kind": "campaign", "scope": campaign.sha256}, "campaign": "a" * 64}
    assert (year.kind, year.public().get("campaign")) == (ScopeKind.PERIOD, None)


@pytest.mark.parametrize(
    "text", ["", "period:", "period:26", "period:2026-02-30..2026-03-01", "period:2026-02-02..2026-02-01",
             "campaign:AA", "lender:2026", "lender:A:2026", "all:2026"],
)  # fmt: skip
def test_what_is_no_scope_is_refused(text):
    with pytest.raises(Malformed):
        PackScope.parse(text)


def test_a_period_wants_its_days_and_a_lender_what_it_wrote_or_was_told():
    leaf = {"time": "2026-12-31T00:00:00.000000Z", "actor": "registry", "lender": "aspen"}
    assert PackScope.parse("period:2026").wants(leaf)
    assert not PackScope.parse("period:2027").wants(leaf)
    assert PackScope.parse("lender:aspen:2026").wants(leaf)
    assert not PackScope.parse("lender:birch:2026").wants(leaf)


def test_percentiles_of_days():
    assert percentiles({}) == {"p50_days": None, "p95_days": None, "most_days": None}
    assert percentiles({0: 94, 1: 5, 9: 1}) == {"p50_days": 0, "p95_days": 1, "most_days": 9}


def test_a_model_card_as_a_bill_of_materials():
    """The fields that CycloneDX 1.6 requires, and those of its modelCard."""
    figure = {"value": 0.7, "error": 0.01}
    segment = {"name": "everybody", "people": figure, "auc": figure, "ks": None}
    card = ModelCard(
        campaign_sha256="a" * 64, campaign_title="Spring", model="scorecard", model_sha256="b" * 64, features=("late",),
        purpose="p", legal_basis="l", lenders=("aspen",), epsilon=1.0, epsilon_spent=0.5, delta=1e-5, mechanism={},
        releases=3, population_released=1.0, base_rate_released=0.1, evaluation={"segments": [segment]},
        released_at="2026-01-01T00:00:00Z",
    )  # fmt: skip
    bom = bill_of_materials(card)
    assert (bom["bomFormat"], bom["specVersion"], bom["version"]) == ("CycloneDX", "1.6", 1)
    assert bom["metadata"]["timestamp"] == "2026-01-01T00:00:00Z"
    (model,) = bom["components"]
    assert (model["type"], model["name"]) == ("machine-learning-model", "Spring")
    assert model["hashes"] == [{"alg": "SHA-256", "content": "b" * 64}]
    assert set(model["modelCard"]) == {"modelParameters", "quantitativeAnalysis", "considerations"}
    assert model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"] == [
        {"type": "auc", "value": "0.7", "slice": "everybody",
         "confidenceInterval": {"lowerBound": "0.68", "upperBound": "0.72"}}
    ]  # fmt: skip
    assert {"name": "tahini:privacy:epsilon_spent", "value": "0.5"} in model["properties"]
    assert bill_of_materials(card) == bom
