"""Clipped sums: Opacus' gradients, one person's bound, and whole numbers whatever the order.

``test_no_number_of_one_persons_reaches_the_others`` and the tests around it are about people and coordinators at their
worst: what one row or the asked-for weights can overflow must neither exceed the clip nor swallow the others' sum.
"""

import math
import warnings
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.effort import effort
from torch import nn

from privacy.charges import LARGEST_CLIP, LEAST_CLIP
from privacy.clipping import (
    DELTA_BITS,
    LARGEST_INPUT,
    MARGIN,
    MOST_PEOPLE,
    UNIT,
    Dense,
    Records,
    clipped_gradient_sum,
)
from privacy.errors import PrivacyError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from opacus import GradSampleModule

NETWORKS = {"logistic regression": (23, 1), "mlp": (23, 64, 32, 1)}
NAN, INF = math.nan, math.inf
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def doubles(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def coarse(values):
    """Weights that are on the grid already."""
    return (values * 2**16).round() / 2**16


def network(widths, seed=1, bias=True, scale=1.0):
    pairs = list(pairwise(widths))
    return [
        Dense(
            coarse(doubles(o, i, seed=seed + n) * scale / i**0.5), coarse(doubles(o, seed=-seed - n)) if bias else None
        )
        for n, (i, o) in enumerate(pairs)
    ]


def people(count, width=23, seed=5):
    rows = doubles(count, width, seed=seed) * torch.logspace(-2, 0.4, count, dtype=torch.float64)[:, None]
    return rows, torch.arange(count) % 3 // 2


def gradient_sum(layers, rows, labels, clip=1.0, **options):
    return clipped_gradient_sum(layers, Records.of(rows, labels), clip, **options)


def squared_norm(whole):
    """Exactly."""
    return sum(int(x) ** 2 for x in whole)


def opacus_sum(layers, rows, labels, clip, offset, activation):
    """Opacus' gradient of each person, clipped by its rule, in double precision."""
    between = {"tanh": nn.Tanh, "relu": nn.ReLU}[activation]
    modules = []
    for layer in layers:
        outputs, inputs = layer.weight.shape
        linear = nn.Linear(inputs, outputs, bias=layer.bias is not None, dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_(layer.weight)
            if layer.bias is not None:
                linear.bias.copy_(layer.bias)
        modules += [linear, between()]
    model = GradSampleModule(nn.Sequential(*modules[:-1], nn.Flatten(0)), loss_reduction="sum")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nn.BCEWithLogitsLoss(reduction="sum")(model(rows) + offset, labels.double()).backward()
    each = torch.cat([p.grad_sample.flatten(1) for p in model.parameters()], dim=1)
    norms = each.norm(dim=1)
    return (each * (clip / norms.clamp(min=clip))[:, None]).sum(0).numpy(), norms.numpy()


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("widths", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize(("offset", "bias"), [(0.0, True), (-1.7, True), (0.9, False)])
def test_the_sum_is_that_of_opacus_gradients(widths, activation, offset, bias):
    count, layers, (rows, labels) = 800, network(widths, bias=bias), people(800)
    _, norms = opacus_sum(layers, rows, labels, 1.0, offset, activation)
    clip = float(np.median(norms))  # half are clipped, half are not
    expected, _ = opacus_sum(layers, rows, labels, clip, offset, activation)
    ours = gradient_sum(layers, rows, labels, clip, offset=offset, activation=activation) * (clip * UNIT)
    assert ours / count == pytest.approx(expected / count, abs=1e-5)
    assert np.linalg.norm(ours - expected) < 3e-4 * np.linalg.norm(expected)


@pytest.mark.parametrize("clip", [LEAST_CLIP, 0.1, 50.0])
def test_the_sum_is_that_of_opacus_gradients_at_any_clip(clip):
    layers, (rows, labels) = network((23, 8, 1)), people(300)
    expected, _ = opacus_sum(layers, rows, labels, clip, 0.3, "tanh")
    ours = gradient_sum(layers, rows, labels, clip, offset=0.3) * (clip * UNIT)
    assert ours / 300 == pytest.approx(expected / 300, abs=1e-5 * clip)
    assert np.linalg.norm(ours - expected) < 1e-3 * np.linalg.norm(expected)


# --- exact ---


@settings(max_examples=25)
@given(st.integers(1, 60), st.sampled_from([(23, 1), (23, 64, 32, 1)]), st.sampled_from(["tanh", "relu"]), st.data())
def test_any_order_and_any_parts_give_the_same_whole_numbers(count, widths, activation, data):
    # Large weights carry what a matrix product rounds away far beyond any clip.
    layers = network(widths, scale=data.draw(st.sampled_from([1.0, 10.0, 40.0])))
    rows, labels = people(count)
    whole = gradient_sum(layers, rows, labels, activation=activation)
    order = data.draw(st.permutations(range(count)))
    cuts = sorted({0, count, *data.draw(st.lists(st.integers(0, count), max_size=4))})
    parts = [order[start:stop] for start, stop in pairwise(cuts)]
    summed = sum(gradient_sum(layers, rows[part], labels[part], activation=activation) for part in parts)
    assert whole.dtype == np.int64
    assert summed.tolist() == whole.tolist()


@pytest.mark.parametrize("widths", [(23, 1), (23, 16, 1)])
def test_the_order_of_more_people_than_one_slice_has_changes_nothing(widths):
    count = 50_000
    layers, (rows, labels) = network(widths), people(count)
    order = torch.from_numpy(np.random.default_rng(0).permutation(count))
    whole = gradient_sum(layers, rows, labels)
    assert gradient_sum(layers, rows[order], labels[order]).tolist() == whole.tolist()
    halves = [gradient_sum(layers, rows[half], labels[half]) for half in (order[:1234], order[1234:])]
    assert sum(halves).tolist() == whole.tolist()


def test_threads_change_nothing():
    layers, (rows, labels) = network((23, 64, 1)), people(5_000)
    threads, whole = torch.get_num_threads(), []
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            whole.append(gradient_sum(layers, rows, labels).tolist())
    finally:
        torch.set_num_threads(threads)
    assert whole[0] == whole[1] == whole[2]


def test_a_crowd_that_pulls_the_same_way_is_summed_without_rounding():
    """Everybody at the clip in one coordinate, with odd last bits: a sum held too long in doubles would round."""
    layers = [Dense(torch.zeros(1, 1, dtype=torch.float64))]
    for step in range(1, 40):
        row = torch.tensor([[1 + step * 2.0**-20]], dtype=torch.float64)
        one = int(gradient_sum(layers, row, torch.zeros(1), 0.1)[0])
        if one % 2:
            break
    assert one % 2
    assert one * UNIT > 0.999
    count = 65_535  # odd too, so that no double is the total
    assert int(float(one * count)) != one * count
    assert gradient_sum(layers, row.expand(count, 1), torch.zeros(count), 0.1).tolist() == [one * count]


def test_weights_count_as_they_are_on_the_grid():
    """A product with other weights would round, and that can depend on who else is there."""
    layers, (rows, labels) = network((23, 8, 4, 1)), people(60)
    between = [Dense(x.weight + 0.3 * 2.0**-20, x.bias - 0.3 * 2.0**-20) for x in layers]
    there = gradient_sum(between, rows, labels, LEAST_CLIP)
    assert there.tolist() == gradient_sum(layers, rows, labels, LEAST_CLIP).tolist()


def test_a_person_counts_the_same_alone_and_in_a_crowd():
    """What one adds must not depend on who else is there. Clips are chosen so that the last bit decides."""
    layers, different = [Dense(torch.zeros(1, 1, dtype=torch.float64))], []
    draw = np.random.default_rng(3)
    for logit, place in zip(
        draw.normal(size=1000), draw.integers(2 ** (DELTA_BITS - 3), 2**DELTA_BITS, 1000), strict=True
    ):
        clip = MARGIN * float(torch.sigmoid(torch.tensor(logit))) * 2.0**DELTA_BITS / float(place)
        alone, crowd = (
            gradient_sum(layers, torch.ones(n, 1), torch.zeros(n), clip, offset=float(logit)) for n in (1, 32)
        )
        if (crowd != 32 * alone).any():
            different.append((logit, clip))
    assert different == []


@needs_cuda
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("widths", NETWORKS.values(), ids=NETWORKS)
def test_a_gpu_gives_the_same_whole_numbers(widths, activation):
    layers, (rows, labels) = network(widths), people(2_000)
    there = [Dense(layer.weight.cuda(), layer.bias.cuda()) for layer in layers]
    on_gpu = gradient_sum(there, rows.cuda(), labels.cuda(), offset=-0.5, activation=activation)
    assert on_gpu.tolist() == gradient_sum(layers, rows, labels, offset=-0.5, activation=activation).tolist()


# --- one person ---

tame = st.floats(-3, 3)
powers = st.sampled_from([2.0**k for k in (-40, -21, -15, -14, -7, 0, 5, 13)])
"""Powers of two lose nothing when cut, so that they reach the bound itself."""
just_above_half_a_step = st.sampled_from([0.6 * 2.0**-14, 0.6 * 2.0**-20, -0.51 * 2.0**-20])
"""Rounding makes these almost twice as large, which the norm has to know."""
extreme = st.sampled_from([NAN, INF, -INF, 1e300, -1e300, 1e154, 1e30, 1e6, 1e-300, 5e-324, 0.0])
number = st.one_of(tame, powers, just_above_half_a_step, extreme)
shapes = st.sampled_from([(1, 1), (2, 1), (3, 4, 1), (2, 5, 3, 1)])
clips = st.one_of(st.floats(LEAST_CLIP, 100.0), st.sampled_from([LEAST_CLIP, 2.0**-9, 0.5, 1.0, 64.0, LARGEST_CLIP]))


@settings(max_examples=effort(150, 50))
@given(shapes, clips, st.sampled_from(["tanh", "relu"]), st.booleans(), st.floats(-5, 5), st.data())
def test_removing_one_person_changes_the_sum_by_no_more_than_the_clip(widths, clip, activation, bias, offset, data):
    count = data.draw(st.integers(1, 5))
    row = st.one_of(*(st.lists(kind, min_size=widths[0], max_size=widths[0]) for kind in (number, tame, powers)))
    rows = torch.tensor(data.draw(st.lists(row, min_size=count, max_size=count)), dtype=torch.float64)
    labels = torch.tensor(data.draw(st.lists(st.integers(0, 1), min_size=count, max_size=count)))
    layers = network(widths, seed=data.draw(st.integers(1, 50)), bias=bias)
    options = {"clip": clip, "offset": offset, "activation": activation}
    whole = gradient_sum(layers, rows, labels, **options)
    without = gradient_sum(layers, rows[1:], labels[1:], **options)
    assert squared_norm(whole - without) <= (1 / Fraction(UNIT)) ** 2


@pytest.mark.parametrize("widths", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("clip", [LEAST_CLIP, 0.01, 0.03])
def test_each_of_many_people_stays_within_the_clip_and_most_reach_it(widths, clip):
    layers, (rows, labels) = network(widths), people(60)
    norms = [
        Fraction(squared_norm(gradient_sum(layers, rows[i : i + 1], labels[i : i + 1], clip))) * Fraction(UNIT) ** 2
        for i in range(60)
    ]
    assert max(norms) <= 1
    assert np.median([float(n) for n in norms]) > 0.999


def test_what_rounding_adds_to_a_row_is_within_its_norm():
    """Each of 400 inputs is rounded up by half a step, which is half a percent of it."""
    rows = torch.full((1, 400), 104.51 * 2.0**-20, dtype=torch.float64)
    whole = gradient_sum([Dense(torch.zeros(1, 400, dtype=torch.float64))], rows, torch.zeros(1), clip=LEAST_CLIP)
    assert 0.999 < squared_norm(whole) * Fraction(UNIT) ** 2 <= 1


def test_an_input_too_large_counts_as_the_largest():
    layers, labels = network((3, 4, 1)), torch.tensor([0, 1])
    rows = torch.tensor([[LARGEST_INPUT, -LARGEST_INPUT, 1.0], [0.5, LARGEST_INPUT, 0.0]], dtype=torch.float64)
    beyond = torch.tensor([[INF, -1e300, 1.0], [0.5, LARGEST_INPUT + 1e-3, NAN]], dtype=torch.float64)
    assert gradient_sum(layers, rows, labels).tolist() == gradient_sum(layers, beyond, labels).tolist()


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("value", [NAN, INF, -INF, 1e300, 1e305, -1.7e308, 1e154, 1e-310])
@pytest.mark.parametrize("widths", [(3, 1), (3, 4, 1), (3, 4, 4, 1)])
def test_no_number_of_one_persons_reaches_the_others(widths, value, activation):
    layers, (rows, labels) = network(widths), people(5, width=3)
    others = gradient_sum(layers, rows[1:], labels[1:], activation=activation)
    for place in (0, slice(0, 3)):
        odd = rows.clone()
        odd[0, place] = value
        whole = gradient_sum(layers, odd, labels, activation=activation)
        assert squared_norm(whole - others) <= (1 / Fraction(UNIT)) ** 2


@pytest.mark.parametrize("label", [NAN, INF, -INF, 1e308, -7.0])
def test_no_label_of_one_persons_reaches_the_others(label):
    layers, (rows, labels) = network((3, 4, 1)), people(5, width=3)
    odd = labels.double()
    odd[0] = label
    others = gradient_sum(layers, rows[1:], labels[1:])
    assert squared_norm(gradient_sum(layers, rows, odd) - others) <= (1 / Fraction(UNIT)) ** 2


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("scale", [30.0, 1e3, 1e6, 1e38, 1e155, 1e308])
@pytest.mark.parametrize("widths", [(3, 1), (3, 4, 1), (3, 4, 4, 1), (3, 4, 4, 4, 1)])
def test_weights_that_overflow_for_one_person_do_not_for_the_others(widths, scale, activation):
    """The coordinator chooses the weights: if one row made the sum no number, it would learn whose rows are like it."""
    drawn = network(widths, bias=False)
    layers = [Dense((layer.weight * scale).clamp(-1.7e308, 1.7e308)) for layer in drawn]
    rows = torch.tensor([[0.0, 0.0, 0.0], [1e3, -1e3, 1e3], [2.0**-20, 0.0, 0.0]], dtype=torch.float64)
    labels = torch.tensor([1, 0, 1])
    try:
        sums = [gradient_sum(layers, rows[:n], labels[:n], activation=activation) for n in range(4)]
    except PrivacyError:
        # Refused for the weights alone, then: whoever the people are.
        with pytest.raises(PrivacyError):
            gradient_sum(layers, rows[:0], labels[:0], activation=activation)
        return
    for fewer, more in pairwise(sums):
        assert squared_norm(more - fewer) <= (1 / Fraction(UNIT)) ** 2


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_a_network_of_no_numbers_tells_nothing_about_anybody(value):
    layers, (rows, labels) = network((3, 4, 1)), people(5, width=3)
    for layer in range(2):
        for part in ("weight", "bias"):
            odd = [Dense(x.weight.clone(), x.bias.clone()) for x in layers]
            getattr(odd[layer], part).view(-1)[0] = value
            with pytest.raises(PrivacyError):
                gradient_sum(odd, rows, labels)
            with pytest.raises(PrivacyError):
                gradient_sum(odd, torch.zeros(0, 3), torch.zeros(0))


@pytest.mark.parametrize("offset", [NAN, INF, -INF, 1e308])
def test_an_offset_that_is_no_number_tells_nothing_about_anybody(offset):
    layers, (rows, labels) = network((3, 4, 1)), people(5, width=3)
    try:
        sums = [gradient_sum(layers, rows[:n], labels[:n], offset=offset) for n in range(6)]
    except PrivacyError:
        return
    for fewer, more in pairwise(sums):
        assert squared_norm(more - fewer) <= (1 / Fraction(UNIT)) ** 2


def test_nobody_sums_to_nothing():
    assert gradient_sum(network((3, 4, 1)), torch.zeros(0, 3), torch.zeros(0)).tolist() == [0] * 21


def test_a_sum_leaves_its_inputs_alone_and_can_be_repeated():
    layers, (rows, labels) = network((23, 8, 1)), people(50)
    before = [t.clone() for t in (rows, labels, *(x for layer in layers for x in (layer.weight, layer.bias)))]
    records = Records.of(rows, labels)
    first = clipped_gradient_sum(layers, records, 1.0)
    assert clipped_gradient_sum(layers, records, 1.0).tolist() == first.tolist()
    after = (rows, labels, *(x for layer in layers for x in (layer.weight, layer.bias)))
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


# --- refusals ---


@pytest.mark.parametrize("clip", [0.0, -1.0, NAN])
def test_a_clip_that_clips_nothing_is_refused(clip):
    rows, labels = people(3)
    with pytest.raises(PrivacyError):
        gradient_sum(network((23, 1)), rows, labels, clip)


def test_an_activation_whose_slope_is_not_known_is_refused():
    rows, labels = people(3)
    with pytest.raises(PrivacyError, match="clipped"):
        gradient_sum(network((23, 4, 1)), rows, labels, activation="gelu")


@pytest.mark.parametrize("labels", [torch.zeros(2), torch.zeros(4), torch.zeros(3, 1), torch.tensor(0.0)])
def test_people_without_one_label_each_are_refused(labels):
    with pytest.raises(PrivacyError, match="do not belong together"):
        Records.of(torch.zeros(3, 2), labels)


def test_more_people_than_a_sum_has_room_for_are_refused():
    crowd = MOST_PEOPLE + 1
    with pytest.raises(PrivacyError, match="room"):
        Records.of(torch.zeros(1, 1).expand(crowd, 1), torch.zeros(1).expand(crowd))
    assert MOST_PEOPLE / UNIT <= 2**62
