"""How often one visitor, or one address, may ask: a bucket of calls that fills again with time.
Pure but for its own count."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv6Address, ip_address, ip_network

from starlette.requests import Request
from starlette.responses import Response

from screens.house.errors import TooOften

PER_MINUTE = 120
"""Pages and forms of one visit: more than people tap, less than a service notices."""
WAYS_IN_PER_MINUTE = 120
"""Of one address: steps of logging in, of which a log-in has two. Many people share an address,
behind a carrier or an office."""
MAX_ADDRESSES = 10_000
"""Counted at a time; the one that has been quiet longest is forgotten."""
Handler = Callable[[Request], Awaitable[Response]]


@dataclass
class Pace:
    """What is left of a visitor's calls."""

    per_minute: int = PER_MINUTE
    _left: float = field(init=False)
    _at: datetime | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._left = float(self.per_minute)

    def takes(self, moment: datetime) -> bool:
        """Whether one more is in time; counted if it is."""
        if self._at is not None:
            gone = max(0.0, (moment - self._at).total_seconds())
            self._left = min(self.per_minute, self._left + gone * self.per_minute / 60)
        self._at = moment
        if self._left < 1:
            return False
        self._left -= 1
        return True


class AddressPaces:
    """What is left to each address, for pages that anybody may ask for."""

    def __init__(self, clock: Callable[[], datetime], per_minute: int = WAYS_IN_PER_MINUTE) -> None:
        self._clock, self._per_minute = clock, per_minute
        self._paces: OrderedDict[str, Pace] = OrderedDict()
        self._lock = threading.Lock()

    def takes(self, address: str) -> bool:
        """Whether one more of this address is in time; counted if it is."""
        name, moment = _network(address), self._clock()
        with self._lock:
            pace = self._paces.setdefault(name, Pace(self._per_minute))
            self._paces.move_to_end(name)
            if len(self._paces) > MAX_ADDRESSES:
                self._paces.popitem(last=False)
            return pace.takes(moment)

    def count(self, request: Request) -> None:
        """One more of whoever asks; raises TooOften."""
        if not self.takes("" if request.client is None else request.client.host):
            raise TooOften

    def keeping(self, act: Handler) -> Handler:
        """A handler that raises TooOften where an address asks for more."""

        async def paced(request: Request) -> Response:
            self.count(request)
            return await act(request)

        return paced


def _network(address: str) -> str:
    """An address; of version 6 its first 64 bits, all of which are one connection's."""
    try:
        known = ip_address(address)
    except ValueError:
        return address
    if isinstance(known, IPv6Address) and known.ipv4_mapped is None:
        return str(ip_network((int(known) >> 64 << 64, 64)))
    return str(known)
