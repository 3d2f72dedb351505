"""What a run is asked, what it tells whoever watches, and everything it finds out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from auditlog.audit import Audit
from credit.evaluation import Evaluation
from credit.metrics import Quality
from credit.models import CreditModel
from credit.planning import Kind
from credit.remarks import RiskLevel
from demo.borrowers import Borrower
from demo.consortium import Founded
from demo.loans import Loans, Split
from protocol.campaigns import Campaign
from server.home import CARD_FILE, MODEL_FILE

NAMED = "Wang Xiaomei 王晓梅"


class View(Protocol):
    """What a run tells whoever watches it."""

    def begin(self, step: str) -> None: ...
    def advance(self, done: int, total: int) -> None: ...
    def end(self, result: str) -> None: ...
    def round(self, number: int, total: int, auc: float, epsilon: float) -> None: ...
    def lost(self, lenders: str, reason: str) -> None: ...


@dataclass(frozen=True)
class Settings:
    loans: Loans
    workspace: Path
    lenders: int
    epsilon: float
    seed: int
    model: Kind
    delta: float
    mechanism: Literal["distributed", "local"] = "distributed"


@dataclass(frozen=True)
class Round:
    """One step of the descent; ``number`` is that of its release."""

    number: int
    auc: float
    epsilon: float
    roster: dict[str, int]


@dataclass
class Outcome:
    """Everything a run found out; the report is a rendering of it."""

    settings: Settings
    split: Split
    founded: Founded
    campaign: Campaign
    consent: dict[str, int]
    rounds: list[Round] = field(default_factory=list)
    withdrawn_seen_after: int = 0
    withdrawn: list[Borrower] = field(default_factory=list)
    hold_after: int = 0
    probabilities: dict[str, np.ndarray] = field(default_factory=dict)
    """Hold-out probabilities of bad: 'consortium', 'pooled_reference', and each lender by name."""
    qualities: dict[str, Quality] = field(default_factory=dict)
    audit: Audit | None = None
    model: CreditModel | None = None
    evaluation: Evaluation | None = None
    """What the consortium itself may know of its model: figures from noisy sums over people held out by the lenders."""
    level: RiskLevel | None = None
    """Good and bad people as the histogram release counted them."""
    remarks: tuple[str, ...] = ()
    """What should be said of the model: an undetermined level of risk, features that hardly tell people apart."""
    epsilon_spent: float = 0.0
    seconds: float = 0.0

    @property
    def folder(self) -> Path:
        return self.founded.coordinator_home / "campaigns" / self.campaign.sha256

    @property
    def files(self) -> dict[str, Path]:
        return {"model": self.folder / MODEL_FILE, "card": self.folder / CARD_FILE}
