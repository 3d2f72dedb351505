"""How people are scored here, for everybody: no token is asked for, and nobody is in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

from fastapi import APIRouter, Header
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from desk.api.shared import TheDesk, refusals
from desk.commands.publish import published
from desk.principles import in_words
from desk.wording import TONGUES, Tongue

router = APIRouter(tags=["principles"])
KEPT_S = 300
"""For how long what is on the way may show what it has."""
Wanted = TypeVar("Wanted")
_TONGUES: dict[str, Tongue] = {one: one for one in TONGUES}
_PUBLIC = refusals(409)
del _PUBLIC[401], _PUBLIC[403]


@router.get("/v1/principles", response_model=None, responses=_PUBLIC)
def get_principles(
    desk: TheDesk,
    accept: Annotated[str, Header(max_length=1000, description="text/plain for it in words.")] = "",
    accept_language: Annotated[
        str, Header(max_length=1000, description="zh or en, as in zh-CN, en;q=0.5.")
    ] = "",
) -> Response:
    """The principles, the purpose and the main mechanism of the scoring here: what is in force,
    what it reads, what it never reads, who decides, and what somebody can do about it. As
    ``text/plain``, in words; in English or Chinese."""
    tongue = _wanted(accept_language)
    found = published(desk, tongue)
    told = {
        "Vary": "Accept, Accept-Language",
        "Content-Language": tongue,
        "Cache-Control": f"public, max-age={KEPT_S}",
    }
    if _most_wanted(accept, _media) == "text/plain":
        return PlainTextResponse(in_words(found, tongue), headers=told)
    return JSONResponse(found, headers=told)


def _wanted(header: str) -> Tongue:
    """The language of ours that an ``Accept-Language`` wants most (RFC 9110 section 12.5.4);
    English where it wants neither."""
    return _most_wanted(header, lambda name: _TONGUES.get(name.partition("-")[0])) or "en"


def _media(name: str) -> str | None:
    """JSON is what is told where anything will do (RFC 9110 section 12.5.1)."""
    if name in {"text/plain", "text/*"}:
        return "text/plain"
    return "application/json" if name in {"application/json", "application/*", "*/*"} else None


def _most_wanted(header: str, ours: Callable[[str], Wanted | None]) -> Wanted | None:
    """Of what a header names, with a quality each, what it wants most of what is ours; of equal
    ones the first. What cannot be read as a quality is not wanted."""
    best: tuple[float, Wanted | None] = 0.0, None
    for part in header.split(","):
        name, *parameters = (one.strip().lower() for one in part.split(";"))
        said = next((one for one in parameters if one.startswith("q=")), "q=1")
        try:
            quality = float(said.removeprefix("q=").strip())
        except ValueError:
            continue
        found = ours(name)
        if found is not None and quality > best[0]:
            best = quality, found
    return best[1]
