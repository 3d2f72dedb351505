"""Who of an institution's people may come in, and what for: ``staff.json`` of the app's home.

It is read again whenever it has changed: who is taken off it is out at once, and their visit with
them. Who has left is kept nowhere here; what they did stays in the records that they did it in.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from screens.house.id_tokens import Identity
from screens.house.issuers import LoginIssuer
from screens.house.staff import OPERATOR

STAFF_FILE = "staff.json"
RESERVED = frozenset({OPERATOR, "customer", "machine", "person"})
"""Who else stands in records as the one who did something; ``+`` stands between two people."""
BINDING = ("approve", "launch")
"""Roles whose acts take two persons."""
_REASONS = {"missing": "is missing", "extra_forbidden": "is not known"}
LOOK = "look"
"""The role that changes nothing."""


class StaffMember(BaseModel):
    """One who may come in. ``subject`` is what the issuer calls them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject: str = Field(min_length=1, max_length=255)
    name: str = Field(min_length=1, max_length=100)
    roles: frozenset[str] = Field(min_length=1)


class StaffList(BaseModel):
    """``staff.json``: the institution's issuer, and its people."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    issuer: LoginIssuer
    people: tuple[StaffMember, ...] = Field(min_length=1, max_length=1_000)

    @model_validator(mode="after")
    def _names_of_people(self) -> Self:
        for one in self.people:
            if one.name.strip().casefold() in RESERVED or "+" in one.name:
                raise ValueError(f"{one.name!r} is nobody's name: in records it means another")
        return self

    @model_validator(mode="after")
    def _two_of_a_kind(self) -> Self:
        for called in ("subject", "name"):  # by its name one person is told from another
            if len({getattr(one, called) for one in self.people}) != len(self.people):
                raise ValueError(f"a {called} stands twice among the people")
        for role in BINDING:
            if sum(role in one.roles for one in self.people) == 1:
                raise ValueError(f"{role!r} takes two persons; one alone has that role")
        return self

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises ValueError: with one sentence."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"])) or "it"
            reason = first.get("ctx", {}).get("error", _REASONS.get(first["type"], "does not fit"))
            raise ValueError(f"{path}: {place}: {reason}") from error

    def member(self, identity: Identity) -> StaffMember | None:
        return next((one for one in self.people if one.subject == identity.subject), None)

    def without(self, name: str) -> Self:
        """The list when somebody has left. A role that takes two persons and is one person's now is
        nobody's: whoever had it still looks.

        Raises:
            ValueError: nobody of that name is on it, or nobody else.
        """
        rest = [one for one in self.people if one.name != name]
        if len(rest) == len(self.people):
            raise ValueError(f"nobody on the list is called {name!r}")
        if not rest:
            raise ValueError(f"{name!r} is the last on the list: add somebody else first")
        alone = {role for role in BINDING if sum(role in one.roles for one in rest) == 1}
        left = [
            one.model_copy(update={"roles": (one.roles - alone) or frozenset({LOOK})})
            for one in rest
        ]
        return type(self)(issuer=self.issuer, people=tuple(left))


class StaffFile:
    """A list as its file has it now. Where it is gone or cannot be read, nobody comes in."""

    def __init__(self, path: Path, require: Callable[[StaffList], None] = lambda _: None) -> None:
        """
        Args:
            require: what more must hold of a list; raises ValueError.
        """
        self._path, self._require = path, require
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._listed: StaffList | None = None

    def __call__(self) -> StaffList:
        """Raises OSError, ValueError."""
        with self._lock:
            now = self._path.stat()
            seen = (now.st_mtime_ns, now.st_size, now.st_ino)
            if self._listed is None or seen != self._seen:
                self._listed = None
                listed = StaffList.read(self._path)
                self._require(listed)
                self._seen, self._listed = seen, listed
            return self._listed
