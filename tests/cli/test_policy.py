"""``tahini policy``: what a risk officer types, and what is said."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from support.commands import done, refused, told
from support.lending_cases import POLICY, POLICY_FILE

from crypto.keys import SigningKey, save_signing_key


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """The demo's policy with another cut-off and another order."""
    text = POLICY_FILE.read_text(encoding="utf-8")
    text = text.replace("[600..610)", "[590..610)").replace('"< 600"', '"< 590"').replace("version = 1", "version = 2")
    lines = text.splitlines()
    at = next(n for n, line in enumerate(lines) if 'id = "a", when = { tier' in line)
    lines[at], lines[at + 1] = lines[at + 1], lines[at]
    path = tmp_path / "changed.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_check_says_what_a_policy_is_and_whether_it_is_in_force():
    said = told("policy", "check", POLICY_FILE, "--on", "2026-11-27")
    assert said["sha256"] == POLICY.hash and said["not_in_force"] is None
    assert said["tables"]["tiers"] == {"hit": "unique", "rows": 5, "reads": ["score"]}
    assert "in force from 2026-08-01 until 2028-01-01" in done("policy", "check", POLICY_FILE, "--on", "2026-11-27")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('"[610..650)"', '"[611..650)"', "table 'tiers': no row holds at score = 610"),
        ('"[610..650)"', '"[605..650)"', "both hold at score = 605 and say different things"),
        ('"[610..650)"', '"about 620"', "table 'tiers', row 'c', score: 'about 620' is no whole number"),
        ("most_neutral = 3", "most_neutral = -1", "most_neutral must be at least 0"),
        (
            "[facts]",
            "[facts]\nfaith = { kind = 'boolean', categories = ['religion'] }",
            "about religion, which",
        ),
        ("[facts]", "[facts", "is not TOML in UTF-8"),
    ],
)
def test_check_refuses_with_the_place_and_a_point(tmp_path, old, new, sentence):
    path = tmp_path / "policy.toml"
    path.write_text(POLICY_FILE.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    assert sentence in refused("policy", "check", path, "--on", "2026-11-27")


def test_a_signed_policy_is_checked_by_its_signature(tmp_path):
    key = SigningKey.generate()
    save_signing_key(tmp_path / "risk.key", key)
    signed = tmp_path / "policy.jws"
    said = told("policy", "sign", POLICY_FILE, "--key", tmp_path / "risk.key", "--out", signed)
    assert said == {"sha256": POLICY.hash, "signed_by": key.public.text}
    on = ("--on", "2026-11-27")
    assert told("policy", "check", signed, "--signed-by", key.public.text, *on)["sha256"] == POLICY.hash
    other = SigningKey.generate().public.text
    assert "does not verify" in refused("policy", "check", signed, "--signed-by", other, *on)
    assert "exists already" in refused("policy", "sign", POLICY_FILE, "--key", tmp_path / "risk.key", "--out", signed)


def test_diff_says_what_changes_and_for_how_many(changed, tmp_path):
    people = tmp_path / "people.csv"
    head = "score,has_file,identity_verified,arrears_days,open_loans,applications_7d,purpose,amount,burden"
    rows = [f"{score},true,true,0,1,0,shopping,100000,300" for score in (500, 595, 599, 605, 700)]
    people.write_text("\n".join([head, *rows, "595,,,,,,,,"]), encoding="utf-8")
    said = told("policy", "diff", POLICY_FILE, changed, "--data", people)
    kinds = [(row["table"], row["row"], row["kind"]) for row in said["rows"]]
    assert kinds == [
        ("tiers", "grey", "changed"),
        ("tiers", "below", "changed"),
        ("limits", "b", "moved"),
        ("limits", "a", "moved"),
    ]
    assert [one["field"] for one in said["fields"]] == ["version"]
    effect = said["effect"]
    assert effect["people"] == 6 and effect["changed"] == 3
    assert {"before": "decline", "after": "review", "people": 3} in effect["outcomes"]
    table = pd.read_csv(people)
    table.to_parquet(tmp_path / "people.parquet")
    table.to_json(tmp_path / "people.jsonl", orient="records", lines=True)
    for form in ("parquet", "jsonl"):
        again = told("policy", "diff", POLICY_FILE, changed, "--data", tmp_path / f"people.{form}")
        assert again["effect"] == effect
    assert "3 of 6 get another outcome" in done("policy", "diff", POLICY_FILE, changed, "--data", people)
    assert done("policy", "diff", POLICY_FILE, POLICY_FILE) == "they say the same\n"


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("people.csv", "score\n600\nhigh\n", "person 2: score is not of kind integer"),
        ("people.jsonl", '{"score": 600}\n[]\n', "line 2 is no object of facts"),
        ("people.jsonl", "{\n", "line 1 is not JSON"),
        ("people.txt", "", "people stand in a .csv, .jsonl or .parquet file"),
    ],
)
def test_people_that_cannot_be_read_are_refused_without_their_values(changed, tmp_path, name, text, sentence):
    (tmp_path / name).write_text(text, encoding="utf-8")
    said = refused("policy", "diff", POLICY_FILE, changed, "--data", tmp_path / name)
    assert sentence in said and "high" not in said


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


BROKEN = {
    "a.parquet": b"PAR1",
    "b.parquet": b"no parquet at all",
    "c.jsonl": b'{"score": "\xff"}',
    "d.jsonl": nested(100_000).encode(),
    "e.csv": b"score\n\xff\n",
    "f.csv": b'score\n"' + b"6" * 140_000 + b"\n",
    "g.csv": b"score\n6\x00\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_people_in_a_broken_file_are_refused_in_a_sentence(changed, tmp_path, name):
    file = tmp_path / name
    file.write_bytes(BROKEN[name])
    assert str(file) in refused("policy", "diff", POLICY_FILE, changed, "--data", file)


@pytest.mark.parametrize("depth", [900, 5_000, 100_000])
@pytest.mark.parametrize(
    ("name", "text"),
    [("a.json", "{}"), ("b.json", '{{"x": {}}}'), ("c.toml", "x = {}"), ("d.json", '{{"nodes": {}, "edges": []}}'),
     ("e.json", '{{"facts": {{"x": {}}}, "tables": {{"tiers": {{"rows": [{{"when": {{"x": {}}}}}]}}}}}}')],
)  # fmt: skip
def test_a_policy_that_nests_too_deep_is_refused_in_a_sentence(tmp_path, name, text, depth):
    file = tmp_path / name
    file.write_text(text.format(nested(depth), nested(depth)), encoding="utf-8")
    assert str(file) in refused("policy", "check", file)
    assert str(file) in refused("policy", "import", file, "--into", POLICY_FILE, "--out", tmp_path / "new.toml")
    assert str(file) in refused("policy", "try", POLICY_FILE, "--facts", file) or depth < 5_000


@pytest.mark.parametrize("name", ["a.toml", "a.json", "a.jws"])
@pytest.mark.parametrize("content", [b"\xff\xfe", b"\x00", b"", b"x" * 10, b"[" * 5000])
def test_a_file_that_is_no_policy_is_refused_in_a_sentence(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert refused("policy", "check", tmp_path / name)


def test_try_says_of_every_row_whether_it_held_and_why(tmp_path):
    facts = {"score": 680, "has_file": True, "arrears_days": 45, "open_loans": None, "identity_verified": True}
    path = tmp_path / "somebody.json"
    path.write_text(json.dumps(facts), encoding="utf-8")
    said = told("policy", "try", POLICY_FILE, "--facts", path)
    assert said["outcome"] == "decline" and said["tier"] == "b" and said["limit"] == 5_000_000
    held = {one["row"]: one["held"] for one in said["tables"]["knock_outs"]}
    assert held == {"not-verified": False, "in-arrears": True, "too-many-loans": None, "purpose": None}
    assert "open_loans" in said["missing"]
    assert "arrears_days = 45" in done("policy", "try", POLICY_FILE, "--facts", path)
    path.write_text('{"colour": "blue"}', encoding="utf-8")
    assert "'colour' is no fact of this policy" in refused("policy", "try", POLICY_FILE, "--facts", path)
    path.write_text('{"score": "high"}', encoding="utf-8")
    assert "score is not of kind integer" in refused("policy", "try", POLICY_FILE, "--facts", path)


def test_a_policy_goes_to_gorules_and_back(tmp_path):
    graph, again = tmp_path / "graph.json", tmp_path / "again.toml"
    done("policy", "export", POLICY_FILE, "--out", graph)
    done("policy", "import", graph, "--into", POLICY_FILE, "--out", again)
    assert told("policy", "check", again, "--on", "2026-11-27")["id"] == "first-loans"
    assert done("policy", "diff", POLICY_FILE, again) == "they say the same\n"
    graph.write_text(graph.read_text(encoding="utf-8").replace(">= 700", ">= limit"), encoding="utf-8")
    said = refused("policy", "import", graph, "--into", POLICY_FILE, "--out", tmp_path / "third.toml")
    assert "row 'a', score: 'limit' is no whole number" in said
