"""A lender's inbox: the registry delivers revocations here, and gets the lender's signed
acknowledgement.

Nothing is acknowledged that this node's own copy of its borrowers' consents (``clients.consents``)
does not hold yet.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from clients.erasures import BY_INBOX, act_on, keep_answered
from clients.errors import NodeError
from clients.home import Node
from crypto.errors import CryptoError
from ops.http import LimitBody
from protocol.errors import ConsentError, NotAuthenticated
from protocol.parties import Role
from protocol.revocations import Acknowledgement, Delivered, Delivery, Revocation
from protocol.schema import now

MAX_BODY_BYTES = 1 << 20
logger = logging.getLogger("tahini.inbox")


@dataclass(frozen=True)
class Inbox:
    """The inbox of one node."""

    node: Node

    def receive(self, items: list[str]) -> str:
        """Verify revocations, bring this node's copy up to date, and acknowledge them; returns the
        signed token.

        Raises:
            NotAuthenticated: not the registry's, not this lender's, or with a gap.
            ConsentError: the registry did not answer when it was asked for the present state.
        """
        key = self.node.consortium.one(Role.REGISTRY).key
        try:
            revoked = [Revocation.verify(item, key) for item in items]
        except CryptoError as error:
            raise NotAuthenticated("a revocation is not signed by the registry") from error
        numbers = [one.number for one in revoked]
        mine = all(one.recipient == self.node.lender for one in revoked)
        if not mine or numbers != list(range(numbers[0], numbers[0] + len(numbers))):
            raise NotAuthenticated("the revocations are another lender's, or have a gap")
        with self.node.registry() as client:
            done = act_on(self.node, client, revoked)
        if done < numbers[0]:
            raise NodeError("somebody is to be erased: tahini desk erase, tahini book retain")
        told = Acknowledgement(recipient=self.node.lender, number=done, acknowledged_at=now())
        keep_answered(self.node, done, BY_INBOX)
        return told.sign(self.node.key)


def inbox_app(inbox: Inbox) -> Starlette:
    """``POST /revocations``."""

    async def revocations(request: Request) -> Response:
        try:
            delivery = Delivery.model_validate_json(await request.body())
        except ValidationError:
            return PlainTextResponse("not a delivery of revocations\n", 422)
        try:
            token = await run_in_threadpool(inbox.receive, delivery.items)
        except NotAuthenticated as error:
            return PlainTextResponse(f"{error}\n", 401)
        except (ConsentError, NodeError) as error:
            logger.warning("a delivery could not be acted on: %s", type(error).__name__)
            return PlainTextResponse(
                "this node could not bring its consents up to date; deliver again\n", 503
            )
        return JSONResponse(Delivered(token=token).model_dump())

    app = Starlette(routes=[Route("/revocations", revocations, methods=["POST"])])
    app.router.redirect_slashes = False
    app.add_middleware(
        LimitBody, most=MAX_BODY_BYTES, refusal=lambda said: PlainTextResponse(f"{said}\n", 413)
    )
    return app
