"""What travels between a lender and the naming service."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from crypto.pseudonyms import MAX_BATCH, MAX_VERSION, Kind
from protocol.schema import KeyText


class EvaluationRequest(BaseModel):
    """Blinded elements, base64url without padding, 32 bytes each."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    version: Annotated[int, Field(ge=1, le=MAX_VERSION)]
    elements: Annotated[list[KeyText], Field(min_length=1, max_length=MAX_BATCH)]


class EvaluationAnswer(BaseModel):
    """As many evaluated elements, in order, and one proof of 64 bytes over all of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    elements: Annotated[list[KeyText], Field(min_length=1, max_length=MAX_BATCH)]
    proof: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{86}$")]


class KeysAnswer(BaseModel):
    """The signed list of keys, and the index of its entry in the audit log."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    token: str = Field(max_length=50_000_000)
    index: int = Field(ge=0)
