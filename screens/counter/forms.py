"""What the counter's forms send."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import ConfigDict, Field, model_validator

from law.categories import SENSITIVITIES
from protocol.schema import Sha256
from screens.house.forms import OwnForm
from screens.house.reading import NoticeForm

MAX_ANSWERS = 16


class WantedForm(OwnForm):
    """What somebody asks for, as they typed it; ``terms`` is a product and its days. ``do``: which
    button."""

    amount: str = Field(default="", max_length=30)
    terms: str = Field(default="", pattern=r"^([a-z0-9-]{1,63}/[0-9]{1,5})?$")
    purpose: str = Field(default="", max_length=200)
    do: Literal["cost", "go"] = "go"


class DataForm(NoticeForm):
    """Answers to the notice of scoring; each further field is a kind of data, and says give or
    refuse. ``person``: a person shall decide."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)

    person: Literal["yes"] | None = None

    @model_validator(mode="after")
    def _questions(self) -> Self:
        extra = self.model_extra or {}
        if len(extra) > MAX_ANSWERS:
            raise ValueError("too many answers")
        for kind, answer in extra.items():
            if kind not in SENSITIVITIES or answer not in ("give", "refuse"):
                raise ValueError("an answer to no question")
        return self

    @property
    def answers(self) -> dict[str, str]:
        return {kind: str(answer) for kind, answer in (self.model_extra or {}).items()}


class SeenForm(OwnForm):
    """A button below something; ``seen`` is the ETag of what was shown."""

    seen: str = Field(max_length=100)


class AcceptForm(SeenForm):
    """Which decision's offer, and the hash of the table of what it costs."""

    decision: str = Field(pattern=r"^[A-Za-z0-9_-]{22}$")
    sha256: Sha256


class PersonForm(OwnForm):
    """What somebody says to the person who will look: nothing is an answer, too. ``about``: the
    number of the reason that they say is wrong."""

    about: str = Field(default="", pattern=r"^[0-9]?$")
    view: str = Field(default="", max_length=3000)


class ObjectForm(OwnForm):
    """Which group of customers somebody does not want to be in."""

    group: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")


class ExtendForm(OwnForm):
    """How much more time; ``priced``: names what it costs, as it was shown."""

    days: int = Field(ge=1, le=3660)
    priced: Sha256
