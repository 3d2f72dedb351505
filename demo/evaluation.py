"""After the training: how good the model is beside its references, and whether the log proves what
it should."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from itertools import islice

import numpy as np
import pandas as pd

from auditlog.audit import Audit, verify_log
from clients.home import Node
from clients.proving import prover_of
from credit.features import FeatureSchema
from credit.metrics import Quality, quality
from credit.models import CreditModel
from crypto.memberships import stands_in
from demo.borrowers import DemoBorrower
from demo.errors import DemoError
from demo.references import pooled_probability, train_alone
from demo.result import Comparison, LogAudit, Loop, ProgressView, Scenario, TrainingResult
from protocol.campaigns import RosterCommitment
from server.home import load_releases

ALONE_DRAWS = 3
"""A lender alone is trained this often, each time with fresh noise."""


def compare(scenario: Scenario, view: ProgressView) -> Comparison:
    """Consortium, each lender alone at the same epsilon, and the pooled model that nobody may
    train."""
    view.begin("Compare with each lender alone and with the pooled ceiling")
    parts = scenario.split
    schema = scenario.settings.loans.schema
    settings = scenario.settings
    probabilities = {
        "consortium": CreditModel.load(scenario.files["model"]).probability(parts.hold_out),
        "pooled_reference": pooled_probability(parts.train, parts.hold_out, schema),
    }
    qualities: dict[str, Quality] = {}
    view.advance(1, len(parts.lenders) + 1)
    people = iter(scenario.borrowers)
    labels = scenario.labels
    for done, (name, loans) in enumerate(parts.lenders.items(), 2):
        own = list(islice(people, len(loans)))
        table = _consented(loans, own, schema)
        draws = [
            train_alone(table, schema, settings.model, scenario.campaign.mechanism, settings.seed)
            for _ in range(ALONE_DRAWS)
        ]
        predictions = [model.probability(parts.hold_out) for model in draws]
        probabilities[name] = predictions[0]
        qualities[name] = _mean([quality(labels, p) for p in predictions])
        view.advance(done, len(parts.lenders) + 1)
    for name in ("consortium", "pooled_reference"):
        qualities[name] = quality(labels, probabilities[name])
    view.end(f"consortium AUC {qualities['consortium'].auc:.4f}")
    return Comparison(probabilities, qualities)


def _mean(draws: Sequence[Quality]) -> Quality:
    """What a lender alone can expect: the mean over independent draws of the noise, so that luck
    does not rank."""
    return Quality(
        **{f.name: float(np.mean([getattr(q, f.name) for q in draws])) for f in fields(Quality)}
    )


def _consented(
    loans: pd.DataFrame, own: Sequence[DemoBorrower], schema: FeatureSchema
) -> pd.DataFrame:
    """A lender's rows with consent, sensitive features masked where that consent is missing."""
    gives = np.array([person.answer == "gives" for person in own])
    sensitive = np.array([person.sensitive for person in own])
    table = loans[gives]
    hidden = {name: table[name].mask(~sensitive[gives]) for name in schema.sensitive()}
    return table.assign(**hidden)


def audit_log(
    scenario: Scenario,
    training: TrainingResult,
    url: str,
    first_checkpoint: str,
    view: ProgressView,
    loop: Loop | None = None,
) -> LogAudit:
    """Verify the log as the auditor, then that nobody who withdrew stands in a later roster, of the
    second campaign neither."""
    view.begin("Audit the log from the outside")
    auditor = scenario.founded.auditor(url)
    audit = verify_log(auditor, first_checkpoint, scenario.founded.auditor_recipient)
    auditor.close()
    committed = {
        (one.leaf["campaign"], one.leaf["release"], one.leaf["actor"]) for one in audit.commitments
    }
    folders = {scenario.campaign.sha256: scenario.folder}
    if loop is not None:
        folders[loop.retrained.campaign.sha256] = loop.retrained.folder
    for campaign, folder in folders.items():
        for number, kept in enumerate(load_releases(folder).releases):
            if missing := [x for x in kept.lenders if (campaign, number, x) not in committed]:
                raise DemoError(
                    f"the log holds no roster of {', '.join(missing)} for release {number}"
                )
    rosters: dict[int, dict[str, int]] = {}
    for logged in audit.commitments:
        opened = logged.opened
        if opened is not None and opened.campaign_sha256 == scenario.campaign.sha256:
            rosters.setdefault(opened.release, {})[opened.lender] = opened.size
    seen = _seen_after(scenario, training, audit)
    view.end(
        f"{audit.entries:,} entries, {len(audit.commitments)} rosters, consistent from the first "
        "checkpoint to the last"
    )
    return LogAudit(audit, rosters, seen)


def _seen_after(scenario: Scenario, training: TrainingResult, audit: Audit) -> int:
    """How often somebody who withdrew stands in a later roster; absence is proved against the
    logged roots."""
    seen = 0
    for logged in audit.commitments:
        commitment = logged.opened
        if commitment is None or not _later(scenario, training, commitment):
            continue
        root = bytes.fromhex(logged.leaf["root"])
        which = (commitment.release, commitment.attempt)
        with prover_of(Node.open(scenario.founded.node_home(commitment.lender))) as prover:
            attempts = prover.releases(commitment.campaign_sha256)
            release = next(one for one in attempts if (one.release, one.attempt) == which)
            for person in training.withdrawn:
                if person.lender == commitment.lender:
                    cell = prover.open(release, person.pseudonym)
                    seen += stands_in(root, person.pseudonym, cell)
    return seen


def _later(scenario: Scenario, training: TrainingResult, commitment: RosterCommitment) -> bool:
    """Whether it was made after people withdrew."""
    first = commitment.campaign_sha256 == scenario.campaign.sha256
    return not first or commitment.release > training.hold_after
