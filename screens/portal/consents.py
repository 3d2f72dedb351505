"""What I am asked, and what I have given: answer, pause, withdraw.

After every act the page shows what the registry holds then, read again, never what was meant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from screens.house.errors import PageError
from screens.house.forms import OwnForm, new_once
from screens.house.reading import Readings, shown_enough
from screens.house.services import ServiceAnswer
from screens.house.shell import Look, go
from screens.portal.differences import differences
from screens.portal.forms import YES, AnswersForm, StepForm, WithdrawForm
from screens.portal.registry import Borrower
from screens.portal.shown import PortalParties, given, key_of, questions
from screens.portal.signing import signed_answers, signing
from screens.portal.visit import PortalDoor


@dataclass(frozen=True)
class ConsentPages:
    """Pages about consents."""

    look: Look
    door: PortalDoor
    names: PortalParties
    reading: Readings

    async def start(self, request: Request) -> Response:
        """``GET /``: what waits for me, then what I gave, by lender."""
        if self.door.visit(request) is None:
            return self.look.page(request, "welcome.html", issuers=self.door.issuers, back="/")
        borrower = self.door.borrower(request)
        language = self.look.language(request)
        try:
            found = await borrower.overview()
        except PageError as error:
            if error.code == "not-linked":
                return go("/lenders")
            raise
        asked = []
        for notice in found["notices"]:
            open_ = [one for one in questions(notice, language) if one.open]
            if open_:
                asked.append({"notice": notice, "open": open_})
        return self.look.page(
            request,
            "start.html",
            tab="/",
            asked=asked,
            records=sorted(found["consents"], key=_order),
            names=self.names,
            some_given=any(given(record) for record in found["consents"]),
            waited_for=[
                one for one in found["revocations"] if one["acknowledged_by_entry"] is None
            ],
            incidents=[one for one in found["incidents"] if one["handled_at"] is None],
        )

    # --- one notice

    async def ask(self, request: Request) -> Response:
        """``GET /ask/{notice}/{version}``: the key facts, the text word for word, the questions."""
        return await self._asked(request, self.door.borrower(request))

    async def _asked(
        self,
        request: Request,
        borrower: Borrower,
        problem: str | None = None,
        sent: AnswersForm | None = None,
    ) -> Response:
        """The page; with what was ``sent`` and not recorded still chosen on it."""
        language = self.look.language(request)
        notice = await _notice(request, borrower)
        shown = await borrower.notice(notice["id"], notice["version"], language)
        answered = {
            (one["answered"]["id"], one["answered"]["version"])
            for one in notice["questions"]
            if one["open"] == "changed"
        }
        changed = []
        for name, version in sorted(answered):
            before = await borrower.notice(name, version, language)
            found = differences(before.text, shown.text)
            changed.append({"id": name, "version": version, "found": found})
        sha256, moment = shown.sha256, self.door.visits.clock()
        kept = sent if sent is not None and sent.sha256 == sha256 else None
        return self.look.page(
            request,
            "ask.html",
            200 if problem is None else 422,
            tab="/",
            notice=notice,
            text=shown.text,
            text_language=shown.language,
            sha256=sha256,
            reading=self.reading.shown(kept, self.door.visitor(request).whose, sha256, moment),
            chosen={} if kept is None else kept.chosen,
            changed=changed,
            questions=questions(notice, language),
            names=self.names,
            once=new_once(),
            problem=problem,
            signing=signing(await borrower.whole("/v1/me/keys"), moment),
        )

    async def text(self, request: Request) -> Response:
        """``GET /texts/{notice}/{version}``: the words of a version that was answered, or is asked
        now, for good."""
        borrower, language = self.door.borrower(request), self.look.language(request)
        name, version = request.path_params["notice"], request.path_params["version"]
        records = await borrower.whole("/v1/me/consents")
        mine = (record["pii_processing"]["privacy_notice"] for record in records)
        answered = any((one["id"], one["version"]) == (name, version) for one in mine)
        newest = [one for one in await borrower.whole("/v1/me/notices") if one["id"] == name]
        if not answered and not any(one["version"] == version for one in newest):
            raise PageError("not-found", 404)
        shown = await borrower.notice(name, version, language)
        return self.look.page(
            request,
            "text.html",
            tab="/",
            notice={"id": name, "version": version},
            newer=next((one for one in newest if one["version"] != version), None),
            text=shown.text,
            text_language=shown.language,
            sha256=shown.sha256,
        )

    async def answer(self, request: Request) -> Response:
        """``POST /ask/{notice}/{version}``: what was chosen is what is recorded, question by
        question; what was not answered stays open. What a key of the person's has signed is handed
        on as it is."""
        borrower, form = await self.door.sent(request, AnswersForm)
        notice = await _notice(request, borrower)
        found = questions(notice, self.look.language(request))
        asked, choices = {one.field for one in found}, form.choices
        if form.all is not None:
            choices = [
                {"recipient": one.recipient, "sensitivity": one.sensitivity, "action": one.no}
                for one in found
                if one.state not in ENDED
            ]
        if {f"{one['recipient']}.{one['sensitivity']}" for one in choices} - asked:
            raise PageError("malformed", 422)
        if not choices:
            return await self._asked(request, borrower, "nothing-chosen", form)
        statement: dict[str, Any] = {
            "notice_id": notice["id"],
            "notice_version": notice["version"],
            "notice_language": form.language,
            "notice_sha256": form.sha256,
            "choices": choices,
        }
        least = notice["reading_seconds"]
        if least is not None and any(one["action"] in YES for one in choices):
            shown = self.reading.presentation(form, self.door.visits.clock())
            if not shown_enough(shown, least):
                return await self._asked(request, borrower, "not-shown-long-enough", form)
            statement["presentation"] = shown
        if form.signed and form.all is None:
            tokens = signed_answers(form.signed, statement, notice["purpose"])
            await borrower.hand_in(tokens, form.once)
        else:
            for at in range(0, len(choices), AT_ONCE):
                part = {**statement, "choices": choices[at : at + AT_ONCE]}
                once = form.once if at == 0 else f"{form.once}-{at}"
                await borrower.act("POST", "/v1/me/consents", once, part)
        return go(f"/recorded/{notice['id']}/{notice['version']}")

    async def recorded(self, request: Request) -> Response:
        """``GET /recorded/{notice}/{version}``: how each question stands now, as the registry has
        it."""
        borrower = self.door.borrower(request)
        notice = await _notice(request, borrower)
        found = questions(notice, self.look.language(request))
        return self.look.page(
            request, "recorded.html", tab="/", notice=notice, questions=found, names=self.names
        )

    # --- one consent

    async def consent(self, request: Request) -> Response:
        """``GET /consents/{record}``: all that it says, and what can be done."""
        borrower = self.door.borrower(request)
        seen = await borrower.tag()  # first: what changes while the page is made is not seen yet
        found = await _record(request, borrower)
        history = await borrower.whole(f"/v1/me/consents/{found.body['record_id']}/history")
        return self.look.page(
            request,
            "consent.html",
            tab="/",
            record=found.body,
            history=history,
            seen=seen,
            names=self.names,
            once=new_once(),
        )

    async def step(self, request: Request) -> Response:
        """``POST /consents/{record}``: pause it, or go on with it, if nothing changed since."""
        borrower, form = await self.door.sent(request, StepForm)
        record = (await _record(request, borrower)).body
        served, about = record["served"], record["pii_processing"]
        if served is None:
            raise PageError("conflict", 409)
        statement = {
            "notice_id": about["privacy_notice"]["id"],
            "notice_version": about["privacy_notice"]["version"],
            "notice_language": served["language"],
            "notice_sha256": served["text_sha256"],
            "choices": [
                {
                    "recipient": key_of(record)[1],
                    "sensitivity": about["sensitivity"],
                    "action": form.action,
                }
            ],
        }
        seen = {"If-Match": form.seen}
        try:
            await borrower.act("POST", "/v1/me/consents", form.once, statement, **seen)
        except PageError as error:
            if error.code != "not-shown-long-enough":
                raise
            # to go on is a yes, and is said below the text, which by now may be another
            named = about["privacy_notice"]["id"]
            newest = [one for one in await borrower.whole("/v1/me/notices") if one["id"] == named]
            return go(f"/ask/{named}/{newest[0]['version']}" if newest else "/")
        return go(f"/consents/{record['record_id']}")

    async def ask_withdrawal(self, request: Request) -> Response:
        """``GET /withdraw/{record}``: what ends and what stays, and one button."""
        borrower = self.door.borrower(request)
        found = await _record(request, borrower)
        return self.look.page(
            request,
            "withdraw.html",
            tab="/",
            record=found.body,
            seen=found.etag,
            names=self.names,
            once=new_once(),
        )

    async def withdraw(self, request: Request) -> Response:
        """``POST /withdraw/{record}``: no reason is asked."""
        borrower, form = await self.door.sent(request, WithdrawForm)
        record = request.path_params["record"]
        await borrower.act(
            "POST",
            f"/v1/me/consents/{record}/withdrawal",
            form.once,
            **{"If-Match": form.seen, "Accept-Language": self.look.language(request)},
        )
        return go(f"/consents/{record}")

    async def ask_all(self, request: Request) -> Response:
        """``GET /withdraw-all``: everything that would end."""
        borrower = self.door.borrower(request)
        records = await borrower.whole("/v1/me/consents")
        return self.look.page(
            request,
            "withdraw_all.html",
            tab="/",
            records=[one for one in records if one["event"]["event_state"] in LIVE],
            names=self.names,
            once=new_once(),
        )

    async def withdraw_all(self, request: Request) -> Response:
        """``POST /withdraw-all``."""
        borrower, form = await self.door.sent(request, OwnForm)
        await borrower.act(
            "POST",
            "/v1/me/withdrawals",
            form.once,
            **{"Accept-Language": self.look.language(request)},
        )
        return go("/")


AT_ONCE = 16
"""Answers in one statement, as the registry takes them."""
LIVE = frozenset({"given", "suspended"})
ENDED = frozenset({"refused", "withdrawn"})
"""What is a no already."""


def _order(record: dict[str, Any]) -> tuple[bool, str, str, bool, str]:
    """What counts now first; then by lender and purpose, ordinary data before the rest."""
    purpose, recipient, kind = key_of(record)
    live = record["event"]["event_state"] in LIVE
    return not live, recipient, purpose, kind != "ordinary", kind


async def _notice(request: Request, borrower: Borrower) -> dict[str, Any]:
    """The notice that the path names, if it asks this borrower something now; raises PageError."""
    name, version = request.path_params["notice"], request.path_params["version"]
    for notice in await borrower.whole("/v1/me/notices"):
        if (notice["id"], notice["version"]) == (name, version):
            return dict(notice)
    raise PageError("not-found", 404)


async def _record(request: Request, borrower: Borrower) -> ServiceAnswer:
    return await borrower.read(f"/v1/me/consents/{request.path_params['record']}")
