"""``tahini receipt``: verify what a borrower keeps, offline and years later."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.shared import AsJson, Noun, say, told
from crypto.errors import CryptoError, SignatureError
from crypto.keys import PublicKey
from protocol.parties import Consortium

app = Noun(
    "What a borrower keeps: receipts of consents and decisions, proofs of who was in a release."
)
CONSORTIUM_FILE, KEY_FILE, RECEIPTS_FOLDER = "consortium.jws", "registry.pub", "receipts"


@app.command(
    epilog="Examples: `tahini receipt verify workspace/up/borrowers/lin/receipts/*.jws` · `tahini "
    "receipt verify proofs.jws --consortium consortium.jws --registry-key KEY`"
)
def verify(
    files: Annotated[
        list[Path], typer.Argument(help="Receipts and proofs; one document a line.", exists=True)
    ],
    consortium: Annotated[
        Path | None,
        typer.Option(
            help="The pinned consortium document, never one that came with the file; for what "
            "tahini borrower kept, its own if left out."
        ),
    ] = None,
    registry_key: Annotated[
        str | None,
        typer.Option(
            help="The registry's public key, or a file of it; registry.pub beside the consortium "
            "document if left out."
        ),
    ] = None,
    person: Annotated[
        list[str] | None,
        typer.Option(help="Your pseudonym, each that you had; what speaks of others is refused."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Verify receipts and proofs: nobody is asked. Exit code 1 if one of them does not verify."""
    from protocol.receipts import kept, verify_kept

    found: list[dict[str, Any]] = []
    wrong = False
    for file in files:
        pinned = _pinned(file, consortium, registry_key)
        for token in kept(file.read_text(encoding="utf-8", errors="replace")):
            try:
                one = verify_kept(token, pinned, person or ())
            except CryptoError as error:
                wrong = True
                found.append({"file": str(file), "verified": False, "why": str(error)})
                if not as_json:
                    told(type(error)(f"{file} does not verify: {error}"))
                continue
            found.append(
                {"file": str(file), "verified": True, "sentence": one.sentence, **one.facts}
            )
            if not as_json:
                typer.echo(one.sentence)
    if as_json:
        say(found, as_json)
    if wrong:
        raise typer.Exit(1)


def _pinned(file: Path, consortium: Path | None, key: str | None) -> Consortium:
    """Raises SignatureError."""
    above = file.absolute().parent
    own = above.parent / CONSORTIUM_FILE
    anchor = consortium or (own if above.name == RECEIPTS_FOLDER and own.exists() else None)
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
