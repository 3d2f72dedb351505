"""How long an evidence pack of a campaign takes to make and to check, and how large its parts are.

Founds a consortium of three lenders whose first has ``--people`` borrowers (the others a thousand
each), all enrolled. Everybody answers the notice, one in four about sensitive data too; one of 25
withdraws again. Answers are handed in by the thousand, because that is quick, and each of them is
an entry of the log besides, of the form and the length that the registry gives to an answer in a
login, sealed under a key of its own. Then comes a campaign of ``--releases`` releases: proposed,
approved, active; for each release every lender is authorised and commits a roster, those of the
first lender being of everybody; a model card at the end. Nothing is trained: what a pack shows of a
release is its entries, and rosters' roots are numbers drawn at random.

Then, with the registry serving: ``tahini evidence collect --scope campaign:…`` in every home,
``merge``, ``verify``, each as a process of its own, by the clock and by the processor's time, with
the most memory that it held. Making the registry and the ledger takes most of the time.

    python -m benchmarks.packs --people 1000000 --releases 30 --json
"""

from __future__ import annotations

import argparse
import os
import re
import secrets
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select

import clients.home
from auditlog.entries import Entry, entry_for_subject
from benchmarks.load import served
from benchmarks.report import SERVICES, parser, show, versions
from benchmarks.rosters import names
from consent.commands.authorise import authorise
from consent.commands.commit_roster import commit_roster
from consent.commands.enrol_subjects import enrol_subjects
from consent.commands.import_decisions import Import, import_decisions
from consent.commands.propose_campaign import approve_campaign, propose_campaign
from consent.commands.publish_notice import publish_notice
from consent.commands.record_assessments import record_assessment
from consent.commands.release_model import release_model
from consent.commands.revocations import acknowledge
from consent.home import opened
from consent.registry import Registry
from consent.storage.consents import newest_revocation
from consent.storage.tables import SubjectRow
from credit.planning import Training, plan_mechanism, spent
from crypto.bodies import new_data_key
from crypto.keys import b64
from demo.assessing import make_assessment
from demo.borrowers import make_notice
from demo.consortium import Founded, found
from demo.loans import default_loans
from fleet.code import installed_code
from privacy.charges import Budget
from protocol.assessments import campaign_categories
from protocol.campaigns import (
    Authorisation,
    AuthorisationRequest,
    Campaign,
    CommitmentRequest,
)
from protocol.cards import ModelCard
from protocol.enrolment import MAX_BATCH as ENROL_AT_ONCE
from protocol.enrolment import Enrolment
from protocol.notices import Notice
from protocol.revocations import Acknowledgement
from protocol.schema import now
from protocol.terms import TRAINING_PURPOSE
from server.folders import CAMPAIGN_FILE
from server.home import CARD_FILE, Coordinator, Progressed, save_release

BARS = {"bar_collect_s": 60, "bar_part_mb": 200, "bar_verify_s": 30}
LENDERS = ("aspen", "birch", "cedar")
OTHERS = 1_000
"""Borrowers of the second and the third lender."""
WITHDRAWS, SENSITIVE = 25, 4
"""One in so many withdraws again; one in so many answers about sensitive data, too."""
AT_ONCE = 10_000
"""Answers of one transaction."""
BODY_BYTES = 900
"""Of an answer before it is padded and sealed: names, notice, choices, states."""
FIXED = 3
"""Histogram, moments and calibration; the other releases are steps."""
Told = Callable[[str], None]


@dataclass
class World:
    """A consortium at rest, and who borrows where."""

    founded: Founded
    notice: Notice
    people: dict[str, list[str]]
    seed: int
    campaign: Campaign | None = None

    def answers(self, numbers: Sequence[int], action: str) -> Import:
        """What these people answered, as their lender hands it in."""
        kinds = [
            (number, kind)
            for number in numbers
            for kind in ("ordinary", "sensitive")[: 2 - (number % SENSITIVE > 0)]
        ]
        records = [
            {
                "number": number,
                "sensitivity": kind,
                "action": action,
                "event_time": now(),
                "evidence_sha256": secrets.token_hex(32),
            }
            for number, kind in kinds
        ]
        return Import.model_validate(
            {
                "notice_id": self.notice.id,
                "notice_version": self.notice.version,
                "notice_language": "zh",
                "notice_sha256": self.notice.text_sha256("zh"),
                "channel": "paper",
                "records": records,
            }
        )


def batches(count: int, size: int) -> Iterator[range]:
    for start in range(0, count, size):
        yield range(start, min(start + size, count))


# --- a registry with its people, and what they answered


def founded(root: Path, people: int, seed: int) -> World:
    made = found(root, list(LENDERS), Budget(1.0, 1e-5))
    # whoever collects is told where the registry serves; nobody asks for names here
    made.connect("http://127.0.0.1:1", "http://127.0.0.1:1")
    categories = campaign_categories(default_loans().schema.model_dump(mode="json"))
    notice = make_notice(made.consortium, LENDERS, 1.0, sorted(categories))
    counts = dict.fromkeys(LENDERS, OTHERS) | {LENDERS[0]: people}
    named = {name: names(n, seed + at) for at, (name, n) in enumerate(counts.items())}
    return World(made, notice, named, seed)


def enrol(world: World, registry: Registry) -> None:
    publish_notice(registry, world.notice.sign(registry.signing_key))
    for at, (lender, people) in enumerate(world.people.items()):
        party = registry.consortium.party(lender)
        in_ledger = names(len(people), world.seed + 10 + at)
        for part in batches(len(people), ENROL_AT_ONCE):
            enrolments = [
                Enrolment(pseudonym=people[one], ledger_pseudonym=in_ledger[one]) for one in part
            ]
            enrol_subjects(registry, party, enrolments)


def answer(world: World, registry: Registry, action: str, every: int, told: Told) -> int:
    """Everybody's answer, or that of one in ``every``; returns how many there are."""
    total = 0
    for lender, people in world.people.items():
        party = registry.consortium.party(lender)
        whose = select(SubjectRow.number, SubjectRow.id).where(SubjectRow.lender == lender)
        with registry.ledger.read() as session:
            ids = dict(session.execute(whose).tuples().all())
        numbers = range(0, len(people), every)
        for part in batches(len(numbers), AT_ONCE):
            chosen = [numbers[at] for at in part]
            import_decisions(registry, party, world.answers(chosen, action))
            with registry.ledger.database.write() as session:
                registry.ledger.log.append(session, [_decided(ids[one]) for one in chosen])
            registry.ledger.catch_up()
            total += len(part)
            told(f"{action}: {total:,}")
    return total


def _decided(subject: int) -> Entry:
    """An entry of the form and the length that the registry gives to an answer in a login."""
    public, body = {"decision": secrets.token_hex(32)}, os.urandom(BODY_BYTES)
    return entry_for_subject("consent.decided", "registry", public, subject, new_data_key(), body)


# --- a campaign, up to its model


def _campaign(world: World, registry: Registry, releases: int) -> Campaign:
    made, coordinator = world.founded, Coordinator.open(world.founded.coordinator_home)
    features = default_loans().schema.model_dump(mode="json", exclude_none=True)
    moment = now()
    assessed = make_assessment(coordinator.id, campaign_categories(features), moment)
    party = registry.consortium.party
    record_assessment(registry, party(coordinator.id), assessed.sign(coordinator.key))
    training = Training("scorecard", len(LENDERS), steps=releases - FIXED, spare_attempts=0)
    campaign = Campaign(
        id="packs",
        title="Packs",
        coordinator=coordinator.id,
        lenders=LENDERS,
        consortium_sha256=made.consortium.sha256,
        purpose=TRAINING_PURPOSE,
        model="scorecard",
        features=features,
        mechanism=plan_mechanism(Budget(1.0, 1e-5), training),
        code_sha256=installed_code(),
        seed=0,
        assessment_sha256=assessed.sha256,
        created_at=moment,
        expires_at=moment + timedelta(days=1),
    )
    token = campaign.sign(coordinator.key)
    propose_campaign(registry, party(coordinator.id), token)
    (coordinator.folder(campaign.sha256) / CAMPAIGN_FILE).write_text(token, encoding="utf-8")
    for lender in LENDERS:
        node = clients.home.Node.open(made.node_home(lender))
        approval = clients.home.approve(node, token).sign(node.key)
        approve_campaign(registry, party(lender), campaign.sha256, approval)
    return campaign


def _acknowledge(world: World, registry: Registry) -> None:
    """Every lender has acted on what was withdrawn."""
    for lender in LENDERS:
        with registry.ledger.read() as session:
            newest = newest_revocation(session, lender)
        if newest:
            key = clients.home.Node.open(world.founded.node_home(lender)).key
            said = Acknowledgement(recipient=lender, number=newest, acknowledged_at=now())
            acknowledge(registry, registry.consortium.party(lender), said.sign(key))


def _release(world: World, registry: Registry, campaign: Campaign, number: int) -> None:
    """Every lender is authorised, and commits a roster."""
    planned = campaign.planned(number)
    if planned is None:
        raise SystemExit(f"no release {number} was planned")
    registry.ledger.catch_up()
    with registry.ledger.read() as session:
        head = registry.ledger.log.checkpoint(session)
    for lender in LENDERS:
        party = registry.consortium.party(lender)
        asked = AuthorisationRequest(
            node_key=party.key.thumbprint,
            purpose=campaign.purpose,
            code_sha256=campaign.code_sha256,
            checkpoint=head,
        )
        issued = Authorisation.claimed(authorise(registry, party, campaign.sha256, asked))
        said = CommitmentRequest(
            authorisation_id=issued.jti,
            release=number,
            attempt=1,
            root=secrets.token_hex(32),
            sealed_body=b64(os.urandom(2_200)),
            **planned.model_dump(),
        )
        commit_roster(registry, party, campaign.sha256, said)


def train(world: World, registry: Registry, releases: int) -> None:
    """The whole campaign, with nothing computed in it."""
    _acknowledge(world, registry)
    campaign = world.campaign = _campaign(world, registry, releases)
    coordinator = Coordinator.open(world.founded.coordinator_home)
    folder = coordinator.folder(campaign.sha256)
    for number in range(releases):
        _release(world, registry, campaign, number)
        save_release(folder, number, np.zeros(1_000, dtype=np.int64), LENDERS)
    progress = Progressed(attempts=(1,) * releases)
    progress.write(folder)
    model = os.urandom(10_000)
    mechanism = campaign.mechanism
    card = ModelCard(
        campaign_sha256=campaign.sha256,
        campaign_title=campaign.title,
        model=campaign.model,
        model_sha256=sha256(model).hexdigest(),
        features=tuple(feature["name"] for feature in campaign.features["features"]),
        purpose=campaign.purpose,
        legal_basis=campaign.legal_basis,
        lenders=LENDERS,
        epsilon=mechanism.epsilon,
        epsilon_spent=spent(mechanism, progress.attempts),
        delta=mechanism.delta,
        mechanism=mechanism.model_dump(mode="json"),
        releases=releases,
        population_released=float(sum(map(len, world.people.values()))),
        base_rate_released=0.1,
        released_at=now(),
    )
    token = card.sign(coordinator.key)
    (folder / CARD_FILE).write_text(token, encoding="utf-8")
    party = registry.consortium.party(coordinator.id)
    release_model(registry, party, campaign.sha256, card.sha256, token, b64(model))
    registry.ledger.catch_up()


def fill_ledgers(world: World, campaign: Campaign, releases: int) -> None:
    """Each lender's ledger as its gate leaves it: everybody in every roster."""
    day = now().isoformat()
    for lender, people in world.people.items():
        path = world.founded.node_home(lender) / clients.home.LEDGER_FILE
        with sqlite3.connect(path) as connection:
            for number in range(releases):
                planned = campaign.mechanism.releases[number]
                charge = (planned.noise_multiplier, planned.sampling_rate, planned.steps)
                which = (number + 1, campaign.sha256, number, 1, planned.kind.value)
                row = (*which, *charge, secrets.token_hex(32), os.urandom(32), day, day)
                connection.execute(
                    "INSERT INTO releases VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row
                )
            rows = ((name, one) for name in sorted(people) for one in range(1, releases + 1))
            connection.executemany("INSERT INTO members VALUES (?, ?)", rows)


# --- what is measured


def timed(*arguments: object) -> dict[str, float]:
    """A command in a process of its own: seconds by the clock and of the processor, MiB at most."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "tahini", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    most, ended = 0, 0
    while not ended:
        time.sleep(0.02)
        most = max(most, _most_kib(process.pid))
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, arguments))} failed with {process.returncode}")
    return {
        "seconds": round(time.perf_counter() - started, 2),
        "processor_s": round(usage.ru_utime + usage.ru_stime, 2),
        "most_mib": round(most / 1024),
    }


def _most_kib(process: int) -> int:
    """The most memory that a process has held so far; ``ru_maxrss`` counts what its parent held,
    too."""
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) if found else 0


def median(runs: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def measure_packs(world: World, folder: Path, campaign: Campaign, repeat: int) -> dict[str, Any]:
    made = world.founded
    scope = ("--scope", f"campaign:{campaign.sha256}")
    collected: dict[str, list[dict[str, float]]] = {}
    with served("registry", made.registry_home) as server:
        made.connect(server.url, "http://127.0.0.1:1")
        homes = {"registry": made.registry_home, "coordinator": made.coordinator_home}
        homes |= {lender: made.node_home(lender) for lender in LENDERS}
        for name, home in homes.items():
            where = ("--url", server.url) if name == "registry" else ()
            for _ in range(repeat):
                out = folder / f"{name}.part"
                out.unlink(missing_ok=True)
                took = timed("evidence", "collect", "--home", home, *scope, "--out", out, *where)
                collected.setdefault(name, []).append(took)
    parts = {name: folder / f"{name}.part" for name in collected}
    found: dict[str, Any] = {
        name: median(runs) | {"mb": round(parts[name].stat().st_size / 1e6, 2)}
        for name, runs in collected.items()
    }
    consortium, key = folder / "consortium.jws", made.registry_key.public.text
    consortium.write_text(made.token, encoding="utf-8")
    opens = made.root / "auditor/auditor.recipient.key"
    trust = ("--consortium", consortium, "--registry-key", key)
    merging, verifying = [], []
    for number in range(repeat):
        pack = folder / f"pack-{number}"
        merging.append(
            timed("evidence", "merge", *parts.values(), "--out", pack, "--key", opens, *trust)
        )
        verifying.append(timed("evidence", "verify", pack, *trust))
    return {"collect": found, "merge": median(merging), "verify": median(verifying)}


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    load = os.getloadavg()[0]

    def told(what: str) -> None:
        if sys.stderr.isatty():
            print(f"\r{what:40}", end="", file=sys.stderr)

    started = time.perf_counter()
    world = founded(folder / "house", options.people, options.seed)
    with opened(world.founded.registry_home) as registry:
        enrol(world, registry)
        answers = answer(world, registry, "give", 1, told)
        answers += answer(world, registry, "withdraw", WITHDRAWS, told)
        train(world, registry, options.releases)
        with registry.ledger.read() as session:
            entries = registry.ledger.log.published_size(session)
    if world.campaign is None:
        raise SystemExit("there is no campaign")
    fill_ledgers(world, world.campaign, options.releases)
    making = time.perf_counter() - started
    return {
        "machine": versions(SERVICES),
        "sqlite": sqlite3.sqlite_version,
        "seed": options.seed,
        "people": {name: len(people) for name, people in world.people.items()},
        "releases": options.releases,
        "answers": answers,
        "log_entries": entries,
        "repeated": options.repeat,
        "world_made_s": round(making),
        "load_average_at_start": load,
        **measure_packs(world, folder, world.campaign, options.repeat),
        "load_average_at_end": os.getloadavg()[0],
        **BARS,
    }


def main() -> None:
    options = parser(__doc__)
    option = options.add_argument
    option("--people", type=int, default=1_000_000, help="borrowers of the first lender")
    option("--releases", type=int, default=30, help="of the campaign, four or more")
    option("--repeat", type=int, default=3, help="how often each command is timed")
    option("--seed", type=int, default=0, help="fixes the made-up names, never salts or keys")
    option("--folder", type=Path, help="of the homes; a temporary folder by default")
    chosen = options.parse_args()
    if chosen.people < WITHDRAWS or chosen.releases <= FIXED or chosen.repeat < 1:
        options.error("--people is at least 25, --releases at least 4, --repeat at least 1")
    with tempfile.TemporaryDirectory(dir=chosen.folder, prefix="tahini-packs-bench-") as folder:
        show(measure(chosen, Path(folder)), chosen.json)


if __name__ == "__main__":
    main()
