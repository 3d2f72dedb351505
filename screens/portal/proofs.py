"""Receipts, which the browser itself verifies, and who used my data."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from law.categories import SENSITIVITIES
from screens.house.errors import PageError
from screens.house.shell import Look
from screens.house.standalone import Standalone
from screens.portal.shown import STATES, USES, PortalParties, kind_of
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
        return Standalone.of(self.look.assets, ("verify.js", "receipt.js"), "house.css")

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
        return self.look.page(
            request, "receipt.html", tab="/receipts", **await self._receipt(request)
        )

    async def file(self, request: Request) -> Response:
        """``GET /receipts/{decision}/file``: one file, to keep, that verifies itself without us."""
        found = await self._receipt(request)
        saved = self.look.page(request, "saved_receipt.html", alone=self._alone, **found)
        name = f"receipt-{found['decision'][:12]}.html"
        saved.headers["Content-Disposition"] = f'attachment; filename="{name}"'
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
        return {
            "decision": decision,
            "receipt": found.body,
            "consortium": self.consortium,
            "labels": self._labels(request),
        }

    def _labels(self, request: Request) -> dict[str, str]:
        """Kinds of data and states, in the words of the page."""
        words = self.look.words(request)
        labels: dict[str, str] = {kind: kind_of(kind, words.language) for kind in SENSITIVITIES}
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
