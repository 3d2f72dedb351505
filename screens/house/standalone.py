"""A page that is one file: its modules and styles stand in it, and run from a disk without a
network.

Only what has the hashes that the file's own policy names runs in it, and nothing can be loaded or
sent. This is for files that somebody saves; no page that is served holds a script.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass

from screens.house.shell import Assets

_IMPORT = re.compile(r"^import \{[^}]*\} from \"[^\"]+\";\n?", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=const|class)", re.MULTILINE)


@dataclass(frozen=True)
class Standalone:
    """What stands in such a file besides its text."""

    script: str
    style: str

    @classmethod
    def of(cls, assets: Assets, modules: Sequence[str], style: str) -> Standalone:
        """The named modules as one, each after what it imports; their names are their own.

        Raises:
            ValueError: something in them would end the element that they stand in.
        """
        script = "".join(_EXPORT.sub("", _IMPORT.sub("", assets.text(one))) for one in modules)
        found = cls(script, assets.text(style))
        if "</" in script or "<!--" in script or "</" in found.style:
            raise ValueError("the module cannot stand in a page")
        return found

    @property
    def policy(self) -> str:
        """For the file's ``<meta>``: exactly these two, and no connection to anywhere."""
        return "; ".join(
            (
                "default-src 'none'",
                f"script-src '{_hash(self.script)}'",
                f"style-src '{_hash(self.style)}'",
                "base-uri 'none'",
                "form-action 'none'",
                "require-trusted-types-for 'script'",
            )
        )


def _hash(text: str) -> str:
    """A source expression (CSP 3 section 2.3.1)."""
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
