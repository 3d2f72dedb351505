"""``report.json`` with every figure, ``report.html`` that anybody can read. Both are written whole
or not at all."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from demo import charts
from demo.evaluation import ALONE_DRAWS
from demo.loans import SHARED
from demo.loop_report import loop_figures, loop_pictures
from demo.result import NAMED, Outcome

METRICS = (
    "auc",
    "ks",
    "gini",
    "brier",
    "ece",
    "observed_to_expected",
    "observed_to_expected_error",
)
NOT_PRIVATE = {
    "note": (
        "These figures are exact: not private, for the demo only. No party of a consortium could "
        "compute them."
    ),
    "figures": [
        *METRICS,
        "rounds.auc",
        "rounds.roster",
        "consent",
        "data.lenders",
        "data.borrowers",
        "data.at_two_lenders",
        "data.hold_out",
        "data.bad_rate",
        "withdrawn_seen_after",
    ],
}
"""What the demo says only because it plays every party; a consortium has ``evaluation`` and the
epsilons."""
PACKAGES = ("flwr", "torch", "opacus", "dp-accounting", "cryptography")


def _shown(value: float) -> float:
    return round(value, 6)


def figures(outcome: Outcome) -> dict[str, Any]:
    """Every figure of a run, ready for JSON."""
    scenario = outcome.scenario
    training = outcome.training
    audit = outcome.log.audit
    settings = scenario.settings
    rosters = outcome.log.rosters
    by_metric: dict[str, Any] = {}
    for metric in METRICS:
        values = {
            name: _shown(getattr(q, metric)) for name, q in outcome.comparison.qualities.items()
        }
        by_metric[metric] = {
            "consortium": values.pop("consortium"),
            "pooled_reference": values.pop("pooled_reference"),
            "alone": values,
        }
    return {
        "not_private": NOT_PRIVATE,
        **by_metric,
        "epsilon_spent": _shown(training.epsilon_spent),
        "epsilon_asked": settings.epsilon,
        "delta": settings.delta,
        "rounds": [
            {
                "round": r.number,
                "auc": _shown(r.auc),
                "epsilon": _shown(r.epsilon),
                "roster": rosters[r.number],
            }
            for r in training.rounds
        ],
        "remarks": list(training.remarks),
        "base_rate": training.level
        and asdict(training.level.base_rate) | {"determined": training.level.determined},
        "evaluation": training.evaluation and training.evaluation.as_dict(),
        "consent": outcome.consent,
        "withdrawn_after_round": training.hold_after,
        "withdrawn_seen_after": outcome.log.withdrawn_seen_after,
        "lending": outcome.lending
        and {
            "lender": outcome.lending.lender,
            "applied": [asdict(one) for one in outcome.lending.applied],
        },
        "loop": outcome.loop and loop_figures(outcome.loop, outcome.comparison),
        "log": {
            "entries": audit.entries,
            "verified": True,
            "by_type": audit.by_type,
            "rosters": len(audit.commitments),
            "first_size": audit.first.size,
            "root": audit.checkpoint.root.hex(),
        },
        "data": {
            "about": settings.loans.about,
            "target": settings.loans.schema.target,
            "features": [
                f.model_dump(mode="json", include={"name", "kind", "category", "sensitivity"})
                for f in settings.loans.schema.features
            ],
            "left_out": settings.loans.left_out,
            "look_at": list(settings.loans.remarks),
            "partition": settings.loans.partition,
            "lenders": {name: len(table) for name, table in scenario.split.lenders.items()},
            "borrowers": scenario.split.people,
            "at_two_lenders": scenario.split.at_several,
            "share_at_two_lenders": SHARED,
            "hold_out": len(scenario.split.hold_out),
            "bad_rate": _shown(float(scenario.split.train[settings.loans.schema.target].mean())),
        },
        "campaign": {
            "sha256": scenario.campaign.sha256,
            "model": scenario.campaign.model,
            "mechanism": scenario.campaign.mechanism.model_dump(mode="json"),
        },
        "alone_draws": ALONE_DRAWS,
        "seed": settings.seed,
        "seconds": round(outcome.seconds, 1),
        "machine": {
            "python": platform.python_version(),
            "system": platform.system(),
            "cores": os.cpu_count(),
            "packages": {name: version(name) for name in PACKAGES},
        },
    }


def _funnel(outcome: Outcome) -> list[tuple[str, int]]:
    training = outcome.training
    rosters = outcome.log.rosters
    consent = outcome.consent
    answered = consent["given"] + consent["refused"]
    return [
        ("enrolled", consent["enrolled"]),
        ("answered", answered),
        ("consented", consent["given"]),
        ("in the roster", sum(rosters[training.hold_after].values())),
        ("after withdrawals", sum(rosters[training.rounds[-1].number].values())),
    ]


def _write(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def write_report(
    outcome: Outcome, notice_texts: dict[str, str], json_copy: Path | None
) -> tuple[Path, Path]:
    """Write both reports into the workspace (and the JSON to ``json_copy``); returns their
    paths."""
    data = figures(outcome)
    scenario, training = outcome.scenario, outcome.training
    labels = scenario.labels
    pictures = {
        "roc": charts.roc(labels, outcome.comparison.probabilities),
        "calibration": charts.calibration(labels, outcome.comparison.probabilities),
        "rounds": charts.rounds(
            [r.number for r in training.rounds],
            [r.auc for r in training.rounds],
            [r.epsilon for r in training.rounds],
            training.hold_after,
        ),
        "scores": charts.scores(labels, outcome.comparison.probabilities["consortium"]),
        "funnel": charts.funnel(_funnel(outcome)),
    }
    if outcome.loop is not None:
        pictures |= loop_pictures(outcome.loop, labels, outcome.comparison.probabilities)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    qualities = {name: asdict(q) for name, q in outcome.comparison.qualities.items()}
    html = environment.get_template("report.html").render(
        data=data,
        qualities=qualities,
        lenders=list(scenario.split.lenders),
        pictures=pictures,
        notice=notice_texts,
        named=NAMED,
        mean_alone=float(np.mean([qualities[name]["auc"] for name in scenario.split.lenders])),
        best_alone=max(qualities[name]["auc"] for name in scenario.split.lenders),
    )
    workspace = scenario.settings.workspace
    text = json.dumps(data, indent=2, ensure_ascii=False)
    _write(workspace / "report.html", html)
    _write(workspace / "report.json", text)
    if json_copy is not None:
        _write(json_copy, text)
    return workspace / "report.html", workspace / "report.json"
