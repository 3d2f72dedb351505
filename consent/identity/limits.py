"""How much each caller may ask: a token bucket per caller and kind of call, checked after
authentication.

Callers that nobody needs to be (public endpoints) share a bucket per address: an IPv4 address, an
IPv6 /64. Behind a reverse proxy that is the proxy's address: limit there, and raise ``anonymous``
here.

Buckets live in the memory of each worker, so that with n workers a caller may get up to n times its
share. There are at most :data:`MAX_BUCKETS` of them: the one that was used longest ago goes first,
which is nearly always a full one. ``limits.json`` in the registry's home changes the defaults. They
are high: a lender's bulk calls are not throttled by them, a runaway loop is.
"""

from __future__ import annotations

import ipaddress
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from consent.identity.callers import CallingBorrower, Login
from consent.identity.errors import IdentityMisconfigured, TooManyRequests
from crypto.sentences import one_sentence
from protocol.parties import Party

LIMITS_FILE = "limits.json"
MAX_BUCKETS = 100_000


class CallKind(StrEnum):
    """Kinds of call."""

    READING = "reading"
    CHANGING = "changing"
    LOGIN = "login"

    @classmethod
    def of(cls, method: str) -> CallKind:
        return cls.READING if method in {"GET", "HEAD", "OPTIONS"} else cls.CHANGING


class Rate(BaseModel):
    """``per_second`` calls in the long run, ``burst`` at once."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    per_second: float = Field(gt=0)
    burst: int = Field(ge=1)


class Rates(BaseModel):
    """One rate for each kind of call."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reading: Rate
    changing: Rate
    login: Rate


def _rates(
    reading: tuple[float, int], changing: tuple[float, int], login: tuple[float, int]
) -> Rates:
    return Rates(
        reading=Rate(per_second=reading[0], burst=reading[1]),
        changing=Rate(per_second=changing[0], burst=changing[1]),
        login=Rate(per_second=login[0], burst=login[1]),
    )


class LimitSettings(BaseModel):
    """``limits.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    party: Rates = _rates((5000, 50_000), (5000, 50_000), (10, 200))
    borrower: Rates = _rates((10, 200), (5, 100), (0.2, 20))
    anonymous: Rates = _rates((5000, 50_000), (5000, 50_000), (100, 1000))


def load_limits(home: Path) -> LimitSettings:
    """The limits of the registry in ``home``; the defaults without a file. Raises
    IdentityMisconfigured."""
    path = home / LIMITS_FILE
    if not path.exists():
        return LimitSettings()
    try:
        return LimitSettings.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise IdentityMisconfigured(f"cannot read {path}; check its permissions") from error
    except ValidationError as error:
        raise IdentityMisconfigured(
            f"{path} does not fit its schema: {one_sentence(error)}"
        ) from error


class RateLimits:
    """The buckets. ``clock``: monotonic, in seconds."""

    def __init__(
        self, settings: LimitSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.settings, self._clock = settings, clock
        self._buckets: OrderedDict[tuple[str, ...], tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, who: Party | CallingBorrower, kind: CallKind) -> None:
        """One call of this caller's; raises TooManyRequests."""
        if isinstance(who, Party):
            self.of_party(who, kind)
        elif who.login is not None:
            self.of_borrower(who.login, kind)
        else:
            self._take(("borrower", who.subjects[0], kind), getattr(self.settings.borrower, kind))

    def of_party(self, party: Party, kind: CallKind) -> None:
        self._take(("party", party.id, kind), getattr(self.settings.party, kind))

    def of_borrower(self, login: Login, kind: CallKind) -> None:
        self._take(
            ("login", login.issuer, login.subject_hash, kind), getattr(self.settings.borrower, kind)
        )

    def of_address(self, address: str, kind: CallKind) -> None:
        self._take(("address", _network(address), kind), getattr(self.settings.anonymous, kind))

    def _take(self, name: tuple[str, ...], rate: Rate) -> None:
        moment = self._clock()
        with self._lock:
            left, at = self._buckets.pop(name, (float(rate.burst), moment))
            left = min(float(rate.burst), left + (moment - at) * rate.per_second)
            self._buckets[name] = (max(left - 1, 0.0) if left >= 1 else left, moment)
            if len(self._buckets) > MAX_BUCKETS:
                self._buckets.popitem(last=False)
        if left < 1:
            raise TooManyRequests(max(1, math.ceil((1 - left) / rate.per_second)))


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, 64), strict=False))
