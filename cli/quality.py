"""How good a model is, in lines: from the evaluation on its signed card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FIGURES = {
    "auc": "AUC",
    "ks": "KS",
    "bad_rate": "bad rate",
    "ece": "calibration error",
    "observed_to_expected": "observed over expected",
}


def quality_lines(evaluation: Mapping[str, Any] | None) -> list[str]:
    """A line of figures for each group of people that can be told, what they are of, and who or
    what cannot be told; cards of any version."""
    if evaluation is None:
        return ["  quality      not measured: nobody was held out"]
    told, untold = [], list(evaluation.get("untold", ()))
    for segment in evaluation["segments"]:
        figures = _figures(segment)
        name = segment["name"]
        if figures:
            told.append(f"  {'quality' if name == 'everybody' else name:<12} {figures}")
        else:
            untold.append(name)
    lines = told or ["  quality      too few people to say"]
    if "held_out" in evaluation:
        lines.append(f"  measured on  {_measured_on(evaluation)}; after ± one standard error")
    hidden = [name for name in untold if name != "everybody"]
    if hidden:
        lines.append(f"  not told     too few people: {', '.join(hidden)}")
    features = evaluation.get("untold_features", ())
    if features:
        lines.append(f"  not told     too few people: stability of {len(features)} features")
    return lines


def _figures(segment: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{label} {segment[name]['value']:.3f} ± {segment[name]['error']:.3f}"
        for name, label in FIGURES.items()
        if segment.get(name) is not None
    )


def _measured_on(evaluation: Mapping[str, Any]) -> str:
    held = f"about {evaluation['held_out']['value']:,.0f} people held out"
    if evaluation.get("left_out") is None:
        return held
    return f"{held} and {evaluation['left_out']:,.0f} trained on, each scored as if left out"
