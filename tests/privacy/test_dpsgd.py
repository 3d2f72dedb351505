"""DP-SGD against a loop over records, one at a time."""

import numpy as np
import pytest
import torch
from torch import nn

from privacy import dpsgd
from privacy.charges import Charge
from privacy.dpsgd import DpSgd, train
from privacy.errors import PrivacyError
from privacy.noise import GRID_STEPS_PER_STD

ALMOST_NO_NOISE = 1e-6


def settings(**changes):
    standard = {
        "clip_norm": 0.3,
        "noise_multiplier": ALMOST_NO_NOISE,
        "sampling_rate": 1.0,
        "steps": 1,
        "learning_rate": 1.0,
    }
    return DpSgd(**(standard | changes))


def network():
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 1), nn.Flatten(0))


def weights(model):
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()]).double().numpy()


def naive_sum(model, features, labels, clip):
    """The sum of clipped gradients, one record after the other."""
    total = 0.0
    for row, label in zip(features, labels, strict=True):
        loss = nn.functional.binary_cross_entropy_with_logits(model(row[None]), label[None].float(), reduction="sum")
        gradient = torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, list(model.parameters()))])
        total = total + gradient.double().numpy() * min(1.0, clip / float(gradient.norm()))
    return total


@pytest.fixture
def records():
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(23, 5, generator=generator)
    features[:6] *= 0.05  # some gradients lie below the clip, most above
    return features, torch.randint(0, 2, (23,), generator=generator)


def test_a_step_is_the_sum_of_gradients_clipped_one_by_one(records):
    model, clip = network(), 0.8
    expected, before = naive_sum(model, *records, clip), weights(model)
    unclipped = naive_sum(model, *records, 1e9)
    train(model, *records, settings(clip_norm=clip), population=23)
    assert (before - weights(model)) * 23 == pytest.approx(expected, abs=1e-4)
    assert np.abs(expected - unclipped).max() > 0.1


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_several_steps_follow_gradient_descent_with_momentum(records, momentum):
    model, reference = network(), network()
    train(model, *records, settings(steps=4, learning_rate=0.5, momentum=momentum), population=23)
    velocity = 0.0
    for _ in range(4):
        velocity = momentum * velocity + naive_sum(reference, *records, 0.3)
        moved = torch.from_numpy(weights(reference) - 0.5 / 23 * velocity).float()
        nn.utils.vector_to_parameters(moved, reference.parameters())
    assert weights(model) == pytest.approx(weights(reference), abs=1e-4)


@pytest.mark.parametrize("records_at_once", [1, 2, 7, 22, 23, 24])
def test_clipping_in_slices_changes_nothing(records, records_at_once, monkeypatch):
    model = network()
    expected, before = naive_sum(model, *records, 0.3), weights(model)
    monkeypatch.setattr(dpsgd, "SLICE_VALUES", records_at_once * len(before))
    train(model, *records, settings(), population=23)
    assert (before - weights(model)) * 23 == pytest.approx(expected, abs=1e-4)


def test_slices_carry_nothing_over_from_step_to_step(records, monkeypatch):
    whole, sliced = network(), network()
    train(whole, *records, settings(steps=3), population=23)
    monkeypatch.setattr(dpsgd, "SLICE_VALUES", 5 * len(weights(sliced)))
    train(sliced, *records, settings(steps=3), population=23)
    assert weights(sliced) == pytest.approx(weights(whole), abs=1e-4)


def test_noise_is_added_once_per_step_not_once_per_slice(monkeypatch):
    monkeypatch.setattr(dpsgd, "SLICE_VALUES", 1)
    assert step_on_zeros(1.0).std() == pytest.approx(1.0, rel=0.06)


def test_one_person_moves_the_sum_by_no_more_than_the_clip(records):
    features, labels = records
    moved = []
    for rows in (22, 23):
        model = network()
        before = weights(model)
        scaled = features * torch.cat([torch.ones(22), torch.tensor([1e4])])[:, None]
        train(model, scaled[:rows], labels[:rows], settings(), population=23)
        moved.append((before - weights(model)) * 23)
    assert np.linalg.norm(moved[1] - moved[0]) == pytest.approx(0.3, abs=1e-3)


def test_an_empty_poisson_batch_is_a_step_of_noise_alone(records):
    model = network()
    before, done = weights(model), []
    train(model, *records, settings(sampling_rate=1e-12, steps=3), population=23, progress=done.append)
    assert done == [1, 2, 3]
    assert 0 < np.abs(weights(model) - before).max() < 1e-4


def test_a_lender_without_records_still_sends_noise():
    model = network()
    before = weights(model)
    train(model, torch.zeros(0, 5), torch.zeros(0), settings(noise_multiplier=1.0), population=1)
    assert np.abs(weights(model) - before).max() > 0


def test_the_released_population_not_the_exact_count_scales_a_step(records):
    moved = []
    for population in (10.0, 40.0):
        model = network()
        before = weights(model)
        train(model, *records, settings(), population=population)
        moved.append(before - weights(model))
    assert moved[0] == pytest.approx(moved[1] * 4, abs=1e-4)


def step_on_zeros(multiplier, clip=1.0):
    """What one step does to 20,000 weights when every gradient is zero: the noise, and nothing else."""
    model = nn.Sequential(nn.Linear(20_000, 1, bias=False), nn.Flatten(0))
    before = weights(model)
    train(
        model,
        torch.zeros(3, 20_000),
        torch.ones(3),
        settings(noise_multiplier=multiplier, clip_norm=clip),
        population=1,
    )
    return before - weights(model)


@pytest.mark.parametrize(("multiplier", "clip"), [(1.0, 1.0), (4.0, 0.5), (0.5, 3.0)])
def test_the_noise_of_a_step_is_multiplier_times_clip(multiplier, clip):
    noise = step_on_zeros(multiplier, clip)
    expected = multiplier * clip * (1 + multiplier * np.sqrt(20_000) / GRID_STEPS_PER_STD)
    assert noise.std() == pytest.approx(expected, rel=6 / np.sqrt(2 * 20_000))
    assert abs(noise.mean()) < 6 * expected / np.sqrt(20_000)


def test_torchs_seed_does_not_choose_the_noise():
    first, second = ((torch.manual_seed(5), step_on_zeros(1.0))[1] for _ in range(2))
    assert (first != second).mean() > 0.99


def test_torchs_seed_does_not_choose_the_batch(records):
    moved = []
    for _ in range(4):
        model = network()
        before = weights(model)
        torch.manual_seed(5)
        train(model, *records, settings(sampling_rate=0.5), population=23)
        moved.append(before - weights(model))
    assert max(np.abs(moved[0] - other).max() for other in moved[1:]) > 1e-3


def test_a_model_can_be_trained_again_in_the_next_round(records):
    model, at_once = network(), network()
    train(model, *records, settings(), population=23)
    train(model, *records, settings(), population=23)
    train(at_once, *records, settings(steps=2), population=23)
    assert weights(model) == pytest.approx(weights(at_once), abs=1e-4)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_record_whose_gradient_is_not_a_number_counts_for_nothing_and_is_not_told(records, value):
    """Refusing would tell the coordinator that such a record exists."""
    features, labels = records
    without = network()
    keep = torch.arange(len(labels)) != 4
    train(without, features[keep], labels[keep], settings(), population=23)
    features = features.clone()
    features[4, 2] = value
    model = network()
    train(model, features, labels, settings(), population=23)
    assert weights(model) == pytest.approx(weights(without), abs=1e-4)


def test_the_charge_of_training_is_its_mechanism():
    assert settings(noise_multiplier=1.5, sampling_rate=0.1, steps=7).charge == Charge(1.5, 0.1, 7)


@pytest.mark.parametrize("change", [{"noise_multiplier": 0.0}, {"noise_multiplier": -1.0}, {"sampling_rate": 0.0}])
def test_training_without_a_guarantee_is_refused(records, change):
    model = network()
    with pytest.raises(PrivacyError):
        train(model, *records, settings(**change), population=23)


@pytest.mark.parametrize(
    "change", [{"clip_norm": 0.0}, {"clip_norm": -1.0}, {"learning_rate": 0.0}, {"momentum": 1.0}, {"momentum": -0.1}]
)
def test_settings_that_cannot_train_are_refused(change):
    with pytest.raises(PrivacyError, match="not settings to train with"):
        settings(**change)


@pytest.mark.parametrize("population", [0, 0.5, -3])
def test_a_population_below_one_is_refused(records, population):
    with pytest.raises(PrivacyError, match="at least 1"):
        train(network(), *records, settings(), population=population)
