"""The models, their flat vectors and their files."""

import json
import math
import pickle
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from credit.binning import Embedding, Grid, make_binning
from credit.errors import ModelError
from credit.features import registry_from
from credit.models import CreditModel, binning_from, build, clip_norm, flat, learning_rate, load_flat

FEATURES = [
    {"name": "late", "kind": "integer", "category": "repayment", "low": 0, "high": 60},
    {"name": "housing", "kind": "category", "category": "bureau", "values": ["own", "rent"]},
]
PEOPLE = pd.DataFrame({"late": [0.0, 3.0, None, 99.0], "housing": ["own", "rent", None, "castle"]})
KINDS = ("scorecard", "mlp")


@pytest.fixture(scope="module")
def embedding():
    grid = Grid(registry_from({"name": "test", "target": "bad", "features": FEATURES}, "here"))
    histogram = np.full(sum(grid.sizes) + 2, 300.0)
    histogram[-2:] = 2 * np.array([880.0, 120.0])
    return Embedding(grid, make_binning(grid, histogram, 1.0, 6))


@pytest.fixture(params=KINDS)
def model(request, embedding):
    parameters = np.random.default_rng(3).normal(size=len(flat(build(request.param, embedding))))
    return CreditModel(request.param, embedding, parameters)


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_survive_the_flat_vector(kind, embedding):
    vector = np.random.default_rng(1).normal(size=len(flat(build(kind, embedding)))).astype(np.float32)
    fresh = build(kind, embedding)
    load_flat(fresh, vector.astype(float))
    assert (flat(fresh) == vector).all()
    assert (flat(build(kind, embedding, vector.astype(float))) == vector).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_vector_that_does_not_fit_is_refused(kind, embedding):
    fresh = build(kind, embedding)
    before = flat(fresh)
    for wrong in (before[:-1], np.append(before, 0), before * np.nan, np.append(before[:-1], np.inf), before[:0]):
        with pytest.raises(ModelError, match="cannot be loaded"):
            load_flat(fresh, wrong)
    assert (flat(fresh) == before).all()


def test_loading_copies_the_vector(embedding):
    vector = flat(build("scorecard", embedding))
    fresh = build("scorecard", embedding, vector)
    vector += 1
    assert not np.isclose(flat(fresh), vector).any()


def test_a_scorecard_starts_at_the_released_base_rate_for_everybody(embedding):
    start = CreditModel("scorecard", embedding, flat(build("scorecard", embedding)))
    assert start.probability(PEOPLE) == pytest.approx(np.full(4, 0.12), abs=1e-6)


def test_an_mlp_starts_with_its_intercept_at_the_base_rate(embedding):
    assert flat(build("mlp", embedding))[-1] == pytest.approx(math.log(0.12 / 0.88), abs=1e-6)


def test_the_seed_fixes_the_start(embedding):
    torch.manual_seed(1)
    first = flat(build("mlp", embedding, seed=5))
    torch.manual_seed(2)
    assert (flat(build("mlp", embedding, seed=5)) == first).all()
    assert (flat(build("mlp", embedding, seed=6)) != first).any()


def test_a_model_survives_its_file(model, tmp_path):
    model.save(tmp_path / "model")
    loaded = CreditModel.load(tmp_path / "model")
    assert loaded.kind == model.kind
    assert loaded.embedding == model.embedding
    assert (loaded.parameters == model.parameters).all()
    assert (loaded.probability(PEOPLE) == model.probability(PEOPLE)).all()


def test_a_probability_is_one(model):
    probability = model.probability(PEOPLE)
    assert probability.shape == (4,)
    assert ((probability > 0) & (probability < 1)).all()


@pytest.mark.parametrize(
    "alter",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        lambda data: data + b"\0",
        lambda data: b"\xff" * 8 + data[8:],
        lambda data: data.replace(b'"tahini"', b'"sesame"'),
        lambda data: data.replace(b'\\"registry\\"', b'\\"registri\\"'),
        lambda data: data.replace(b'\\"binning\\"', b'\\"binnink\\"'),
        lambda data: data.replace(b'\\"kind\\": \\"integer\\"', b'\\"kind\\": \\"unknown\\"'),
        lambda data: data.replace(b'\\"repayment\\"', b'\\"horoscope\\"'),
        lambda data: data.replace(b'"parameters"', b'"parametres"'),
        lambda data: pickle.dumps({"parameters": [1.0]}),
    ],
)
def test_an_altered_file_is_refused(model, tmp_path, alter):
    path = tmp_path / "model"
    model.save(path)
    before = path.read_bytes()
    altered = alter(before)
    assert altered != before
    path.write_bytes(altered)
    with pytest.raises(ModelError, match="not a released model"):
        CreditModel.load(path)


def test_a_file_that_smuggles_a_forbidden_feature_is_refused(model, tmp_path):
    registry = model.embedding.grid.registry.model_dump(mode="json")
    registry["features"][0]["name"] = "religion"
    specification = {"kind": model.kind, "registry": registry, "binning": asdict(model.embedding.binning)}
    save_file({"parameters": torch.zeros(3)}, tmp_path / "model", metadata={"tahini": json.dumps(specification)})
    with pytest.raises(ModelError, match="credit-reporting law"):
        CreditModel.load(tmp_path / "model")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ModelError, match="nowhere is not a released model"):
        CreditModel.load(tmp_path / "nowhere")


def test_a_binning_survives_json(embedding):
    assert binning_from(json.loads(json.dumps(asdict(embedding.binning)))) == embedding.binning


@pytest.mark.parametrize("data", [None, [], {}, {"features": [], "population": "many", "base_rate": 0.1}])
def test_what_is_no_binning_is_refused(data):
    with pytest.raises(ModelError, match="not a binning"):
        binning_from(data)


def test_the_clip_of_a_scorecard_is_the_norm_of_a_typical_row(embedding):
    assert clip_norm("scorecard", 2) == pytest.approx(embedding.row_norm)


def test_more_noise_never_makes_steps_longer(embedding):
    rates = [learning_rate("scorecard", embedding.binning, noise, 20, 3) for noise in (0.1, 1.0, 10.0, 100.0)]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > rates[-1] > 0
