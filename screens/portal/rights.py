"""What I ask of a lender: requests and objections, what is due by when, and what was answered; and
what lenders say that I said."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from protocol.rights import RequestContent
from screens.common.terms import kind_of
from screens.house.errors import PageError
from screens.house.forms import OwnForm, new_once
from screens.house.shell import Look, go
from screens.house.words import PageWords
from screens.portal.asking import KINDS, NEEDS_WORDS, STANDS, steps_of
from screens.portal.forms import RequestForm
from screens.portal.registry import Borrower
from screens.portal.shown import EVENTS, PortalParties
from screens.portal.visit import PortalDoor

_ENTRY = re.compile(r"[0-9]{1,15}")


@dataclass(frozen=True)
class RightsPages:
    """Pages about requests."""

    look: Look
    door: PortalDoor
    names: PortalParties

    async def requests(self, request: Request) -> Response:
        """``GET /requests``: what I asked, newest first, with what is due."""
        borrower = self.door.borrower(request)
        found = await borrower.whole("/v1/me/requests")
        shown: dict[str, Any] = {
            "requests": found,
            "kinds": KINDS,
            "stands": STANDS,
            "names": self.names,
        }
        return self.look.page(request, "requests.html", tab="/requests", **shown)

    async def ask(self, request: Request) -> Response:
        """``GET /requests/new``: at which lender, what, and in which words."""
        borrower, query = self.door.borrower(request), request.query_params
        words = self.look.words(request)
        chosen = {name: query.get(name, "") for name in ("recipient", "kind")}
        text = await _about_import(borrower, query.get("entry", ""), words)
        return await self._asked(request, borrower, chosen | {"text": text})

    async def _asked(
        self,
        request: Request,
        borrower: Borrower,
        chosen: Mapping[str, str],
        problem: str | None = None,
    ) -> Response:
        return self.look.page(
            request,
            "request_new.html",
            200 if problem is None else 422,
            tab="/requests",
            lenders=await borrower.lenders(),
            kinds=KINDS,
            needs_words=NEEDS_WORDS,
            chosen=chosen,
            names=self.names,
            once=new_once(),
            problem=problem,
            shown_at="" if problem is None else "/requests/new",
        )

    async def send(self, request: Request) -> Response:
        """``POST /requests``: it is received, and the clock runs."""
        borrower, form = await self.door.sent(request, RequestForm)
        if form.kind not in KINDS:
            raise PageError("malformed", 422)
        if form.kind in NEEDS_WORDS and not form.text.strip():
            chosen = {"recipient": form.recipient, "kind": form.kind, "text": ""}
            return await self._asked(request, borrower, chosen, problem="say-what")
        asked = RequestContent(kind=form.kind, text=form.text.strip(), language=form.language)
        said = {"recipient": form.recipient, "asked": asked.model_dump(mode="json")}
        made = await borrower.act("POST", "/v1/me/requests", form.once, said)
        return go(f"/requests/{made.body['request_sha256']}")

    async def one(self, request: Request) -> Response:
        """``GET /requests/{request}``: everything that was said, by me and by the lender."""
        path = f"/v1/me/requests/{request.path_params['request']}"
        found = (await self.door.borrower(request).read(path)).body
        return self.look.page(
            request,
            "request.html",
            tab="/requests",
            asked=found,
            steps=steps_of(found),
            kinds=KINDS,
            stands=STANDS,
            names=self.names,
            once=new_once(),
        )

    async def close(self, request: Request) -> Response:
        """``POST /requests/{request}``: I ask it no more."""
        borrower, form = await self.door.sent(request, OwnForm)
        sha256 = request.path_params["request"]
        await borrower.act("POST", f"/v1/me/requests/{sha256}/closings", form.once)
        return go(f"/requests/{sha256}")

    async def imports(self, request: Request) -> Response:
        """``GET /imports``: what a lender says that I said, with a way to say that it is wrong."""
        found = await self.door.borrower(request).whole("/v1/me/imports")
        return self.look.page(
            request, "imports.html", tab="/imports", imports=found[::-1], names=self.names
        )


async def _about_import(borrower: Borrower, entry: str, words: PageWords) -> str:
    """The first words of an objection to what a lender handed in; nothing where nothing is
    named."""
    if not _ENTRY.fullmatch(entry):
        return ""
    for one in await borrower.whole("/v1/me/imports"):
        if one["entry_index"] == int(entry):
            said: dict[str, Any] = one["record"]
            action = words.say(EVENTS[said["action"]]) if said["action"] in EVENTS else ""
            return words.say(
                "I did not say this: %(kind)s, %(action)s, %(when)s (entry %(entry)s of the log).",
                kind=kind_of(said["sensitivity"], words.language),
                action=action,
                when=words.day(said["event_time"]),
                entry=words.number(one["entry_index"]),
            )
    return ""
