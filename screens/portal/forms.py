"""What the portal's forms send."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import ConfigDict, Field, model_validator

from law.categories import SENSITIVITIES
from protocol.rights import RequestKind
from protocol.schema import Language, Slug
from screens.house.forms import OwnForm, PageForm
from screens.house.reading import NoticeForm

MAX_CHOICES = 400
MAX_SIGNED = 40_000
ANSWERS = ("give", "resume", "refuse", "withdraw")
YES = frozenset({"give", "resume"})


class WithdrawForm(OwnForm):
    """``seen``: the ETag of the record as it was shown."""

    seen: str = Field(max_length=100)


class StepForm(WithdrawForm):
    """Pause a consent, or go on with it; ``seen`` is the ETag of all consents here."""

    action: Literal["suspend", "resume"]


class AnswersForm(NoticeForm):
    """Answers to one notice. Each further field is a question, ``recipient.sensitivity``, and says
    give, or resume after a pause; refuse, or withdraw after a yes."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)

    all: Literal["refuse"] | None = None
    """The button that refuses everything."""
    signed: str = Field(default="", max_length=MAX_SIGNED)
    """The same answers as documents that a key of the person's device has signed, one for each
    lender, with spaces between; empty where there is no such key."""

    @model_validator(mode="after")
    def _questions(self) -> Self:
        extra = self.model_extra or {}
        if len(extra) > MAX_CHOICES:
            raise ValueError("too many answers")
        for name, answer in extra.items():
            recipient, _, sensitivity = name.partition(".")
            if sensitivity not in SENSITIVITIES or answer not in ANSWERS:
                raise ValueError("an answer to no question")
            if not recipient or len(recipient) > 63:
                raise ValueError("an answer about nobody")
        return self

    @property
    def chosen(self) -> dict[str, str]:
        """By question, for a page that shows them once more."""
        return {name: str(answer) for name, answer in (self.model_extra or {}).items()}

    @property
    def choices(self) -> list[dict[str, str]]:
        """As the registry takes them."""
        return [
            {"recipient": name.partition(".")[0], "sensitivity": name.partition(".")[2]}
            | {"action": str(answer)}
            for name, answer in (self.model_extra or {}).items()
        ]


class NewKeysForm(OwnForm):
    """Statements that register a key of this device, one for each lender, with spaces between."""

    statements: str = Field(min_length=1, max_length=MAX_SIGNED)


class EndKeyForm(OwnForm):
    """Which key ends."""

    thumbprint: str = Field(pattern=r"^[A-Za-z0-9_-]{43}$")


class OnlyKeysForm(OwnForm):
    """Whether only a key says yes at one lender."""

    recipient: Slug
    only: Literal["yes", "no"]


class RequestForm(OwnForm):
    """What somebody asks of a lender, in a language that they read."""

    recipient: Slug
    kind: RequestKind
    text: str = Field(default="", max_length=4000)
    language: Language


class LinkForm(PageForm):
    """A lender's invitation. It comes from a page that shows nobody's data, so it is nobody's
    form."""

    whose: str = Field(default="", max_length=44)
    ticket: str = Field(max_length=4096)

    @property
    def invitation(self) -> str:
        """What was handed over, or the whole address that it came in; however it was broken into
        lines."""
        return "".join(self.ticket.split()).rpartition("#")[2]


class EndLinkForm(OwnForm):
    """Which link ends."""

    link: str = Field(pattern=r"^[A-Za-z0-9_-]{10,64}$")
