"""What a campaign needs of a person's answers, and what an answered notice covers of it. Pure.

A yes covers what its notice said (invariant 11): these categories, this basis, by a machine alone
or not. The registry asks with it before it authorises, every gate for each person and the version
that this person answered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from law.categories import SENSITIVITIES, DataCategory, Sensitivity, consent_for

OUTCOME = DataCategory.REPAYMENT
"""What the outcome that a model learns is about."""


class Said(Protocol):
    """What a notice said, as far as a use is compared with it."""

    @property
    def categories(self) -> tuple[DataCategory, ...]: ...
    @property
    def automated_decision(self) -> bool: ...
    @property
    def lawful_basis(self) -> str: ...


@dataclass(frozen=True)
class Needs:
    """What a use needs.

    Args:
        features: for each feature, by name, the categories that each consent must cover.
        automated: its outcome may be a decision by a machine alone.
        basis: the legal basis.
    """

    features: Mapping[str, Mapping[Sensitivity, frozenset[DataCategory]]]
    automated: bool
    basis: str

    @property
    def consents(self) -> tuple[Sensitivity, ...]:
        """Those that some feature needs, and the ordinary one, which everything needs."""
        named = {kind for kinds in self.features.values() for kind in kinds} | {"ordinary"}
        return tuple(kind for kind in SENSITIVITIES if kind in named)

    def of(self, kind: Sensitivity) -> tuple[str, ...]:
        """The features that need this consent."""
        return tuple(name for name, kinds in self.features.items() if kind in kinds)

    def within(self, said: Said) -> bool:
        """Whether a yes to this notice allows such a use at all, whatever the features: the outcome
        is how somebody repaid."""
        right = said.lawful_basis == self.basis and said.automated_decision >= self.automated
        return right and OUTCOME in said.categories

    def uncovered(self, kind: Sensitivity, said: Said | None) -> frozenset[str]:
        """The features that this consent, given in answer to this notice (``None``: to none), does
        not allow."""
        if said is None or not self.within(said):
            return frozenset(self.of(kind))
        named = frozenset(said.categories)
        return frozenset(name for name in self.of(kind) if not self.features[name][kind] <= named)


def needs_of(schema: Mapping[str, Any], automated: bool, basis: str) -> Needs:
    """What a feature schema, as a campaign holds it, needs.

    Raises:
        ValueError: it names a category that does not exist. KeyError, TypeError: it is no schema.
    """
    features = {}
    for feature in schema["features"]:
        kinds: dict[Sensitivity, set[DataCategory]] = {}
        declared = feature.get("sensitivity") == "sensitive"
        for name in (feature["category"], *feature.get("derived_from", ())):
            category = DataCategory(name)
            kinds.setdefault(consent_for(category, declared), set()).add(category)
        features[feature["name"]] = {kind: frozenset(them) for kind, them in kinds.items()}
    return Needs(features, automated, basis)


def exceeds(needs: Needs, said: Said) -> str | None:
    """In words, the first thing that a use needs and a notice does not say; None where it says all
    of it."""
    if needs.basis != said.lawful_basis:
        return f"its legal basis {needs.basis!r} is not the one that the notice names"
    if needs.automated and not said.automated_decision:
        return "it decides by machine alone, which the notice does not say"
    named = frozenset(said.categories)
    if OUTCOME not in named:
        return f"its outcome is about {OUTCOME}, which the notice does not name"
    for name, kinds in needs.features.items():
        for categories in kinds.values():
            if missing := sorted(categories - named):
                return f"feature {name!r} is about {missing[0]}, which the notice does not name"
    return None
