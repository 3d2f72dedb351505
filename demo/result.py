"""What a run is asked for, what it tells whoever watches, and what each of its parts finds out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from auditlog.audit import Audit
from credit.kinds import Kind
from credit.metrics import Quality
from credit.quality import ModelEvaluation
from credit.remarks import RiskLevel
from demo.borrowers import DemoBorrower, consent_counts
from demo.consortium import Founded
from demo.loans import Loans, Split
from desk.commands.book import BookStanding
from desk.commands.export_book import BookWritten
from protocol.campaigns import Campaign
from protocol.notices import Notice
from server.home import CARD_FILE, MODEL_FILE

NAMED = "Wang Xiaomei 王晓梅"


class ProgressView(Protocol):
    """What a run tells whoever watches it."""

    def begin(self, step: str) -> None: ...
    def advance(self, done: int, total: int) -> None: ...
    def end(self, result: str) -> None: ...
    def round(self, number: int, total: int, auc: float, epsilon: float) -> None: ...
    def lost(self, lenders: str, reason: str) -> None: ...


@dataclass(frozen=True)
class Settings:
    """What a run is asked for."""

    loans: Loans
    workspace: Path
    lenders: int
    epsilon: float
    seed: int
    model: Kind
    delta: float
    mechanism: Literal["distributed", "local"] = "distributed"
    applications: int = 0
    """How many come in two years of lending with the model; none, and nobody lends on."""


@dataclass(frozen=True)
class Scenario:
    """What is fixed before the training: who has which rows, who answered what, and the approved
    campaign."""

    settings: Settings
    split: Split
    founded: Founded
    notice: Notice
    borrowers: tuple[DemoBorrower, ...]
    campaign: Campaign

    @property
    def labels(self) -> NDArray[np.int64]:
        """The outcomes of the hold-out, which belongs to nobody in the consortium."""
        return self.split.hold_out[self.settings.loans.schema.target].to_numpy(dtype=np.int64)

    @property
    def folder(self) -> Path:
        """The campaign's, at the coordinator."""
        return self.founded.coordinator_home / "campaigns" / self.campaign.sha256

    @property
    def files(self) -> dict[str, Path]:
        return {"model": self.folder / MODEL_FILE, "card": self.folder / CARD_FILE}


@dataclass(frozen=True)
class Round:
    """One step of the descent; ``number`` is that of its release."""

    number: int
    auc: float
    epsilon: float


@dataclass(frozen=True)
class TrainingResult:
    """What the training tells of itself."""

    rounds: tuple[Round, ...]
    hold_after: int
    """The release after which people withdrew."""
    withdrawn: tuple[DemoBorrower, ...]
    epsilon_spent: float
    evaluation: ModelEvaluation | None
    """What the consortium itself may know of its model: figures from noisy sums over people held
    out by the lenders."""
    level: RiskLevel | None
    """Good and bad people as the histogram release counted them."""
    remarks: tuple[str, ...]
    """What should be said of the model: an undetermined level of risk, features that hardly tell
    people apart."""


@dataclass(frozen=True)
class Comparison:
    """Models side by side on the hold-out, by name: 'consortium', 'pooled_reference', and each
    lender's."""

    probabilities: dict[str, NDArray[np.float64]]
    """Of bad."""
    qualities: dict[str, Quality]


@dataclass(frozen=True)
class LogAudit:
    """What the log proves about the training."""

    audit: Audit
    rosters: dict[int, dict[str, int]]
    """By release: how many people of each lender."""
    withdrawn_seen_after: int
    """How often somebody who withdrew stands in a later roster, of any campaign."""


@dataclass(frozen=True)
class LoanApplied:
    """One application for a loan, as it went over HTTP."""

    status: str
    seconds: float
    """From the request to its answer, the log's index included."""
    score: Mapping[str, Any] | None
    offer: Mapping[str, Any] | None
    reasons: tuple[Mapping[str, Any], ...]
    letter: Mapping[str, str]
    """By language."""
    entry_index: int
    receipt: str
    """What its verified receipt says."""


@dataclass(frozen=True)
class Lent:
    """What came of lending with the released model at one lender."""

    lender: str
    applied: tuple[LoanApplied, ...]
    people: frozenset[str]
    """Who applied, by their names at the lender; in no report."""


@dataclass(frozen=True)
class YearsLived:
    """What came of two years of lending at one lender."""

    lender: str
    first: date
    last: date
    decided: Mapping[str, int]
    """Applications by what they led to first."""
    beside: Mapping[str, int]
    """What else happened: extensions that were refused, cases left with a person."""
    standing: BookStanding
    book: Path
    """The loan book that the accounts gave, with mature labels."""
    written: BookWritten

    @property
    def applications(self) -> int:
        return sum(self.decided.values())


@dataclass(frozen=True)
class Retrained:
    """A second campaign, and its model beside the first one's."""

    campaign: Campaign
    folder: Path
    own: int
    """People in the lender's book with a loan of its own desk."""
    before: int
    """People in it with what was known of them before."""
    epsilon_spent: float
    cap: float
    """What the consortium allows each person over all campaigns."""
    probability: NDArray[np.float64]
    """Of bad, on the hold-out."""
    quality: Quality
    own_alone: Quality | None
    """Of a model of these loans alone at the same epsilon; None where all of them ended alike."""

    @property
    def files(self) -> dict[str, Path]:
        return {"model": self.folder / MODEL_FILE, "card": self.folder / CARD_FILE}


@dataclass(frozen=True)
class Loop:
    """How it closed: what was lent with the model, and the model that this taught."""

    years: YearsLived
    retrained: Retrained


@dataclass(frozen=True)
class Outcome:
    """Everything a run found out; the report is a rendering of it."""

    scenario: Scenario
    training: TrainingResult
    comparison: Comparison
    log: LogAudit
    lending: Lent | None
    """None where there was nothing to lend with."""
    loop: Loop | None
    """None where nobody went on lending."""
    seconds: float

    @property
    def consent(self) -> dict[str, int]:
        """Borrowers by what they answered."""
        return consent_counts(self.scenario.borrowers) | {"withdrawn": len(self.training.withdrawn)}
