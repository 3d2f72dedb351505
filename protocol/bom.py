"""The model card as a CycloneDX 1.6 machine-learning bill of materials (ECMA-424): what tools of
model governance read. The signed card stays what counts; this only says it in their words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from protocol.cards import ModelCard

FIGURES = ("auc", "ks", "ece", "bad_rate", "observed_to_expected")
_ARCHITECTURE = {
    "scorecard": "points per bin, logistic regression",
    "gam": "generalised additive model with pairwise terms",
    "mlp": "multilayer perceptron",
}


def bill_of_materials(card: ModelCard) -> dict[str, Any]:
    """A BOM of one component, the model. It has no serial number and its time is the card's: the
    same card, the same bytes."""
    stated = {
        "campaign_sha256": card.campaign_sha256,
        "model_card_sha256": card.sha256,
        "purpose": card.purpose,
        "legal_basis": card.legal_basis,
        "privacy:unit": card.unit_of_privacy,
        "privacy:epsilon": str(card.epsilon),
        "privacy:epsilon_spent": "" if card.epsilon_spent is None else str(card.epsilon_spent),
        "privacy:delta": str(card.delta),
    }
    model = {
        "type": "machine-learning-model",
        "bom-ref": f"model:{card.model_sha256}",
        "name": card.campaign_title,
        "version": card.sha256[:12],
        "hashes": [{"alg": "SHA-256", "content": card.model_sha256}],
        "modelCard": {
            "modelParameters": {
                "approach": {"type": "supervised"},
                "task": "credit scoring",
                "architectureFamily": card.model,
                "modelArchitecture": _ARCHITECTURE[card.model],
                "datasets": [
                    {
                        "type": "dataset",
                        "name": lender,
                        "classification": "never leaves the lender",
                    }
                    for lender in card.lenders
                ],
                "inputs": [{"format": feature} for feature in card.features],
                "outputs": [{"format": "probability of default"}],
            },
            "quantitativeAnalysis": {"performanceMetrics": _metrics(card.evaluation or {})},
            "considerations": {
                "useCases": [card.purpose],
                "technicalLimitations": list(card.limits),
            },
        },
        "properties": [
            {"name": f"tahini:{name}", "value": value} for name, value in stated.items()
        ],
    }
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"timestamp": card.released_at.isoformat().replace("+00:00", "Z")},
        "components": [model],
    }


def _metrics(evaluation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each figure of each segment, within two of its standard errors."""
    found = []
    for segment in evaluation.get("segments", ()):
        for name in FIGURES:
            if figure := segment.get(name):
                value, error = float(figure["value"]), 2 * float(figure["error"])
                between = {
                    "lowerBound": f"{value - error:.6g}",
                    "upperBound": f"{value + error:.6g}",
                }
                found.append(
                    {
                        "type": name,
                        "value": f"{value:.6g}",
                        "slice": segment["name"],
                        "confidenceInterval": between,
                    }
                )
    return found
