"""Forms that people fill in: TOML files with a template, read into one model; a refusal names the
field."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from crypto.sentences import one_sentence
from protocol.errors import ConsentError

Model = TypeVar("Model", bound=BaseModel)


def read_form(path: Path, model: type[Model], given: Mapping[str, Any] | None = None) -> Model:
    """The form at ``path``, with what its writer cannot know (``given``) added.

    Raises:
        ConsentError: it is no TOML, a field is missing or wrong, or it states what is given.
    """
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConsentError(f"{path} is not TOML: {error}") from error
    if twice := sorted(told.keys() & (given or {}).keys()):
        raise ConsentError(f"{path}: {twice[0]} is filled in by the command; take it out")
    try:
        return model.model_validate({**told, **(given or {})})
    except ValidationError as error:
        raise ConsentError(f"{path}: {one_sentence(error)}") from error
