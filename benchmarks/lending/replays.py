"""``replay_1m_s``: what a million stored decisions take to be made again and compared, over as many
processes as there are cores, on SQLite and on PostgreSQL; the slower one counts.

A hundred thousand decisions are stored as a desk stores them, sealed, and all of them replayed:
what a process takes to start is in the figure ten times. The model is that of
``benchmarks.lending.scores``, policy and products are the demo's. ``replay_one_us`` is the CPU time
of one decision.
"""

from __future__ import annotations

import hashlib
import os
import random
import tempfile
import time
import tomllib
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from benchmarks.lending.decisions import POLICY_FILE, prices
from benchmarks.lending.scores import UNDER, features, made, people
from benchmarks.postgresql import empty_database
from crypto.bodies import new_data_key
from crypto.keys import write_secret
from desk.commands.replay import replay
from desk.consents import Permission
from desk.home import DATABASE_FILE, DATABASE_URL_FILE, KEY_FILE, open_database
from desk.lending_rules import ReleasedRules, Versions, feature_law
from desk.office import InHand, Transactions, new_id
from desk.records import StoredDecision, write_decision
from desk.rulebook import write_rules
from desk.score_rules import ScoreRules
from desk.sealing import AtRest
from desk.storage.tables import applications
from lending import Scorer
from lending.cases import Application, Case, Fact
from lending.law.rows import LAWS
from lending.policy.document import policy_from
from lending.score.glossary import Glossary
from lending.score.reasons import just_above
from protocol.uses import Blinding

BARS = {"replay_1m_s": 300.0}
DECISIONS, AT_ONCE = 100_000, 1000
CUT_OFF = 600
AMOUNTS = range(60_000, 1_000_000, 10_000)
PRODUCTS = (("daily-30", 30), ("daily-30", 14), ("monthly-12", 365), ("monthly-12", 180))
USUAL: dict[str, Any] = {
    "identity_verified": True,
    "has_file": True,
    "arrears_days": 0,
    "monthly_obligations": 100_000,
    "exploration_outstanding": 0,
}


def rules(folder: Path) -> ReleasedRules:
    """The demo's policy and products, with a model of thirty features."""
    made("scorecard").save(folder / "model.safetensors")
    file = (folder / "model.safetensors").read_bytes()
    scorer = Scorer.of(made("scorecard"), hashlib.sha256(file).hexdigest(), UNDER)
    sample = (scorer.scored(one) for one in scorer.bins(people(5000, 2)).tolist())
    reference = just_above(sample, CUT_OFF)
    given = tomllib.loads(POLICY_FILE.read_text(encoding="utf-8"))
    policy = policy_from(given, feature_law(LAWS), datetime.now(UTC).date())
    score = ScoreRules(scorer, reference, Glossary.of(features()), features(), file)
    return ReleasedRules([policy], prices(), score, new_data_key())


def cases(lending: ReleasedRules, count: int, seed: int) -> Iterator[Case]:
    """Applications of random people for random amounts, on one day."""
    generator, now = random.Random(seed), datetime.now(UTC)
    versions = lending.versions("daily-30", now.date())
    table = people(count, seed).astype(object)
    for row in table.where(table.notna(), None).to_dict("records"):
        product, term_days = generator.choice(PRODUCTS)
        known = {
            **USUAL,
            "open_loans": generator.randrange(14),
            "applications_7d": generator.randrange(6),
            "monthly_income": generator.randrange(3000, 20000) * 100,
        }
        facts = {name: Fact(name, "present", value, "bureau") for name, value in known.items()} | {
            str(name): Fact(str(name), "absent" if value is None else "present", value, "book")
            for name, value in row.items()
        }
        asked = Application(
            new_id(), product, generator.choice(AMOUNTS), term_days, "shopping", now
        )
        yield _case(asked, facts, lending, versions)


def _case(
    asked: Application, facts: dict[str, Fact], lending: ReleasedRules, versions: Versions
) -> Case:
    return Case(
        application=asked,
        facts=facts,
        scored=lending.score(facts),
        outstanding=0,
        now=asked.received_at,
        model_hash=versions.model,
        policy_hash=versions.policy,
        law_hash=versions.law,
        release_hash=versions.release,
    )


def fill(home: Path, database: str | None, count: int, seed: int) -> None:
    """A desk's home with so many decisions."""
    home.mkdir()
    at_rest = AtRest(new_data_key())
    write_secret(home / KEY_FILE, at_rest.key)
    if database is None:
        (home / DATABASE_FILE).touch()
    else:
        write_secret(home / DATABASE_URL_FILE, database.encode())
    lending = rules(home)
    opened = open_database(home)
    opened.create()
    kept = Transactions(opened)
    kept.write(lambda hand: write_rules(hand, at_rest, lending.documents().values()))
    for first in range(0, count, AT_ONCE):
        made_now = list(cases(lending, min(AT_ONCE, count - first), seed + first))

        def store(hand: InHand, some: list[Case] = made_now) -> None:
            for one in some:
                _store(hand, at_rest, lending, one)

        kept.write(store)
    opened.close()


def _store(hand: InHand, at_rest: AtRest, lending: ReleasedRules, case: Case) -> None:
    asked = case.application
    permission = Permission("v1.x", {}, {}, (), True, case.now, "0" * 64)
    key, wrapped = at_rest.new(asked.id)
    hand.connection.execute(
        insert(applications).values(
            id=asked.id,
            pseudonym=permission.pseudonym,
            product=asked.product,
            amount=asked.amount,
            term_days=asked.term_days,
            received_at=asked.received_at,
            status="offered",
            version=1,
            wrapped_key=wrapped,
        )
    )
    blinding = Blinding.of(asked.id)
    stored = StoredDecision(case, lending.decide(case), permission, blinding, sources={})
    write_decision(hand, stored, 1, key)


def measure(seed: int, scale: float) -> dict[str, float]:
    """Seconds for a million, by database, and the CPU time of one in µs."""
    count = max(AT_ONCE, round(DECISIONS * min(scale, 10.0)))
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="tahini-replay-bench-") as folder:
        for name in ("sqlite", "postgresql"):
            where = nullcontext(None) if name == "sqlite" else empty_database(None)
            with where as url:
                home = Path(folder) / f"desk-{name}"
                fill(home, url, count, seed)
                began, spent = time.perf_counter(), _cpu()
                again = replay(home, len(os.sched_getaffinity(0)))
                seconds = time.perf_counter() - began
                if not again.sound or again.same != count:
                    raise RuntimeError(f"{again.different} of {count} decisions differ: {again}")
                found[f"{name}_replay_1m_s"] = seconds / count * 1e6
                found[f"{name}_replay_one_us"] = (_cpu() - spent) / count * 1e6
    slower = max(found["sqlite_replay_1m_s"], found["postgresql_replay_1m_s"])
    return found | {"replay_1m_s": slower}


def _cpu() -> float:
    """Of this process and those that it waited for, seconds."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system
