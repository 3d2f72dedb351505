"""A lender's desk at the registry: how its borrowers stand, and what it states of uses of their
data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from protocol.client.lenders import LenderClient
from protocol.errors import RegistryUnavailable


@dataclass(frozen=True)
class UseAnswer:
    """What came of one statement: its index in the log, or why the registry does not log it."""

    index: int | None
    refused: str | None = None
    wants_person: bool = False
    """The borrower refuses decisions by a machine alone, until they say otherwise."""


class DeskClient(LenderClient):
    """A lender's desk at the registry."""

    def log_uses(self, tokens: Sequence[str]) -> list[UseAnswer]:
        """Hand in signed statements (:class:`protocol.uses.UseStatement`); one answer each, in
        their order, durable. What was handed in before has the index that it got then."""
        answer = self._checked(self._send("POST", "/v1/uses", {"tokens": list(tokens)}).json)
        found = self._checked(lambda: [_answer(item) for item in answer["items"]])
        if len(found) != len(tokens):
            raise RegistryUnavailable("the log answered for another number of statements")
        return found


def _answer(item: dict[str, object]) -> UseAnswer:
    """Raises KeyError, TypeError, ValueError."""
    if (refused := item["refused"]) is not None:
        return UseAnswer(None, str(refused))
    if isinstance(index := item["index"], int) and index >= 0:
        return UseAnswer(index, None, item["wants_person"] is not False)
    raise ValueError("an answer has neither an index nor a reason")
