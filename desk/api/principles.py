"""How people are scored here, for everybody: no token is asked for, and nobody is in it."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import APIRouter, Header
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from desk.api.shared import TheDesk, refusals
from desk.commands.publish import published
from desk.principles import in_words
from desk.wording import TONGUES, Tongue
from protocol.languages import accepted, chosen

router = APIRouter(tags=["principles"])
KEPT_S = 300
"""For how long what is on the way may show what it has."""
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
    tongue = cast("Tongue", chosen(accept_language, TONGUES))
    found = published(desk, tongue)
    told = {
        "Vary": "Accept, Accept-Language",
        "Content-Language": tongue,
        "Cache-Control": f"public, max-age={KEPT_S}",
    }
    if _media(accept) == "text/plain":
        return PlainTextResponse(in_words(found, tongue), headers=told)
    return JSONResponse(found, headers=told)


def _media(accept: str) -> str:
    """What an ``Accept`` wants most of what is told here; JSON where anything will do (RFC 9110
    section 12.5.1)."""
    ours = {"text/plain": "text/plain", "text/*": "text/plain"}
    others = ("application/json", "application/*", "*/*")
    ours |= dict.fromkeys(others, "application/json")
    return next((ours[one] for one in map(str.lower, accepted(accept)) if one in ours), others[0])
