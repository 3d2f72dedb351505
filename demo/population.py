"""The people of a consortium on this machine: named, enrolled, asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from clients.data.importing import import_book
from clients.home import BOOK_FILE, Node
from clients.naming import naming_client
from credit.features import FeatureSchema
from demo.borrowers import DemoBorrower, consent_counts, make_borrowers, make_notice
from demo.consortium import Founded
from demo.loans import IDENTITY, Split
from demo.processes import START_TIMEOUT_S
from demo.result import ProgressView
from law.categories import DataCategory
from naming.client import Names
from protocol.client.borrowers import BorrowerClient
from protocol.client.lenders import LenderClient
from protocol.errors import ConsentError, NotFound, NotWitnessed
from protocol.notices import Notice

BATCH = 1000
T = TypeVar("T")
U = TypeVar("U")


def batches(items: Sequence[T], size: int = BATCH) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


NOT_YET = frozenset({NotFound.status, NotWitnessed.status})


def await_log(founded: Founded, url: str) -> None:
    """Return once witnesses have cosigned what stands in the log: on a busy machine that is later
    than the answers that it is about. Raises ConsentError after ``START_TIMEOUT_S``."""
    deadline = time.monotonic() + START_TIMEOUT_S
    with founded.auditor(url) as auditor:
        while True:
            try:
                auditor.head()
            except ConsentError as error:
                if error.status not in NOT_YET or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                return


def import_books(
    founded: Founded, parts: Split, registry: FeatureSchema, view: ProgressView
) -> dict[str, list[Names]]:
    """Each lender has its people named, proofs verified, and writes its book; returns the names,
    loan by loan."""
    people: dict[str, list[Names]] = {}
    accounts = sum(map(len, parts.lenders.values()))
    before = 0
    for name, loans in parts.lenders.items():
        node = Node.open(founded.node_home(name))
        with naming_client(node) as naming:
            people[name] = naming.names(
                loans[IDENTITY].astype(str).tolist(),
                lambda done, _, before=before: view.advance(before + done, accounts),  # type: ignore[misc]
            )
        names = [person.pairwise for person in people[name]]
        import_book(node.home / BOOK_FILE, loans, names, registry, f"lender {name!r}")
        before += len(loans)
    return people


def ask_everybody(
    founded: Founded,
    url: str,
    named: Mapping[str, list[Names]],
    seed: int,
    categories: Sequence[DataCategory],
    view: ProgressView,
) -> tuple[Notice, list[DemoBorrower]]:
    """Publish the notice, enrol everybody, record what they decide."""
    view.begin("Publish the notice")
    notice = make_notice(
        founded.consortium, list(named), founded.consortium.max_epsilon, categories
    )
    with founded.operator(url) as registry:
        registry.publish_notice(notice, founded.registry_key)
    view.end("in English and Chinese, hashed and logged")

    view.begin("Enrol the borrowers")
    rng = np.random.default_rng([seed, 1])
    borrowers: list[DemoBorrower] = []
    accounts = sum(map(len, named.values()))
    for name, names in named.items():
        people = make_borrowers(name, names, rng)
        before = len(borrowers)
        with Node.open(founded.node_home(name)).connected(LenderClient) as lender:
            _pipelined(
                batches(people),
                lambda batch: [person.enrolment for person in batch],
                lender.enrol,
                lambda done, before=before: view.advance(before + done * BATCH, accounts),  # type: ignore[misc]
            )
        borrowers += people
    view.end(f"{len(borrowers):,} accounts by pseudonym")

    view.begin("Borrowers decide")
    speaking = [person for person in borrowers if person.answer != "silent"]
    with BorrowerClient(url, founded.consortium) as client:
        _pipelined(
            batches(speaking),
            lambda people: [person.first_answer(notice) for person in people],
            client.decide,
            lambda done: view.advance(min(done * BATCH, len(speaking)), len(speaking)),
        )
    counts = consent_counts(borrowers)
    view.end(
        f"{counts['given']:,} give, {counts['refused']:,} refuse, {counts['silent']:,} say "
        "nothing; each signed"
    )
    return notice, borrowers


def _pipelined(
    work: Iterator[T],
    prepare: Callable[[T], list[U]],
    send: Callable[[list[U]], object],
    done: Callable[[int], None],
) -> None:
    """Prepare the next batch while the previous one is being recorded."""
    with ThreadPoolExecutor(1) as sender:
        pending = None
        for number, item in enumerate(work):
            prepared = prepare(item)
            if pending is not None:
                pending.result()
                done(number)
            pending = sender.submit(send, prepared)
        if pending is not None:
            pending.result()


def categories_of(schema: FeatureSchema) -> tuple[DataCategory, ...]:
    """What a notice for these features must name."""
    named = {category for feature in schema.features for category in feature.categories}
    return tuple(sorted(named))
