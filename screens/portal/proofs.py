"""Receipts, which the browser itself verifies, and who used my data."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from screens.house.shell import Look
from screens.portal.shown import USES, PartyNames
from screens.portal.visit import PortalDoor


@dataclass(frozen=True)
class ProofPages:
    """Pages about proofs and uses."""

    look: Look
    door: PortalDoor
    names: PartyNames
    consortium: str
    """The signed document that names every key, as the portal was set up with."""

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
        decision = request.path_params["decision"]
        found = await self.door.borrower(request).read(f"/v1/me/receipts/{decision}")
        return self.look.page(
            request,
            "receipt.html",
            tab="/receipts",
            decision=decision,
            receipt=found.body,
            consortium=self.consortium,
        )

    async def file(self, request: Request) -> Response:
        """``GET /receipts/{decision}/file``: the signed document alone, to keep."""
        decision = request.path_params["decision"]
        found = await self.door.borrower(request).read(f"/v1/me/receipts/{decision}")
        name = f"receipt-{decision[:12]}.jws"
        return PlainTextResponse(
            found.body, headers={"Content-Disposition": f'attachment; filename="{name}"'}
        )

    async def uses(self, request: Request) -> Response:
        """``GET /uses``: who may have used my data, newest first."""
        borrower = self.door.borrower(request)
        uses = (await borrower.whole("/v1/me/uses"))[::-1]
        return self.look.page(
            request, "uses.html", tab="/uses", uses=uses, said=USES, names=self.names
        )
