"""What a campaign can be of, as the command line offers it."""

from __future__ import annotations

from enum import StrEnum


class ModelChoice(StrEnum):
    SCORECARD = "scorecard"
    GAM = "gam"
    MLP = "mlp"


class MechanismChoice(StrEnum):
    DISTRIBUTED = "distributed"
    LOCAL = "local"
