"""Questions of every kind that a lender answers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from credit.boosting import candidates
from credit.embedding import Embedding
from credit.left_out import LARGEST_INFLUENCE
from credit.models import KNOTS, size
from credit.questions import Question
from privacy.mechanism import WATCHING, ReleaseKind

LARGEST_ENTRY = 1e4
EDGES, FINER = np.array([-1.0, 0.0, 0.7]), np.linspace(-2.0, 2.0, 9)


def sound_question(
    embedding: Embedding,
    kind: ReleaseKind,
    model: str = "scorecard",
    wild: bool = False,
    seed: int = 0,
    directions: int | None = None,
) -> Question:
    """A sound question of a kind; ``wild`` has weights and a whitening nearly as large as are let through."""
    generator = np.random.default_rng(seed)
    width = embedding.width
    inner = directions or width
    pairs = candidates(embedding, generator.uniform(-1, 1, width), 1.0) if model == "gam" else ()
    sizes = [len(pair.effects) for pair in pairs]
    pairs = tuple(
        replace(pair, effects=tuple(generator.uniform(-8 if wild else -1, 8 if wild else 1, cells)))
        for pair, cells in zip(pairs, sizes, strict=True)
    )
    descent = kind in (ReleaseKind.GRADIENT, ReleaseKind.TRAIN)
    large = 40.0 if kind is ReleaseKind.GRADIENT and model != "mlp" else LARGEST_ENTRY
    scores = kind in (ReleaseKind.CALIBRATION, ReleaseKind.EVALUATION, *WATCHING)
    counted = kind is ReleaseKind.CALIBRATION and model == "scorecard"
    return Question(
        kind,
        embedding.binning,
        np.zeros((0, 0))
        if kind is ReleaseKind.CALIBRATION and not counted
        else generator.uniform(-1, 1, (width, inner)) * (large if wild else 1 / math.sqrt(width)),
        generator.uniform(-1, 1, size(model, inner if descent else width)) * (8 if wild else 0.3),
        0.5,
        tuple((KNOTS * 0.9 - 0.2).tolist()),
        pairs,
        EDGES if scores else np.zeros(0),
        FINER if kind is ReleaseKind.CALIBRATION else np.zeros(0),
        generator.uniform(0, LARGEST_INFLUENCE if wild else 0.05, inner) if counted else np.zeros(0),
    )
