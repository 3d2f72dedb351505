"""Portraits over HTTP: a person sees which ones they are in, why, what for and until when, and
objects with one call; the lender's staff see who is in which and what may be done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi.responses import Response

from desk.api.customers import Me
from desk.api.shared import TheDesk, only, refusals, shown
from desk.callers import CallerRole
from desk.commands.placed import Placed, all_portraits, object_to, people_in, portraits_of
from desk.office import Desk
from lending.portraits import PortraitDocument, PortraitFact

router = APIRouter(tags=["portraits"])
PortraitId = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]


def portrait_view(said: PortraitDocument) -> dict[str, Any]:
    """What a portrait is for, and until when it is used."""
    return {
        "portrait": said.id,
        "version": said.version,
        "name": said.name.model_dump(),
        "purpose": said.purpose.model_dump(),
        "action": said.action,
        "product": said.product,
        "until": said.review_on.isoformat(),
    }


def _reasons(placed: Placed) -> list[list[dict[str, Any]]]:
    """The rows that held, each with its conditions and what they held on."""
    facts = placed.portrait.document.facts
    return [
        [_condition(facts[one["fact"]], one) for one in row]
        for row in placed.why["because"].values()
    ]


def _condition(fact: PortraitFact, one: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": one["fact"],
        "words": fact.words.model_dump(),
        "kind": fact.kind,
        "condition": one["condition"],
        "status": "present",
        "value": str(one["value"]),
    }


def _mine(desk: Desk, pseudonym: str) -> dict[str, Any]:
    placed, objections = portraits_of(desk, pseudonym)
    names = {one.document.id: one.document.name.model_dump() for one in desk.portraits}
    return {
        "items": [
            {
                **portrait_view(one.portrait.document),
                "since": one.row.since.isoformat(),
                "because": _reasons(one),
                "entry": one.why["entry"],
            }
            for one in placed
        ],
        "objections": [
            {
                "portrait": one.portrait,
                "name": names.get(one.portrait),
                "objected_at": one.objected_at.isoformat(),
            }
            for one in objections
        ],
    }


@router.get("/v1/me/portraits", responses=refusals())
def get_my_portraits(desk: TheDesk, me: Me) -> Response:
    """Which portraits I am in, why, what for and until when; and which I objected to."""
    return shown(_mine(desk, me.pseudonym))


@router.post("/v1/me/portraits/{portrait}/objection", responses=refusals(404))
def post_my_objection(portrait: PortraitId, desk: TheDesk, me: Me) -> Response:
    """I do not want to be in it: it ends at once and for good, and no reason is asked."""
    object_to(desk, me.pseudonym, portrait)
    return shown({"portrait": portrait, "objected": True})


@router.get("/v1/portraits", responses=refusals())
def get_portraits(
    desk: TheDesk,
    _: Annotated[Any, only(CallerRole.SERVICING, CallerRole.REVIEWER, CallerRole.READER)],
) -> Response:
    """Every portrait: what may be done with whom, how many are in it, until when it is used."""
    return shown(
        {
            "items": [
                {
                    **portrait_view(one.portrait.document),
                    "owner": one.portrait.document.owner,
                    "people": one.people,
                    "objections": one.objections,
                    "idle": one.idle,
                }
                for one in all_portraits(desk)
            ]
        }
    )


@router.get("/v1/portraits/{portrait}/people", responses=refusals(404))
def get_people(
    portrait: PortraitId,
    desk: TheDesk,
    _: Annotated[Any, only(CallerRole.SERVICING, CallerRole.REVIEWER)],
) -> Response:
    """Who is in it now, and why."""
    return shown(
        {
            "items": [
                {
                    "pseudonym": one.row.pseudonym,
                    "since": one.row.since.isoformat(),
                    "because": _reasons(one),
                }
                for one in people_in(desk, portrait)
            ]
        }
    )
