"""Applicants are scored by a model whose card verifies, from any file, with points and reasons, or one sentence."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from support import scorecards
from support.commands import done, refused, told

from cli.score import _tables
from credit.bands import BANDS
from credit.models import CreditModel
from credit.scaling import score
from crypto.keys import SigningKey
from protocol.cards import ModelCard
from protocol.errors import ConsentError
from protocol.schema import now


@pytest.fixture(scope="module")
def signed(ground, tmp_path_factory):
    """A lender's home, a model with a card that the coordinator signed, applicants in every kind of file."""
    root = tmp_path_factory.mktemp("scoring")
    model = scorecards.model(seed=2, size=0.4)
    model.save(root / "model.safetensors")
    card = ModelCard(
        campaign_sha256="0" * 64,
        campaign_title="by hand",
        model="scorecard",
        model_sha256=hashlib.sha256((root / "model.safetensors").read_bytes()).hexdigest(),
        features=model.embedding.grid.schema.names,
        purpose="credit",
        legal_basis="consent",
        lenders=("aspen",),
        epsilon=1.0,
        delta=1e-6,
        mechanism={},
        releases=1,
        population_released=1000.0,
        base_rate_released=0.1,
        released_at=now(),
    )
    with ground.copy(root / "house").opened() as house:
        home, key = house.founded.node_home("aspen"), house.coordinator().key
    (root / "model-card.jws").write_text(card.sign(key), encoding="utf-8")
    people = scorecards.many(200, 8)
    people.to_csv(root / "applicants.csv", index=False)
    people.to_parquet(root / "applicants.parquet")
    (root / "applicants.json").write_text(people.to_json(orient="records", double_precision=15), encoding="utf-8")
    (root / "lines.json").write_text(
        people.to_json(orient="records", lines=True, double_precision=15), encoding="utf-8"
    )
    return Signed(home, root, people, model, card, key)


@dataclass(frozen=True)
class Signed:
    home: Path
    root: Path
    people: pd.DataFrame
    model: CreditModel
    card: ModelCard
    key: SigningKey


@pytest.fixture
def asked(signed):
    return ("score", "--home", signed.home, "--model", signed.root / "model.safetensors")


@pytest.mark.parametrize("name", ["applicants.csv", "applicants.parquet", "applicants.json", "lines.json"])
def test_the_same_scores_come_from_every_kind_of_file_and_they_are_the_models(signed, asked, name):
    found = told(*asked, "--data", signed.root / name)
    assert not found["approvals_checked"]
    assert [one["score"] for one in found["people"]] == score(signed.model.probability(signed.people)).tolist()
    assert [one["row"] for one in found["people"]] == list(range(1, 201))
    assert [band["least"] for band in found["bands"]] == [350, 550, 600, 650, 700]


def test_a_score_is_not_read_by_other_bands_than_the_card_states(signed, asked, tmp_path):
    table = BANDS.table()
    for bands, fits in ((table, True), ([table[0] | {"pd_at_least": 0.5}, *table[1:]], False)):
        stated = ModelCard.model_validate(signed.card.payload() | {"bands": bands})
        (tmp_path / "card.jws").write_text(stated.sign(signed.key), encoding="utf-8")
        what = (*asked, "--card", tmp_path / "card.jws", "--data", signed.root / "applicants.csv")
        assert told(*what)["people"] if fits else "other bands of the score" in refused(*what)


def test_whoever_has_no_node_pins_the_consortium(signed, asked, tmp_path):
    what = ("--model", signed.root / "model.safetensors", "--data", signed.root / "applicants.csv")
    settings = json.loads((signed.home / "node.json").read_text(encoding="utf-8"))
    pinned = ("score", "--consortium", signed.home / "consortium.jws", "--registry-key", settings["registry_key"])
    assert told(*pinned, *what) == told(*asked, *what[2:])
    other = (*pinned[:-1], SigningKey.generate().public.text)
    for wrong, said in [
        (other, "signed by another key|does not verify|signature"),
        (("score",), "say whom to believe"),
        ((*pinned, "--home", signed.home), "say whom to believe"),
        (("score", "--consortium", signed.home / "consortium.jws"), "registry's key"),
    ]:
        assert re.search(said, refused(*wrong, *what))


def test_points_and_reasons_are_told_in_both_languages(signed, asked, tmp_path):
    root = signed.root
    families = tmp_path / "families.toml"
    families.write_text(
        '[families.debts]\nfeatures = ["late"]\nen = "late payments"\nzh = "逾期还款"\n[changeable]\nlate = "down"\n',
        encoding="utf-8",
    )
    plain = told(*asked, "--data", root / "applicants.csv")["people"]
    cut_off = sorted(one["score"] for one in plain)[120]
    options = ("--data", root / "applicants.csv", "--explain", "--cut-off", cut_off, "--families", families)
    people = told(*asked, *options)["people"]
    assert all(one["base"] + sum(one["points"].values()) == one["score"] for one in people)
    below = [one for one in people if one["score"] < cut_off]
    assert below and all(1 <= len(one["reasons"]) <= 4 for one in below)
    late = next(one for one in below if any(r["code"] == "debts" for r in one["reasons"]))
    assert any(r["sentence"].startswith("late payments: ") for r in late["reasons"])
    assert any(one["what_if"] and "instead of" in one["what_if"] for one in below)
    assert all(one["what_if"] is None for one in people if one["score"] >= cut_off)
    assert "逾期还款：比刚达到标准的人低" in done(*asked, *options, "--language", "zh")


def test_scores_are_written_to_a_file(signed, asked, tmp_path):
    root = signed.root
    out = tmp_path / "scores.csv"
    said = done(*asked, "--data", root / "applicants.csv", "--out", out, "--explain", "--cut-off", "500")
    assert "200 people scored" in said
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 200
    for row in rows:
        assert int(row["base"]) + sum(int(v) for k, v in row.items() if k.startswith("points ")) == int(row["score"])
    lines = tmp_path / "scores.json"
    assert told(*asked, "--data", root / "applicants.csv", "--out", lines)["people"] == 200
    objects = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
    assert [one["score"] for one in objects] == [int(row["score"]) for row in rows]


def test_the_printed_expression_scores_as_the_command_does(signed, asked):
    root = signed.root
    expression = done(*asked, "--export", "sql")
    with duckdb.connect() as connection:
        query = f"SELECT {expression} FROM read_parquet('{root}/applicants.parquet')"
        got = sorted(one for (one,) in connection.execute(query).fetchall())
    assert got == sorted(one["score"] for one in told(*asked, "--data", root / "applicants.parquet")["people"])
    assert done(*asked, "--export", "csv").startswith("part,feature,bin,")


def test_a_model_without_its_card_or_with_anothers_scores_nobody(signed, asked, tmp_path):
    data = ("--data", signed.root / "applicants.csv")
    alone = tmp_path / "model.safetensors"
    alone.write_bytes((signed.root / "model.safetensors").read_bytes())
    moved = ("score", "--home", signed.home, "--model", alone, *data)
    assert "a model without its card scores nobody" in refused(*moved)
    card = signed.root / "model-card.jws"
    assert "approvals and log entry are not beside it" in done(*moved, "--card", card)

    def by(key, **changes):
        (tmp_path / "other.jws").write_text(signed.card.model_copy(update=changes).sign(key), encoding="utf-8")
        return ("--card", tmp_path / "other.jws")

    assert "signature" in refused(*moved, *by(SigningKey.generate()))
    assert "is not the file that the card" in refused(*moved, *by(signed.key, model_sha256="1" * 64))
    assert "another kind of model than its card says" in refused(*moved, *by(signed.key, features=("late",)))
    alone.write_bytes(alone.read_bytes() + b" ")
    assert "is not the file that the card" in refused(*moved, "--card", card)


def test_a_model_with_a_protected_feature_scores_nobody(signed, tmp_path):
    """Signed and released as it may be: its schema does not load."""
    grid = signed.model.embedding.grid
    feature = grid.schema.features[1].model_copy(update={"description": "婚姻状况"})
    features = (grid.schema.features[0], feature, *grid.schema.features[2:])
    schema = grid.schema.model_copy(update={"features": features})
    embedding = replace(signed.model.embedding, grid=replace(grid, schema=schema))
    path = tmp_path / "model.safetensors"
    replace(signed.model, embedding=embedding).save(path)
    card = signed.card.model_copy(update={"model_sha256": hashlib.sha256(path.read_bytes()).hexdigest()})
    (tmp_path / "model-card.jws").write_text(card.sign(signed.key), encoding="utf-8")
    asked = ("score", "--home", signed.home, "--model", path, "--data", signed.root / "applicants.csv")
    assert "feature 'balance' is about marital, which the law forbids (CN: PIPL 24(1)" in refused(*asked)


def test_bad_input_is_refused_in_one_sentence(signed, asked, tmp_path):
    first, row = ",".join(signed.people.columns), "1,2,0.5,4,1,x"

    def data(name, text):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return ("--data", tmp_path / name)

    cases = {
        "has no column 'used'": data("a.csv", "late,balance\n1,2\n"),
        "'late' holds something that is no number or date in 1 rows": data("b.csv", f"{first}\n{row}\nmany{row[1:]}\n"),
        "line 3": data("c.csv", f"{first}\n{row}\n1,2\n"),
        "is not JSON": data("d.json", "{"),
        "no list of objects": data("e.json", "[1]"),
        ".parquet, .csv or .json file": data("f.xlsx", ""),
        "cannot read": data("g.parquet", "PAR1"),
        "nests too deep": data("i.json", "[" * 100_000),
    }
    (tmp_path / "j.json").write_bytes(b'[{"late": "\xff"}]')
    cases |= {"is not JSON in UTF-8": ("--data", tmp_path / "j.json")}
    for why, arguments in cases.items():
        assert why in refused(*asked, *arguments)
    good = data("h.csv", signed.people.head(3).to_csv(index=False))
    assert "say either whom to score" in refused(*asked)
    assert "say either whom to score" in refused(*asked, *good, "--export", "sql")
    assert "write scores to a .csv or a .json" in refused(*asked, *good, "--out", tmp_path / "scores.xls")
    assert "nobody in the sample scored 940 to 959" in refused(*asked, *good, "--explain", "--cut-off", "940")
    families = tmp_path / "families.toml"
    families.write_text("[families", encoding="utf-8")
    assert "is not TOML" in refused(*asked, *good, "--families", families)


def test_a_failure_leaves_no_half_of_a_file(signed, asked, tmp_path):
    text = signed.people.head(5).to_csv(index=False) + "many,2,0.5,4,1,x\n"
    (tmp_path / "bad.csv").write_text(text, encoding="utf-8")
    out = tmp_path / "scores.csv"
    refused(*asked, "--data", tmp_path / "bad.csv", "--out", out)
    assert not out.exists()


def test_seventeen_digits_and_one_point_nought_survive_every_file(tmp_path):
    """The reading itself (trap 8): no kind of file turns a code into another."""
    model = scorecards.model()
    rows = [scorecards.ordinary() | {"housing": code} for code in (int(scorecards.LONG_CODE), 1, None)]
    frame = pd.DataFrame(
        {**{k: [r[k] for r in rows] for k in rows[0]}, "housing": pd.array([r["housing"] for r in rows], "Int64")}
    )
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_csv(tmp_path / "a.csv", index=False)
    (tmp_path / "a.json").write_text(json.dumps(rows), encoding="utf-8")
    for kind in ("parquet", "csv", "json"):
        (table,) = _tables(tmp_path / f"a.{kind}", model)
        assert model.embedding.bins(table)[:, 4].tolist() == [4, 0, 6], kind


def test_stale_values_are_forgotten_as_in_training(tmp_path):
    """A feature with a date is only as good as its date: an old value is missing, a column without dates is refused."""
    model = scorecards.model()
    schema = model.embedding.grid.schema
    dated = schema.features[1].model_copy(update={"dated_by": "seen_on", "retention_days": 30})
    grid = replace(
        model.embedding.grid,
        schema=schema.model_copy(update={"features": (schema.features[0], dated, *schema.features[2:])}),
    )
    model = replace(model, embedding=replace(model.embedding, grid=grid))
    rows = [scorecards.ordinary() | {"seen_on": day} for day in ("2019-01-01", "2999-01-01", None)]
    (tmp_path / "a.json").write_text(json.dumps(rows), encoding="utf-8")
    (table,) = _tables(tmp_path / "a.json", model)
    assert table["balance"].isna().tolist() == [True, False, True]
    (tmp_path / "b.json").write_text(json.dumps([scorecards.ordinary()]), encoding="utf-8")
    with pytest.raises(ConsentError, match="no column 'seen_on'"):
        list(_tables(tmp_path / "b.json", model))
