"""``sources.toml`` in a desk's home: where facts come from, and who verifies what was stated.

[sources.book]
kind = "sql"                  # or "file", "http"
categories = ["repayment", "income"]   # the kinds of data that its columns are made of; all of
                              # them must be consented to. Of one: category = "repayment"
deadline_ms = 400
url_file = "book.url"         # or url_env: what holds the database's URL, never this file
table = "customers"
key = "pseudonym"
observed_on = "as_of"
columns = { late = "times_late", income = "income" }
booleans = []                 # of these, what SQLite holds as 1 and 0 and is true or false

[verifiers.employer]
category = "employment"
url = "https://verify.example/v1/check"
audience = "verify.example"

[verifiers.payroll]
category = "income"
adapter = "acme-payroll"      # instead of url and audience: a function of a package of your own
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from clients.data.description import SqlDescription
from clients.data.sql import database_url
from crypto.keys import SigningKey
from crypto.sentences import one_sentence
from desk.own_tables import FileSource, SqlSource
from desk.sources import About, FactSource, HttpSource, Sources
from desk.verifying import HttpVerifier, OwnVerifier, Verifying, installed_adapter
from law.categories import DataCategory
from protocol.errors import BadSettings
from protocol.log_client import http_client
from protocol.schema import Slug

SOURCES_FILE = "sources.toml"
MOST_NAME = 63
"""Letters of a name in a statement (``protocol.schema.Slug``)."""
Named = Annotated[str, Field(min_length=1, max_length=200)]


class _Toml(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    deadline_ms: int = Field(default=800, ge=1, le=60_000)


class _Facts(_Toml):
    category: DataCategory | None = None
    categories: tuple[DataCategory, ...] = Field(default=(), max_length=16)

    @model_validator(mode="after")
    def _told(self) -> Self:
        if (self.category is None) == (not self.categories):
            raise ValueError("name the kind of data in category, or several in categories")
        if len(set(self.categories)) < len(self.categories):
            raise ValueError("a kind of data stands twice in categories")
        return self

    @property
    def kinds(self) -> tuple[DataCategory, ...]:
        return self.categories if self.category is None else (self.category,)


class SqlFacts(_Facts):
    """A table of the lender's own; its URL stands in a variable or a file of mode 0600."""

    kind: Literal["sql"]
    url_env: Named | None = None
    url_file: Named | None = None
    table: Named
    key: Named
    columns: dict[Named, Named] = Field(min_length=1)
    observed_on: Named | None = None
    booleans: tuple[Named, ...] = ()

    @model_validator(mode="after")
    def _answered(self) -> Self:
        if stray := sorted(set(self.booleans) - self.columns.keys()):
            raise ValueError(f"booleans names {stray[0]}, which columns does not")
        return self


class FileFacts(_Facts):
    """A CSV or Parquet file beside this one; of a CSV file, how it is written."""

    kind: Literal["file"]
    path: Named
    key: Named
    columns: dict[Named, Named] = Field(min_length=1)
    observed_on: Named | None = None
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    encoding: str = "utf-8"

    @field_validator("encoding")
    @classmethod
    def _known(cls, encoding: str) -> str:
        try:
            by_line = "\n".encode(encoding) == b"\n"
        except LookupError:
            by_line = False
        if not by_line:
            raise ValueError(f"{encoding!r} is no encoding that is read line by line, as utf-8 is")
        return encoding


class HttpFacts(_Facts):
    """Somebody who answers signed requests."""

    kind: Literal["http"]
    url: str = Field(pattern="^https?://")
    audience: Named
    features: tuple[Named, ...] = Field(min_length=1)


class Verifies(_Toml):
    """Somebody who answers signed requests, or an adapter of the lender's own."""

    category: DataCategory
    url: str | None = Field(default=None, pattern="^https?://")
    audience: Named | None = None
    adapter: Named | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        stated = [one is not None for one in (self.url, self.audience, self.adapter)]
        if stated not in ([True, True, False], [False, False, True]):
            raise ValueError("name url and audience, or adapter")
        return self

    @property
    def over_http(self) -> tuple[str, str] | None:
        """URL and audience."""
        return None if self.url is None or self.audience is None else (self.url, self.audience)


class SourcesFile(BaseModel):
    """All of ``sources.toml``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: dict[Slug, Annotated[SqlFacts | FileFacts | HttpFacts, Field(discriminator="kind")]]
    verifiers: dict[Slug, Verifies] = {}


@dataclass(frozen=True)
class AskedAs:
    """As whom third parties are asked: the lender's id, its key, and whom it believes."""

    lender: str
    key: SigningKey
    authority: Path | None


def read_sources(home: Path, asked_as: AskedAs) -> tuple[Sources, Mapping[str, Verifying]]:
    """What the file in ``home`` describes.

    Raises:
        BadSettings: one sentence that names the place. SourceError, SourceFailed: a database cannot
            be opened as described.
    """
    path = home / SOURCES_FILE
    try:
        said = SourcesFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8-sig")))
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(f"cannot read {path}: {getattr(error, 'strerror', error)}") from error
    except tomllib.TOMLDecodeError as error:
        raise BadSettings(f"{path} is not TOML: {error}") from error
    except ValidationError as error:
        raise BadSettings(f"{path}: {one_sentence(error)}") from error
    sources = Sources([_source(home, name, one, asked_as) for name, one in said.sources.items()])
    return sources, {name: _verifier(name, one, asked_as) for name, one in said.verifiers.items()}


def _verifier(name: str, said: Verifies, asked_as: AskedAs) -> Verifying:
    about = About(name, said.category, (), said.deadline_ms / 1000)
    if said.adapter is not None:
        return OwnVerifier(about, installed_adapter(said.adapter))
    url, audience = said.over_http or ("", "")
    http = _http(url, asked_as)
    return HttpVerifier(about, url, audience, asked_as.lender, asked_as.key, http)


def _about(name: str, said: _Facts, features: tuple[str, ...]) -> About:
    first, *further = said.kinds
    about = About(name, first, features, said.deadline_ms / 1000, tuple(further))
    if too_long := [one for one in about.named if len(one) > MOST_NAME]:
        raise BadSettings(f"source {name!r}: {too_long[0]!r} would be its name in the log; shorten")
    return about


def _http(url: str, asked_as: AskedAs) -> httpx.Client:
    return http_client(url, asked_as.authority)


def _source(
    home: Path, name: str, said: SqlFacts | FileFacts | HttpFacts, asked_as: AskedAs
) -> FactSource:
    if isinstance(said, HttpFacts):
        return HttpSource(
            _about(name, said, said.features),
            said.url,
            said.audience,
            asked_as.lender,
            asked_as.key,
            _http(said.url, asked_as),
        )
    about = _about(name, said, tuple(said.columns))
    if isinstance(said, FileFacts):
        return FileSource(
            about,
            home / said.path,
            said.key,
            said.columns,
            said.observed_on,
            said.delimiter,
            said.encoding,
        )
    held = SqlDescription(
        kind="sql", person=said.key, url_env=said.url_env, url_file=said.url_file, table=said.table
    )
    url = database_url(held, home)
    columns = said.columns
    return SqlSource(about, url, said.table, said.key, columns, said.observed_on, said.booleans)
