"""A released model's card: what it is, what it cost, how good it is; with pictures and files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from protocol.cards import ModelCard
from protocol.parties import Role
from screens.common.model_cards import ShownCard
from screens.console.pictures import evaluation_pictures
from screens.console.sight import ConsoleSight, SeenCampaign
from screens.house.charts import Chart
from screens.house.errors import PageError
from screens.house.shell import Look
from screens.house.staff import StaffDoor
from screens.house.words import PageWords
from server.curves import EvaluationCurves, evaluation_curves
from server.errors import CoordinatorError
from server.folders import campaign_in
from server.home import CARD_FILE, FIGURES_FILE, MODEL_FILE


@dataclass(frozen=True)
class CardPages:
    """Pages about a released model."""

    look: Look
    door: StaffDoor
    sight: ConsoleSight

    def card(self, request: Request) -> Response:
        """``GET /campaigns/{sha256}/card``."""
        self.door.staff(request, "look")
        seen = self._released(request)
        words = self.look.words(request)
        token = (seen.folder / CARD_FILE).read_text(encoding="utf-8")
        key = self.sight.coordinator().consortium.one(Role.COORDINATOR).key
        one = ShownCard.of(token, key)
        card, model = one.told, _released_file(seen, one.told).read_bytes()
        return self.look.page(
            request,
            "card.html",
            tab="/",
            seen=seen,
            one=one,
            this_campaign=card.campaign_sha256 == seen.sha256,
            same_model=hashlib.sha256(model).hexdigest() == card.model_sha256,
            pictures=self._pictures(seen, one, words),
        )

    def _pictures(self, seen: SeenCampaign, one: ShownCard, words: PageWords) -> list[Chart]:
        """What the card shows, and the curves where there are any."""
        shown = one.pictures(words)
        curves = _curves(seen) if shown else None
        return shown if curves is None else [*shown, *evaluation_pictures(curves, words)]

    def card_file(self, request: Request) -> Response:
        """``GET /campaigns/{sha256}/card/model-card.jws``."""
        self.door.staff(request, "look")
        return _file(self._released(request).folder, CARD_FILE, "application/jose")

    def model_file(self, request: Request) -> Response:
        """``GET /campaigns/{sha256}/card/model.safetensors``."""
        self.door.staff(request, "look")
        return _file(self._released(request).folder, MODEL_FILE, "application/octet-stream")

    def figures_file(self, request: Request) -> Response:
        """``GET /campaigns/{sha256}/card/figures.json``."""
        self.door.staff(request, "look")
        return _file(self._released(request).folder, FIGURES_FILE, "application/json")

    def _released(self, request: Request) -> SeenCampaign:
        seen = self.sight.campaign(request.path_params["sha256"])
        if not (seen.folder / CARD_FILE).exists():
            raise PageError("not-found", 404)
        return seen


def _released_file(seen: SeenCampaign, card: ModelCard) -> Path:
    return seen.folder / (MODEL_FILE if card.watched is None else FIGURES_FILE)


def _file(folder: Path, name: str, kind: str) -> Response:
    """Raises PageError where the campaign left no such file."""
    if not (folder / name).exists():
        raise PageError("not-found", 404)
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response((folder / name).read_bytes(), media_type=kind, headers=headers)


def _curves(seen: SeenCampaign) -> EvaluationCurves | None:
    """A released campaign's curves never change. Raises PageError."""
    try:
        return _computed(seen.folder)
    except CoordinatorError as error:
        raise PageError("home-damaged", 503) from error


@lru_cache(maxsize=32)
def _computed(folder: Path) -> EvaluationCurves | None:
    return evaluation_curves(folder, campaign_in(folder))
