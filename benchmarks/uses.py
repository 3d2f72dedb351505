"""How fast a registry logs what lenders do to score applications, one statement at a time and in
batches, with each statement's consents checked in the transaction that logs it.

The registry is in this process (SQLite, or a PostgreSQL server of its own); HTTP and signing are
not measured, verifying the lender's signature is.

    python -m benchmarks.uses --json
    python -m benchmarks.uses --database postgresql
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from benchmarks.population import Population, enrol
from benchmarks.postgresql import empty_database
from benchmarks.report import SERVICES, latency, parser, show, versions
from consent.commands.import_decisions import Import, import_decisions
from consent.commands.log_uses import MAX_STATEMENTS, log_uses
from consent.commands.publish_notice import publish_notice
from consent.registry import Registry
from demo.scoring_notice import make_scoring_notice
from desk.consents import Permission
from desk.statements import UseStatements
from law.categories import DataCategory
from protocol.notices import Notice
from protocol.records import record_id
from protocol.schema import now
from protocol.uses import SCORING_PURPOSE, Blinding, ConsentNamed

BATCHES = (1, 8, 32, MAX_STATEMENTS)
LENDER = "lender-1"
SINGLY = 4
"""Statements in small batches are fewer by so much: they take longer."""


def consenting(people: Population, registry: Registry) -> Notice:
    """Everybody at the lender says yes to being scored, on paper."""
    notice = make_scoring_notice(registry.consortium, [LENDER], [DataCategory.BUREAU])
    publish_notice(registry, notice.sign(registry.signing_key))
    given = now().isoformat()
    said = [
        {
            "number": number,
            "sensitivity": "ordinary",
            "action": "give",
            "event_time": given,
            "evidence_sha256": f"{number:064x}",
        }
        for number in range(len(people.names[LENDER]))
    ]
    about = {
        "notice_id": notice.id,
        "notice_version": notice.version,
        "notice_language": "zh",
        "notice_sha256": notice.text_sha256("zh"),
        "channel": "paper",
    }
    for first in range(0, len(said), 1000):
        asked = Import.model_validate({**about, "records": said[first : first + 1000]})
        import_decisions(registry, registry.consortium.party(LENDER), asked)
    return notice


def statements(people: Population, registry: Registry, notice: Notice) -> Iterator[str]:
    """``use.read`` of one person after another, signed."""
    key, made = people.key(LENDER), UseStatements(LENDER)
    origin, about = registry.consortium.log_origin, (DataCategory.REPAYMENT, DataCategory.BUREAU)
    number = 0
    while True:
        name = people.names[LENDER][number % len(people.names[LENDER])]
        consent = ConsentNamed(
            record_id=record_id(origin, name, SCORING_PURPOSE, LENDER, "ordinary"),
            sensitivity="ordinary",
            categories=about,
            notice_id=notice.id,
            notice_version=notice.version,
            notice_sha256=notice.sha256,
        )
        granted = dict.fromkeys(about, consent)
        permission = Permission(name, granted, {}, (consent,), True, now(), "0" * 64)
        sources = {"own-book": about[0], "bureau": about[1]}
        yield made.read(Blinding.of(f"application-{number}"), permission, sources).sign(key)
        number += 1


def timed(registry: Registry, batches: Sequence[Sequence[str]]) -> dict[str, Any]:
    lender, took, spent = registry.consortium.party(LENDER), [], time.process_time()
    for tokens in batches:
        started = time.perf_counter()
        stated = log_uses(registry, lender, tokens)
        took.append(1000 * (time.perf_counter() - started))
        if any(one.index is None for one in stated):
            raise SystemExit(f"a statement was refused: {stated[0].refused}")
    count, spent = sum(map(len, batches)), time.process_time() - spent
    each = {"processor_ms_each": round(1000 * spent / count, 3)}
    return {"per_s": round(1000 * count / sum(took)), **latency(took), **each}


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--people", type=int, default=1000, help="Borrowers of the lender.")
    options.add_argument("--statements", type=int, default=2000, help="In batches of each size.")
    options.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    asked = options.parse_args()
    report = {**versions(SERVICES), "database": asked.database}
    with tempfile.TemporaryDirectory() as folder:
        own_server = asked.database == "postgresql"
        with empty_database(None) if own_server else nullcontext() as url:
            people = Population.founded(Path(folder) / "homes", 1, asked.people, url, 1)
            enrol(people, lambda _: None)
            with people.registry() as registry:
                notice = consenting(people, registry)
                made = statements(people, registry, notice)
                for size in BATCHES:
                    count = asked.statements // max(size, SINGLY)
                    batches = [[next(made) for _ in range(size)] for _ in range(count)]
                    report[f"batch_{size}"] = timed(registry, batches)
    show(report, asked.json)


if __name__ == "__main__":
    main()
