"""What travels between a lender and the naming service."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from crypto.errors import PseudonymError
from crypto.keys import b64, unb64
from crypto.pseudonyms import ELEMENT_SIZE, MAX_BATCH, MAX_VERSION, Evaluation, Kind, count_of

MAX_WANTED = 3
"""Of a person's names in one request: a renaming wants the old pairwise name and both new ones."""
Elements = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9_-]+$",
        max_length=-(-4 * ELEMENT_SIZE * MAX_BATCH // 3),
        description="elements of 32 bytes one after the other, in base64url without padding",
    ),
]


class Wanted(BaseModel):
    """One of a person's names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    version: Annotated[int, Field(ge=1, le=MAX_VERSION)]


class EvaluationRequest(BaseModel):
    """The blinded elements of a batch of people, and which names they are for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    wanted: Annotated[tuple[Wanted, ...], Field(min_length=1, max_length=MAX_WANTED)]
    elements: Elements

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if len(set(self.wanted)) != len(self.wanted):
            raise ValueError("the same name is wanted twice")
        try:
            count_of(self.blinded)
        except PseudonymError as error:
            raise ValueError(str(error)) from error
        return self

    @cached_property
    def blinded(self) -> bytes:
        """The elements, 32 bytes each."""
        return unb64(self.elements)


class EvaluationAnswer(BaseModel):
    """One key's: as many evaluated elements as were asked for, in order, and one proof of 64 bytes
    over all of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    elements: Elements
    proof: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{86}$")]

    @classmethod
    def of(cls, evaluation: Evaluation) -> EvaluationAnswer:
        return cls(elements=b64(evaluation.elements), proof=b64(evaluation.proof))

    def evaluation(self) -> Evaluation:
        """Raises ValueError for what is no base64url."""
        return Evaluation(unb64(self.elements), unb64(self.proof))


class EvaluationAnswers(BaseModel):
    """One for each name that was wanted, in the order of the request."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    evaluations: Annotated[tuple[EvaluationAnswer, ...], Field(min_length=1, max_length=MAX_WANTED)]


class KeysAnswer(BaseModel):
    """The signed list of keys, and the index of its entry in the audit log."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    token: str = Field(max_length=50_000_000)
    index: int = Field(ge=0)
