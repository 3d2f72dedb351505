"""Applying: amount and term, which data, check, send.

Nothing is kept but in the visit until the last button; what is answered about data is recorded at
the registry, question by question, and shown as it is recorded there.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from crypto.errors import SignatureError
from crypto.keys import PublicKey
from lending.errors import MoneyError
from lending.money import from_text
from protocol.notices import Notice
from protocol.uses import SCORING_PURPOSE
from screens.counter.forms import DataForm, WantedForm
from screens.counter.visit import CounterDoor, LoanDraft
from screens.house.errors import PageError
from screens.house.forms import OwnForm, new_once
from screens.house.reading import Readings, shown_enough
from screens.house.shell import Look, go

USUAL_AMOUNT = 100_000
"""Fen of which costs are told before an amount was named."""


@dataclass(frozen=True)
class ApplyPages:
    """The pages on which somebody applies."""

    look: Look
    door: CounterDoor
    lender: str
    registry_key: PublicKey
    reading: Readings

    # --- amount and term

    async def ask(self, request: Request) -> Response:
        """``GET /apply``: what for, how much, for how long; what that costs at most."""
        visit = self.door.visitor(request)
        draft = visit.draft
        amount = "" if draft is None else f"{draft.amount / 100:.2f}"
        purpose = "" if draft is None else draft.purpose
        form = WantedForm(once=new_once(), whose=visit.whose, amount=amount)
        return await self._asked(request, form, purpose)

    async def want(self, request: Request) -> Response:
        """``POST /apply``: the costs of another amount, or on to the data."""
        visit = self.door.visitor(request)
        form = await self.door.form(request, WantedForm)
        products = await self._products(request)
        draft, problem = _draft(form, products)
        if form.do == "cost":
            return await self._asked(request, form, form.purpose)
        if draft is None:
            return await self._asked(request, form, form.purpose, problem)
        await self._quote(request, draft.product, draft.amount, draft.term_days)
        visit.draft = draft
        return go("/apply/data")

    async def _asked(
        self, request: Request, form: WantedForm, purpose: str, problem: str | None = None
    ) -> Response:
        products = await self._products(request)
        amount = _fen(form.amount)
        terms = [
            (product, days, _nearest(product, amount or USUAL_AMOUNT))
            for product in products
            for days in product["terms"]
        ]
        quotes = await asyncio.gather(
            *(self._quote(request, one["product"], fen, days) for one, days, fen in terms)
        )
        choices = [
            {"product": one, "days": days, "amount": fen, "quote": quote}
            for (one, days, fen), quote in zip(terms, quotes, strict=True)
        ]
        return self.look.page(
            request,
            "apply.html",
            200 if problem is None else 422,
            tab="/apply",
            choices=choices,
            products=products,
            purposes=list(dict.fromkeys(one for p in products for one in p["purposes"])),
            form=form,
            purpose=purpose,
            problem=problem,
            once=new_once(),
        )

    async def _products(self, request: Request) -> list[dict[str, Any]]:
        return list((await self.door.at_desk(request).read("/v1/products")).body["items"])

    async def _quote(
        self, request: Request, product: str, amount: int, days: int
    ) -> dict[str, Any]:
        path = f"/v1/products/{product}/quote?amount={amount}&term_days={days}"
        return dict((await self.door.at_desk(request).read(path)).body)

    # --- data

    async def ask_data(self, request: Request) -> Response:
        """``GET /apply/data``: which data, each its own question, and who decides."""
        return await self._data_asked(request)

    async def _data_asked(
        self, request: Request, problem: str | None = None, sent: DataForm | None = None
    ) -> Response:
        """The page; with what was ``sent`` and not recorded still chosen on it."""
        draft, visit = self._drafted(request), self.door.visitor(request)
        told, notice = await self._notice(request)
        language = self.look.language(request)
        language = language if language in notice.texts else next(iter(notice.texts))
        sha256, moment = notice.text_sha256(language), self.door.visits.clock()
        kept = sent if sent is not None and sent.sha256 == sha256 else None
        return self.look.page(
            request,
            "data.html",
            200 if problem is None else 422,
            tab="/apply",
            draft=draft,
            quote=await self._quote(request, draft.product, draft.amount, draft.term_days),
            notice=notice,
            text=notice.texts[language],
            text_language=language,
            sha256=sha256,
            reading=self.reading.shown(kept, visit.whose, sha256, moment),
            chosen={} if kept is None else kept.answers,
            person=draft.wants_person if kept is None else kept.person is not None,
            asks=told["asks"],
            questions=told["questions"],
            problem=problem,
            once=new_once(),
        )

    async def allow(self, request: Request) -> Response:
        """``POST /apply/data``: each answer is recorded at the registry; what was not answered
        stays open. Without ordinary data nothing can be decided."""
        visit, draft = self.door.visitor(request), self._drafted(request)
        form = await self.door.form(request, DataForm)
        told, notice = await self._notice(request)
        stands = {one["sensitivity"]: one for one in told["questions"]}
        if form.answers.keys() - stands.keys() or form.language not in notice.texts:
            raise PageError("malformed", 422)
        if notice.text_sha256(form.language) != form.sha256:
            raise PageError("changed-since", 409)
        first = form.answers.get("ordinary")
        if first is None and not _settled(told):
            return await self._data_asked(request, "nothing-chosen", form)
        if form.answers:
            said = [
                {"recipient": self.lender, "sensitivity": kind, "action": answer}
                for kind, answer in form.answers.items()
            ]
            statement: dict[str, Any] = {
                "notice_id": notice.id,
                "notice_version": notice.version,
                "notice_language": form.language,
                "notice_sha256": form.sha256,
                "choices": said,
            }
            least = notice.terms.reading_seconds
            if least is not None and "give" in form.answers.values():
                shown = self.reading.presentation(form, self.door.visits.clock())
                if not shown_enough(shown, least):
                    return await self._data_asked(request, "not-shown-long-enough", form)
                statement["presentation"] = shown
            registry = self.door.at_registry(request)
            await registry.act("POST", "/v1/me/consents", form.once, statement)
        visit.draft = replace(draft, wants_person=form.person is not None, once=new_once())
        return go("/apply/no" if first == "refuse" else "/apply/check")

    async def refused(self, request: Request) -> Response:
        """``GET /apply/no``: nothing was read, nothing was asked for."""
        self.door.visitor(request)
        return self.look.page(request, "no.html", tab="/apply")

    async def _notice(self, request: Request) -> tuple[dict[str, Any], Notice]:
        """What this lender asks before it scores, with the questions about this lender alone, and
        the notice that the registry signed; raises PageError where it asks nothing."""
        registry = self.door.at_registry(request)
        for told in await registry.whole("/v1/me/notices"):
            if told["purpose"] == SCORING_PURPOSE and self.lender in told["recipients"]:
                signed = await registry.read(f"/v1/notices/{told['id']}/{told['version']}")
                try:
                    notice = Notice.verify(str(signed.body).strip(), self.registry_key)
                except SignatureError as error:
                    raise PageError("notice-unsigned", 502) from error
                mine = [one for one in told["questions"] if one["recipient"] == self.lender]
                return {**told, "questions": mine}, notice
        raise PageError("nothing-asked", 409)

    # --- check and send

    async def check(self, request: Request) -> Response:
        """``GET /apply/check``: everything once more; the answers as the registry has them."""
        draft = self._drafted(request)
        told, _ = await self._notice(request)
        if not _settled(told):
            return go("/apply/data")
        products = await self._products(request)
        return self.look.page(
            request,
            "check.html",
            tab="/apply",
            draft=draft,
            product=next(one for one in products if one["product"] == draft.product),
            quote=await self._quote(request, draft.product, draft.amount, draft.term_days),
            asks=told["asks"],
            questions=told["questions"],
        )

    async def send(self, request: Request) -> Response:
        """``POST /apply/check``: sent, once, as it was shown."""
        draft = self._drafted(request)
        form = await self.door.form(request, OwnForm)
        if form.once != draft.once:
            raise PageError("changed-since", 409)
        asked = {
            "product": draft.product,
            "amount": draft.amount,
            "term_days": draft.term_days,
            "purpose": draft.purpose,
            "wants_person": draft.wants_person,
        }
        desk = self.door.at_desk(request)
        made = await desk.act("POST", "/v1/me/applications", form.once, asked)
        return go(f"/applications/{made.body['id']}")

    def _drafted(self, request: Request) -> LoanDraft:
        draft = self.door.visitor(request).draft
        if draft is None:
            raise PageError("nothing-begun", 409)
        return draft


def _settled(told: dict[str, Any]) -> bool:
    """Whether ordinary data, without which nothing is decided, may be used."""
    return any(
        one["sensitivity"] == "ordinary" and one["state"] == "given" and one["open"] is None
        for one in told["questions"]
    )


def _fen(text: str) -> int | None:
    try:
        return from_text(text)
    except MoneyError:
        return None


def _nearest(product: dict[str, Any], amount: int) -> int:
    """An amount that the product lends, as near as may be."""
    held = min(max(amount, product["least"]), product["most"])
    return int(held - (held - product["least"]) % product["step"])


def _draft(form: WantedForm, products: list[dict[str, Any]]) -> tuple[LoanDraft | None, str | None]:
    """What was asked for, or what is wrong with it."""
    amount, (name, _, days) = _fen(form.amount), form.terms.partition("/")
    if not form.terms:
        return None, "no-terms"
    product = next((one for one in products if one["product"] == name), None)
    if product is None or int(days) not in product["terms"]:
        return None, "no-terms"
    if amount is None or _nearest(product, amount) != amount:
        return None, "amount"
    if not form.purpose.strip() or (
        product["purposes"] and form.purpose not in product["purposes"]
    ):
        return None, "no-purpose"
    return LoanDraft(name, amount, int(days), form.purpose.strip()), None
