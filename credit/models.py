"""The models a campaign can choose, their flat parameter vectors, and the file they are released
in.

All read the embedding of :mod:`credit.binning`. The *scorecard* is logistic regression on bins; the
*GAM* is one with the pairwise terms of :mod:`credit.pairs`; the *MLP* has one hidden layer. Files
are safetensors with the specification in their metadata; nothing in them can execute.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pydantic import FiniteFloat, TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from scipy.special import expit
from torch import nn

from credit.binning import Binning
from credit.embedding import Embedding
from credit.errors import ModelError
from credit.features import schema_from
from credit.grid import Grid
from credit.kinds import Kind
from credit.pairs import Pairs, added, as_data, check_pairs, pairs_from
from crypto.errors import TahiniError
from crypto.sentences import one_sentence
from privacy.clipping import Dense, inputs_on_grid, layers_on_grid, logits
from privacy.errors import PrivacyError

Floats = NDArray[np.float64]

HIDDEN_UNITS, HIDDEN_SCALE = 16, 0.3
KNOTS = np.linspace(-12.0, 12.0, 49)
UNCALIBRATED = tuple(KNOTS.tolist())


class Scorecard(nn.Module):
    """Logistic regression around a fixed ``offset``; the constant among the inputs carries the
    intercept."""

    offset: torch.Tensor

    def __init__(self, width: int, offset: float = 0.0) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 1, bias=False)
        self.register_buffer("offset", torch.tensor(offset))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.linear(rows)).squeeze(-1) + self.offset


class Mlp(nn.Module):
    """Inputs, ``HIDDEN_UNITS`` tanh units, one logit."""

    def __init__(self, width: int, offset: float = 0.0) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, HIDDEN_UNITS)
        self.output = nn.Linear(HIDDEN_UNITS, 1)
        self.register_buffer("offset", torch.tensor(offset))

    offset: torch.Tensor

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.output(torch.tanh(self.hidden(rows)))).squeeze(-1) + self.offset


Network = Scorecard | Mlp


def network(kind: Kind, width: int, parameters: Floats, offset: float = 0.0) -> Network:
    """A network with these flat parameters; raises ModelError if they do not fit."""
    model = Mlp(width, offset) if kind == "mlp" else Scorecard(width, offset)
    load_flat(model, parameters)
    return model


def start(kind: Kind, width: int, seed: int) -> Floats:
    """Where training begins: zero weights, or a seeded draw for the MLP, whose output is zero."""
    if kind != "mlp":
        return np.zeros(width)
    hidden = np.random.default_rng(seed).normal(0, HIDDEN_SCALE, HIDDEN_UNITS * width)
    return np.concatenate([hidden, np.zeros(HIDDEN_UNITS), np.zeros(HIDDEN_UNITS + 1)])


def size(kind: Kind, width: int) -> int:
    """Number of the network's parameters; pairwise terms are not among them."""
    return HIDDEN_UNITS * (width + 2) + 1 if kind == "mlp" else width


def layers(kind: Kind, width: int, parameters: Floats, where: torch.device) -> list[Dense]:
    """The same network as :func:`network`, in the form that :mod:`privacy.clipping` differentiates.
    Tanh between."""
    doubles = torch.from_numpy(np.array(parameters, dtype=np.float64)).to(where)
    if kind != "mlp":
        return [Dense(doubles.view(1, width))]
    weight, bias, out, last = torch.split(
        doubles, [HIDDEN_UNITS * width, HIDDEN_UNITS, HIDDEN_UNITS, 1]
    )
    return [Dense(weight.view(HIDDEN_UNITS, width), bias), Dense(out.view(1, HIDDEN_UNITS), last)]


def fold(kind: Kind, parameters: Floats, coordinates: Floats, offset: float) -> Floats:
    """Parameters for plain inputs x out of those for inputs ``x @ coordinates`` around
    ``offset``."""
    width = coordinates.shape[1]
    if kind != "mlp":
        plain = coordinates @ parameters
        plain[-1] += offset
        return np.asarray(plain)
    first = parameters[: HIDDEN_UNITS * width].reshape(HIDDEN_UNITS, width) @ coordinates.T
    rest = parameters[HIDDEN_UNITS * width :].copy()
    rest[-1] += offset
    return np.concatenate([first.ravel(), rest])


def flat(model: nn.Module) -> Floats:
    """All parameters as one vector."""
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()]).double().numpy()


def load_flat(model: nn.Module, vector: Floats) -> None:
    """Inverse of :func:`flat`; raises ModelError if the length does not fit or a value is not
    finite."""
    sizes = [p.numel() for p in model.parameters()]
    if len(vector) != sum(sizes) or not np.isfinite(vector).all():
        raise ModelError(
            f"a model of {sum(sizes)} parameters cannot be loaded from a vector of {len(vector)}"
        )
    with torch.no_grad():
        parts = torch.split(torch.from_numpy(np.array(vector, dtype=np.float32)), sizes)
        for parameter, part in zip(model.parameters(), parts, strict=True):
            parameter.copy_(part.view_as(parameter))


@dataclass(frozen=True)
class CreditModel:
    """A released model: what it needs to score a borrower, and nothing else."""

    kind: Kind
    embedding: Embedding
    parameters: Floats
    calibration: tuple[float, ...] = UNCALIBRATED
    """The honest log-odds at each of ``KNOTS`` of the raw ones; straight between them."""
    pairs: Pairs = ()

    def probability(self, table: pd.DataFrame) -> Floats:
        """Probability of bad for each row of ``table`` (columns by the schema's names)."""
        return np.asarray(expit(self.logit(table)))

    def logit(self, table: pd.DataFrame) -> Floats:
        """Log-odds of bad for each row of ``table``, calibrated."""
        return np.asarray(np.interp(self.raw_logit(table), KNOTS, self.calibration))

    def raw_logit(self, table: pd.DataFrame) -> Floats:
        """The network's output for each row of ``table``, and what the pairwise terms add."""
        bins = self.embedding.bins(table)
        width = self.embedding.width
        rows = inputs_on_grid(torch.from_numpy(self.embedding.rows(bins)))
        net = layers_on_grid(layers(self.kind, width, self.parameters, rows.device))
        return np.asarray(logits(net, rows).numpy()) + added(self.pairs, bins)

    def save(self, path: Path) -> None:
        specification = {
            "kind": self.kind,
            "registry": self.embedding.grid.schema.model_dump(mode="json"),
            "binning": asdict(self.embedding.binning),
            "calibration": self.calibration,
            "pairs": as_data(self.pairs),
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
            if any("bin_of_cell" in bins for bins in specification["binning"]["features"]):
                raise ModelError(
                    "it was released by version 0.5, whose bins are not read any more; train again"
                )
            schema = schema_from(specification["registry"], str(path))
            embedding = Embedding(Grid(schema), binning_from(specification["binning"]))
            kind = TypeAdapter(Kind).validate_python(specification["kind"])
            check_network(kind, embedding.width, parameters)
            calibration = TypeAdapter(tuple[FiniteFloat, ...]).validate_python(
                specification["calibration"]
            )
            check_calibration(calibration)
            pairs = pairs_from(specification["pairs"])
            check_pairs(pairs, embedding)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, TahiniError) as error:
            why = one_sentence(error) if isinstance(error, ValidationError) else error
            raise ModelError(f"{path} is not a released model: {why}") from error
        return cls(kind, embedding, parameters, calibration, pairs)


def check_network(kind: Kind, width: int, parameters: Floats) -> None:
    """Raises ModelError unless these are a network's parameters, small enough for exact arithmetic;
    sees no data."""
    if parameters.shape != (size(kind, width),):
        raise ModelError(f"the shared model is not {size(kind, width)} weights")
    try:
        layers_on_grid(layers(kind, width, parameters, torch.device("cpu")))
    except PrivacyError as error:
        raise ModelError(f"the shared model cannot be used: {error}") from error


def check_calibration(values: tuple[float, ...]) -> None:
    """Raises ModelError unless there is a finite value for each knot and they rise."""
    if len(values) != len(KNOTS) or not np.isfinite(values).all() or (np.diff(values) <= 0).any():
        raise ModelError("the calibration does not rise from knot to knot")


def binning_from(data: object) -> Binning:
    """A binning out of JSON data; raises ModelError if it is not one."""
    try:
        return TypeAdapter(Binning).validate_python(data)
    except ValidationError as error:
        raise ModelError(f"not a binning: {one_sentence(error)}") from error
