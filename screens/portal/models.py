"""The card of a model that my data may have helped to train."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from crypto.errors import CryptoError
from crypto.keys import PublicKey
from screens.common.model_cards import ShownCard
from screens.house.errors import PageError
from screens.house.shell import Look
from screens.portal.shown import PortalParties
from screens.portal.visit import PortalDoor


@dataclass(frozen=True)
class ModelPages:
    """Pages about released models."""

    look: Look
    door: PortalDoor
    names: PortalParties
    coordinator: PublicKey

    async def card(self, request: Request) -> Response:
        """``GET /models/{campaign}``: what it is, what it may have told of me, how good it is."""
        found = await self._found(request)
        try:
            one = ShownCard.of(found["card"], self.coordinator)
        except CryptoError as error:
            raise PageError("internal", 502) from error
        about_it = one.signed and one.told.campaign_sha256 == request.path_params["campaign"]
        language = self.look.language(request)
        return self.look.page(
            request,
            "model.html",
            tab="/uses",
            one=one,
            verifies=about_it,
            entry_index=found["entry_index"],
            recalls=found["recalls"],
            pictures=one.pictures(self.look.words(request)),
            names=self.names,
            lenders=[self.names.of_party(lender, language) for lender in one.told.lenders],
        )

    async def file(self, request: Request) -> Response:
        """``GET /models/{campaign}/model-card.jws``: the card as it was signed, to keep."""
        found = await self._found(request)
        headers = {"Content-Disposition": 'attachment; filename="model-card.jws"'}
        return Response(found["card"], media_type="application/jose", headers=headers)

    async def _found(self, request: Request) -> dict[str, Any]:
        campaign = request.path_params["campaign"]
        try:
            read = await self.door.borrower(request).read(f"/v1/me/models/{campaign}")
        except PageError as error:
            if error.code == "not-found":
                raise PageError("nothing-released", 404) from error
            raise
        return dict(read.body)
