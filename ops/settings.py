"""Settings of a service: a JSON file in its home, above it the environment, above both the flags of
a command."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, ClassVar, Self, get_args

from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from crypto.sentences import one_sentence
from protocol.errors import BadSettings

SERVE_FILE = "serve.json"
"""In a service's home: where it listens. The environment is above it, flags are above both."""
MAX_WORKERS = 64


class HomeSettings(BaseSettings):
    """What a service must know to run. Made from its arguments alone; :meth:`read` looks at file
    and environment.

    Every kind of settings has a prefix of its own: what is ``port`` in the coordinator's file is
    ``TAHINI_COORDINATOR_PORT`` in the environment.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix="TAHINI_")
    pinned: ClassVar[frozenset[str]] = frozenset()
    """Fields that stand in the home's own file and nowhere else: who one is, whom one believes."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *_: Any,
        **__: Any,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)

    @classmethod
    def read(cls, path: Path, **flags: Any) -> Self:
        """The settings in force.

        Args:
            path: the file; a missing one is an empty one, if all fields have defaults.
            flags: what a command was told; None is nothing.

        Raises:
            BadSettings: a field is missing or wrong, whichever of the three said so.
        """
        try:
            held = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
            told = {name: value for name, value in flags.items() if value is not None}
            outside = EnvSettingsSource(cls)()
            for name in sorted(cls.pinned & outside.keys()):
                raise BadSettings(
                    f"{cls._variable(name)} is set, but {name} stands in {path} and nowhere else; "
                    "unset it"
                )
            return cls(**{**cls._from(held, path.parent), **outside, **told})
        except ValidationError as error:
            reason = one_sentence(
                error, lambda name: f"{name}, in {path} or as {cls._variable(name)},"
            )
            raise BadSettings(reason) from error
        except json.JSONDecodeError as error:
            raise BadSettings(
                f"{path}, line {error.lineno}, is not a file of settings: {error.msg}"
            ) from error
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise BadSettings(
                f"{path} is not a file of settings ({type(error).__name__})"
            ) from error

    @classmethod
    def override(cls, **flags: Any) -> None:
        """What a command was told goes above file and environment, for this process and every one
        that it starts."""
        for name, value in flags.items():
            if name not in cls.model_fields or name in cls.pinned:
                raise TypeError(f"{cls.__name__} has no field {name!r} that a command may set")
            if value is not None:
                os.environ[cls._variable(name)] = str(value)

    @classmethod
    def _variable(cls, name: str) -> str:
        return f"{cls.model_config.get('env_prefix')}{name}".upper()

    @classmethod
    def _from(cls, held: dict[str, Any], folder: Path) -> dict[str, Any]:
        """What the file holds; paths in it are relative to the folder that it is in."""
        kinds = {
            name: (field.annotation, *get_args(field.annotation))
            for name, field in cls.model_fields.items()
        }
        paths = {name for name, annotated in kinds.items() if Path in annotated}
        return {
            name: str(folder / v) if name in paths and isinstance(v, str) else v
            for name, v in held.items()
        }
