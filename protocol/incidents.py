"""Incidents with people's data: what happened, how grave it is, whom it concerns, what they can do.

The text is what PIPL article 57 asks to be told (kinds, cause, harm, remedies, what people can do,
contact), the grade follows from counts (:mod:`law.incidents`). Whom it concerns is never in the
document. Engineering, not legal advice.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from law.categories import DataCategory
from law.incidents import COUNTED, Due, Grade, Graded, Jurisdiction, clocks, grade_of
from protocol.schema import Document, Instant, Pseudonym, Sha256, Slug, StaffId, left_out

MAX_TOLD = 500
"""People in one report; the same incident is reported again for more."""
Words = Annotated[str, Field(min_length=10, max_length=2000)]
Count = Annotated[int, Field(ge=0, lt=10**10)]
What = Literal["leaked", "tampered", "lost", "misused"]


class Incident(Document):
    """An incident as the institution tells it: to the authority, to the auditor, to those it
    concerns."""

    typ = "tahini-incident"

    id: Slug
    institution: Slug
    what: tuple[What, ...] = Field(min_length=1)
    """Leaked, tampered with, lost (PIPL 57), or used for something else."""
    categories: tuple[DataCategory, ...] = Field(min_length=1)
    records: Count | None = None
    """How many records about people; None while that is unknown."""
    sensitive_records: Count | None = None
    credit_records: Count | None = None
    """Of these, records about credit or property (PBOC 令〔2025〕4号, article 9(3))."""
    grade: Grade
    """As computed, or graver: an authority or the institution may grade it higher, never lower."""
    cause: Words
    harm: Words
    remedies: Words
    """What the institution has done (PIPL 57(2))."""
    advice: Words
    """What people can do themselves (PIPL 57(2))."""
    contact: Annotated[str, Field(min_length=5, max_length=300)]
    happened_at: Instant | None = None
    discovered_at: Instant
    operator: StaffId | None = Field(default=None, exclude_if=left_out)

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.happened_at is not None and self.happened_at > self.discovered_at:
            raise ValueError("it was discovered before it happened")
        for name in ("sensitive_records", "credit_records"):
            part = getattr(self, name)
            if part is not None and self.records is not None and part > self.records:
                raise ValueError(f"{name} are more than all records")
        if self.grade.rank < self.graded.grade.rank:
            raise ValueError(
                f"the grade is {self.graded.grade} at least ({self.graded.article}), not "
                f"{self.grade}"
            )
        return self

    @property
    def graded(self) -> Graded:
        """What follows from the counts alone."""
        return grade_of({name: getattr(self, name) for name in COUNTED})

    def due(
        self, handled: datetime | None = None, jurisdiction: Jurisdiction | None = None
    ) -> list[Due]:
        """What is due by when; see :func:`law.incidents.clocks`."""
        return clocks(self.grade, self.discovered_at, handled, jurisdiction)


class IncidentClosure(Document):
    """That what was to be done about an incident has been done."""

    typ = "tahini-incident-closure"

    incident_sha256: Sha256
    institution: Slug
    summary: Words
    """What was found out, what is different now."""
    handled_at: Instant
    """When handling ended: from then on the summary is due (PBOC 令〔2025〕4号, article 17)."""
    operator: StaffId | None = Field(default=None, exclude_if=left_out)


class IncidentReport(BaseModel):
    """What is sent: the signed incident, and of those it concerns as many as fit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    token: str = Field(max_length=65_536)
    affected: tuple[Pseudonym, ...] = Field(default=(), max_length=MAX_TOLD)
