"""A registry with a campaign under way, called in its own process by many at once, and bytes damaged on the way."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from fastapi import FastAPI
from support.asgi import Answered, Sent, call
from support.house import House, build
from support.observed import entries

from auditlog.fsck import check_log
from consent.api.app import create_app
from consent.home import open_registry
from consent.registry import Registry
from crypto.keys import SigningKey
from crypto.sessions import Ephemeral
from protocol.campaigns import AuthorisationRequest
from protocol.requests import sign_request
from protocol.sessions import ClientSession, SessionAnswer, SessionOffer

SEED = 20261122
AT_ONCE = 24


@dataclass
class Site:
    """A registry with a campaign under way, called in its own process, and who may sign."""

    house: House
    registry: Registry
    app: FastAPI
    runner: asyncio.Runner
    keys: dict[str, SigningKey]
    authorisation: str
    sessions: dict[str, ClientSession] = field(default_factory=dict)
    acknowledged: list[tuple[int, int, str]] = field(default_factory=list)
    """(first, count, actor) of what was appended."""
    statuses: Counter[int] = field(default_factory=Counter)

    def _authorization(self, sent: Sent, number: int) -> str:
        if not sent.caller:
            return ""
        target = unquote(sent.target.partition("?")[0]) + ("?" + sent.target.partition("?")[2]) * ("?" in sent.target)
        session = self.sessions.get(sent.caller)
        too_long = len(target) > 1900  # a signed request names its target in at most 2,000 characters
        if session is not None and (number % 2 or too_long):
            return session.authorization(sent.method, target, sent.body)
        if too_long:
            return ""
        return "Bearer " + sign_request(self.keys[sent.caller], sent.caller, "registry", sent.method, target, sent.body)

    def send(self, requests: Sequence[Sent]) -> list[Answered]:
        """Send all of them, many at once; every answer is one that a client can understand, and none is a 5xx."""

        async def batch(some: Sequence[tuple[Sent, str]]) -> list[Answered]:
            return await asyncio.gather(*(call(self.app, sent, signed) for sent, signed in some))

        answers: list[Answered] = []
        for at in range(0, len(requests), AT_ONCE):
            signed = [(sent, self._authorization(sent, i)) for i, sent in enumerate(requests[at : at + AT_ONCE])]
            answers += self.runner.run(batch(signed))
        for sent, answer in zip(requests, answers, strict=True):
            self.statuses[answer.status] += 1
            assert answer.status < 500, (sent, answer)
            if answer.status >= 400:
                assert answer.headers["content-type"] == "application/problem+json", (sent, answer)
                assert sent.method == "HEAD" or json.loads(answer.body)["status"] == answer.status
            elif sent.method == "POST" and sent.target == "/v1/log/entries":
                told = json.loads(answer.body)
                self.acknowledged.append((told["first"], told["count"], sent.caller))
        return answers

    def begin(self, caller: str) -> None:
        ephemeral = Ephemeral()
        offer = SessionOffer(caller=caller, audience="registry", ephemeral=ephemeral.public)
        token = offer.sign(self.keys[caller])
        body = json.dumps({"offer": token}).encode()
        answered = json.loads(self.send([Sent("POST", "/v1/sessions", body, caller)])[0].body)["answer"]
        answer = SessionAnswer.verify(answered, self.registry.signing_key.public)
        self.sessions[caller] = ClientSession.agreed(ephemeral, offer, token, answered, answer)

    def check(self) -> None:
        """The log is whole, and what was acknowledged is in it, once, under whoever sent it."""
        self.registry.ledger.sequencer.settle()
        found = check_log(self.registry.ledger.database, self.registry.ledger.log)
        assert found.entries == found.integrated
        leaves, taken = entries(self.registry), set[int]()
        for first, count, actor in self.acknowledged:
            mine = set(range(first, first + count))
            assert not mine & taken
            taken |= mine
            assert {leaves[index]["actor"] for index in mine} == {actor}
        assert not self.registry.ledger.sequencer.halted


@contextmanager
def fuzzed(folder: Path) -> Iterator[Site]:
    """A registry with a campaign under way, for the tests of one file."""
    with build(folder, people=12, shared=1) as house:
        house.decide_first()
        house.activate()
        client = house.client("aspen")
        asked = AuthorisationRequest(
            node_key=house.node("aspen").key.public.thumbprint,
            purpose=house.campaign.purpose,
            code_sha256=house.campaign.code_sha256,
            checkpoint=client.checkpoint_note(),
        )
        authorisation = client.authorisation(house.campaign.sha256, asked).jti
        house.stop_registry()
        registry = open_registry(house.founded.registry_home)
        app = create_app(registry)
        borrower = house.borrowers["cedar"][0]
        keys = {
            "aspen": house.node("aspen").key,
            "coordinator": house.coordinator().key,
            "registry": house.founded.registry_key,
            "auditor": house.founded.auditor_key,
            borrower.pseudonym: borrower.key,
        }
        with asyncio.Runner() as runner:
            stack = AsyncExitStack()
            runner.run(stack.enter_async_context(app.router.lifespan_context(app)))
            built = Site(house, registry, app, runner, keys, authorisation)
            yield built
            runner.run(stack.aclose())
        registry.close()


def cut(data: bytes, rng: random.Random) -> bytes:
    """Bytes flipped, cut off, doubled or stuffed."""
    at = rng.randrange(len(data) + 1)
    match rng.randrange(5):
        case 0:
            return data[:at]
        case 1:
            return data[:at] + rng.randbytes(rng.randrange(1, 9)) + data[at:]
        case 2:
            return data[:at] + data[max(0, at - 30) :]
        case 3:
            return data[:at] + b"[" * rng.choice((1, 50, 3000)) + data[at:]
        case _:
            altered = bytearray(data)
            altered[at - 1] ^= 1 << rng.randrange(8)
            return bytes(altered)
