"""Findings about a home or a machine: what was looked at, how it is, what to do. Nothing here
changes anything."""

from __future__ import annotations

import errno
import shutil
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TypeVar

import httpx
from packaging.requirements import Requirement

from crypto.errors import CryptoError
from crypto.keys import load_signing_key
from ops.certificates import RenewingContext, expires_at
from ops.serving import Listening
from ops.settings import SERVE_FILE
from protocol.errors import ConsentError
from protocol.lawfulness import RULES, Constitution, broken
from protocol.log_client import http_client
from protocol.parties import Consortium
from protocol.requests import CLOCK_SKEW
from protocol.schema import now

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


def in_law(consortium: Consortium, people: Mapping[str, int] | None = None) -> Iterator[Finding]:
    """Whether a consortium keeps today what the law that it claims to keep asks of its parties.

    ``people`` counts lenders' borrowers, where they can be counted.
    """
    try:
        constitution = Constitution(consortium, now().date(), people or {})
        amiss = broken(constitution)
        jurisdiction = constitution.terms.jurisdiction
    except ConsentError as error:
        yield ill("law", error, "state it anew: tahini party describe")
        return
    for name, reason in amiss:
        yield ill("law", f"{reason} ({name})", "state it anew: tahini party describe")
    if not amiss:
        claim = f"{jurisdiction}: {len(RULES[jurisdiction])} rules" if jurisdiction else ""
        yield well(
            "law",
            f"its parties state what the law of {claim} asks for; that is no legal advice"
            if claim
            else "the consortium claims no jurisdiction: nothing about law was looked at",
        )


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
    said = (
        f"tahini {version('tahini')} on Python {python}, {len(wanted) - len(missing)} packages as "
        "asked for"
    )
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
        return ill(
            "disk", said, "make room: ledgers and logs must be written before anything is used"
        )
    return care("disk", said, "make room soon") if free < LITTLE_DISK else well("disk", said)


def require_whole(path: Path) -> None:
    """Raises ConsentError for an SQLite file that is missing or damaged; to look is not to make
    one."""
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            (said,) = connection.execute("PRAGMA quick_check").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise ConsentError(
            f"{path.name} {'cannot be read' if path.exists() else 'is missing'} ({error})"
        ) from error
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
        return ill(
            "certificate",
            f"{path.name} ended on {ends:%Y-%m-%d}",
            f"renew it: {renewal}; no restart is needed",
        )
    return (
        care("certificate", said, f"renew it: {renewal}")
        if left < RENEW_BEFORE
        else well("certificate", said)
    )


def port(what: str, host: str, number: int) -> Finding:
    """Whether a service may listen there, or one does already."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, number))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return well(
                    what,
                    f"something listens at {host}:{number}; while this service runs, it is this "
                    "service",
                )
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
            what,
            f"{address}: {error}",
            "is it running, is the name right, does a firewall let this machine out, is its "
            "authority the pinned one?",
        )
    plain = address.startswith("http://")
    return well(
        what,
        f"{address} answers" if plain else f"{address} answers with a certificate that is believed",
    )


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
            what,
            f"{url}: {error}",
            "is it running, is the name right, is its certificate from the pinned authority?",
        )
        return
    if answer.is_success:
        yield well(what, f"{url} answers, and says it is well")
    else:
        yield ill(
            what, f"{url} answers with {answer.status_code}", "ask its operator; its log says more"
        )
    try:
        theirs = parsedate_to_datetime(answer.headers["date"])
        apart = abs(theirs - began - (now() - began) / 2)
    except (KeyError, ValueError, TypeError):
        yield care(
            "clock", f"{what} does not say what time it is", "compare the clocks by another way"
        )
        return
    said = f"{apart.total_seconds():.0f} s apart from the {what}'s"
    if apart > CLOCK_SKEW:
        yield ill(
            "clock",
            said,
            f"synchronise it (NTP): above {CLOCK_SKEW.seconds} s signed requests are refused",
        )
    else:
        yield well("clock", said)


def listens(kind: type[Listening], home: Path, what: str) -> Iterator[Finding]:
    """Whether the address that a service is told to listen at can be had, and its certificate
    shown."""
    try:
        listening = kind.read(home / SERVE_FILE)
    except ConsentError as error:
        yield ill("settings", error, f"mend {home / SERVE_FILE} or the environment")
        return
    yield port(what, listening.host, listening.port)
    if listening.certificate is not None and listening.certificate_key is not None:
        yield certificate(listening.certificate, listening.certificate_key)
