"""Released models: a campaign's lenders fetch what they trained together."""

from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import Response

from consent.api.borrowers import Sha256Path
from consent.api.shared import problems
from consent.commands.release_model import read_model
from consent.identity.access import Access
from consent.registry import Registry
from protocol.parties import Party, Role


class ModelFile(Response):
    media_type = "application/octet-stream"


def model_routes(registry: Registry, access: Access) -> APIRouter:
    """The endpoints that hand out a released model."""
    app = APIRouter(tags=["campaigns"], dependencies=[access.limit_public()])
    Member = Annotated[Party, access.only(Role.LENDER, Role.COORDINATOR, Role.AUDITOR)]

    @app.get("/v1/campaigns/{sha256}/model", responses=problems(404))
    def get_model(sha256: Sha256Path, caller: Member) -> dict[str, Any]:
        """A released model's signed card, with the campaign and every lender's approval, and where it is logged."""
        held = read_model(registry, caller, sha256)
        return {
            "card": held.card, "campaign": held.campaign, "approvals": list(held.approvals),
            "entry_index": held.entry_index,
        }  # fmt: skip

    @app.get("/v1/campaigns/{sha256}/model/file", response_class=ModelFile, responses=problems(404))
    def get_file(sha256: Sha256Path, caller: Member) -> Response:
        """The model itself (safetensors); its SHA-256 stands in the card."""
        return ModelFile(read_model(registry, caller, sha256).model)

    return app
