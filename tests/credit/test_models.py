"""The models, their flat vectors and their files."""

import json
import pickle
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from support.world import schema_of

from credit.cutting import make_binning
from credit.embedding import Embedding
from credit.errors import ModelError
from credit.grid import Grid
from credit.models import (
    KNOTS,
    UNCALIBRATED,
    CreditModel,
    binning_from,
    check_calibration,
    flat,
    fold,
    layers,
    load_flat,
    network,
    size,
    start,
)

FEATURES = [
    {"name": "late", "kind": "integer", "category": "repayment", "low": 0, "high": 60},
    {"name": "housing", "kind": "category", "category": "bureau", "values": ["own", "rent"]},
]
PEOPLE = pd.DataFrame({"late": [0.0, 3.0, None, 99.0], "housing": ["own", "rent", None, "castle"]})
KINDS = ("scorecard", "gam", "mlp")
BENT = tuple((KNOTS + 0.02 * KNOTS**2 / 2 - 0.3).tolist())


@pytest.fixture(scope="module")
def embedding():
    grid = Grid(schema_of(*FEATURES))
    late = np.append(np.arange(60.0), [np.nan] * 5)
    table = pd.DataFrame({"late": np.repeat(late, 5), "housing": np.resize(["own", "rent", None], 5 * len(late))})
    labels = (np.arange(len(table)) % 8 == 0).astype(np.int64)
    return Embedding(grid, make_binning(grid, grid.histogram(table, labels).astype(float), 1.0, 6))


@pytest.fixture(params=KINDS)
def model(request, embedding):
    parameters = np.random.default_rng(3).normal(size=size(request.param, embedding.width))
    return CreditModel(request.param, embedding, parameters, BENT)


def random_flat(kind, width, seed=1):
    return np.random.default_rng(seed).normal(size=size(kind, width))


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_survive_the_flat_vector(kind):
    vector = random_flat(kind, 9).astype(np.float32).astype(float)
    assert (flat(network(kind, 9, vector)) == vector).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_vector_that_does_not_fit_is_refused(kind):
    before = random_flat(kind, 9).astype(np.float32).astype(float)
    fresh = network(kind, 9, before)
    for wrong in (before[:-1], np.append(before, 0), before * np.nan, np.append(before[:-1], np.inf), before[:0]):
        with pytest.raises(ModelError, match="cannot be loaded"):
            load_flat(fresh, wrong)
        with pytest.raises(ModelError, match="cannot be loaded"):
            network(kind, 9, wrong)
    assert (flat(fresh) == before).all()


def test_loading_copies_the_vector():
    vector = np.zeros(9)
    fresh = network("scorecard", 9, vector)
    vector += 1
    assert not flat(fresh).any()


@pytest.mark.parametrize("kind", KINDS)
def test_training_starts_at_the_offset_for_everybody(kind):
    inputs = torch.randn(6, 9)
    assert network(kind, 9, start(kind, 9, 0), -1.99)(inputs).tolist() == pytest.approx([-1.99] * 6)


def test_the_seed_fixes_the_start_and_the_hidden_units_differ():
    torch.manual_seed(1)
    first = start("mlp", 9, 5)
    torch.manual_seed(2)
    assert (start("mlp", 9, 5) == first).all()
    assert (start("mlp", 9, 6) != first).any()
    hidden = first[: 16 * 9].reshape(16, 9)
    assert np.linalg.matrix_rank(hidden) == 9


@pytest.mark.parametrize("kind", KINDS)
def test_the_differentiated_layers_are_the_network(kind):
    parameters, inputs = random_flat(kind, 9), torch.randn(50, 9, generator=torch.Generator().manual_seed(0))
    *hidden, last = layers(kind, 9, parameters, torch.device("cpu"))
    flow = inputs.double()
    for layer in hidden:
        flow = torch.tanh(layer(flow))
    by_layers = last(flow).squeeze(1) + 0.7
    by_network = network(kind, 9, parameters, 0.7)(inputs).detach()
    assert by_layers.numpy() == pytest.approx(by_network.numpy(), abs=1e-4)
    assert by_layers.std() > 0.5
    assert sum(layer.parameters for layer in (*hidden, last)) == size(kind, 9)


@settings(max_examples=25)
@given(st.sampled_from(KINDS), st.integers(1, 9), st.floats(-5, 5), st.integers(0, 1000))
def test_folding_gives_the_same_logits_on_plain_inputs(kind, directions, offset, seed):
    generator = np.random.default_rng(seed)
    coordinates, plain = generator.normal(size=(9, directions)), generator.normal(size=(40, 9))
    plain[:, -1] = 1.0
    parameters = random_flat(kind, directions, seed)
    inside = network(kind, directions, parameters, offset)(torch.from_numpy(plain @ coordinates).float())
    folded = fold(kind, parameters, coordinates, offset)
    assert len(folded) == size(kind, 9)
    outside = network(kind, 9, folded)(torch.from_numpy(plain).float())
    assert outside.detach().numpy() == pytest.approx(inside.detach().numpy(), abs=2e-4)


def test_folding_leaves_the_parameters_alone():
    for kind in KINDS:
        parameters = random_flat(kind, 9)
        before = parameters.copy()
        fold(kind, parameters, np.eye(9), 2.0)
        assert (parameters == before).all()


def test_a_model_survives_its_file(model, tmp_path):
    model.save(tmp_path / "model")
    loaded = CreditModel.load(tmp_path / "model")
    assert loaded.kind == model.kind
    assert loaded.embedding == model.embedding
    assert (loaded.parameters == model.parameters).all()
    assert loaded.calibration == model.calibration == BENT
    assert (loaded.probability(PEOPLE) == model.probability(PEOPLE)).all()


def test_a_calibration_bends_logits_at_its_knots_and_straight_between(model):
    raw = replace(model, calibration=UNCALIBRATED).logit(PEOPLE)
    assert raw == pytest.approx(np.clip(model.raw_logit(PEOPLE), -12, 12), abs=1e-9)
    assert model.logit(PEOPLE) == pytest.approx(np.interp(model.raw_logit(PEOPLE), KNOTS, BENT))
    assert np.abs(model.logit(PEOPLE) - raw).max() > 0.1


@settings(max_examples=40)
@given(
    st.lists(st.floats(0.05, 3), min_size=48, max_size=48),
    st.floats(-3, 3),
    st.lists(st.floats(-30, 30), min_size=2, max_size=30),
)
def test_a_calibration_that_rises_never_swaps_two_people(rises, first, logits):
    values = tuple(np.concatenate([[first], first + np.cumsum(rises)]).tolist())
    check_calibration(values)
    moved = np.interp(np.sort(logits), KNOTS, values)
    assert (np.diff(moved) >= 0).all()


DAMAGED = {
    "too short": BENT[:-1],
    "too long": (*BENT, 99.0),
    "empty": (),
    "falls": (*BENT[:20], BENT[19] - 1, *BENT[21:]),
    "level": (*BENT[:20], BENT[19], *BENT[21:]),
    "not a number": (*BENT[:-1], float("nan")),
    "infinite": (*BENT[:-1], float("inf")),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_calibration_is_refused(model, tmp_path, damage):
    check_calibration(BENT)
    with pytest.raises(ModelError, match="does not rise"):
        check_calibration(DAMAGED[damage])
    replace(model, calibration=DAMAGED[damage]).save(tmp_path / "model")
    with pytest.raises(ModelError, match="not a released model"):
        CreditModel.load(tmp_path / "model")


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
        lambda data: data.replace(b'\\"calibration\\"', b'\\"calibrition\\"'),
        lambda data: data.replace(b'\\"calibration\\": [', b'\\"calibration\\": ]'),
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
    schema = model.embedding.grid.schema.model_dump(mode="json")
    schema["features"][0]["name"] = "religion"
    specification = {"kind": model.kind, "registry": schema, "binning": asdict(model.embedding.binning)}
    save_file({"parameters": torch.zeros(3)}, tmp_path / "model", metadata={"tahini": json.dumps(specification)})
    with pytest.raises(ModelError, match="which the law forbids"):
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
