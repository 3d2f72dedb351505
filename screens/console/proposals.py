"""Propose a campaign: what it would cost while one fills in the form, then one look at all of it,
then the signature."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from credit.errors import FeatureError
from credit.validation import load_schema
from privacy.errors import PrivacyError
from privacy.mechanism import Mechanism
from protocol.campaigns import Campaign
from protocol.errors import ConsentError, RegistryUnavailable
from protocol.schema import now
from protocol.terms import TRAINING_PURPOSE
from protocol.watched import ModelReference
from screens.console.once import ActedOnce
from screens.console.proposal_form import (
    ProposalForm,
    ReadForm,
    Wrong,
    known_order,
    priced,
    understood,
)
from screens.console.sight import ConsoleSight
from screens.house.errors import PageError, ServiceAway
from screens.house.forms import OwnForm, new_once, read_own
from screens.house.shell import Look, go
from screens.house.staff import StaffDoor
from server.assessments import assessed
from server.errors import BadOption, CoordinatorError
from server.folders import released_by
from server.home import Coordinator
from server.proposing import DropoutRisk, dropout_risk, propose

FEATURES = "features"
"""Folder of feature lists (TOML) in the coordinator's home."""
FROM_FILE, FROM_CAMPAIGN = "file:", "campaign:"
_HASH = re.compile("[0-9a-f]{64}")
NO_CODE = "0" * 64
"""Stands for the code's hash where nothing is signed yet."""


@dataclass(frozen=True)
class FeatureList:
    """A feature list that can be chosen: what it is called, and how many features it has."""

    label: str
    schema: dict[str, Any]

    @property
    def size(self) -> int:
        return len(self.schema["features"])


@dataclass(frozen=True)
class Price:
    """What a proposal would cost, and what that pays for."""

    plan: Mechanism
    lenders: int
    risk: DropoutRisk | None
    people: tuple[int, float] | None
    """About how many, and what the count cost everybody; None where they were not counted."""


@dataclass(frozen=True)
class ProposalPages:
    """Pages about what is not a campaign yet."""

    look: Look
    door: StaffDoor
    sight: ConsoleSight
    acted: ActedOnce = field(default_factory=ActedOnce)
    counted: dict[tuple[str, tuple[str, ...]], tuple[int, float]] = field(default_factory=dict)
    """Counts of people by day and lenders: the same question has one answer a day."""

    def ask(self, request: Request) -> Response:
        """``GET /propose``: the form; with ``?like=`` as that campaign was."""
        own = OwnForm(once=new_once(), whose=self.door.staff(request, "launch").whose)
        coordinator, lists = self.sight.coordinator(), self._lists()
        like = request.query_params.get("like")
        before = self.sight.campaign(like).status if like and _HASH.fullmatch(like) else None
        chosen = f"{FROM_CAMPAIGN}{like}" if before else next(iter(lists), "")
        form = ProposalForm.fresh(own, coordinator.consortium, chosen, before)
        return self._shown(request, form, self._priced(form), told=False)

    async def price(self, request: Request) -> Response:
        """``POST /propose/price``: only the part with the price, for a page that is being filled
        in."""
        whose = self.door.staff(request, "launch").whose
        form = await read_own(request, ProposalForm, whose)
        price, wrong = await run_in_threadpool(lambda: self._price(self._priced(form)))
        return self.look.page(request, "price.html", price=price, wrong=wrong)

    async def send(self, request: Request) -> Response:
        """``POST /propose``: by the button that was tapped: the price, a count of people, a look at
        all of it, or the signature."""
        staff = self.door.staff(request, "launch")
        form = await read_own(request, ProposalForm, staff.whose)
        return await run_in_threadpool(self._sent, request, form, self.door.is_fresh(staff))

    def _sent(self, request: Request, form: ProposalForm, fresh: bool) -> Response:
        coordinator = self.sight.coordinator()
        if form.do in ("price", "edit"):
            return self._shown(request, form, self._priced(form), told=False)
        if form.do == "count":
            read = self._count(coordinator, self._priced(form))
            return self._shown(request, form, read)
        read = understood(form, self._schemas(), coordinator.consortium, self._released)
        read = self._checked(coordinator, read)
        if read.asked is None or read.wrong:
            return self._shown(request, form, read)
        if form.do == "check" or not fresh:
            return self._look(request, form, read, stale=form.do == "sign")
        return self._signed(request, coordinator, form, read)

    # --- the form

    def _shown(
        self, request: Request, form: ProposalForm, read: ReadForm, told: bool = True
    ) -> Response:
        """The form as it was filled in; ``told``: with what is wrong beside each field."""
        consortium = self.sight.coordinator().consortium
        price, why = self._price(self._priced(form))
        return self.look.page(
            request,
            "propose.html",
            422 if told and read.wrong else 200,
            tab="/propose",
            form=form,
            wrong=read.wrong if told else (),
            at={one.field: one for one in read.wrong} if told else {},
            lists=self._lists(),
            lenders=consortium.lenders,
            consortium=consortium,
            price=price,
            why=why,
        )

    def _priced(self, form: ProposalForm) -> ReadForm:
        consortium = self.sight.coordinator().consortium
        return priced(form, self._schemas(), consortium, self._released)

    def _schemas(self) -> dict[str, dict[str, Any]]:
        return {name: one.schema for name, one in self._lists().items()}

    def _released(self, features: str) -> tuple[Campaign, ModelReference]:
        """The model of the campaign that a feature list is of. Raises BadOption."""
        none = BadOption("warm-start", "no-model", "is the hash of a campaign that released one")
        if not features.startswith(FROM_CAMPAIGN):
            raise none
        try:
            return released_by(self.sight.coordinator(), features.removeprefix(FROM_CAMPAIGN))
        except CoordinatorError as error:
            raise none from error

    def _price(self, read: ReadForm) -> tuple[Price | None, tuple[Wrong, ...]]:
        if read.asked is None:
            return None, read.wrong
        try:
            plan = read.asked.mechanism()
        except PrivacyError as error:
            return None, (Wrong("epsilon", "no-plan", str(error)),)
        lenders = read.asked.lenders
        risk = dropout_risk(len(lenders), plan)
        return Price(plan, len(lenders), risk, self.counted.get(_question(lenders))), ()

    def _count(self, coordinator: Coordinator, read: ReadForm) -> ReadForm:
        """Count the people at these lenders, which is charged once a day."""
        if read.asked is None:
            return read
        lenders = read.asked.lenders
        try:
            with coordinator.registry() as client:
                found = client.population(TRAINING_PURPOSE, lenders)
        except RegistryUnavailable as error:
            raise ServiceAway from error
        except ConsentError as error:
            return replace(read, wrong=(Wrong("count", "counts-spent", str(error)),))
        self.counted[_question(lenders)] = found
        return read

    def _lists(self) -> Mapping[str, FeatureList]:
        """Feature lists that can be chosen: files in the home, and what earlier campaigns had."""
        found: dict[str, FeatureList] = {}
        for path in sorted((self.sight.home / FEATURES).glob("*.toml")):
            try:
                schema = load_schema(path).model_dump(mode="json")
            except FeatureError:
                continue  # a list that cannot be read cannot be chosen
            found[FROM_FILE + path.name] = FeatureList(path.name, schema)
        for seen in self.sight.campaigns():
            campaign = seen.status.campaign
            label = f"{campaign.title} ({campaign.id})"
            found[FROM_CAMPAIGN + seen.sha256] = FeatureList(label, dict(campaign.features))
        return found

    # --- the look before the signature

    def _checked(self, coordinator: Coordinator, read: ReadForm) -> ReadForm:
        """Whether there is a plan, and an impact assessment that covers it."""
        if read.asked is None:
            return read
        try:
            draft = read.asked.campaign(coordinator.id, NO_CODE, NO_CODE, now())
            assessed(coordinator, draft, None, now())
        except PrivacyError as error:
            return replace(read, wrong=(Wrong("epsilon", "no-plan", str(error)),))
        except (CoordinatorError, ConsentError) as error:
            return replace(read, wrong=(Wrong("assessment", "no-assessment", str(error)),))
        return read

    def _look(self, request: Request, form: ProposalForm, read: ReadForm, stale: bool) -> Response:
        """All of it; ``stale``: it was to be signed, too long after the log-in."""
        consortium = self.sight.coordinator().consortium
        price, _ = self._price(read)
        names = {party.id: party.name for party in consortium.lenders}
        return self.look.page(
            request,
            "check.html",
            tab="/propose",
            form=form,
            stale=stale,
            asked=read.asked,
            price=price,
            chosen=self._lists()[form.features],
            takes_part=[names[one] for one in known_order(consortium) if one in form.lenders],
        )

    def _signed(
        self, request: Request, coordinator: Coordinator, form: ProposalForm, read: ReadForm
    ) -> Response:
        asked = read.asked
        if asked is None:
            raise PageError("malformed", 422)

        def sign() -> str:
            return f"/campaigns/{propose(coordinator, asked).sha256}"

        try:
            return go(self.acted.act(form.once, sign))
        except RegistryUnavailable as error:
            raise ServiceAway from error
        except (CoordinatorError, PrivacyError, ConsentError) as error:
            refused = replace(read, wrong=(Wrong("registry", "refused", str(error)),))
            return self._shown(request, form, refused)


def _question(lenders: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    return now().date().isoformat(), tuple(sorted(lenders))
