"""The consortium document that somebody pinned, for commands that need no home."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crypto.errors import SignatureError
from crypto.keys import PublicKey
from protocol.parties import Consortium

KEY_FILE = "registry.pub"
RegistryKey = Annotated[
    str | None,
    typer.Option(
        help="The registry's public key, or a file of it; registry.pub beside the consortium "
        "document if left out."
    ),
]


def pinned(file: Path, anchor: Path | None, key: str | None) -> Consortium:
    """What verifies ``file``: the document at ``anchor``, signed with the registry's key.

    Raises:
        SignatureError: nothing was pinned, or it does not verify.
    """
    if anchor is None:
        raise SignatureError(
            f"say which consortium document you pinned, to verify {file}: --consortium"
        )
    named = key or str(anchor.parent / KEY_FILE)
    if Path(named).is_file():
        named = Path(named).read_text(encoding="utf-8")
    elif key is None:
        raise SignatureError(f"the registry's key is not beside {anchor}; say it: --registry-key")
    return Consortium.verify(
        anchor.read_text(encoding="utf-8").strip(), PublicKey.from_text(named.strip())
    )
