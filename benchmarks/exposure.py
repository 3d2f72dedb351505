"""How long the cryptography of one question about joint exposure takes, and how many one core
answers in a second.

One person with an account at each of ``--lenders`` lenders. A question is all of it: the asker
shares what it reserves, signs both parts and seals one; the registry verifies, orders, adds up and
signs; the naming service opens, verifies, adds up, signs and seals; the asker opens, verifies and
checks the tags. One after the other on one core, from the same books each time. No network, no
disk, no log entry, and the borrower's signature was made before.

The yardstick, in the same run: so many bare signatures made and checked, and so much sealed and
opened, as one question needs, with ``cryptography`` alone and on messages of the same length. With
the two servers on machines of their own the busier one sets how many are answered
(``exposure_per_s_of_servers``); the bar is held against one core that does everything.

Randomness is the operating system's, so there is no seed; the times do not depend on it. ``--json``
for machines. Exit code 1 where a bar is missed: on a machine where the load average is above 1
something else was running, and the figures say little.

    python -m benchmarks.exposure --json
    python -m benchmarks.exposure --lenders 50 --questions 2000
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from benchmarks.report import latency, machine, parser, show, versions
from crypto.keys import RecipientKey, SigningKey
from crypto.notes import Verifier
from crypto.policies import Log, unwitnessed
from crypto.sealing import seal_to, unseal_from
from crypto.shares import CheckKey
from exposure.amounts import Exposure
from exposure.book import PersonBook
from exposure.envelopes import opened
from exposure.lending import ExposureLender
from exposure.server import ExposureServer
from protocol.exposure import (
    EXPOSURE_PURPOSE,
    ExposureAuthorisation,
    ExposureQuestion,
    ExposureStatement,
)
from protocol.parties import Consortium, Party, Role

BAR_P99_MS = 20
BAR_PER_S = 200
NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
SERVERS = {
    "registry": Role.REGISTRY,
    "naming": Role.NAMING,
    "coordinator": Role.COORDINATOR,
    "auditor": Role.AUDITOR,
}
T = TypeVar("T")


@dataclass
class Timed:
    """Milliseconds of each step, by its name."""

    took: dict[str, list[float]] = field(default_factory=dict)

    def __call__(self, name: str, step: Callable[[], T]) -> T:
        started = time.perf_counter()
        done = step()
        self.took.setdefault(name, []).append(1000 * (time.perf_counter() - started))
        return done


class Market:
    """A consortium whose lenders all have an account of one person."""

    def __init__(self, lenders: int) -> None:
        roles = {**SERVERS, **{f"lender-{n}": Role.LENDER for n in range(lenders)}}
        self.keys = {name: SigningKey.generate() for name in roles}
        self.recipient = RecipientKey.generate()
        self.members = self._members(roles)
        self.check, self.person = CheckKey.generate(), SigningKey.generate()
        self.handle = self.check.handle("v1.somebody")
        self.registry = ExposureServer(self.members, Role.REGISTRY, self.keys["registry"])
        self.naming = ExposureServer(self.members, Role.NAMING, self.keys["naming"])
        self.books = PersonBook(), PersonBook()
        for number, party in enumerate(self.members.lenders):
            self.books = self._with_account(party.id, Exposure(1, 1_000_00 + number))

    def _members(self, roles: dict[str, Role]) -> Consortium:
        parties = tuple(
            Party(
                id=name,
                name=name,
                role=role,
                signing_key=self.keys[name].public.text,
                recipient_key=self.recipient.public.text if role is Role.NAMING else None,
            )
            for name, role in roles.items()
        )
        licence = {"kind": "personal-credit-reporting", "number": "none", "authority": "nobody"}
        return Consortium(
            name="benchmark",
            parties=parties,
            log_policy=unwitnessed(
                Log(Verifier("benchmark/log", self.keys["auditor"].public))
            ).text,
            unwitnessed=True,
            max_epsilon=1,
            max_delta=1e-5,
            exposure={"operator": "registry", "licence": licence},
        )

    def lender(self, name: str) -> ExposureLender:
        return ExposureLender(self.members, name, self.keys[name], self.check)

    def _with_account(self, name: str, has: Exposure) -> tuple[PersonBook, PersonBook]:
        """The books after one lender's first statement."""
        lender = self.lender(name)
        sent = lender.state(self.handle, 1, has, self.person.public.text)
        part = self.registry.read(sent.registry, ExposureStatement, NOON)
        first, order = self.registry.propose(self.books[0], part, NOON)
        token = opened(sent.naming, self.recipient, sent.operation)
        other = self.naming.read(token, ExposureStatement, NOON)
        second, _ = self.naming.follow(self.books[1], other, order, NOON)
        first, _ = self.registry.settle(first, part, NOON)
        return first, second

    def authorisation(self, number: int) -> str:
        """What the borrower signs for the first lender."""
        return ExposureAuthorisation(
            purpose=EXPOSURE_PURPOSE,
            lender=self.members.lenders[0].id,
            handle=self.handle,
            application=f"{number:064x}",
            issued_at=NOON,
            expires_at=NOON + timedelta(hours=1),
            nonce=f"{number:064x}",
        ).sign(self.person)

    def question(self, number: int, timed: Timed) -> Exposure:
        """One question, from the books as they were made."""
        signed, asker = self.authorisation(number), self.lender(self.members.lenders[0].id)
        until = NOON + timedelta(minutes=10)
        sent = timed("ask", lambda: asker.ask(self.handle, signed, 500_00, until))

        def propose() -> tuple[PersonBook, ExposureQuestion, str]:
            part = self.registry.read(sent.registry, ExposureQuestion, NOON)
            book, order = self.registry.propose(self.books[0], part, NOON)
            return book, part, order

        def follow() -> str:
            token = opened(sent.naming, self.recipient, sent.operation)
            other = self.naming.read(token, ExposureQuestion, NOON)
            return self.naming.follow(self.books[1], other, order, NOON)[1]

        book, part, order = timed("registry_orders", propose)
        naming = timed("naming_answers", follow)
        _, registry = timed("registry_answers", lambda: self.registry.settle(book, part, NOON))
        return timed("open", lambda: asker.answered(sent, registry, naming))


SIGNED, CHECKED, SEALED = 6, 7, 1
"""In one question."""


def bare(recipient: RecipientKey, repeat: int) -> float:
    """Milliseconds of the cryptography of one question without anything around it, the median."""
    key, message = SigningKey.generate(), os.urandom(700)
    signature, context = key.sign(message), b"benchmark"
    took = []
    for _ in range(repeat):
        started = time.perf_counter()
        for _ in range(SIGNED):
            key.sign(message)
        for _ in range(CHECKED):
            key.public.verify(signature, message)
        for _ in range(SEALED):
            unseal_from(recipient, seal_to(recipient.public, message, context), context)
        took.append(1000 * (time.perf_counter() - started))
    return statistics.median(took)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    market = Market(options.lenders)
    truth = Exposure(
        options.lenders - 1, sum(1_000_00 + number for number in range(1, options.lenders))
    )
    timed = Timed()
    for number in range(options.warm_up):
        market.question(number, Timed())
    spent = time.process_time()
    for number in range(options.questions):
        if market.question(number, timed) != truth:
            raise SystemExit("an answer was wrong: no figure of this run counts")
    spent = time.process_time() - spent
    steps = {name: round(statistics.median(took), 3) for name, took in timed.took.items()}
    servers = (
        steps["registry_orders"] + steps["registry_answers"],
        steps["naming_answers"],
    )
    floor = bare(market.recipient, 200)
    totals = [sum(one) for one in zip(*timed.took.values(), strict=True)]
    return {
        "lenders": options.lenders,
        "questions": options.questions,
        **latency(totals, "exposure_"),
        "exposure_per_s": round(1000 / statistics.mean(totals), 1),
        "exposure_per_s_of_servers": round(1000 / max(servers), 1),
        "bare_cryptography_ms": round(floor, 3),
        "ratio_to_bare": round(statistics.median(totals) / floor, 2),
        "processor_ms_each": round(1000 * spent / options.questions, 3),
        "steps_p50_ms": steps,
    }


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--lenders", type=int, default=20, help="With an account of the person.")
    options.add_argument("--questions", type=int, default=1000)
    options.add_argument("--warm-up", type=int, default=20, help="Questions that are not counted.")
    asked = options.parse_args()
    about = {**machine(), **versions((), "joserfc", "pydantic"), "seed": None}
    found = measure(asked)
    bars = {
        "exposure_p99_ms": found["exposure_p99_ms"] <= BAR_P99_MS,
        "exposure_per_s": found["exposure_per_s"] >= BAR_PER_S,
    }
    show({**about, **found, "bars_kept": bars}, asked.json)
    if not all(bars.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
