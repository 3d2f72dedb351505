"""What a lender states of its uses of an applicant's data (``protocol.uses``), in signed documents.
Pure but for the clock and a nonce.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from crypto.documents import document_hash
from desk.consents import Permission
from law.categories import DataCategory
from lending.cases import Case, Decision
from protocol.schema import now
from protocol.uses import PORTRAIT_PURPOSE, PORTRAYED, SCORING_PURPOSE, Blinding, UseStatement


def plain(value: Any) -> Any:
    """A value of the domain as JSON: whole numbers as they are, every other number as text."""
    kind = type(value)
    if kind in _AS_IT_IS:
        return value
    if kind is tuple or kind is list:
        return [plain(item) for item in value]
    if (names := _FIELDS.get(kind)) is not None:
        return {name: plain(getattr(value, name)) for name in names}
    if kind is float:
        return repr(value)
    if kind is Decimal:
        return format(value, "f")
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, date):
        return value.isoformat()
    if is_dataclass(value):
        _FIELDS[kind] = tuple(one.name for one in fields(value))
        return plain(value)
    raise TypeError(f"a decision holds no {kind.__name__}")


_AS_IT_IS = frozenset({str, int, bool, type(None)})
_FIELDS: dict[type, tuple[str, ...]] = {}
"""Of the dataclasses that were met."""


def decision_payload(decision: Decision) -> dict[str, Any]:
    """A decision as JSON, for the commitment and the receipt. Of the trace it has the hash."""
    payload: dict[str, Any] = plain(decision)
    return {**payload, "trace": document_hash({"trace": payload["trace"]})}


@dataclass(frozen=True)
class Decided:
    """What :meth:`Trail.scored` states of a decision.

    Args:
        payload: :func:`decision_payload`. sources: who answered. automated: a machine alone
            decided.
    """

    case: Case
    payload: Mapping[str, Any]
    sources: Mapping[str, DataCategory]
    automated: bool


class UseStatements:
    """The statements of one lender."""

    def __init__(self, lender: str, clock: Callable[[], datetime] = now) -> None:
        self._lender, self._clock = lender, clock

    def read(
        self, blinding: Blinding, permission: Permission, sources: Mapping[str, DataCategory]
    ) -> UseStatement:
        """Who is about to be asked for what; only for what is granted."""
        said = {"step": "use.read", "consents": permission.consents, "sources": dict(sources)}
        return self._statement(blinding, permission.pseudonym, said)

    def portrayed(
        self,
        blinding: Blinding,
        permission: Permission,
        sources: Mapping[str, DataCategory],
        portraits: str,
    ) -> UseStatement:
        """Who is about to be asked for what, to place the person in portraits; which, by hash."""
        said = {
            "step": PORTRAYED,
            "purpose": PORTRAIT_PURPOSE,
            "consents": permission.consents,
            "sources": dict(sources),
            "policy": portraits,
        }
        return self._statement(blinding, permission.pseudonym, said)

    def scored(self, blinding: Blinding, permission: Permission, decided: Decided) -> UseStatement:
        """The statement of a decision. Of the consents it names those that were read under."""
        case = decided.case
        return self._statement(
            blinding,
            permission.pseudonym,
            {
                "step": "use.scored",
                "consents": permission.consents,
                "sources": dict(decided.sources),
                "automated": decided.automated,
                "model": case.model_hash if case.scored is not None else None,
                "policy": case.policy_hash,
                "law": case.law_hash,
                "case": blinding.commit("case", decided.payload["case_hash"]),
                "decision": blinding.commit("decision", dict(decided.payload)),
            },
        )

    def explained(self, blinding: Blinding, scored: UseStatement, text: str) -> UseStatement:
        """The statement that a decision was explained, with this text."""
        about = scored.model_dump(include={"model", "policy", "law", "case", "decision"})
        said = {
            "step": "use.explained",
            "consents": (),
            **about,
            "document": blinding.commit("document", text),
        }
        return self._statement(blinding, scored.pii_principal_id, said)

    def _statement(
        self, blinding: Blinding, pseudonym: str, said: Mapping[str, Any]
    ) -> UseStatement:
        about = {
            "lender": self._lender,
            "pii_principal_id": pseudonym,
            "purpose": SCORING_PURPOSE,
            "application": blinding.name,
            "follows": blinding.follows,
            "at": self._clock(),
            "nonce": secrets.token_urlsafe(24),
        }
        return UseStatement.model_validate({**about, **said})
