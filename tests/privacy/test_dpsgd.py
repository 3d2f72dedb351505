"""DP-SGD against a loop over records, one at a time."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from privacy import dpsgd
from privacy.charges import Charge
from privacy.dpsgd import DpSgd, train
from privacy.errors import PrivacyError
from privacy.sums import NoisySum

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
    """The sum of clipped gradients, one record after the other, in double precision."""
    model, total = copy.deepcopy(model).double(), 0.0
    for row, label in zip(features.double(), labels.double(), strict=True):
        loss = nn.functional.binary_cross_entropy_with_logits(model(row[None]), label[None], reduction="sum")
        gradient = torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, list(model.parameters()))])
        total = total + gradient.numpy() * min(1.0, clip / float(gradient.norm()))
    return total


def exact_totals(model, *records, clip_norm=0.3, **changes):
    """The whole numbers to which each step adds noise."""
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NoisySum, "share", lambda self, exact: seen.append(exact) or self.on_grid(exact))
        train(model, *records, settings(clip_norm=clip_norm, **changes), population=len(records[1]) or 1)
    return seen


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
    monkeypatch.setattr(dpsgd, "SLICE", records_at_once)
    train(model, *records, settings(), population=23)
    assert (before - weights(model)) * 23 == pytest.approx(expected, abs=1e-4)


def test_slices_carry_nothing_over_from_step_to_step(records, monkeypatch):
    whole, sliced = network(), network()
    train(whole, *records, settings(steps=3), population=23)
    monkeypatch.setattr(dpsgd, "SLICE", 5)
    train(sliced, *records, settings(steps=3), population=23)
    assert weights(sliced) == pytest.approx(weights(whole), abs=1e-4)


def test_what_fills_up_a_slice_counts_for_nothing(records):
    """A row of zeros has a gradient too: of every bias."""
    whole = naive_sum(network(), *records, 0.3)
    (total,) = exact_totals(network(), *records)
    assert total * dpsgd.UNIT * 0.3 == pytest.approx(whole, abs=1e-9)
    (nobody,) = exact_totals(network(), torch.zeros(0, 5), torch.zeros(0))
    assert not nobody.any()


def test_noise_is_added_once_per_step_not_once_per_slice(monkeypatch):
    monkeypatch.setattr(dpsgd, "SLICE", 1)
    assert step_on_zeros(1.0).std() == pytest.approx(1.0, rel=0.06)


@pytest.mark.parametrize("count", [23, 700])
def test_what_one_record_adds_does_not_depend_on_the_others(records, count):
    features, labels = (part.repeat(count // 23 + 1, *[1] * (part.dim() - 1))[:count] for part in records)
    order = torch.from_numpy(np.random.default_rng(0).permutation(count))
    (whole,) = exact_totals(network(), features, labels)
    (shuffled,) = exact_totals(network(), features[order], labels[order])
    (without,) = exact_totals(network(), features[1:], labels[1:])
    (alone,) = exact_totals(network(), features[:1], labels[:1])
    assert shuffled.tolist() == whole.tolist()
    assert (without + alone).tolist() == whole.tolist()


@pytest.mark.parametrize("value", [1.0, 1e-6, 1e4, 1e30, 1e300, float("nan"), float("inf")])
@pytest.mark.parametrize("clip", [1e-3, 0.3, 100.0])
def test_no_record_adds_more_than_the_clip_as_computed(records, value, clip):
    features, labels = (part[:5].double() for part in records)
    features[1:] *= value
    for i in range(5):
        (total,) = exact_totals(network(), features[i : i + 1], labels[i : i + 1], clip_norm=clip)
        assert sum(int(x) ** 2 for x in total) <= (1 / dpsgd.UNIT) ** 2


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
    expected = clip * NoisySum(20_000, 1.0, multiplier, honest=1, unit=dpsgd.UNIT).noise_std(1)
    assert multiplier * clip <= expected < multiplier * clip * 1.01
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
