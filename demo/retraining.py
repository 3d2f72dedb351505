"""The loop closes: a lender's node reads its own loans, and everybody trains once more.

The same people, the same budgets, the same processes: what the first campaign spent of a person is
spent.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pandas as pd

from clients.data.description import DATA_FILE
from clients.home import BOOK_FILE, Node
from credit.metrics import quality
from credit.models import CreditModel
from demo.campaigns import AGAIN, propose
from demo.coordinator import CoordinatorProcess
from demo.errors import DemoError
from demo.references import train_alone
from demo.result import ProgressView, Retrained, Scenario, YearsLived
from lending.portfolio.labels import OPENED
from protocol.campaigns import Campaign
from server.home import MODEL_FILE

BOOKS, BEFORE = "books", "before.parquet"
DATA = f"""# The loan book that was there before, and the loans of the lender's own desk
# (tahini desk export-book). Of somebody who is in both, the later row counts.
kind = "parquet"
path = "{BOOKS}/*.parquet"
person = "pseudonym"
latest_by = "{OPENED}"
"""


def retrain(
    scenario: Scenario, years: YearsLived, coordinator: CoordinatorProcess, view: ProgressView
) -> Retrained:
    """A second campaign, approved and run as the first one.

    Raises:
        DemoError, and what nodes and the registry refuse with: no budget left, no release.
    """
    founded, settings = scenario.founded, scenario.settings
    home = founded.node_home(years.lender)
    own, before = read_own_loans(home, years)
    campaign = propose(founded, settings, view, AGAIN)
    view.begin("Train again, with the loans of these two years")
    spent = _run(coordinator, campaign, view)
    folder = founded.coordinator_home / "campaigns" / campaign.sha256
    schema, hold_out, labels = settings.loans.schema, scenario.split.hold_out, scenario.labels
    probability = CreditModel.load(folder / MODEL_FILE).probability(hold_out)
    was = quality(labels, CreditModel.load(scenario.files["model"]).probability(hold_out))
    now = quality(labels, probability)
    loans = pd.read_parquet(years.book)
    alone = None
    if loans[schema.target].nunique() > 1:
        one = train_alone(loans, schema, settings.model, campaign.mechanism, settings.seed)
        alone = quality(labels, one.probability(hold_out))
    view.end(f"AUC {now.auc:.4f}, before {was.auc:.4f}; epsilon of both within the same budget")
    return Retrained(
        campaign=campaign,
        folder=folder,
        own=own,
        before=before,
        epsilon_spent=spent,
        cap=Node.open(home).cap.epsilon,
        probability=probability,
        quality=now,
        own_alone=alone,
    )


def read_own_loans(home: Path, years: YearsLived) -> tuple[int, int]:
    """Have a lender's node read the loans of its desk beside what it had; returns how many people
    are in it with a loan of the desk's, and how many with what was known before."""
    books = home / BOOKS
    books.mkdir(mode=0o700)
    before = pd.read_parquet(home / BOOK_FILE)
    before[OPENED] = years.first - timedelta(days=1)
    own = pd.read_parquet(years.book)
    _write(before, books / BEFORE)
    _write(own, books / years.book.name)
    (home / BOOK_FILE).unlink()
    (home / DATA_FILE).write_text(DATA, encoding="utf-8")
    people = set(own["pseudonym"])
    return len(people), int((~before["pseudonym"].isin(people)).sum())


def _write(table: pd.DataFrame, path: Path) -> None:
    """Readable by its owner alone."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        table.to_parquet(file, index=False)


def _run(coordinator: CoordinatorProcess, campaign: Campaign, view: ProgressView) -> float:
    """Run it to its model; returns the epsilon that it spent."""
    coordinator.send({"command": "launch", "campaign": campaign.sha256})
    total = len(campaign.mechanism.releases)
    spent = 0.0
    for event in coordinator.events():
        match event["event"]:
            case "release":
                spent = float(event["epsilon"])
                view.advance(int(event["release"]) + 1, total)
            case "lost":
                view.lost(", ".join(event["lenders"]), str(event["reason"]))
            case "stopped":
                raise DemoError(f"the second campaign stopped: {event['reason']}")
            case "released":
                return spent
    raise DemoError("the coordinator ended without a second model")
