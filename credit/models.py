"""The models a campaign can choose, their flat parameter vectors, and the file they are released in.

Both read the embedding of :mod:`credit.binning`. The *scorecard* is logistic regression on bins; the *MLP* has one
hidden layer. Files are safetensors with the specification in their metadata; nothing in them can execute.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from credit.binning import Binning, Embedding, Grid
from credit.errors import FeatureError, ModelError
from credit.features import registry_from

Kind = Literal["scorecard", "mlp"]
Floats = NDArray[np.float64]

HIDDEN_UNITS = 32
MLP_CLIP_NORM = 0.5
MLP_LEARNING_RATE = 10.0
NOISE_WALK = 0.1
"""How far the noise may carry a scorecard's weights over a whole campaign: early stopping chosen without data."""
CURVATURE_LIMIT = 4.0


class Scorecard(nn.Module):
    """Logistic regression; the constant input carries the intercept."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 1, bias=False)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.linear(rows)).squeeze(-1)


class Mlp(nn.Module):
    """Inputs, ``HIDDEN_UNITS`` tanh units, one logit."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, HIDDEN_UNITS)
        self.output = nn.Linear(HIDDEN_UNITS, 1)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.output(torch.tanh(self.hidden(rows)))).squeeze(-1)


def build(kind: Kind, embedding: Embedding, parameters: Floats | None = None, seed: int = 0) -> nn.Module:
    """A model of ``kind``: with the given flat parameters, or at its start.

    The start is zero weights for the scorecard and a seeded draw for the MLP, with the intercept at the released
    base rate.
    """
    generator = torch.Generator().manual_seed(seed)
    model: nn.Module = Scorecard(embedding.width) if kind == "scorecard" else Mlp(embedding.width)
    if parameters is not None:
        load_flat(model, parameters)
        return model
    intercept = math.log(embedding.binning.base_rate / (1 - embedding.binning.base_rate))
    with torch.no_grad():
        if isinstance(model, Scorecard):
            model.linear.weight.zero_()
            model.linear.weight[0, -1] = intercept
        elif isinstance(model, Mlp):
            model.hidden.weight.normal_(0, 1 / embedding.row_norm, generator=generator)
            model.hidden.bias.zero_()
            model.output.weight.normal_(0, 1 / math.sqrt(HIDDEN_UNITS), generator=generator)
            model.output.bias.fill_(intercept)
    return model


def flat(model: nn.Module) -> Floats:
    """All parameters as one vector."""
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()]).double().numpy()


def load_flat(model: nn.Module, vector: Floats) -> None:
    """Inverse of :func:`flat`; raises ModelError if the length does not fit or a value is not finite."""
    sizes = [p.numel() for p in model.parameters()]
    if len(vector) != sum(sizes) or not np.isfinite(vector).all():
        raise ModelError(f"a model of {sum(sizes)} parameters cannot be loaded from a vector of {len(vector)}")
    with torch.no_grad():
        parts = torch.split(torch.from_numpy(np.array(vector, dtype=np.float32)), sizes)
        for parameter, part in zip(model.parameters(), parts, strict=True):
            parameter.copy_(part.view_as(parameter))


def clip_norm(kind: Kind, features: int) -> float:
    """The clip: for the scorecard the largest gradient a typical row can have, so that clipping hardly biases."""
    return math.sqrt(features + 1) if kind == "scorecard" else MLP_CLIP_NORM


def learning_rate(kind: Kind, binning: Binning, noise_multiplier: float, steps: int, lenders: int) -> float:
    """Step size from public and released figures only.

    Two limits for the scorecard: over all ``steps`` the noise moves the weights by about ``NOISE_WALK``; and no step is
    longer than the curvature of the loss allows.
    """
    if kind == "mlp":
        return MLP_LEARNING_RATE
    features = len(binning.features)
    noise = clip_norm(kind, features) * noise_multiplier / math.sqrt(steps) * math.sqrt(lenders) / binning.population
    variance = binning.base_rate * (1 - binning.base_rate)
    return min(NOISE_WALK / (noise * steps), CURVATURE_LIMIT / (variance * (features + 1)))


@dataclass(frozen=True)
class CreditModel:
    """A released model: what it needs to score a borrower, and nothing else."""

    kind: Kind
    embedding: Embedding
    parameters: Floats

    def probability(self, table: pd.DataFrame) -> Floats:
        """Probability of bad for each row of ``table`` (columns by the registry's names)."""
        rows = torch.from_numpy(self.embedding.rows(self.embedding.grid.cells(table)))
        with torch.no_grad():
            logits = build(self.kind, self.embedding, self.parameters)(rows)
        return torch.sigmoid(logits).double().numpy()

    def save(self, path: Path) -> None:
        specification = {
            "kind": self.kind,
            "registry": self.embedding.grid.registry.model_dump(mode="json"),
            "binning": asdict(self.embedding.binning),
        }
        tensors = {"parameters": torch.from_numpy(self.parameters.copy())}
        partial = path.with_suffix(".partial")
        save_file(tensors, partial, metadata={"tahini": json.dumps(specification)})
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> CreditModel:
        """Raises ModelError when the file is not a released model."""
        try:
            with safe_open(path, framework="numpy") as file:
                specification = json.loads((file.metadata() or {})["tahini"])
                parameters = np.asarray(file.get_tensor("parameters"), dtype=np.float64)
            registry = registry_from(specification["registry"], str(path))
            embedding = Embedding(Grid(registry), binning_from(specification["binning"]))
            kind = TypeAdapter(Kind).validate_python(specification["kind"])
            build(kind, embedding, parameters)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, FeatureError, ModelError) as error:
            raise ModelError(f"{path} is not a released model: {error}") from error
        return cls(kind, embedding, parameters)


def binning_from(data: object) -> Binning:
    """A binning out of JSON data; raises ModelError if it is not one."""
    try:
        return TypeAdapter(Binning).validate_python(data)
    except ValidationError as error:
        raise ModelError(f"not a binning: {error.errors()[0]['msg']}") from error
