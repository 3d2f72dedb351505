"""After the training: how good the model is beside its references, and whether the log proves what it should."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import islice

import numpy as np
import pandas as pd

from auditlog.audit import Audit, verify_log
from clients.home import Node
from credit.features import FeatureSchema
from credit.metrics import Quality, quality
from credit.models import CreditModel
from crypto.errors import ProofError
from crypto.keys import unb64
from crypto.rosters import Roster, verify_absence
from demo.borrowers import Borrower
from demo.errors import DemoError
from demo.references import pooled_probability, train_alone
from demo.result import Outcome, View
from server.home import load_releases

ALONE_DRAWS = 3
"""A lender alone is trained this often, each time with fresh noise."""


def compare(outcome: Outcome, borrowers: Sequence[Borrower], view: View) -> None:
    """Consortium, each lender alone at the same epsilon, and the pooled model that nobody may train."""
    view.begin("Compare with each lender alone and with the pooled ceiling")
    parts, schema = outcome.split, outcome.settings.loans.schema
    model = CreditModel.load(outcome.files["model"])
    outcome.model = model
    outcome.probabilities["consortium"] = model.probability(parts.hold_out)
    outcome.probabilities["pooled_reference"] = pooled_probability(parts.train, parts.hold_out, schema)
    view.advance(1, len(parts.lenders) + 1)
    people = iter(borrowers)
    labels = parts.hold_out[schema.target].to_numpy(dtype=np.int64)
    for done, (name, loans) in enumerate(parts.lenders.items(), 2):
        own = list(islice(people, len(loans)))
        table = _consented(loans, own, schema)
        draws = [
            train_alone(table, schema, outcome.settings.model, outcome.campaign.mechanism, outcome.settings.seed)
            for _ in range(ALONE_DRAWS)
        ]
        predictions = [model.probability(parts.hold_out) for model in draws]
        outcome.probabilities[name] = predictions[0]
        outcome.qualities[name] = _mean([quality(labels, p) for p in predictions])
        view.advance(done, len(parts.lenders) + 1)
    for name in ("consortium", "pooled_reference"):
        outcome.qualities[name] = quality(labels, outcome.probabilities[name])
    view.end(f"consortium AUC {outcome.qualities['consortium'].auc:.4f}")


def _mean(draws: Sequence[Quality]) -> Quality:
    """What a lender alone can expect: the mean over independent draws of the noise, so that luck does not rank."""
    return Quality(**{f.name: float(np.mean([getattr(q, f.name) for q in draws])) for f in fields(Quality)})


def _consented(loans: pd.DataFrame, own: Sequence[Borrower], schema: FeatureSchema) -> pd.DataFrame:
    """A lender's rows with consent, sensitive features masked where that consent is missing."""
    gives = np.array([person.answer == "gives" for person in own])
    sensitive = np.array([person.sensitive for person in own])
    table = loans[gives]
    hidden = {name: table[name].mask(~sensitive[gives]) for name in schema.sensitive()}
    return table.assign(**hidden)


def audit_log(outcome: Outcome, url: str, first_checkpoint: str, view: View) -> None:
    """Verify the log as the auditor, then that nobody who withdrew stands in a later roster."""
    view.begin("Audit the log from the outside")
    founded = outcome.founded
    auditor = founded.auditor(url)
    audit = verify_log(auditor, first_checkpoint, founded.auditor_recipient)
    auditor.close()
    outcome.audit = audit
    committed = {(one.leaf["release"], one.leaf["actor"]) for one in audit.commitments}
    for number, kept in enumerate(load_releases(outcome.folder).releases):
        if missing := [lender for lender in kept.lenders if (number, lender) not in committed]:
            raise DemoError(f"the log holds no roster of {', '.join(missing)} for release {number}")
    sizes: dict[int, dict[str, int]] = {}
    for logged in audit.commitments:
        if logged.opened is not None:
            sizes.setdefault(logged.opened.release, {})[logged.opened.lender] = logged.opened.size
    outcome.rounds = [replace(r, roster=sizes[r.number]) for r in outcome.rounds]
    outcome.withdrawn_seen_after = _seen_after(outcome, audit)
    view.end(
        f"{audit.entries:,} entries, {len(audit.commitments)} rosters, consistent from the first checkpoint to the last"
    )


def _seen_after(outcome: Outcome, audit: Audit) -> int:
    """How often somebody who withdrew stands in a later roster; absence is proved against the logged roots."""
    seen = 0
    for logged in audit.commitments:
        commitment = logged.opened
        if commitment is None or commitment.release <= outcome.hold_after:
            continue
        store = Node.open(outcome.founded.node_home(commitment.lender)).store
        which = (commitment.release, commitment.attempt)
        number = next(r.number for r in store.releases(outcome.campaign.sha256) if (r.release, r.attempt) == which)
        roster = Roster.of(store.members(number), unb64(commitment.salt))
        if roster.root.hex() != logged.leaf["root"]:
            raise DemoError(
                f"{commitment.lender}'s own roster of release {commitment.release} is not the one it logged"
            )
        for person in outcome.withdrawn:
            if person.lender == commitment.lender:
                try:
                    proof = roster.prove_absence(person.pseudonym)
                    verify_absence(proof, person.pseudonym, roster.salt, roster.root)
                except ProofError:
                    seen += 1
    return seen
