"""What a lender decides by beside model, policy and law, as one document that a decision names.

Products change, and so do the people that reasons compare with. Whoever makes a decision again
needs what was in force then, so a case names it by its hash, as it names the other three.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from crypto.documents import document_hash
from lending.score.reasons import MeanPoints
from lending.terms.products import Product


@dataclass(frozen=True)
class Release:
    """Products by name; ``reference`` and ``families`` are what reasons are told by, where a model
    scores; ``exploration`` is the SHA-256 of the key that draws the slice below the cut-off, empty
    without one."""

    products: Mapping[str, Product]
    reference: MeanPoints | None = None
    families: Mapping[str, str] = field(default_factory=dict)
    exploration: str = ""

    def payload(self) -> dict[str, Any]:
        """What is hashed."""
        return {
            "products": {name: one.payload() for name, one in self.products.items()},
            "reference": None if self.reference is None else reference_payload(self.reference),
            "families": dict(self.families),
            "exploration": self.exploration,
        }

    @cached_property
    def hash(self) -> str:
        return document_hash(self.payload())

    @classmethod
    def of(cls, payload: Mapping[str, Any]) -> Release:
        """Inverse of :meth:`payload`, for what was kept under its hash."""
        said = payload["reference"]
        return cls(
            {name: Product.model_validate(one) for name, one in payload["products"].items()},
            None if said is None else reference_from(said),
            payload["families"],
            payload["exploration"],
        )


def reference_payload(reference: MeanPoints) -> dict[str, Any]:
    """Means are the shortest texts that read back as the same doubles."""
    means = {name: repr(mean) for name, mean in reference.points.items()}
    return asdict(reference) | {"points": means}


def reference_from(payload: Mapping[str, Any]) -> MeanPoints:
    """Inverse of :func:`reference_payload`."""
    means = {name: float(mean) for name, mean in payload["points"].items()}
    return MeanPoints(**dict(payload) | {"points": means})
