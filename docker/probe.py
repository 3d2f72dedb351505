"""Ask a service of this container how it is: exit code 0 when it answers 200, or with --alive
anything below 500.

Standard library alone, so that it costs a health check a twentieth of a second; no shell and no
curl in the image.
"""

from __future__ import annotations

import sys
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

TIMEOUT_S = 4


def status(url: str) -> int:
    """The status of a GET; 599 when there is no answer."""
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=TIMEOUT_S) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code
    except OSError:
        return 599


if __name__ == "__main__":
    *flags, asked = sys.argv[1:]
    found = status(asked)
    sys.exit(0 if found == 200 or (flags == ["--alive"] and found < 500) else 1)
