"""How the model and the loans do, and what campaigns cost borrowers: pictures with their tables."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from clients.approving import offered
from clients.budgets import attempts_of, budget_facts
from crypto.errors import TahiniError
from desk.commands.monitor import keep_review, last_reviewed
from desk.commands.watch import watch
from lending.account.default import Definition
from protocol.errors import NotFound
from screens.house.errors import PageError
from screens.house.forms import new_once, read_own
from screens.house.shell import go
from screens.office.forms import OfficeButton
from screens.office.pictures import (
    approval_bars,
    calibration_lines,
    cost_bars,
    spent_line,
    stability_bars,
    vintage_curves,
)
from screens.office.room import LOOK, REVIEW, Office

WINDOW_DAYS = 180
"""After payout, within which a loan shows what it is: as ``tahini desk monitor`` has it."""


@dataclass(frozen=True)
class FigurePages:
    """Pages of figures."""

    office: Office

    def portfolio(self, request: Request) -> Response:
        """``GET /portfolio``: who comes, how they are decided, whether the model is right."""
        self.office.door.staff(request, LOOK)
        words, desk = self.office.look.words(request), self.office.desk
        try:
            seen = None if desk is None else watch(desk, Definition(WINDOW_DAYS))
        except NotFound:  # no model: people decide
            seen = None
        if desk is None or seen is None:
            return self.office.look.page(
                request, "portfolio.html", tab="/portfolio", seen=None, desk=desk is not None
            )
        return self.office.look.page(
            request,
            "portfolio.html",
            tab="/portfolio",
            desk=True,
            seen=seen,
            window=WINDOW_DAYS,
            reviewed=last_reviewed(desk, seen.model),
            vintages=vintage_curves(seen, words),
            stability=stability_bars(seen, words),
            calibration=calibration_lines(seen, words),
            approvals=approval_bars(seen, words),
            once=new_once(),
        )

    async def looked(self, request: Request) -> Response:
        """``POST /portfolio``: keep that somebody looked at the model until today."""
        staff = self.office.door.staff(request, REVIEW)
        await read_own(request, OfficeButton, staff.whose)
        await run_in_threadpool(self._looked)
        return go("/portfolio")

    def _looked(self) -> None:
        desk = self.office.at_desk()
        seen = watch(desk, Definition(WINDOW_DAYS))
        keep_review(desk, seen.model, seen.as_of, seen.watched.alarm)

    def budget(self, request: Request) -> Response:
        """``GET /budget``: what each campaign cost, and what is left to people."""
        self.office.door.staff(request, LOOK)
        facts = budget_facts(self.office.node)
        return self.office.look.page(
            request,
            "budget.html",
            tab="/budget",
            facts=facts,
            titles=self._titles(),
            chart=cost_bars(facts["campaigns"], self.office.look.words(request)),
        )

    def _titles(self) -> dict[str, str]:
        """What campaigns are called, by hash; nothing while the registry is away: the ledger is
        our own."""
        try:
            return {one.campaign.sha256: one.campaign.title for one in offered(self.office.node)}
        except TahiniError:
            return {}

    def explain(self, request: Request) -> Response:
        """``GET /budget/{campaign}``: every attempt, what it cost, what it adds up to."""
        self.office.door.staff(request, LOOK)
        campaign = request.path_params["campaign"]
        attempts = attempts_of(self.office.node, campaign)
        if not attempts:
            raise PageError("not-found", 404)
        return self.office.look.page(
            request,
            "attempts.html",
            tab="/budget",
            campaign=campaign,
            title=self._titles().get(campaign),
            attempts=attempts,
            chart=spent_line(attempts, self.office.look.words(request)),
        )
