"""What a release asks, packed, bound by its digest and unpacked again."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from support.effort import effort

from credit.binning import Binning, FeatureBins
from credit.errors import ModelError
from credit.pairs import PairTerm
from credit.questions import ARRAYS, Packed, Question
from privacy.mechanism import ReleaseKind

finite = st.floats(allow_nan=False, allow_infinity=False)
feature_bins = st.builds(
    FeatureBins,
    st.lists(finite, max_size=6).map(tuple),
    st.lists(st.integers(0, 600), max_size=6).map(tuple),
    st.lists(finite, max_size=6).map(tuple),
)
levels = st.lists(st.integers(0, 4), min_size=1, max_size=4).map(tuple)
pair_terms = st.builds(
    PairTerm, st.integers(0, 9), st.integers(0, 9), levels, levels, st.lists(finite, max_size=6).map(tuple)
)
binnings = st.builds(Binning, st.lists(feature_bins, max_size=3).map(tuple), finite, finite)


def doubles(dimensions):
    return arrays.arrays(np.float64, arrays.array_shapes(min_dims=dimensions, max_dims=dimensions, min_side=0))


questions = st.builds(
    Question,
    st.sampled_from(ReleaseKind),
    st.none() | binnings,
    doubles(2),
    doubles(1),
    finite,
    st.lists(finite, max_size=60).map(tuple),
    st.lists(pair_terms, max_size=3).map(tuple),
    doubles(1),
    doubles(1),
    doubles(1),
)

BINNING = Binning((FeatureBins((2.5,), (), (0.75, 0.25, 0.0)),), 100.0, 0.2)
PAIR = PairTerm(0, 1, (0, 1), (0, 0), (0.5, -0.25))
ASKED = Question(
    ReleaseKind.TRAIN, BINNING, np.arange(6.0).reshape(3, 2), np.array([1.0, -2.0]), 0.5, (-1.0, 0.0, 1.0), (PAIR,),
    np.array([-1.0, 1.0]), np.array([-2.0, -1.0, 1.0]), np.array([0.5, 0.25]),
)  # fmt: skip


def travelled(packed):
    """As JSON and little-endian doubles carry it."""
    wire = {name: (a.shape, np.ascontiguousarray(a, "<f8").tobytes()) for name, a in packed.arrays.items()}
    return Packed(
        packed.binning, packed.pairs, {name: np.frombuffer(b, "<f8").reshape(s) for name, (s, b) in wire.items()}
    )


@settings(max_examples=60)
@given(questions)
def test_a_question_survives_packing_and_travelling_bit_by_bit(asked):
    packed = asked.pack()
    arrived = travelled(packed)
    assert arrived.sha256 == packed.sha256
    found = Question.unpack(asked.kind, arrived)
    assert (found.kind, found.binning) == (asked.kind, asked.binning)
    assert (found.learning_rate, found.calibration) == (asked.learning_rate, asked.calibration)
    assert found.pairs == asked.pairs
    for mine, theirs in ((asked.whitening, found.whitening), (asked.weights, found.weights)):
        assert theirs.shape == mine.shape
        assert theirs.tobytes() == mine.tobytes()
    assert found.pack().sha256 == packed.sha256


@settings(max_examples=effort(100, 50))
@given(st.sampled_from(ARRAYS), st.integers(0, 10**6), st.integers(0, 63))
def test_any_bit_of_any_array_changes_the_digest(name, place, bit):
    packed = ASKED.pack()
    altered = {key: np.array(value) for key, value in packed.arrays.items()}
    words = altered[name].reshape(-1).view(np.uint64)
    words[place % len(words)] ^= np.uint64(1) << np.uint64(bit)
    assert Packed(packed.binning, packed.pairs, altered).sha256 != packed.sha256


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.characters(codec="utf-8"))
def test_any_character_of_the_binning_or_the_pairs_changes_the_digest(place, character):
    packed = ASKED.pack()
    for part in ("binning", "pairs"):
        before = getattr(packed, part)
        at = place % len(before)
        text = before[:at] + character + before[at + 1 :]
        assert (replace(packed, **{part: text}).sha256 == packed.sha256) == (text == before)


def test_names_shapes_and_boundaries_are_bound_too():
    one = np.arange(6.0)
    variants = [
        Packed("", "", {"a": one}),
        Packed("a", "", {"": one}),
        Packed("", "a", {"": one}),
        Packed("", "", {"b": one}),
        Packed("", "", {"a": one.reshape(2, 3)}),
        Packed("", "", {"a": one.reshape(3, 2)}),
        Packed("", "", {"a": one.reshape(1, 6)}),
        Packed("", "", {"a": one[:3], "b": one[3:]}),
        Packed("", "", {"a": one[:2], "b": one[2:]}),
        Packed("", "", {"b": one[:3], "a": one[3:]}),
        Packed("", "", {"a": one, "b": np.zeros(0)}),
        Packed("", "", {"a": one, "b": np.zeros((0, 2))}),
        Packed("", "", {}),
    ]
    assert len({variant.sha256 for variant in variants}) == len(variants)


def test_order_layout_and_byte_order_of_the_same_values_make_no_difference():
    packed = ASKED.pack()
    backwards = Packed(packed.binning, packed.pairs, dict(reversed(packed.arrays.items())))
    by_columns = Packed(packed.binning, packed.pairs, {name: np.asfortranarray(a) for name, a in packed.arrays.items()})
    swapped = Packed(packed.binning, packed.pairs, {name: a.astype(">f8") for name, a in packed.arrays.items()})
    assert {backwards.sha256, by_columns.sha256, swapped.sha256} == {packed.sha256}


def without(name):
    return lambda p: replace(p, arrays={key: value for key, value in p.arrays.items() if key != name})


def altered(**arrays):
    return lambda p: replace(p, arrays=dict(p.arrays) | arrays)


def rebinned(**changes):
    return lambda p: replace(p, binning=json.dumps(json.loads(p.binning) | changes))


def said(text):
    return lambda p: replace(p, binning=text)


MALFORMED = {
    **{f"no {name}": without(name) for name in ARRAYS},
    "an array too many": altered(surprise=np.zeros(1)),
    "two learning rates": altered(learning_rate=np.zeros(2)),
    "a learning rate without a shape": altered(learning_rate=np.zeros(())),
    "no text of JSON": said("{"),
    "JSON of something else": said("[]"),
    "nothing": said("null"),
    "deep": said("[" * 100_000),
    "many digits": said('{"features": [], "population": ' + "9" * 5000 + ', "base_rate": 0.1}'),
    "no population": said('{"features": [], "base_rate": 0.1}'),
    "population in words": rebinned(population="many"),
    "a bin in halves": rebinned(features=[{"edges": [], "bin_of_code": [0.5], "frequency": [1.0]}]),
    "an edge in words": rebinned(features=[{"edges": ["low"], "bin_of_code": [], "frequency": [1.0]}]),
    "a feature without frequencies": rebinned(features=[{"edges": [], "bin_of_code": [0]}]),
}


@pytest.mark.parametrize("how", MALFORMED)
def test_what_is_no_question_is_refused(how):
    with pytest.raises(ModelError):
        Question.unpack(ReleaseKind.TRAIN, MALFORMED[how](ASKED.pack()))


def test_a_huge_whole_number_does_not_slip_through():
    text = '{"features": [], "population": 1' + "0" * 400 + ', "base_rate": 0.1}'
    try:
        found = Question.unpack(ReleaseKind.GRAM, replace(ASKED.pack(), binning=text))
    except ModelError:
        return
    assert found.binning.population == math.inf  # which the embedding refuses


def test_a_histogram_asks_nothing_but_the_counts():
    packed = Question(ReleaseKind.HISTOGRAM).pack()
    assert packed.binning == ""
    assert not packed.arrays["weights"].size
    assert Question.unpack(ReleaseKind.HISTOGRAM, packed).binning is None
