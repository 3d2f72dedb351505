"""Decisions that a borrower states without signing them: answers to a notice that was shown."""

from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from consent.commands.borrowers_consents import BorrowersConsents
from consent.commands.check_decisions import Stated
from law.categories import Sensitivity
from protocol.consents import (
    Action,
    Authority,
    Channel,
    Choice,
    ConsentDecision,
    Presentation,
)
from protocol.errors import Conflict
from protocol.schema import Instant, Language, Sha256, Slug

_MAX_CHOICES = 16


class MyChoice(BaseModel):
    """One answer about one lender and one kind of data."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipient: Slug = Field(examples=["aspen"])
    sensitivity: Sensitivity = "ordinary"
    action: Action = Field(examples=["give"])


class Statement(BaseModel):
    """What a borrower decides, in answer to a notice that was shown."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    notice_id: Slug = Field(examples=["joint-credit-model"])
    notice_version: int = Field(ge=1, le=1_000_000, examples=[1])
    notice_language: Language = Field(examples=["zh"])
    notice_sha256: Sha256 = Field(
        description="SHA-256 of the exact text that was shown.", examples=["0" * 64]
    )
    channel: Channel = "web"
    authority: Authority = Authority()
    presentation: Presentation | None = Field(
        default=None, description="How the notice was shown, where it asks for that."
    )
    expiry_time: Instant | None = Field(
        default=None, description="When the consent ends, if earlier than the notice says."
    )
    choices: tuple[MyChoice, ...] = Field(min_length=1, max_length=_MAX_CHOICES)


@dataclass(frozen=True)
class Answering:
    """A statement, by whoever is logged in (``login_sha256``: what the login began with; empty
    without one)."""

    reads_languages: ClassVar[bool] = False

    statement: Statement
    login_sha256: str
    kind: Literal["statement"] = "statement"

    def decisions(self, consents: BorrowersConsents) -> list[Stated]:
        """One decision per lender. Raises NotFound, Conflict."""
        asked = self.statement
        _, notice = consents.transaction.notices.notice(asked.notice_id, asked.notice_version)
        names = {subject.lender: subject.pseudonym for subject in consents.subjects}
        lenders = {choice.recipient for choice in asked.choices}
        known = Counter(subject.lender for subject in consents.subjects)
        if any(known[lender] > 1 for lender in lenders):  # for which of them nobody could say
            said = "the caller is more than one customer of a lender; end one of the links first"
            raise Conflict(said).because("several-there")
        if lenders - set(names):
            said = "the statement speaks of a lender at which the caller is not enrolled"
            raise Conflict(said).because("not-enrolled-there")
        return [
            self._decision(consents, notice.purpose, lender, names[lender])
            for lender in sorted(lenders)
        ]

    def _decision(
        self, consents: BorrowersConsents, purpose: str, lender: str, pseudonym: str
    ) -> Stated:
        asked = self.statement
        decision = ConsentDecision(
            pii_principal_id=pseudonym,
            notice_id=asked.notice_id,
            notice_version=asked.notice_version,
            notice_language=asked.notice_language,
            notice_sha256=asked.notice_sha256,
            choices=tuple(
                Choice(
                    purpose=purpose,
                    recipient=lender,
                    sensitivity=choice.sensitivity,
                    action=choice.action,
                )
                for choice in asked.choices
                if choice.recipient == lender
            ),
            event_time=consents.transaction.moment,
            expiry_time=asked.expiry_time,
            channel=asked.channel,
            authority=asked.authority,
            presentation=asked.presentation,
            nonce=secrets.token_urlsafe(16),
        )
        return Stated(decision, login_sha256=self.login_sha256)
