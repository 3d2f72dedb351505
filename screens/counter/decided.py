"""An application of mine: what was decided and why, what it would cost; accept it, take it back,
ask for a person, check the receipt.

After every act the page shows what the desk holds then, read again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from screens.counter.forms import AcceptForm, PersonForm, SeenForm
from screens.counter.shown import OUTCOMES
from screens.counter.visit import CounterDoor
from screens.house.errors import PageError
from screens.house.forms import is_number, new_once
from screens.house.services import PersonAtService, ServiceAnswer
from screens.house.shell import Look, go
from screens.house.standalone import Standalone


@dataclass(frozen=True)
class DecisionPages:
    """Pages about one application."""

    look: Look
    door: CounterDoor
    consortium: str
    """The signed document, for whoever checks a receipt."""
    lender: str

    @cached_property
    def _alone(self) -> Standalone:
        return Standalone.of(self.look.assets, ("verify.js", "decision.js"), "house.css")

    async def _own(self, request: Request) -> tuple[PersonAtService, ServiceAnswer, str]:
        desk = self.door.at_desk(request)
        path = f"/v1/me/applications/{request.path_params['application']}"
        return desk, await desk.read(path), path

    async def _shown(self, request: Request, view: str, status: int = 200, **more: Any) -> Response:
        """A page about an application, with the table of its costs where there is an offer."""
        desk, own, path = await self._own(request)
        offered = own.body["status"] in {"offered", "accepted"}
        costs = (await desk.read(f"{path}/disclosure")).body if offered else None
        return self.look.page(
            request,
            view,
            status,
            tab="/",
            asked=own.body,
            decided=own.body.get("decision"),
            costs=costs,
            seen=own.etag or "",
            **more,
        )

    async def application(self, request: Request) -> Response:
        """``GET /applications/{application}``: what was decided, why, and what I can do."""
        desk, own, path = await self._own(request)
        letter = None
        if own.body.get("decision") is not None:
            letter = (await desk.read(f"{path}/letter")).body
        return await self._shown(request, "application.html", letter=letter)

    # --- accept, take back

    async def ask_acceptance(self, request: Request) -> Response:
        """``GET …/accept``: the conditions once more, and one button."""
        return await self._accepting(request)

    async def _accepting(self, request: Request, problem: str | None = None) -> Response:
        _, own, _ = await self._own(request)
        if "accept" not in own.body["may"]:
            raise PageError("conflict", 409)
        status = 200 if problem is None else 409
        return await self._shown(request, "accept.html", status, once=new_once(), problem=problem)

    async def accept(self, request: Request) -> Response:
        """``POST …/accept``."""
        desk, name = self.door.at_desk(request), request.path_params["application"]
        form = await self.door.form(request, AcceptForm)
        said = {"decision": form.decision, "disclosure_sha256": form.sha256}
        path, seen = f"/v1/me/applications/{name}/acceptance", {"If-Match": form.seen}
        try:
            await desk.act("POST", path, form.once, said, **seen)
        except PageError as error:
            if error.code != "not-read-yet":
                raise
            return await self._accepting(request, error.code)
        return go(f"/applications/{name}")

    async def ask_withdrawal(self, request: Request) -> Response:
        """``GET …/take-back``: what that means, and one button."""
        return await self._shown(request, "take_back.html", once=new_once())

    async def withdraw(self, request: Request) -> Response:
        """``POST …/take-back``: no reason is asked."""
        desk, name = self.door.at_desk(request), request.path_params["application"]
        form = await self.door.form(request, SeenForm)
        path = f"/v1/me/applications/{name}/withdrawal"
        await desk.act("POST", path, form.once, None, **{"If-Match": form.seen})
        return go(f"/applications/{name}")

    # --- a person

    async def ask_person(self, request: Request) -> Response:
        """``GET …/review``: what the person will see, and until when."""
        _, own, _ = await self._own(request)
        if "contest" not in own.body["may"]:
            raise PageError("conflict", 409)
        about = request.query_params.get("about", "")
        wrong = _reason(own.body, about)
        number = about if wrong is not None else ""
        return await self._shown(request, "review.html", once=new_once(), wrong=wrong, about=number)

    async def contest(self, request: Request) -> Response:
        """``POST …/review``: a person is asked; what was said goes to them, word for word."""
        desk, own, path = await self._own(request)
        form = await self.door.form(request, PersonForm)
        wrong = _reason(own.body, form.about)
        # what it rests on, which the reviewer sees anyway; never what the machine made of it
        facts = [] if wrong is None else [str(one["name"]) for one in wrong["rests_on"]]
        parts = [f"[{', '.join(facts)}]"] if facts else []
        view = "\n".join([*parts, form.view.strip()]).strip()
        body = {"view": view} if view else {}
        await desk.act("POST", f"{path}/contest", form.once, body)
        return go(path.removeprefix("/v1/me"))

    # --- a receipt

    async def _receipt(self, request: Request) -> str:
        desk, decision = self.door.at_desk(request), request.path_params["decision"]
        found = (await desk.read(f"/v1/me/decisions/{decision}/receipt")).body
        return str(found["receipt"])

    async def receipt(self, request: Request) -> Response:
        """``GET /decisions/{decision}/receipt``: checked by the browser as it is opened."""
        found = await self._held(request)
        return self.look.page(request, "receipt.html", tab="/", **found)

    async def file(self, request: Request) -> Response:
        """The receipt as one file, to keep, that verifies itself without us."""
        found = await self._held(request)
        saved = self.look.page(request, "saved_receipt.html", alone=self._alone, **found)
        name = f"decision-{found['decision'][:8]}.html"
        saved.headers["Content-Disposition"] = f'attachment; filename="{name}"'
        return saved

    async def _held(self, request: Request) -> dict[str, Any]:
        words = self.look.words(request)
        return {
            "decision": request.path_params["decision"],
            "receipt": await self._receipt(request),
            "consortium": self.consortium,
            "lender_id": self.lender,
            "labels": {outcome: words.say(said) for outcome, said in OUTCOMES.items()},
        }


def _reason(asked: dict[str, Any], about: str) -> dict[str, Any] | None:
    """The reason of that number, if there is one."""
    reasons = (asked.get("decision") or {}).get("reasons", [])
    if not is_number(about) or int(about) >= len(reasons):
        return None
    found: dict[str, Any] = reasons[int(about)]
    return found
