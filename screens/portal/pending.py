"""A visit that ends while somebody fills in a form: what they chose is kept, they log in again, see
it, and send it with one tap.

Kept in memory, ten minutes, for whoever the form was shown to and nobody else. It goes out under
the same Idempotency-Key, so what was recorded after all is not recorded twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from screens.common.terms import kind_of
from screens.house.errors import FreshLoginNeeded, NotLoggedIn, PageError
from screens.house.forms import read_fields, read_form
from screens.house.problems import N_
from screens.house.shell import Look
from screens.house.words import PageWords
from screens.portal.forms import LinkForm
from screens.portal.shown import STATES, PortalParties
from screens.portal.visit import Pending, PortalDoor

MAX_PENDING = 2_000
LINK = "/link"
"""An invitation is for whoever hands it in: its page shows nobody's data."""
INVITED_BY = N_("Invitation of")
NOBODY_KNOWN = N_("nobody whose signature is known here")
Handler = Callable[[Request], Awaitable[Response]]
ACTS: Mapping[str, str] = {
    "ask": N_("Your answers"),
    "consents": N_("Pause a consent, or go on with it"),
    "withdraw": N_("Take back this consent"),
    "withdraw-all": N_("Take back everything"),
    "requests": N_("Your request"),
    "link": N_("Link a lender"),
}
"""By the first part of a form's path."""
CHOSEN: Mapping[str, str] = {
    "give": N_("Yes, I agree"),
    "refuse": N_("No, I do not agree"),
    "withdraw": N_("No, I do not agree"),
    "suspend": STATES["suspended"],
    "resume": N_("Go on with it"),
}


@dataclass(frozen=True)
class PendingPages:
    """Pages about what was not sent in time."""

    look: Look
    door: PortalDoor
    names: PortalParties

    def keeping(self, act: Handler) -> Handler:
        """A handler of a form that keeps what was sent where one must log in first, and forgets it
        when it has been done."""

        async def kept(request: Request) -> Response:
            try:
                answer = await act(request)
            except (NotLoggedIn, FreshLoginNeeded):
                return await self._keep(request)
            pending, sent = self.door.pending(request), await read_fields(request)
            kept_once = None if pending is None else pending.fields.get("once")
            if answer.status_code == 303 and kept_once == sent.get("once"):
                self.door.forget(request, answer)
            return answer

        return kept

    async def _keep(self, request: Request) -> Response:
        self.door.ways_in.count(request)  # or a stranger's forms would push out other people's
        if request.url.path == LINK:  # anybody's: of it no more is kept than an invitation has
            form = await read_form(request, LinkForm)
            fields, how = {"once": form.once, "ticket": form.invitation}, "fresh"
        else:
            fields, how = await read_fields(request), "quiet"
            if not self.door.marks.is_ours(fields.get("whose", "")):
                raise NotLoggedIn
        # on by the page and not by a redirect: a policy that lets forms go to this origin only
        # would stop the way to the issuer
        way = self.door.again(request, "/again", how)
        answer = self.look.page(request, "ended.html", 401, onward=way, fresh=how == "fresh")
        self.door.keep(Pending(request.url.path, fields), answer)
        return answer

    async def again(self, request: Request) -> Response:
        """``GET /again``: what was chosen, and the button that sends it."""
        self.door.borrower(request)
        pending = self.door.pending(request)
        if pending is None:
            raise PageError("nothing-kept", 404)
        mine = pending.fields.get("whose") == request.state.session.whose
        if pending.path != LINK and not mine:
            raise PageError("another-person", 409)
        return self.look.page(
            request,
            "again.html",
            pending=pending,
            act=ACTS[pending.path.split("/")[1]],
            chosen=self._chosen(pending, self.look.words(request)),
        )

    def _chosen(self, pending: Pending, words: PageWords) -> list[tuple[str, str]]:
        """What stands in the form, in words."""
        if pending.path == LINK:
            inviter = self.names.inviter(pending.fields.get("ticket", ""))
            inviter = words.say(NOBODY_KNOWN) if inviter is None else inviter
            return [(words.say(INVITED_BY), inviter)]
        told: list[tuple[str, str]] = []
        for name, value in pending.fields.items():
            recipient, _, kind = name.partition(".")
            if kind and value in CHOSEN:
                who = self.names.of_party(recipient, words.language)
                about = f"{who} · {kind_of(kind, words.language)}"
                told.append((about, words.say(CHOSEN[value])))
        if pending.fields.get("all"):
            told.append((words.say(N_("Everything that is asked")), words.say(CHOSEN["refuse"])))
        if pending.fields.get("text"):
            told.append((words.say(N_("In your words")), pending.fields["text"]))
        return told
