"""Forms that people fill in: TOML files with a template, read into one model; a refusal names the
field."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from crypto.sentences import one_sentence
from ops.named_files import text_of
from protocol.errors import ConsentError

Model = TypeVar("Model", bound=BaseModel)


def read_toml(path: Path) -> dict[str, Any]:
    """Raises ConsentError where it is none."""
    try:
        return tomllib.loads(text_of(path))
    except tomllib.TOMLDecodeError as error:
        raise ConsentError(f"{path} is not TOML: {error}") from error


def read_form(path: Path, model: type[Model], given: Mapping[str, Any] | None = None) -> Model:
    """The form at ``path``; see :func:`formed`. Raises ConsentError."""
    return formed(path, read_toml(path), model, given)


def formed(
    path: Path,
    told: Mapping[str, Any],
    model: type[Model],
    given: Mapping[str, Any] | None = None,
) -> Model:
    """What was told in the form at ``path``, with what its writer cannot know (``given``) added.

    Raises:
        ConsentError: a field is missing or wrong, or it states what is given.
    """
    if twice := sorted(told.keys() & (given or {}).keys()):
        raise ConsentError(f"{path}: {twice[0]} is filled in by the command; take it out")
    try:
        return model.model_validate({**told, **(given or {})})
    except ValidationError as error:
        raise ConsentError(f"{path}: {one_sentence(error)}") from error
