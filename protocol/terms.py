"""What a consent is about, as far as every party needs it: the purpose, and limits on use.

The limits are those of the consent artefact of India's account aggregators (ReBIT AA API: DataLife,
Frequency, FIDataRange, fetchType). What a notice says besides is in :mod:`protocol.notices`.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

TRAINING_PURPOSE = "https://w3id.org/tahini/purposes#JointCreditModelTraining"
"""Training a credit model together. Judging a person with it is another purpose
(:data:`BROADER_PURPOSE`), and a yes to this one is none to that."""
BROADER_PURPOSE = "https://w3id.org/dpv#CreditChecking"
"""DPV's term for assessing whether somebody can repay."""

Iri = Annotated[str, Field(pattern=r"^https://[!-~]{1,190}$")]
_DAYS = {"day": 1, "week": 7, "month": 30, "year": 365}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Frequency(_Part):
    """At most ``times`` uses in any period of the given length (a month has 30 days, a year
    365)."""

    times: int = Field(ge=1, le=10_000)
    per: Literal["day", "week", "month", "year"]

    @property
    def period(self) -> timedelta:
        return timedelta(days=_DAYS[self.per])


class Limits(_Part):
    """How far a consent reaches. One use is one campaign, or one application."""

    fetch_type: Literal["one-time", "periodic"] = "periodic"
    frequency: Frequency | None = None
    data_from: date | None = None
    """Facts recorded before this day are not used (the start of FIDataRange)."""
    data_to: date | None = None
    """Facts recorded after this day are not used (its end)."""
    data_life_days: int | None = Field(default=None, ge=1, le=36_500)
    """Facts are used for so many days after they were recorded (DataLife)."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.data_from and self.data_to and self.data_from > self.data_to:
            raise ValueError("data_from comes after data_to")
        return self

    @property
    def counts_uses(self) -> bool:
        return self.fetch_type == "one-time" or self.frequency is not None
