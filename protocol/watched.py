"""What a campaign that watches a released model is about: whose model, and which days."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

from protocol.schema import Sha256
from protocol.terms import Iri

WATCHING_PURPOSE: Iri = "https://w3id.org/tahini/purposes#JointModelMonitoring"
"""Watching a released model together: who applies, and what became of loans, as sums over many
people. Training and judging a person are other purposes, and a yes to one is none to another."""
APPROVED, APPLIED = "approved", "applied_on"
"""Columns of everybody who applied: 1 for who was approved in the end and 0 for who was not, which
an intake has for its outcome; and the day."""
LONGEST_PERIOD = timedelta(days=366)


class ModelReference(BaseModel):
    """A model, by the hash of its file, and the campaign that released it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    campaign_sha256: Sha256
    model_sha256: Sha256


class WatchedPeriod(ModelReference):
    """A released model, and whose rows are counted: from ``since`` to the day before ``until``."""

    since: date
    until: date

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if not timedelta() < self.until - self.since <= LONGEST_PERIOD:
            raise ValueError("a period is a day at least and a year at most")
        return self

    @property
    def last(self) -> date:
        """The last day whose people are counted."""
        return self.until - timedelta(days=1)
