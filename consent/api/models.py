"""Released models: a campaign's lenders fetch what they trained together."""

from typing import Annotated, Any

from fastapi.responses import Response

from consent.api.borrowers import Sha256Path
from consent.api.shared import Commanded, TheRegistry, Token, problems
from consent.commands.recall_model import (
    acknowledge_recall,
    read_recalls,
    recall_model,
    recalls_of,
)
from consent.commands.release_model import read_card, read_model
from consent.identity import access
from consent.identity.callers import CallingBorrower
from protocol.parties import Party, Role


class ModelFile(Response):
    media_type = "application/octet-stream"


router = access.endpoints(tags=["campaigns"])
Maker = Annotated[Party, access.only(Role.LENDER, Role.COORDINATOR)]
Lender = Annotated[Party, access.only(Role.LENDER)]
Subject = Annotated[CallingBorrower, access.subject()]
Member = Annotated[Party, access.only(Role.LENDER, Role.COORDINATOR, Role.AUDITOR)]


@router.get("/v1/campaigns/{sha256}/model", responses=problems(404))
def get_model(registry: TheRegistry, sha256: Sha256Path, caller: Member) -> dict[str, Any]:
    """A released model's signed card, with the campaign and every lender's approval, and where it
    is logged."""
    held = read_model(registry, caller, sha256)
    return {
        "card": held.card,
        "campaign": held.campaign,
        "approvals": list(held.approvals),
        "entry_index": held.entry_index,
        "recalls": list(recalls_of(registry, held.card)),
    }


@router.post(
    "/v1/campaigns/{sha256}/model/recalls", status_code=201, responses=problems(403, 404, 409)
)
def post_recall(
    registry: TheRegistry, sha256: Sha256Path, body: Token, caller: Maker, command: Commanded
) -> Response:
    """Recall a model, signed by its coordinator or by any lender of its campaign: whoever fetches
    it from now on is told."""
    return command.run(
        caller, lambda: {"entry_index": recall_model(registry, caller, sha256, body.token)}
    )


@router.get("/v1/campaigns/{sha256}/model/recalls", responses=problems(404))
def get_recalls(registry: TheRegistry, sha256: Sha256Path, caller: Member) -> dict[str, list[str]]:
    """Recalls of a campaign's models and which lenders said that they use them no more, each as it
    was signed; both empty where nobody recalled one. A desk asks this every few seconds."""
    held = read_recalls(registry, caller, sha256)
    return {"recalls": list(held.recalls), "acknowledgements": list(held.acknowledgements)}


@router.post(
    "/v1/campaigns/{sha256}/model/recalls/acknowledgements",
    status_code=201,
    responses=problems(403, 404, 409),
)
def post_acknowledgement(
    registry: TheRegistry, sha256: Sha256Path, body: Token, caller: Lender, command: Commanded
) -> Response:
    """A lender says, signed, that it uses a recalled model no more."""
    return command.run(
        caller, lambda: {"entry_index": acknowledge_recall(registry, caller, sha256, body.token)}
    )


@router.get("/v1/campaigns/{sha256}/model/file", response_class=ModelFile, responses=problems(404))
def get_file(registry: TheRegistry, sha256: Sha256Path, caller: Member) -> Response:
    """The model itself (safetensors); its SHA-256 stands in the card."""
    return ModelFile(read_model(registry, caller, sha256).model)


@router.get("/v1/me/models/{sha256}", responses=problems(404))
def my_model(registry: TheRegistry, sha256: Sha256Path, caller: Subject) -> dict[str, Any]:
    """The signed card of what a campaign of my lender's released: on what it was trained, by whom,
    how good it is, what it may have cost me; and whether it was recalled since."""
    return read_card(registry, caller.subjects, sha256)
