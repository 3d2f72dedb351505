"""A registry full of people: founded, enrolled, asked through ``tahini registry load``'s own code
over HTTP, and borrowers among them who are logged in."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import secrets
import time
from base64 import urlsafe_b64encode
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from benchmarks.load import Request, http_request
from consent.commands.check_consents import MAX_NAMED, decide
from consent.commands.enrol_subjects import enrol_subjects
from consent.commands.publish_notice import publish_notice
from consent.home import opened
from consent.identity.callers import Caller
from consent.identity.settings import ISSUERS_FILE
from consent.identity.tokens import AccessTokens
from consent.load import Answered, Loader, OverHttp, Progress
from consent.provisioning import found_log
from consent.registry import Registry
from crypto.keys import SigningKey, load_signing_key
from demo.borrowers import GIVES, make_notice
from law.categories import Sensitivity
from protocol.enrolment import MAX_BATCH as ENROL_AT_ONCE
from protocol.enrolment import Enrolment
from protocol.notices import Notice
from protocol.parties import Consortium
from protocol.records import record_id
from protocol.schema import now
from protocol.snapshots import REASONS, Reason
from protocol.terms import TRAINING_PURPOSE

ISSUER = "https://logins.bench.example"
SENSITIVITIES: tuple[Sensitivity, ...] = ("ordinary", "income")
KEPT_BACK = 0.04
"""Share of a lender's people who are asked only later, for the bulk measurement."""
Told = Callable[[str], None]


@dataclass
class Population:
    """A founded registry and its people. ``names``: pseudonyms by lender, in the order of their
    numbers."""

    home: Path
    consortium: Consortium
    notice: Notice
    lenders: list[str]
    people: int
    seed: int
    url: str = ""
    """Where the registry serves."""
    names: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def founded(
        cls, home: Path, lenders: int, people: int, database: str | None, seed: int
    ) -> Population:
        names = [f"lender-{number}" for number in range(1, lenders + 1)]
        found_log(home, "bench.example/registry", names, database)
        issuer = {
            "issuer": ISSUER,
            "audience": "portal",
            "jwks": {"keys": [SigningKey.generate().public.jwk.as_dict(private=False)]},
            "algorithms": ["Ed25519"],
            "subject_is_pseudonym": True,
            "lenders": names,
        }
        issuers = json.dumps({"issuers": [issuer]})
        (home / "registry" / ISSUERS_FILE).write_text(issuers, encoding="utf-8")
        with opened(home / "registry") as registry:
            notice = make_notice(registry.consortium, names, 1.0)
            made = cls(home, registry.consortium, notice, names, people, seed)
            publish_notice(registry, made.notice.sign(registry.signing_key))
            registry.ledger.sequencer.settle()
        return made

    @property
    def asked(self) -> int:
        """How many of a lender's people answer in the load; the others are asked later."""
        return self.people - int(self.people * KEPT_BACK)

    def registry(self) -> AbstractContextManager[Registry]:
        """Its database, from within."""
        return opened(self.home / "registry")

    def key(self, lender: str) -> SigningKey:
        return load_signing_key(self.home / lender / f"{lender}.key")

    def as_lender(self, lender: str) -> tuple[str, Consortium, str, SigningKey]:
        """What a client of a lender is made from."""
        return self.url, self.consortium, lender, self.key(lender)

    def record(self, lender: str, name: str) -> str:
        """The id of somebody's consent to the use of ordinary data."""
        origin = self.consortium.log_origin
        return record_id(origin, name, self.notice.purpose, lender, "ordinary")


# --- enrolled


def _pseudonyms(rng: np.random.Generator, count: int) -> list[str]:
    """As names look; that they are made by the naming service is another benchmark's matter."""
    drawn = rng.bytes(32 * count)
    return [
        f"v1.{urlsafe_b64encode(drawn[at : at + 32]).rstrip(b'=').decode()}"
        for at in range(0, 32 * count, 32)
    ]


def enrol(people: Population, told: Told) -> dict[str, Any]:
    """Everybody at every lender; names beforehand, so that what is timed is the registry's part."""
    seconds = 0.0
    with people.registry() as registry:
        for at, lender in enumerate(people.lenders):
            rng = np.random.default_rng([people.seed, at])
            names = people.names[lender] = _pseudonyms(rng, people.people)
            in_ledger = _pseudonyms(rng, people.people)
            party = registry.consortium.party(lender)
            for start in range(0, people.people, ENROL_AT_ONCE):
                part = slice(start, start + ENROL_AT_ONCE)
                enrolments = [
                    Enrolment(pseudonym=name, ledger_pseudonym=other)
                    for name, other in zip(names[part], in_ledger[part], strict=True)
                ]
                started = time.perf_counter()
                enrol_subjects(registry, party, enrolments)
                seconds += time.perf_counter() - started
            told(f"enrolled {(at + 1) * people.people:,} people")
        registry.ledger.sequencer.settle()
    total = people.people * len(people.lenders)
    return {"people": total, "seconds": round(seconds, 1), "people_per_s": round(total / seconds)}


# --- asked


def answers(
    numbers: np.ndarray,
    seed: Sequence[int],
    action: str | None = None,
    seconds_ago: int = 10,
    sensitivities: Sequence[Sensitivity] = SENSITIVITIES,
) -> pa.Table:
    """One answer for each person and sensitivity: ``action``, or some give and some refuse."""
    rng = np.random.default_rng(seed)
    count = len(numbers) * len(sensitivities)
    evidence = rng.bytes(32 * count).hex()
    drawn = np.where(rng.random(count) < GIVES, "give", "refuse")
    table = {
        "number": np.repeat(numbers, len(sensitivities)),
        "sensitivity": [*sensitivities] * len(numbers),
        "action": [action] * count if action else drawn,
        "event_time": [(now() - timedelta(seconds=seconds_ago)).isoformat()] * count,
        "evidence_sha256": [evidence[at : at + 64] for at in range(0, 64 * count, 64)],
    }
    return pa.table(table)


def hand_in(people: Population, lender: str, given: pa.Table, connections: int) -> float:
    """Load answers from a file as the lender, over HTTP; returns seconds."""
    path = people.home / f"{lender}.parquet"
    pyarrow.parquet.write_table(given, path)
    clients = [OverHttp(*people.as_lender(lender)) for _ in range(connections)]
    for client in clients:
        client.begin_session()
    answered = Answered(people.notice, "en", "paper")
    started = time.perf_counter()
    progress = Progress.of(path, lender, answered, connections)
    Loader(clients, answered).load(path, progress)
    seconds = time.perf_counter() - started
    for client in clients:
        client.close()
    path.unlink()
    progress.path.unlink()
    return seconds


def load(people: Population, connections: int, told: Told) -> dict[str, Any]:
    total, seconds = 0, 0.0
    for at, lender in enumerate(people.lenders):
        given = answers(np.arange(people.asked), [people.seed + at, 10])
        total += len(given)
        seconds += hand_in(people, lender, given, connections)
        told(f"loaded {total:,} records, {total / seconds:,.0f}/s")
    return {
        "records": total,
        "connections": connections,
        "records_per_s": round(total / seconds),
        "minutes": round(seconds / 60, 2),
    }


# --- logged in


@dataclass
class Borrower:
    """Somebody with an access token."""

    lender: str
    name: str
    token: str
    given: bool
    """Whether the consent to the use of ordinary data is in force."""


def logged_in(people: Population, count: int) -> list[Borrower]:
    """Different people who were asked in the load, with tokens as the token endpoint mints them;
    they are in force for ten minutes."""
    rng = random.Random(people.seed)
    chosen = list(itertools.islice(_drawn(people, rng), count))
    with people.registry() as registry:
        given = _given(registry, chosen)
        minted = AccessTokens(registry)

        def token(name: str) -> str:
            login = hashlib.sha256(name.encode()).hexdigest()
            about = {"login_issuer": ISSUER, "pseudonym": name, "evidence": secrets.token_hex(32)}
            return minted.mint(login, "portal", Caller.SUBJECT, **about)

        return [Borrower(lender, name, token(name), given[name]) for lender, name in chosen]


def _drawn(people: Population, rng: random.Random) -> Iterator[tuple[str, str]]:
    seen: set[tuple[str, int]] = set()
    while True:
        chosen = (rng.choice(people.lenders), rng.randrange(people.asked))
        if chosen not in seen:
            seen.add(chosen)
            yield chosen[0], people.names[chosen[0]][chosen[1]]


def _given(registry: Registry, chosen: Sequence[tuple[str, str]]) -> dict[str, bool]:
    by_lender: dict[str, list[str]] = defaultdict(list)
    for lender, name in chosen:
        by_lender[lender].append(name)
    found: dict[str, bool] = {}
    for lender, names in by_lender.items():
        party = registry.consortium.party(lender)
        for start in range(0, len(names), MAX_NAMED):
            part = names[start : start + MAX_NAMED]
            rules = decide(registry, party, TRAINING_PURPOSE, "ordinary", names=part).rules
            found.update(zip(part, (REASONS[rule] is Reason.GIVEN for rule in rules), strict=True))
    return found


@dataclass
class ChangesOfMind:
    """Borrowers who withdraw one consent and give it again, in turn, never two requests of one at
    a time."""

    people: Population
    free: list[Borrower]
    made: int = 0

    @classmethod
    def of(cls, people: Population, borrowers: int) -> ChangesOfMind:
        free = logged_in(people, borrowers)
        random.Random(people.seed).shuffle(free)
        return cls(people, free)

    def request(self) -> Request:
        """The next person's change of mind about ordinary data."""
        person = self.free.pop(0)
        notice = self.people.notice
        target = "/v1/me/consents"
        content = b""
        if person.given:
            target += f"/{self.people.record(person.lender, person.name)}/withdrawal"
        else:
            stated = {
                "notice_id": notice.id,
                "notice_version": notice.version,
                "notice_language": "en",
                "notice_sha256": notice.text_sha256("en"),
                "choices": [{"recipient": person.lender, "action": "give"}],
            }
            content = json.dumps(stated).encode()

        def done(body: bytes) -> None:
            states = json.loads(body)["recorded"][0]["states"]
            person.given = not person.given
            if states != {f"{person.lender}/ordinary": "given" if person.given else "withdrawn"}:
                raise RuntimeError(f"the registry recorded {states}")
            self.made += 1
            self.free.append(person)

        return http_request("POST", target, f"Bearer {person.token}", content), done
