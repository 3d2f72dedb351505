"""What the form of a proposal sends, and what is wrong with it. Pure.

The form is sent as people typed it, so that it can be shown again with what is wrong beside each
field; what a campaign may be, :mod:`server.proposing` says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from protocol.campaigns import Campaign
from protocol.parties import Consortium
from protocol.watched import ModelReference
from screens.house.forms import OwnForm
from screens.house.problems import N_
from server.errors import BadOption
from server.proposing import (
    DEFAULTS,
    MAX_HOLD_OUT,
    MAX_HOURS,
    MAX_SEED,
    MAX_SPARE,
    MAX_STEPS,
    MIN_HOURS,
    Asked,
    as_before,
    next_id,
)
from server.status import CampaignStatus

MAX_LENDERS = 40
CHOSEN = "lender."
"""A field for each lender that takes part begins so."""
WHOLE: Mapping[str, tuple[int, int]] = {
    "steps": (1, MAX_STEPS),
    "collusion_bound": (0, MAX_LENDERS),
    "spare_attempts": (0, MAX_SPARE),
    "seed": (0, MAX_SEED),
}
NUMBERS: Mapping[str, tuple[float, float]] = {
    "epsilon": (0.0, 100.0),
    "delta": (0.0, 1.0),
    "hold_out": (0.0, MAX_HOLD_OUT),
    "hours": (MIN_HOURS, MAX_HOURS),
}
WRONG: Mapping[str, str] = {
    "missing": N_("This is needed."),
    "not-an-id": N_("Lower-case letters, digits and hyphens only, 63 at most."),
    "too-much": N_("More than the consortium allows."),
    "too-few-lenders": N_("A campaign needs two lenders at least."),
    "too-few-honest": N_("Two lenders at least must be left who do not collude."),
    "not-a-number": N_("This is not a number."),
    "out-of-range": N_("This is out of range."),
    "unknown": N_("This is not known here; choose again."),
    "no-plan": N_(
        "There is no plan for this budget: allow more epsilon, or ask for fewer steps or spare "
        "attempts."
    ),
    "no-assessment": N_("No impact assessment of this home covers it."),
    "refused": N_("The registry refused it."),
    "no-model": N_("That campaign has released no model to begin with."),
    "other-kind": N_("The model to begin with is of another kind."),
    "new-lender": N_("One of these lenders had no part in the model to begin with."),
    "counts-spent": N_("The budget for counts is spent, or people cannot be counted now."),
}
"""What is wrong with a field, by code. Codes are those of :class:`server.errors.BadOption`, and our
own."""


class ProposalForm(OwnForm):
    """A proposal as it was typed. Each further field names a lender that takes part."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)

    do: Literal["price", "count", "check", "edit", "sign"] = "price"
    name: str = Field(default="", max_length=200)
    title: str = Field(default="", max_length=300)
    features: str = Field(default="", max_length=200)
    model: Literal["scorecard", "gam", "mlp"] = "scorecard"
    mechanism: Literal["distributed", "local"] = "distributed"
    epsilon: str = Field(default="", max_length=40)
    delta: str = Field(default="", max_length=40)
    steps: str = Field(default="", max_length=40)
    collusion_bound: str = Field(default="", max_length=40)
    spare_attempts: str = Field(default="", max_length=40)
    hold_out: str = Field(default="", max_length=40)
    hours: str = Field(default="", max_length=40)
    seed: str = Field(default="", max_length=40)
    warm_start: Literal["", "on"] = ""
    """Whether it begins with the model of the campaign that the features are of."""

    @model_validator(mode="after")
    def _lenders(self) -> Self:
        extra = self.model_extra or {}
        if len(extra) > MAX_LENDERS or any(
            not name.startswith(CHOSEN) or len(name) > 80 or said != "on"
            for name, said in extra.items()
        ):
            raise ValueError("a field that the form does not have")
        return self

    @property
    def lenders(self) -> list[str]:
        return [name.removeprefix(CHOSEN) for name in self.model_extra or {}]

    @classmethod
    def fresh(
        cls,
        own: OwnForm,
        consortium: Consortium,
        features: str,
        earlier: CampaignStatus | None,
    ) -> ProposalForm:
        """The form as it is first shown: the defaults, or what an earlier campaign was, among those
        who are left."""
        like, gone = (earlier.campaign, earlier.gone) if earlier else (None, ())
        before = as_before(like) if like else {}
        told = {**DEFAULTS, **before}
        known = {
            name: _written(told[name]) for name in (*WHOLE, *NUMBERS) if told.get(name) is not None
        }
        everybody = [party.id for party in consortium.lenders]
        lenders = [
            one for one in everybody if one not in gone and (like is None or one in like.lenders)
        ]
        return cls.model_validate(
            {
                **own.model_dump(),
                "name": next_id(like.id) if like else "",
                "title": like.title if like else "",
                "features": features,
                "model": told["model"],
                "mechanism": told["mechanism"],
                **known,
                **{CHOSEN + lender: "on" for lender in lenders},
            }
        )


@dataclass(frozen=True)
class Wrong:
    """What is wrong with one field: a key of :data:`WRONG`, and a service's own words if it
    said any."""

    field: str
    code: str
    said: str = ""


@dataclass(frozen=True)
class ReadForm:
    """A form as it was understood: a proposal, or what is wrong."""

    asked: Asked | None
    wrong: tuple[Wrong, ...]

    def at(self, field: str) -> Wrong | None:
        return next((one for one in self.wrong if one.field == field), None)


def understood(
    form: ProposalForm,
    schemas: Mapping[str, dict[str, Any]],
    consortium: Consortium,
    released: Callable[[str], tuple[Campaign, ModelReference]],
) -> ReadForm:
    """What a form asks for.

    Args:
        schemas: feature lists that can be chosen, by name.
        released: the campaign of such a list, and its model; raises BadOption if there is none.
    """
    wrong: list[Wrong] = []
    given: dict[str, Any] = {"model": form.model, "mechanism": form.mechanism}
    for name, (low, high) in {**WHOLE, **NUMBERS}.items():
        typed = getattr(form, name).strip()
        if not typed:
            continue
        try:
            value: float = int(typed) if name in WHOLE else float(typed)
        except ValueError:
            wrong.append(Wrong(name, "not-a-number"))
            continue
        if not math.isfinite(value) or not low <= value <= high:
            wrong.append(Wrong(name, "out-of-range"))
        given[name] = value
    known = {party.id for party in consortium.lenders}
    if set(form.lenders) - known:
        wrong.append(Wrong("lenders", "unknown"))
    elif not form.lenders:
        wrong.append(Wrong("lenders", "too-few-lenders"))
    if form.features and form.features not in schemas:
        wrong.append(Wrong("features", "unknown"))
    for name, typed in (("name", form.name), ("title", form.title), ("features", form.features)):
        if not typed.strip():
            wrong.append(Wrong(name, "missing"))
    if wrong:
        return ReadForm(None, tuple(wrong))
    given |= {"name": form.name.strip(), "title": form.title.strip()}
    given["lenders"] = ",".join(one for one in known_order(consortium) if one in form.lenders)
    try:
        begun = released(form.features) if form.warm_start else None
        return ReadForm(Asked.of(given, schemas[form.features], None, consortium, begun), ())
    except BadOption as error:
        field = {"id": "name", "without": "lenders"}.get(error.option, error.option)
        return ReadForm(None, (Wrong(field.replace("-", "_"), error.code),))


def priced(
    form: ProposalForm,
    schemas: Mapping[str, dict[str, Any]],
    consortium: Consortium,
    released: Callable[[str], tuple[Campaign, ModelReference]],
) -> ReadForm:
    """What the form asks for as far as the price depends on it: its name, title and features may
    still be missing."""
    complete = {"name": "price", "title": "price"}
    if form.features not in schemas:
        complete["features"] = "any"
    some = {**schemas, "any": {"features": []}}
    return understood(form.model_copy(update=complete), some, consortium, released)


def known_order(consortium: Consortium) -> list[str]:
    return [party.id for party in consortium.lenders]


def _written(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
