from __future__ import annotations

import re
from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from crypto.sentences import one_sentence, shaped


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Inner(BaseModel):
    size: int = Field(default=1, ge=0, le=9)


class Sheet(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    name: Annotated[str, shaped(r"^[a-z]+$", "lower-case letters")] = "a"
    other: str = Field(default="", pattern=r"^\d*$", max_length=3)
    needed: int
    rate: float = Field(default=0.5, gt=0, lt=1)
    on: bool = True
    at: AwareDatetime | None = None
    day: date | None = None
    colour: Colour = Colour.RED
    way: Literal["in", "out"] = "in"
    parts: tuple[Inner, ...] = Field(default=(), max_length=2)
    either: int | Inner = 1

    @model_validator(mode="after")
    def _apart(self) -> Sheet:
        if self.name == self.other:
            raise ValueError("name and other are the same, which says nothing")
        return self


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"needed": None}, "needed must be a whole number"),
        ({"needed": "secret"}, "needed must be a whole number"),
        ({"needed": 1.5}, "needed must be a whole number"),
        ({"name": "Secret 1"}, "name must be lower-case letters"),
        ({"name": 3}, "name must be text"),
        ({"other": "1234"}, "other must be at most 3 characters long"),
        ({"other": "x"}, r"other must be text that matches ^\d*$"),
        ({"rate": 0}, "rate must be greater than 0.0"),
        ({"rate": 1}, "rate must be less than 1.0"),
        ({"rate": float("nan")}, "rate must be a finite number"),
        ({"rate": "much"}, "rate must be a number"),
        ({"on": "perhaps"}, "on must be true or false"),
        ({"at": "2026-01-31T12:00:00"}, "at must be a time with its zone, as 2026-01-31T12:00:00Z"),
        ({"at": "yesterday"}, "at must be a time in RFC 3339, as 2026-01-31T12:00:00Z"),
        ({"day": "2026-31-01"}, "day must be a date, as 2026-01-31"),
        ({"colour": "green"}, "colour must be one of 'red' or 'blue'"),
        ({"way": "up"}, "way must be one of 'in' or 'out'"),
        ({"parts": 3}, "parts must be a list"),
        ({"parts": [{}] * 3}, "parts must be a list of at most 2"),
        ({"parts": [{}, {"size": 10}]}, "parts[1].size must be at most 9"),
        ({"parts": [{"size": -1}]}, "parts[0].size must be at least 0"),
        ({"parts": ["secret"]}, "parts[0] must be an object with named fields"),
        ({"either": "secret"}, "either must be a whole number"),
        ({"name": "1", "extra": 1}, "name must be lower-case letters"),
        ({"extra": 1}, "extra is not known"),
        ({"name": "a", "other": ""}, None),
    ],
)
def test_a_refusal_names_the_place_and_what_belongs_there(given, says):
    if says is None:
        Sheet(**{"needed": 1, **given})
        return
    with pytest.raises(ValidationError) as refused:
        Sheet(**{"needed": 1, **given})
    assert one_sentence(refused.value) == says
    assert "secret" not in one_sentence(refused.value).lower()


def test_what_is_missing_is_said_to_be():
    with pytest.raises(ValidationError) as refused:
        Sheet.model_validate({})
    assert one_sentence(refused.value) == "needed is missing"
    assert one_sentence(refused.value, lambda place: f"--{place}") == "--needed is missing"


def test_our_own_reasons_stand_as_they_are():
    class Odd(BaseModel):
        a: int

        @model_validator(mode="after")
        def _no(self) -> Odd:
            raise ValueError("this, that, and more")

    with pytest.raises(ValidationError) as refused:
        Odd(a=1)
    assert one_sentence(refused.value) == "this, that, and more"
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(dict[str, Odd]).validate_python({"x": {"a": 1}})
    assert one_sentence(refused.value) == "x: this, that, and more"
    with pytest.raises(ValidationError) as refused:
        Odd.model_validate_json("{")
    assert one_sentence(refused.value) == "it cannot be read as JSON"


@pytest.mark.parametrize("kind", ["string_unicode", "url_parsing", "bytes_type", "frozen_instance", "is_instance_of"])
def test_whatever_pydantic_may_refuse_has_words(kind):
    class Refusal:
        def errors(self) -> list[dict[str, Any]]:
            return [{"type": kind, "loc": ("a",), "msg": "Input should be whatever", "ctx": {}}]

    assert not re.search("Input|should", one_sentence(Refusal()))
