"""Refusals as data, on their way from the process that commits to the one that was asked."""

from __future__ import annotations

import logging
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from auditlog.database import AWAY
from crypto import errors as crypto_errors
from crypto.errors import TahiniError
from protocol import errors as protocol_errors
from protocol.errors import ConsentError, StorageFailed

logger = logging.getLogger("tahini.log")
_KINDS: dict[str, type[TahiniError]] = {
    name: kind
    for module in (crypto_errors, protocol_errors)
    for name, kind in vars(module).items()
    if isinstance(kind, type) and issubclass(kind, TahiniError)
}


class Refusal(BaseModel):
    """A refusal on its way to another process."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    detail: str
    status: int = StorageFailed.status
    code: str = StorageFailed.code
    place: tuple[str | int, ...] = ()
    said: tuple[str, dict[str, Any]] = ("", {})

    @classmethod
    def of(cls, error: TahiniError) -> Refusal:
        """What the caller may know of it: the database's own words stay in this process's
        journal."""
        if isinstance(error, StorageFailed) and error.__cause__ is not None:
            logger.warning("%s", error)
            error = StorageFailed(AWAY)
        kind = next(kind.__name__ for kind in type(error).__mro__ if kind in _KINDS.values())
        detail = _writable(str(error))
        if not isinstance(error, ConsentError):
            return cls(kind=kind, detail=detail)
        place = tuple(_writable(step) if isinstance(step, str) else step for step in error.place)
        about = {"status": error.status, "code": error.code, "place": place, "said": error.said}
        return cls(kind=kind, detail=detail, **about)

    def error(self) -> TahiniError:
        """What it was; StorageFailed where this process does not know the kind."""
        error = _KINDS.get(self.kind, StorageFailed)(self.detail)
        if isinstance(error, ConsentError):
            error.status, error.code, error.place = self.status, self.code, self.place
            error.said = self.said
        return error


def _writable(text: str) -> str:
    """``text`` as UTF-8 can hold it: a lone surrogate is written out."""
    return text.encode("utf-8", "backslashreplace").decode()


def refused(content: bytes) -> TahiniError:
    """The refusal in what the writer sent."""
    try:
        return Refusal.model_validate_json(content).error()
    except ValidationError:
        return StorageFailed("another version of this service answers; try again in a second")
