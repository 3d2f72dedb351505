"""What a campaign needs of a person's answers, and what an answered notice covers of it. Pure.

A yes covers what its notice said (invariant 11): these categories, these recipients, this basis, so
many days, by a machine alone or not. The registry asks with it before it authorises, every gate for
each person and the version that this person answered.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from law.bases import LegalBasis
from law.categories import SENSITIVITIES, DataCategory, Sensitivity, consent_for
from protocol.parties import Role

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
    @property
    def retention_period_days(self) -> int: ...
    @property
    def named(self) -> Collection[tuple[str, Role]]:
        """Everybody who gets something, and as what."""
        ...


@dataclass(frozen=True)
class Needs:
    """What a use needs.

    Args:
        features: for each feature, by name, the categories that each consent must cover.
        kept: for each feature whose facts are dated, how many days old they may be.
        laws: those that the features were held against.
        automated: its outcome may be a decision by a machine alone.
        basis: the legal basis.
        recipients: every party that gets something of it, and as what.
    """

    features: Mapping[str, Mapping[Sensitivity, frozenset[DataCategory]]]
    kept: Mapping[str, int]
    laws: frozenset[str]
    automated: bool
    basis: LegalBasis
    recipients: frozenset[tuple[str, Role]]

    @property
    def consents(self) -> tuple[Sensitivity, ...]:
        """Those that some feature needs, and the ordinary one, which everything needs."""
        named = {kind for kinds in self.features.values() for kind in kinds} | {"ordinary"}
        return tuple(kind for kind in SENSITIVITIES if kind in named)

    def of(self, kind: Sensitivity) -> tuple[str, ...]:
        """The features that need this consent."""
        return tuple(name for name, kinds in self.features.items() if kind in kinds)

    def beyond(self, said: Said) -> str | None:
        """In words, the first thing that such a use needs, whatever its features, and a notice does
        not say; None where it says all of it. The outcome is how somebody repaid."""
        if self.basis != said.lawful_basis:
            return f"its legal basis {self.basis!r} is not the one that the notice names"
        if self.basis.jurisdiction not in self.laws:
            return f"its features were not held against the law of {self.basis.jurisdiction}"
        if self.automated and not said.automated_decision:
            return "it decides by machine alone, which the notice does not say"
        for party, role in sorted(self.recipients - set(said.named)):
            return f"it reaches {party!r} as {role}, which the notice does not name"
        if OUTCOME not in said.categories:
            return f"its outcome is about {OUTCOME}, which the notice does not name"
        return None

    def uncovered(self, kind: Sensitivity, said: Said | None) -> frozenset[str]:
        """The features that this consent, given in answer to this notice (``None``: to none), does
        not allow."""
        if said is None or self.beyond(said) is not None:
            return frozenset(self.of(kind))
        named, days = frozenset(said.categories), said.retention_period_days
        return frozenset(
            name
            for name in self.of(kind)
            if not self.features[name][kind] <= named or self.kept.get(name, 0) > days
        )

    def unguarded(self, said: Said | None) -> frozenset[str]:
        """The features that a guardian's consent to a child's sensitive data does not allow, which
        all of them are (PIPL 28); none of whoever is no child (``None``)."""
        if said is None:
            return frozenset()
        features: dict[str, dict[Sensitivity, frozenset[DataCategory]]] = {
            name: {"sensitive": frozenset[DataCategory]().union(*kinds.values())}
            for name, kinds in self.features.items()
        }
        return replace(self, features=features).uncovered("sensitive", said)


def needs_of(
    schema: Mapping[str, Any],
    automated: bool,
    basis: LegalBasis,
    recipients: Collection[tuple[str, Role]] = (),
) -> Needs:
    """What a feature schema, as a campaign holds it, needs.

    Raises:
        ValueError: it names a category that does not exist. KeyError, TypeError: it is no schema.
    """
    features, kept = {}, {}
    for feature in schema["features"]:
        name = feature["name"]
        kinds: dict[Sensitivity, set[DataCategory]] = {}
        declared = feature.get("sensitivity") == "sensitive"
        for said in (feature["category"], *feature.get("derived_from", ())):
            category = DataCategory(said)
            kinds.setdefault(consent_for(category, declared), set()).add(category)
        features[name] = {kind: frozenset(them) for kind, them in kinds.items()}
        if feature.get("dated_by") or feature.get("ended_by"):
            kept[name] = int(feature["retention_days"])
    laws = frozenset(schema.get("jurisdictions", ()))
    return Needs(features, kept, laws, automated, basis, frozenset(recipients))


def exceeds(needs: Needs, said: Said) -> str | None:
    """In words, the first thing that a use needs and a notice does not say; None where it says all
    of it."""
    if beyond := needs.beyond(said):
        return beyond
    named = frozenset(said.categories)
    for name, kinds in needs.features.items():
        for categories in kinds.values():
            if missing := sorted(categories - named):
                return f"feature {name!r} is about {missing[0]}, which the notice does not name"
        if needs.kept.get(name, 0) > said.retention_period_days:
            return (
                f"feature {name!r} reads facts that are {needs.kept[name]} days old, and the "
                f"notice says that data are kept {said.retention_period_days}"
            )
    return None
