"""Cases that wait for a person: the queue by when an answer is due, one case, a decision.

A case is shown without what the machine said of it. What may stand on the page is named here one by
one, so that nothing new in a case shows the machine's answer by accident.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from crypto.errors import TahiniError
from desk.commands.review import Verdict, decide_review, put_back, second, take
from desk.commands.show_answers import OWN, answers
from desk.lending_rules import declared_by
from desk.office import Desk
from desk.reviewing import OPEN, all_reviews, held_review, readers, steps
from desk.states import ReviewStatus
from desk.storage.idempotency import ActsOnce
from law.deadlines import first_due
from screens.house.errors import PageError
from screens.house.forms import new_once, read_form, read_own, require_own
from screens.house.shell import go
from screens.office.forms import MAX_REASONS, OfficeButton, SecondForm, VerdictForm
from screens.office.room import REVIEW, Office
from screens.office.shown import FACTS, value_in_words

TAB = "/reviews"
ASKED = ("product", "amount", "term_days", "purpose", "received_at", "wants_person")


@dataclass(frozen=True)
class WaitingReview:
    """One case of the queue."""

    id: str
    status: ReviewStatus
    opened_at: datetime
    due_at: datetime
    """When an answer is late: what the law, or this project's policy where the law says "in time",
    gives for a review by a person."""
    taken_by: str | None


def waiting_reviews(desk: Desk) -> list[WaitingReview]:
    """What waits, what is due first on top."""
    with desk.reading() as hand:
        rows = hand.connection.execute(all_reviews(*OPEN)).all()
    law = [desk.wording.jurisdiction]
    found = [
        WaitingReview(
            row.id,
            ReviewStatus(row.stands),
            row.opened_at,
            first_due("review", law, row.opened_at).at,
            row.taken_by,
        )
        for row in rows
    ]
    return sorted(found, key=lambda one: one.due_at)


def without_the_machine(shown: Mapping[str, Any]) -> dict[str, Any]:
    """Of a case as the desk shows it, what a reviewer reads before they decide: what was asked for,
    the facts, what was said since. Neither score nor outcome, reasons or offer."""
    case = shown["case"]
    return {
        "asked": {name: case["application"][name] for name in ASKED},
        "facts": {
            name: {part: fact[part] for part in ("status", "value", "source", "observed_on")}
            for name, fact in case["facts"].items()
        },
        "read_at": shown["read_at"],
        "owes_now": shown["owes_now"]["amount"],
        "verifications": shown["verifications"],
        "person_says": shown["person_says"],
        "proposed": shown["proposed"],
    }


@dataclass(frozen=True)
class CalledFact:
    """What a fact is called, in which language, and of which kind it is."""

    name: str
    language: str
    kind: str | None


def facts_called(desk: Desk, case: Mapping[str, Any], language: str) -> dict[str, CalledFact]:
    """What each fact of a case is called: the lender's words for it, else what the policy that
    decided says of it, in English, else its name in the data."""
    glossary = desk.wording.glossary
    words = {} if glossary is None else glossary.words
    declared = declared_by(desk.lending, case["policy_hash"])
    found = {}
    for name in case["facts"]:
        own, rule = words.get(name, {}).get(language), declared.get(name)
        about = name if rule is None or not rule.about else rule.about
        kind = None if rule is None else rule.kind
        found[name] = CalledFact(own or about, language if own else "en", kind)
    return found


@dataclass(frozen=True)
class ReviewPages:
    """Pages about reviews."""

    office: Office

    def queue(self, request: Request) -> Response:
        """``GET /reviews``: what waits, by when it is due."""
        staff = self.office.door.staff(request, REVIEW)
        waiting = [] if self.office.desk is None else waiting_reviews(self.office.desk)
        return self.office.look.page(
            request,
            "reviews.html",
            tab=TAB,
            desk=self.office.desk is not None,
            reviews=waiting,
            me=staff.name,
            moment=self.office.clock(),
        )

    def case(self, request: Request) -> Response:
        """``GET /reviews/{review}``: the case for whoever has taken it; else a button to take it.
        Nobody reads it by looking at this address."""
        return self._case(request, None, {})

    def _case(
        self, request: Request, problem: str | None, said: Mapping[str, str], status: int = 200
    ) -> Response:
        staff, desk = self.office.door.staff(request, REVIEW).name, self.office.at_desk()
        review = request.path_params["review"]
        with desk.reading() as hand:
            found = held_review(hand.connection, review)
            own = {one.by for one in steps(hand.connection, review) if one.event in OWN}
            has_read = staff in readers(hand.connection, review)
        taken = found.status is ReviewStatus.TAKEN and found.row.taken_by == staff
        seconding = found.status is ReviewStatus.PROPOSED and has_read
        if not taken and not seconding:
            if problem is None and staff in own and found.status is not ReviewStatus.WAITING:
                return go(f"/reviews/{review}/answers")
            return self._page(request, "take.html", status, review=found, me=staff, problem=problem)
        read = take(desk, review, staff)
        language = self.office.look.language(request)
        return self._page(
            request,
            "case.html",
            status,
            review=found,
            case=without_the_machine(read),
            called=facts_called(desk, read["case"], language),
            value=partial(value_in_words, self.office.look.words(request)),
            FACTS=FACTS,
            seconding=seconding,
            four_eyes=desk.ways.four_eyes,
            problem=problem,
            said=said,
        )

    async def take(self, request: Request) -> Response:
        """``POST /reviews/{review}/taking``: that it is read is stated in the log first."""
        staff = self.office.door.staff(request, REVIEW)
        await read_own(request, OfficeButton, staff.whose)
        review = request.path_params["review"]
        await run_in_threadpool(take, self.office.at_desk(), review, staff.name)
        return go(f"/reviews/{review}")

    async def put_back(self, request: Request) -> Response:
        """``POST /reviews/{review}/back``: somebody else shall do it."""
        staff = self.office.door.staff(request, REVIEW)
        await read_own(request, OfficeButton, staff.whose)
        review = request.path_params["review"]
        await run_in_threadpool(put_back, self.office.at_desk(), review, staff.name)
        return go(TAB)

    async def decide(self, request: Request) -> Response:
        """``POST /reviews/{review}``: record what the reviewer decides. What was typed stays where
        it is not accepted."""
        staff, desk = self.office.door.staff(request, REVIEW), self.office.at_desk()
        try:
            form = await read_form(request, VerdictForm)
        except PageError:
            return await run_in_threadpool(self._case, request, "not-whole", {}, 422)
        require_own(form, staff.whose)
        typed = {"amount": form.amount, "term_days": form.term_days, "reasons": form.reasons}
        said = {"outcome": form.outcome, **typed}
        if not 1 <= len(form.lines) <= MAX_REASONS:
            return await run_in_threadpool(self._case, request, "no-reason", said, 422)
        review = request.path_params["review"]
        verdict = Verdict(form.outcome, form.lines, form.fen, form.days)
        once = _once(staff.name, form.once, review, said)
        try:
            await run_in_threadpool(decide_review, desk, review, staff.name, verdict, once)
        except TahiniError as error:
            return await run_in_threadpool(self._case, request, str(error), said, 409)
        return go(f"/reviews/{review}/answers")

    async def second(self, request: Request) -> Response:
        """``POST /reviews/{review}/second``: the second pair of eyes."""
        staff, desk = self.office.door.staff(request, REVIEW), self.office.at_desk()
        form = await read_own(request, SecondForm, staff.whose)
        review = request.path_params["review"]
        once = _once(staff.name, form.once, review, {"agrees": form.agrees})
        await run_in_threadpool(second, desk, review, staff.name, form.agrees == "yes", once)
        return go(f"/reviews/{review}/answers")

    def answers(self, request: Request) -> Response:
        """``GET /reviews/{review}/answers``: what is recorded, and beside it what the machine had
        said."""
        staff, desk = self.office.door.staff(request, REVIEW), self.office.at_desk()
        found = answers(desk, request.path_params["review"], staff.name)
        language = self.office.look.language(request)
        told = () if found.machine is None else found.machine.reasons
        reasons = [desk.wording.sentence(one, "zh" if language == "zh" else "en") for one in told]
        return self._page(request, "answers.html", found=found, reasons=reasons)

    def _page(self, request: Request, view: str, status: int = 200, **shown: Any) -> Response:
        return self.office.look.page(
            request, view, status, tab=TAB, once=new_once(), moment=self.office.clock(), **shown
        )


def _once(staff: str, once: str, review: str, said: Mapping[str, str]) -> ActsOnce:
    """One filling in of a form acts once, however often it arrives."""
    body = json.dumps(said, sort_keys=True).encode()
    return ActsOnce.of(f"office:{staff}", once, "POST", f"/reviews/{review}", body)
