"""Findings about a registry's home."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from consent.home import (
    CONSORTIUM_FILE,
    DATABASE_FILE,
    DATABASE_URL_FILE,
    KEY_FILE,
    LOG_KEY_FILE,
    authority_in,
    open_database,
)
from consent.serving import RegistryListening
from consent.storage.enrolment import people_on_rolls
from consent.storage.migrating import newest_revision, revision_of
from crypto.errors import CryptoError
from crypto.keys import load_signing_key
from ops.doctor import Finding, Level, disk, found, in_law, listens, private_key, reached
from protocol.errors import ConsentError
from protocol.parties import Consortium


def registry(home: Path) -> Iterator[Finding]:
    """A registry's home."""
    yield disk(home)
    yield private_key(home / KEY_FILE)
    yield private_key(home / LOG_KEY_FILE)

    def consortium() -> str:
        signed = open_consortium(home)
        if load_signing_key(home / LOG_KEY_FILE).public != signed.log.verifier.key:
            raise ConsentError("the log's key is not the one that the consortium document names")
        return f"{signed.name!r} with {len(signed.parties)} parties, signed by this registry"

    yield found(
        "consortium", consortium, "restore consortium.jws and the keys from the same backup"
    )
    yield found("database", lambda: _database(home), "is the database running, and its URL right?")
    yield from _in_law(home)
    yield from _witnesses(home)
    yield from listens(RegistryListening, home, "port")


def _in_law(home: Path) -> Iterator[Finding]:
    """What the law asks of the parties, and of those with many borrowers (PIPL 52)."""
    try:
        consortium = open_consortium(home)
        people = _people(home)
    except (ConsentError, CryptoError, OSError, ValueError):
        return  # said already
    yield from in_law(consortium, people)


def _people(home: Path) -> dict[str, int]:
    """How many borrowers each lender has enrolled; raises ConsentError."""
    _database(home)
    database = open_database(home)
    try:
        with database.read() as session:
            return people_on_rolls(session)
    finally:
        database.close()


def _witnesses(home: Path) -> Iterator[Finding]:
    """Whether those who must cosign each head of the log are there to be asked."""
    try:
        policy = open_consortium(home).policy
    except (ConsentError, CryptoError, OSError, ValueError):
        return  # said already
    asked = {
        w.name: reached(f"witness {w.name}", w.url, authority_in(home))
        for w in policy.witnesses
        if w.url
    }
    enough = policy.satisfied(
        {name for name, finding in asked.items() if finding.level is Level.WELL}
    )
    for finding in asked.values():  # one that is away costs nothing while the others are a quorum
        yield (
            replace(finding, level=Level.CARE) if enough and finding.level is Level.ILL else finding
        )


def open_consortium(home: Path) -> Consortium:
    """The consortium document in a registry's home, as that registry signed it; raises OSError,
    CryptoError."""
    text = (home / CONSORTIUM_FILE).read_text(encoding="utf-8")
    return Consortium.verify(text, load_signing_key(home / KEY_FILE).public)


def _database(home: Path) -> str:
    if not (home / DATABASE_URL_FILE).exists() and not (home / DATABASE_FILE).exists():
        # to open one would make it
        raise ConsentError(f"there is neither {DATABASE_FILE} nor {DATABASE_URL_FILE}")
    database = open_database(home)
    try:
        revision = revision_of(database)
        if revision != newest_revision():
            raise ConsentError(
                f"its schema is at {revision or 'nothing'}, not at {newest_revision()}: start the "
                "registry"
            )
        return f"{database.dialect} answers, its schema is of this version"
    finally:
        database.close()
