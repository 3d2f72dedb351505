"""``tahini receipt``: verify what a borrower keeps, offline and years later."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.pinned import KEY_FILE, RegistryKey, pinned
from cli.shared import AsJson, Noun, say, told
from crypto.errors import CryptoError, ProofError
from crypto.keys import PublicKey

app = Noun(
    "What a borrower keeps: receipts of consents and decisions, proofs of who was in a release."
)
CONSORTIUM_FILE, RECEIPTS_FOLDER = "consortium.jws", "receipts"
BORROWERS_FOLDER = "borrowers"
ATTEMPT = ("campaign_sha256", "lender", "release", "attempt")


@app.command(
    epilog="Examples: `tahini receipt verify workspace/up/borrowers/lin/receipts/*.jws` · `tahini "
    "receipt verify proofs.jws --consortium consortium.jws --registry-key KEY`"
)
def verify(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Receipts and proofs: one document a line, or a page that was saved.",
            exists=True,
        ),
    ],
    consortium: Annotated[
        Path | None,
        typer.Option(
            help="The pinned consortium document, never one that came with the file; for what "
            "tahini borrower kept in the workspace, its own if left out."
        ),
    ] = None,
    registry_key: RegistryKey = None,
    person: Annotated[
        list[str] | None,
        typer.Option(
            help="Your pseudonym, each that you had; what speaks of others is refused, and without "
            "all of them nothing shows that you were left out."
        ),
    ] = None,
    workspace: Annotated[
        Path, typer.Option(help="The workspace of tahini up whose receipts need no --consortium.")
    ] = Path("workspace/up"),
    as_json: AsJson = False,
) -> None:
    """Verify receipts and proofs: nobody is asked. Exit code 1 if one of them does not verify."""
    from protocol.receipts import kept, verify_kept

    found: list[dict[str, Any]] = []
    wrong = False
    for file in files:
        trusted = pinned(file, consortium or _kept_with(file, workspace), registry_key)
        for token in kept(file.read_text(encoding="utf-8", errors="replace")):
            try:
                one = verify_kept(token, trusted, person or ())
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
    for conclusion, shown in _exclusions(found, person or ()):
        if not shown:
            wrong = True
            told(ProofError(conclusion))
        elif not as_json:
            typer.echo(conclusion)
    if as_json:
        say(found, as_json)
    if wrong:
        raise typer.Exit(1)


def _exclusions(
    found: Sequence[dict[str, Any]], people: Sequence[str]
) -> Iterator[tuple[str, bool]]:
    """What the proofs together say about a person of these names, of every attempt whose roster
    holds none of them; and whether that shows that they were left out. A lender that hands over
    the absence of one name alone shows nothing of a person who had two."""
    attempts: defaultdict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for one in found:
        if "used" in one:
            attempts[tuple(one[part] for part in ATTEMPT)].append(one)
    for (campaign, lender, release, attempt), proofs in attempts.items():
        if not people or any(one["used"] for one in proofs):
            continue
        lacking = set(people) - {one["pii_principal_id"] for one in proofs}
        for one in proofs:
            one["left_out"] = not lacking
        about = f"attempt {attempt} of release {release} of campaign {campaign[:12]}… by {lender}"
        names = ", ".join(f"{name[:12]}…" for name in sorted(lacking))
        said = (
            f"not shown: whether you were in {about}; there is no proof of {names}"
            if lacking
            else f"Your data were NOT among those for {about}, if you had no other name than "
            "these; another attempt has a roster, and a proof, of its own."
        )
        yield said, not lacking


def _kept_with(file: Path, workspace: Path) -> Path | None:
    """The consortium document that ``tahini borrower`` kept with this receipt in the workspace:
    nowhere else is what lies beside a file believed. Says on standard error what it believes."""
    receipts = file.resolve().parent
    own = receipts.parent / CONSORTIUM_FILE
    borrowers = (workspace / BORROWERS_FOLDER).resolve()
    if receipts.name != RECEIPTS_FOLDER or receipts.parent.parent != borrowers or not own.exists():
        return None
    kept_key = (receipts.parent / KEY_FILE).read_text(encoding="utf-8").strip()
    fingerprint = hashlib.sha256(PublicKey.from_text(kept_key).raw).hexdigest()[:16]
    typer.echo(f"believing the registry's key {fingerprint}… kept in {receipts.parent}", err=True)
    return own
