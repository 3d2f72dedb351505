"""What a coordinator asks of every lender in one release, and how it travels: JSON and arrays."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from credit.binning import Binning
from credit.errors import ModelError
from credit.models import UNCALIBRATED, binning_from
from credit.pairs import Pairs, as_data, pairs_from
from privacy.mechanism import ReleaseKind

Floats = NDArray[np.float64]
ARRAYS = ("calibration", "edges", "finer", "influence", "learning_rate", "weights", "whitening")


@dataclass(frozen=True)
class Packed:
    """A question as it is sent. Bound to the coordinator's signature by :attr:`sha256`."""

    binning: str
    pairs: str
    arrays: Mapping[str, Floats]

    @property
    def sha256(self) -> str:
        """Over bins, pairs, then each array's name, shape and little-endian doubles; every part
        with its length."""
        digest = hashlib.sha256()
        parts = [self.binning.encode(), self.pairs.encode()]
        for name in sorted(self.arrays):
            array = np.ascontiguousarray(self.arrays[name], dtype="<f8")
            parts += [name.encode(), repr(array.shape).encode(), array.tobytes()]
        for part in parts:
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
        return digest.hexdigest()


def arrays_to_bytes(arrays: Mapping[str, Floats]) -> bytes:
    """All arrays in one piece (safetensors): every object of a message is a request of its own."""
    return bytes(
        save({name: np.ascontiguousarray(array, dtype="<f8") for name, array in arrays.items()})
    )


def arrays_from_bytes(data: bytes) -> dict[str, Floats]:
    """Inverse of :func:`arrays_to_bytes`; raises ModelError if it is not one. Nothing in it can
    execute."""
    try:
        return {name: np.asarray(array, dtype=np.float64) for name, array in load(data).items()}
    except (SafetensorError, ValueError, TypeError, KeyError) as error:
        raise ModelError("the parameters are not arrays") from error


@dataclass(frozen=True)
class Question:
    """``whitening`` is (width, directions), ``weights`` are flat, ``calibration`` has a value for
    each knot; ``edges`` lie between groups of scores, ``finer`` ones between cells; ``influence``
    has a value for each direction (:mod:`credit.left_out`)."""

    kind: ReleaseKind
    binning: Binning | None = None
    whitening: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    weights: Floats = field(default_factory=lambda: np.zeros(0))
    learning_rate: float = 0.0
    calibration: tuple[float, ...] = UNCALIBRATED
    pairs: Pairs = ()
    edges: Floats = field(default_factory=lambda: np.zeros(0))
    finer: Floats = field(default_factory=lambda: np.zeros(0))
    influence: Floats = field(default_factory=lambda: np.zeros(0))

    def pack(self) -> Packed:
        return Packed(
            "" if self.binning is None else json.dumps(asdict(self.binning)),
            json.dumps(as_data(self.pairs)),
            {
                "calibration": np.array(self.calibration),
                "edges": self.edges,
                "finer": self.finer,
                "influence": self.influence,
                "learning_rate": np.array([self.learning_rate]),
                "weights": self.weights,
                "whitening": self.whitening,
            },
        )

    @classmethod
    def unpack(cls, kind: ReleaseKind, packed: Packed) -> Question:
        """Inverse of :meth:`pack`; raises ModelError if it is not a question. Whether it fits, the
        task says."""
        if set(packed.arrays) != set(ARRAYS) or packed.arrays["learning_rate"].shape != (1,):
            raise ModelError("the parameters are not those of a release")
        try:
            binning = binning_from(json.loads(packed.binning)) if packed.binning else None
            pairs = pairs_from(json.loads(packed.pairs))
        except (ValueError, RecursionError) as error:
            raise ModelError("the binning or the pairs are not JSON") from error
        calibration = np.asarray(packed.arrays["calibration"], dtype=np.float64)
        if calibration.ndim != 1:
            raise ModelError("a calibration is one row of numbers")
        return cls(
            kind,
            binning,
            np.asarray(packed.arrays["whitening"], dtype=np.float64),
            np.asarray(packed.arrays["weights"], dtype=np.float64),
            float(packed.arrays["learning_rate"][0]),
            tuple(calibration.tolist()),
            pairs,
            np.asarray(packed.arrays["edges"], dtype=np.float64),
            np.asarray(packed.arrays["finer"], dtype=np.float64),
            np.asarray(packed.arrays["influence"], dtype=np.float64),
        )
