"""Receipts, which the browser itself verifies, and who used my data."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from law.categories import SENSITIVITIES
from screens.common.terms import kind_of
from screens.house.errors import PageError
from screens.house.problems import N_
from screens.house.shell import Look
from screens.house.standalone import Standalone
from screens.portal.asking import KINDS, SAID
from screens.portal.shown import STATES, USES, PortalParties
from screens.portal.visit import PortalDoor

_SIZE = re.compile(r"0|[1-9][0-9]{0,14}")


@dataclass(frozen=True)
class ProofPages:
    """Pages about proofs and uses."""

    look: Look
    door: PortalDoor
    names: PortalParties
    consortium: str
    """The signed document that names every key, as the portal was set up with."""

    @cached_property
    def _alone(self) -> Standalone:
        return Standalone.of(self.look.assets, ("verify.js", "asked.js", "receipt.js"), "house.css")

    async def receipts(self, request: Request) -> Response:
        """``GET /receipts``: my decisions, newest first."""
        borrower = self.door.borrower(request)
        return self.look.page(
            request,
            "receipts.html",
            tab="/receipts",
            receipts=await borrower.whole("/v1/me/receipts"),
            names=self.names,
        )

    async def receipt(self, request: Request) -> Response:
        """``GET /receipts/{decision}``: one of them, checked on the spot by the browser."""
        found = await self._receipt(request)
        return self.look.page(request, "receipt.html", tab="/receipts", about=None, **found)

    async def file(self, request: Request) -> Response:
        """``GET /receipts/{decision}/file``: one file, to keep, that verifies itself without us."""
        found = await self._receipt(request)
        return self._saved(request, {**found, "about": ""}, f"receipt-{found['decision'][:12]}")

    async def step(self, request: Request) -> Response:
        """``GET /requests/{request}/receipts/{number}``: of one step of a request, checked on the
        spot."""
        found = await self._step(request)
        sha256 = request.path_params["request"]
        return self.look.page(request, "receipt.html", tab="/requests", about=sha256, **found)

    async def step_file(self, request: Request) -> Response:
        """``GET /requests/{request}/receipts/{number}/file``: the same as one file."""
        sha256, number = request.path_params["request"], request.path_params["number"]
        found = await self._step(request)
        return self._saved(request, {**found, "about": sha256}, f"request-{sha256[:12]}-{number}")

    def _saved(self, request: Request, found: dict[str, Any], name: str) -> Response:
        saved = self.look.page(request, "saved_receipt.html", alone=self._alone, **found)
        saved.headers["Content-Disposition"] = f'attachment; filename="{name}.html"'
        return saved

    def verify(self, request: Request) -> Response:
        """``GET /verify``: a saved receipt, checked by the browser of whoever has it, logged in or
        not."""
        return self.look.page(
            request,
            "verify.html",
            consortium=self.consortium,
            labels=self._labels(request),
        )

    async def _receipt(self, request: Request) -> dict[str, Any]:
        """One receipt, what it rests on, and the words for what it says."""
        decision = request.path_params["decision"]
        found = await self.door.borrower(request).read(f"/v1/me/receipts/{decision}")
        return {"decision": decision, **self._held(request, found.body)}

    async def _step(self, request: Request) -> dict[str, Any]:
        sha256, number = request.path_params["request"], request.path_params["number"]
        path = f"/v1/me/requests/{sha256}/receipts/{number}"
        return self._held(request, (await self.door.borrower(request).read(path)).body)

    def _held(self, request: Request, receipt: str) -> dict[str, Any]:
        return {
            "receipt": receipt,
            "consortium": self.consortium,
            "labels": self._labels(request),
        }

    def _labels(self, request: Request) -> dict[str, str]:
        """Kinds of data, states, requests and their steps, in the words of the page."""
        words = self.look.words(request)
        labels: dict[str, str] = {kind: kind_of(kind, words.language) for kind in SENSITIVITIES}
        labels |= {kind.value: words.say(said) for kind, (said, _) in KINDS.items()}
        labels |= {event: words.say(said) for event, said in SAID.items()}
        # whoever handed it in
        labels["receive"] = words.say(N_("The request was received"))
        labels["request"] = words.say(N_("Request"))
        labels["due"] = words.say(N_("An answer is due by"))
        return labels | {state: words.say(said) for state, said in STATES.items()}

    async def head(self, request: Request) -> Response:
        """``GET /log/head``: the log's newest head, and the proof between it and the ``since``
        entries that the browser has seen. The browser believes neither: it verifies both."""
        self.door.borrower(request)
        since = request.query_params.get("since", "")
        if not _SIZE.fullmatch(since):
            raise PageError("malformed", 422)
        checkpoint, proof = await self.door.registry.head(int(since))
        told = {"checkpoint": checkpoint, "proof": proof, "consortium": self.consortium}
        return JSONResponse(told)

    async def uses(self, request: Request) -> Response:
        """``GET /uses``: who may have used my data, newest first."""
        borrower = self.door.borrower(request)
        uses = (await borrower.whole("/v1/me/uses"))[::-1]
        return self.look.page(
            request, "uses.html", tab="/uses", uses=uses, said=USES, names=self.names
        )
