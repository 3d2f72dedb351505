"""What a form sent, read strictly and by a schema.

Only ``application/x-www-form-urlencoded``; a field stands once; what the schema does not name is
refused. No form of ours takes a file.
"""

from __future__ import annotations

import hmac
import secrets
from typing import TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request

from screens.house.errors import PageError

MEDIA_TYPE = "application/x-www-form-urlencoded"
MAX_FIELDS = 64
MAX_FORM_BYTES = 65_536
ONCE_BYTES = 24


class PageForm(BaseModel):
    """The base of every form. ``once`` names one filling in of it: sent twice it acts once (it is
    the Idempotency-Key of what is asked of the API)."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    once: str = Field(pattern=r"^[A-Za-z0-9_-]{32}$")


class OwnForm(PageForm):
    """``whose``: whom the form was shown to. In the visit of somebody else it does nothing."""

    whose: str = Field(pattern=r"^[A-Za-z0-9_-]{44}$")


Sent = TypeVar("Sent", bound=BaseModel)
Own = TypeVar("Own", bound=OwnForm)


def new_once() -> str:
    return secrets.token_urlsafe(ONCE_BYTES)


async def read_form(request: Request, schema: type[Sent]) -> Sent:
    """What was sent.

    Raises:
        PageError: not a form, or not this one.
    """
    fields = await read_fields(request)
    try:
        return schema.model_validate(fields)
    except ValidationError as error:
        raise PageError("malformed", 422) from error


async def read_own(request: Request, schema: type[Own], whose: str) -> Own:
    """What was sent on a form that was shown to whoever sends it.

    Raises:
        PageError: not a form, not this one, or shown to somebody else.
    """
    form = await read_form(request, schema)
    require_own(form, whose)
    return form


def require_own(form: OwnForm, whose: str) -> None:
    """Raises PageError for a form that was shown to somebody else."""
    if not hmac.compare_digest(form.whose, whose):
        raise PageError("another-person", 409)


async def read_fields(request: Request) -> dict[str, str]:
    """The fields of a form, whichever it is. Raises PageError: not a form, or too large."""
    content_type = request.headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() != MEDIA_TYPE:
        raise PageError("malformed", 415)
    if not _small(request):
        raise PageError("too-large", 413)
    body = await request.body()
    try:
        fields = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError as error:
        raise PageError("malformed", 422) from error
    if len(dict(fields)) != len(fields):
        raise PageError("malformed", 422)
    return dict(fields)


def is_number(text: str) -> bool:
    """Whether it is a whole number of at most nine digits, as pages of ours write them."""
    return text.isascii() and text.isdecimal() and len(text) < 10


def _small(request: Request) -> bool:
    """Whether it says how long it is, as every browser does, and is not long."""
    length = request.headers.get("content-length", "")
    return is_number(length) and int(length) <= MAX_FORM_BYTES
