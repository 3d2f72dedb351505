"""What a doctor looks at, and says: one finding each, with what to do. Nothing here changes anything.

This module has what every home shares, and the homes of this room: the registry and the naming service.
"""

from __future__ import annotations

import errno
import shutil
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TypeVar

import httpx
from packaging.requirements import Requirement

from consent.certificates import RenewingContext, expires_at
from consent.documents import Consortium
from consent.errors import ConsentError
from consent.log_client import http_client
from consent.naming import keys as naming
from consent.registry import (
    CONSORTIUM_FILE,
    DATABASE_FILE,
    DATABASE_URL_FILE,
    KEY_FILE,
    LOG_KEY_FILE,
    authority_in,
    open_database,
)
from consent.requests import CLOCK_SKEW
from consent.schema import now
from consent.serving import Listening, NamesListening, RegistryListening
from consent.settings import SERVE_FILE
from consent.storage.database import newest_revision, revision_of
from crypto.errors import CryptoError
from crypto.keys import load_signing_key, read_secret

T = TypeVar("T")
RENEW_BEFORE = timedelta(days=21)
LITTLE_DISK, NO_DISK = 2 * 2**30, 100 * 2**20
TIMEOUT_S = 5.0


class Level(StrEnum):
    WELL = "well"
    CARE = "care"
    """It works, and will not for ever."""
    ILL = "ill"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    level: Level
    said: str
    do: str = ""


def well(what: str, said: str) -> Finding:
    return Finding(what, Level.WELL, said)


def care(what: str, said: str, do: str) -> Finding:
    return Finding(what, Level.CARE, said, do)


def ill(what: str, said: object, do: str) -> Finding:
    return Finding(what, Level.ILL, " ".join(str(said).split()), do)


def found(what: str, look: Callable[[], str], do: str) -> Finding:
    """What ``look`` says, or the refusal it raises."""
    try:
        return well(what, look())
    except (ConsentError, CryptoError, OSError, ValueError) as error:
        return ill(what, error, do)


# --- every machine


def machine() -> Iterator[Finding]:
    """Python and every package, against what this version of Tahini asks for."""
    wrong, missing = [], []
    wanted = [Requirement(text) for text in requires("tahini") or []]
    wanted = [one for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
    for one in wanted:
        try:
            installed = version(one.name)
        except PackageNotFoundError:
            missing.append(one.name)
            continue
        if installed not in one.specifier:
            wrong.append(f"{one.name} is {installed}, not {one.specifier}")
    python = ".".join(map(str, sys.version_info[:3]))
    said = f"tahini {version('tahini')} on Python {python}, {len(wanted) - len(missing)} packages as asked for"
    if wrong:
        yield ill("versions", "; ".join(wrong), "install Tahini into an environment of its own")
    elif missing:
        yield care("versions", f"{said}; not here: {', '.join(missing)}", "some roles do without")
    else:
        yield well("versions", said)


def disk(home: Path) -> Finding:
    free = shutil.disk_usage(home).free
    said = f"{free / 2**30:.1f} GiB free where {home} is"
    if free < NO_DISK:
        return ill("disk", said, "make room: ledgers and logs must be written before anything is used")
    return care("disk", said, "make room soon") if free < LITTLE_DISK else well("disk", said)


def require_whole(path: Path) -> None:
    """Raises ConsentError for an SQLite file that is missing or damaged; to look is not to make one."""
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            (said,) = connection.execute("PRAGMA quick_check").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise ConsentError(f"{path.name} {'cannot be read' if path.exists() else 'is missing'} ({error})") from error
    if said != "ok":
        raise ConsentError(f"{path.name}: {said}")


def private_key(path: Path) -> Finding:
    def look() -> str:
        load_signing_key(path)
        return f"{path.name} is there, and nobody else's to read"

    return found("key", look, f"restore {path} from its backup, for its owner alone (chmod 600)")


def certificate(path: Path, key: Path, renewal: str = "tahini ca issue") -> Finding:
    """Whether a service can show it, and for how long."""
    try:
        RenewingContext(path, key)
        ends = expires_at(path)
    except ConsentError as error:
        return ill("certificate", error, f"issue it again, with its key ({renewal})")
    left = ends - datetime.now(UTC)
    said = f"{path.name} is valid until {ends:%Y-%m-%d}"
    if left < timedelta():
        return ill("certificate", f"{path.name} ended on {ends:%Y-%m-%d}", f"renew it: {renewal}; no restart is needed")
    return care("certificate", said, f"renew it: {renewal}") if left < RENEW_BEFORE else well("certificate", said)


def port(what: str, host: str, number: int) -> Finding:
    """Whether a service may listen there, or one does already."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, number))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return well(what, f"something listens at {host}:{number}; while this service runs, it is this service")
            return ill(what, f"{host}:{number}: {error.strerror}", "choose another port or address")
    return well(what, f"{host}:{number} is free")


def reached(what: str, address: str, authority: Path | None) -> Finding:
    """Whether a server is reached and believed, through a proxy where the environment names one.

    Args:
        address: a URL, or host:port of a TLS server.
    """
    try:
        client = http_client(address if "://" in address else f"https://{address}", authority)
        client.timeout = httpx.Timeout(TIMEOUT_S)
        with client:
            client.get("/")
    except (ConsentError, httpx.HTTPError, httpx.InvalidURL) as error:
        return ill(
            what, f"{address}: {error}",
            "is it running, is the name right, does a firewall let this machine out, is its authority the pinned one?",
        )  # fmt: skip
    plain = address.startswith("http://")
    return well(what, f"{address} answers" if plain else f"{address} answers with a certificate that is believed")


def service(what: str, url: str, authority: Path | None) -> Iterator[Finding]:
    """Whether an HTTP service answers and is well, and whether its clock is this machine's."""
    began = now()
    try:
        client = http_client(url, authority)
        client.timeout = httpx.Timeout(TIMEOUT_S)
        with client:
            answer = client.get("/healthz")
    except (ConsentError, httpx.HTTPError, httpx.InvalidURL) as error:
        yield ill(
            what, f"{url}: {error}", "is it running, is the name right, is its certificate from the pinned authority?"
        )
        return
    if answer.is_success:
        yield well(what, f"{url} answers, and says it is well")
    else:
        yield ill(what, f"{url} answers with {answer.status_code}", "ask its operator; its log says more")
    try:
        theirs = parsedate_to_datetime(answer.headers["date"])
        apart = abs(theirs - began - (now() - began) / 2)
    except (KeyError, ValueError, TypeError):
        yield care("clock", f"{what} does not say what time it is", "compare the clocks by another way")
        return
    said = f"{apart.total_seconds():.0f} s apart from the {what}'s"
    if apart > CLOCK_SKEW:
        yield ill("clock", said, f"synchronise it (NTP): above {CLOCK_SKEW.seconds} s signed requests are refused")
    else:
        yield well("clock", said)


# --- this room's homes


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

    yield found("consortium", consortium, "restore consortium.jws and the keys from the same backup")
    yield found("database", lambda: _database(home), "is the database running, and its URL right?")
    yield from _witnesses(home)
    yield from listens(RegistryListening, home, "port")


def _witnesses(home: Path) -> Iterator[Finding]:
    """Whether those who must cosign each head of the log are there to be asked."""
    try:
        policy = open_consortium(home).policy
    except (ConsentError, CryptoError, OSError, ValueError):
        return  # said already
    asked = {w.name: reached(f"witness {w.name}", w.url, authority_in(home)) for w in policy.witnesses if w.url}
    enough = policy.satisfied({name for name, finding in asked.items() if finding.level is Level.WELL})
    for finding in asked.values():  # one that is away costs nothing while the others are a quorum
        yield replace(finding, level=Level.CARE) if enough and finding.level is Level.ILL else finding


def open_consortium(home: Path) -> Consortium:
    """The consortium document in a registry's home, as that registry signed it; raises OSError, CryptoError."""
    text = (home / CONSORTIUM_FILE).read_text(encoding="utf-8")
    return Consortium.verify(text, load_signing_key(home / KEY_FILE).public)


def _database(home: Path) -> str:
    if not (home / DATABASE_URL_FILE).exists() and not (home / DATABASE_FILE).exists():
        raise ConsentError(f"there is neither {DATABASE_FILE} nor {DATABASE_URL_FILE}")  # to open one would make it
    database = open_database(home)
    try:
        revision = revision_of(database)
        if revision != newest_revision():
            raise ConsentError(
                f"its schema is at {revision or 'nothing'}, not at {newest_revision()}: start the registry"
            )
        return f"{database.dialect} answers, its schema is of this version"
    finally:
        database.close()


def names(home: Path) -> Iterator[Finding]:
    """A naming service's home."""
    yield disk(home)
    yield private_key(home / naming.KEY_FILE)
    seeds = naming.Seeds(home / naming.SEEDS)

    def living() -> str:
        for number in seeds.live:
            read_secret(home / naming.SEEDS / f"v{number}.seed")
        return f"versions {', '.join(map(str, seeds.live))} are answered for"

    yield found("seeds", living, "restore the seeds from their backup: without them nobody finds their borrowers again")
    joined = found("consortium", lambda: naming.NamingHome.open(home).consortium.name, "join: tahini names join")
    yield joined
    if joined.level is Level.WELL:
        opened = naming.NamingHome.open(home)
        yield from service("registry", opened.settings.registry_url, opened.authority)
    yield from listens(NamesListening, home, "port")


def listens(kind: type[Listening], home: Path, what: str) -> Iterator[Finding]:
    """Whether the address that a service is told to listen at can be had, and its certificate shown."""
    try:
        listening = kind.read(home / SERVE_FILE)
    except ConsentError as error:
        yield ill("settings", error, f"mend {home / SERVE_FILE} or the environment")
        return
    yield port(what, listening.host, listening.port)
    if listening.certificate is not None and listening.certificate_key is not None:
        yield certificate(listening.certificate, listening.certificate_key)
