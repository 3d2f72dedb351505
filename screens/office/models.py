"""The card of a model that this lender helped to train, as the registry has it now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from crypto.errors import CryptoError
from protocol.client.lenders import LenderClient
from protocol.errors import NotFound
from protocol.parties import Role
from protocol.recalls import ModelRecall
from screens.common.model_cards import ShownCard
from screens.house.errors import PageError
from screens.office.room import LOOK, Office

TAB = "/campaigns"


@dataclass(frozen=True)
class ModelPages:
    """Pages about released models."""

    office: Office

    def card(self, request: Request) -> Response:
        """``GET /campaigns/{sha256}/card``: what it is, its cost, how good it is, whether it
        was recalled since."""
        self.office.door.staff(request, LOOK)
        found = self._found(request)
        try:
            one = ShownCard.of(found["card"], self.office.node.consortium.one(Role.COORDINATOR).key)
            recalls = [ModelRecall.claimed(token) for token in found["recalls"]]
        except CryptoError as error:
            raise PageError("internal", 502) from error
        words = self.office.look.words(request)
        return self.office.look.page(
            request,
            "model.html",
            tab=TAB,
            sha256=request.path_params["sha256"],
            one=one,
            verifies=one.signed and one.told.campaign_sha256 == request.path_params["sha256"],
            entry_index=found["entry_index"],
            recalls=recalls,
            pictures=one.pictures(words),
            name_of=self.office.name_of,
            lenders=[self.office.name_of(lender) for lender in one.told.lenders],
        )

    def file(self, request: Request) -> Response:
        """``GET /campaigns/{sha256}/card/model-card.jws``: the card as it was signed."""
        self.office.door.staff(request, LOOK)
        headers = {"Content-Disposition": 'attachment; filename="model-card.jws"'}
        card = self._found(request)["card"]
        return Response(card, media_type="application/jose", headers=headers)

    def _found(self, request: Request) -> dict[str, Any]:
        """Raises PageError: nothing was released yet; ConsentError."""
        with self.office.node.connected(LenderClient) as client:
            path = f"/v1/campaigns/{request.path_params['sha256']}/model"
            try:
                return dict(client.get(path).json())
            except NotFound as error:
                raise PageError("nothing-released", 404) from error
