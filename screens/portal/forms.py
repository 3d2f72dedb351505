"""What the portal's forms send."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import ConfigDict, Field, model_validator

from law.categories import SENSITIVITIES
from protocol.schema import Language, Sha256
from screens.house.forms import PageForm

MAX_CHOICES = 16
Answer = Literal["give", "refuse"]


class ButtonForm(PageForm):
    """A form with a button and nothing to fill in."""


class WithdrawForm(PageForm):
    """``seen``: the ETag of the record as it was shown."""

    seen: str = Field(max_length=100)


class StepForm(WithdrawForm):
    """Pause a consent, or go on with it."""

    action: Literal["suspend", "resume"]


class AnswersForm(PageForm):
    """Answers to one notice, as it was shown in one language. Each further field is a question,
    ``recipient.sensitivity``, and says give or refuse."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)

    language: Language
    sha256: Sha256
    all: Literal["refuse"] | None = None
    """The button that refuses everything."""

    @model_validator(mode="after")
    def _questions(self) -> Self:
        extra = self.model_extra or {}
        if len(extra) > MAX_CHOICES:
            raise ValueError("too many answers")
        for name, answer in extra.items():
            recipient, _, sensitivity = name.partition(".")
            if sensitivity not in SENSITIVITIES or answer not in ("give", "refuse"):
                raise ValueError("an answer to no question")
            if not recipient or len(recipient) > 63:
                raise ValueError("an answer about nobody")
        return self

    @property
    def choices(self) -> list[dict[str, str]]:
        """As the registry takes them."""
        return [
            {"recipient": name.partition(".")[0], "sensitivity": name.partition(".")[2]}
            | {"action": str(answer)}
            for name, answer in (self.model_extra or {}).items()
        ]
