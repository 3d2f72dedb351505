"""Settings of a service: a JSON file in its home, above it the environment, above both the flags of a command."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from consent.errors import BadSettings


class HomeSettings(BaseSettings):
    """What a service must know to run. Made from its arguments alone; :meth:`read` looks at file and environment.

    Every kind of settings has a prefix of its own: what is ``port`` in the coordinator's file is
    ``TAHINI_COORDINATOR_PORT`` in the environment.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix="TAHINI_")

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
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
            held = json.loads(path.read_text()) if path.exists() else {}
            told = {name: value for name, value in flags.items() if value is not None}
            return cls(**{**held, **EnvSettingsSource(cls)(), **told})
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"]) or "the settings"
            variable = f"{cls.model_config.get('env_prefix')}{name}".upper()
            raise BadSettings(f"{name}, in {path} or as {variable}: {first['msg']}") from error
        except (OSError, ValueError, TypeError) as error:
            raise BadSettings(f"{path} is not a file of settings ({type(error).__name__})") from error

    @classmethod
    def override(cls, **flags: Any) -> None:
        """What a command was told goes above file and environment, for this process and every one that it starts."""
        for name, value in flags.items():
            if name not in cls.model_fields:
                raise TypeError(f"{cls.__name__} has no field {name!r}")
            if value is not None:
                os.environ[f"{cls.model_config.get('env_prefix')}{name}".upper()] = str(value)
