"""How long it takes to prove to one person whether they were in a release.

A ledger of ``--releases`` rosters with ``--people`` members each is made in a temporary folder, as
a node keeps it, with the roots that the gate commits to. Then, for each of ``--proofs`` people,
members and others in turn: a prover is opened anew, as the command does, the cell is opened out of
the ledger, the document is signed; it is verified from the consortium document alone, under a log
of ``--entries`` entries with ``--witnesses`` witnesses. Prints the machine, the versions and the
medians, by the clock and, in ``…_processor_…``, by the processor's time alone, which says what a
quiet machine takes when this one is not; ``--json`` for machines. Making the ledger takes most of
the time.

    python -m benchmarks.rosters --people 10000000 --json
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import parser, percentile, show, versions
from clients.ledger_tables import SCHEMA
from clients.opening import Prover
from crypto.cosignatures import CosigningKey
from crypto.documents import canonical_json
from crypto.keys import RecipientKey, SigningKey, b64
from crypto.merkle import leaf_hash, node_hash
from crypto.notes import Checkpoint, InclusionProof, Verifier, sign_checkpoint
from crypto.policies import Log, Witness, most_dishonest, quorum_size, witnessed_by
from crypto.rosters import Roster, new_salt
from protocol.parties import Consortium, Party, Role
from protocol.roster_proofs import RosterProof, verify_roster_proof

BARS = {"bar_made_ms": 200, "bar_verified_ms": 20, "bar_bytes": 8_192}
LENDER, CAMPAIGN, DAY = "aspen", "c" * 64, "2026-11-27T00:00:00.000000Z"


Took = tuple[float, float]
"""Seconds by the clock, and of the processor."""


class Watch:
    """Both, since it was made."""

    def __init__(self) -> None:
        self._clock, self._processor = time.perf_counter(), time.process_time()

    def read(self) -> Took:
        return time.perf_counter() - self._clock, time.process_time() - self._processor


def figures(name: str, took: Sequence[Took], unit: str = "ms") -> dict[str, float]:
    """Medians, and the 99th percentile by the clock."""
    factor = 1e3 if unit == "ms" else 1.0
    clock = [factor * one for one, _ in took]
    return {
        f"{name}_p50_{unit}": round(statistics.median(clock), 2),
        f"{name}_p99_{unit}": round(percentile(clock, 0.99), 2),
        f"{name}_processor_p50_{unit}": round(
            statistics.median(factor * two for _, two in took), 2
        ),
    }


def names(count: int, seed: int) -> list[str]:
    """Pseudonyms as the naming service makes them: 256 bits that look random."""
    raw = np.random.default_rng(seed).bytes(32 * count)
    return [f"v1.{b64(raw[at : at + 32])}" for at in range(0, len(raw), 32)]


def make_ledger(path: Path, people: list[str], releases: int) -> tuple[list[Took], list[str]]:
    """A ledger as the gate leaves it; how long each roster took, and the roots."""
    seconds, roots = [], []
    path.touch()
    with sqlite3.connect(path) as connection:
        connection.executescript(SCHEMA)
        for number in range(1, releases + 1):
            salt, watch = new_salt(), Watch()
            roots.append(Roster.of(people, salt).root.hex())
            seconds.append(watch.read())
            connection.execute(
                "INSERT INTO releases VALUES (?, ?, ?, 1, 'gram', 1, 1, 1, ?, ?, ?, NULL)",
                (number, CAMPAIGN, number, roots[-1], salt, DAY),
            )
        rows = ((name, number) for name in sorted(people) for number in range(1, releases + 1))
        connection.executemany("INSERT INTO members VALUES (?, ?)", rows)
    return seconds, roots


@dataclass(frozen=True)
class World:
    """A consortium, its keys, and a log in which anything is included that is asked for."""

    consortium: Consortium
    lender: SigningKey
    log: SigningKey
    witnesses: tuple[CosigningKey, ...]
    entries: int

    @classmethod
    def of(cls, witnesses: int, entries: int) -> World:
        keys = [CosigningKey.generate(f"witness-{number}") for number in range(witnesses)]
        log, lender = SigningKey.generate(), SigningKey.generate()
        f = most_dishonest(witnesses)
        own = Log(Verifier("audit.example.com/loans", log.public))
        known = [Witness(key.name, key.public) for key in keys]
        policy = witnessed_by(own, known, quorum_size(witnesses, f))
        parties = [
            Party(
                id=name,
                name=name,
                role=role,
                signing_key=(lender if role is Role.LENDER else SigningKey.generate()).public.text,
                recipient_key=RecipientKey.generate().public.text,
            )
            for name, role in (
                ("registry", Role.REGISTRY),
                ("coordinator", Role.COORDINATOR),
                ("auditor", Role.AUDITOR),
                (LENDER, Role.LENDER),
            )
        ]
        about = {"name": "bench", "max_epsilon": 1.0, "max_delta": 1e-5, "dishonest_witnesses": f}
        return cls(
            Consortium(parties=tuple(parties), log_policy=policy.text, **about),
            lender,
            log,
            tuple(keys),
            entries,
        )

    def logged(self, release: int, root: str) -> tuple[bytes, InclusionProof]:
        """A commitment's leaf as the registry writes it, and its proof under a cosigned head."""
        leaf = canonical_json(
            {
                "v": 1,
                "type": "roster.committed",
                "actor": LENDER,
                "time": DAY,
                "campaign": CAMPAIGN,
                "authorisation_id": "0" * 32,
                "release": release,
                "attempt": 1,
                "kind": "gram",
                "root": root,
                "noise_multiplier": 12.5,
                "sampling_rate": 1.0,
                "steps": 1,
                "body": {"sealed_to": ["auditor"], "sha256": "0" * 64},
            }
        )
        path = tuple(os.urandom(32) for _ in range((self.entries - 1).bit_length()))
        found = leaf_hash(leaf)
        for sibling in path:
            found = node_hash(found, sibling)
        size = 1 << len(path)
        head = Checkpoint("audit.example.com/loans", size, found)
        signed = sign_checkpoint(head, self.log)
        moment = int(datetime(2026, 11, 27, tzinfo=UTC).timestamp())
        note = signed + "".join(key.cosign(head.text, moment) for key in self.witnesses)
        return leaf, InclusionProof(0, path, note)


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    load = os.getloadavg()[0]
    people = names(options.people, options.seed)
    others = names(options.proofs, options.seed + 1)
    committing, roots = make_ledger(folder / "ledger.db", people, options.releases)
    world = World.of(options.witnesses, options.entries)
    watch = Watch()
    with Prover(folder / "ledger.db", folder / "rosters") as prover:
        releases = prover.releases()
        prover.prepare(releases)
    prepared = watch.read()
    made, all_made, verified, sizes, beside = [], [], [], [], []
    step = max(1, len(people) // options.proofs)
    for number, other in enumerate(others):
        name, used = (people[number * step % len(people)], True) if number % 2 else (other, False)
        logged = [world.logged(one.release, one.root) for one in releases]
        watch, tokens = Watch(), []
        with Prover(folder / "ledger.db", folder / "rosters") as prover:
            for release, (leaf, proof) in zip(releases, logged, strict=True):
                about = {
                    "pii_principal_id": name,
                    "campaign_sha256": release.campaign,
                    "lender": LENDER,
                    "release": release.release,
                    "attempt": release.attempt,
                    "issued_at": datetime.now(UTC),
                }
                cell = prover.open(release, name)
                tokens.append(RosterProof.of(cell, leaf, proof, **about).sign(world.lender))
                if len(tokens) == 1:
                    made.append(watch.read())
        all_made.append(watch.read())
        for token in tokens:
            watch = Watch()
            if verify_roster_proof(token, world.consortium).used is not used:
                raise SystemExit("a proof gives the wrong answer")
            verified.append(watch.read())
            sizes.append(len(token))
            beside.append(len(RosterProof.claimed(token).members) - used)
    return {
        "machine": versions(("cryptography", "joserfc", "numpy", "pydantic")),
        "sqlite": sqlite3.sqlite_version,
        "seed": options.seed,
        "people": options.people,
        "releases": options.releases,
        "log_entries": options.entries,
        "witnesses": options.witnesses,
        "load_average_at_start": load,
        "load_average_at_end": os.getloadavg()[0],
        "kept_bytes_per_release": (folder / "rosters" / f"{roots[0]}.blocks").stat().st_size,
        **figures("root_at_the_gate", committing, "s"),
        **figures("blocks_once_for_all_releases", [prepared], "s"),
        **figures("first_made", made),
        **figures("all_releases_made", all_made),
        **figures("verified", verified),
        "bytes_p50": statistics.median(sizes),
        "bytes_most": max(sizes),
        "others_in_the_cell_mean": round(statistics.mean(beside), 2),
        "others_in_the_cell_most": max(beside),
        **BARS,
    }


def main() -> None:
    options = parser(__doc__)
    option = options.add_argument
    option("--people", type=int, default=1_000_000, help="members of each roster")
    option("--releases", type=int, default=1, help="rosters in the ledger")
    option("--proofs", type=int, default=100, help="people who are answered, half of them members")
    option("--entries", type=int, default=1 << 24, help="entries of the log, a power of two")
    option("--witnesses", type=int, default=7, help="who cosigned the log's head")
    option("--seed", type=int, default=0, help="fixes the made-up names, never salts or keys")
    option("--folder", type=Path, help="of the ledger; a temporary folder by default")
    chosen = options.parse_args()
    if min(chosen.people, chosen.releases, chosen.proofs, chosen.witnesses) < 1:
        options.error("--people, --releases, --proofs and --witnesses are at least 1")
    with tempfile.TemporaryDirectory(dir=chosen.folder, prefix="tahini-rosters-bench-") as folder:
        show(measure(chosen, Path(folder)), chosen.json)


if __name__ == "__main__":
    main()
