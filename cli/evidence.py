"""``tahini evidence``: what an auditor finds out by itself about consents."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from auditlog.reading import CHECKPOINT_FILE, Anchors
from cli import evidence_packs
from cli.log_reading import DEFAULT_URL, Ca, ConsortiumFile, RegistryKey, Url
from cli.shared import AsJson, Noun, say
from crypto.keys import load_recipient_key, load_signing_key, replace_file
from ops.named_files import ask, text_of
from protocol.errors import AuditFailed

if TYPE_CHECKING:
    from auditlog.audit import Audit
    from auditlog.sampling import Verdicts
    from protocol.client.auditor import AuditorClient
    from protocol.samples import Draw

app = Noun("What an auditor finds out about consents.", "From the log, and from whom it draws.")
SAMPLE_FILE = "sample.json"
WAITING = 3


@app.callback()
def evidence() -> None:
    """What an auditor finds out about consents."""


@dataclass(frozen=True)
class Folder:
    """A sample on the auditor's disk: what was announced, the draws, what lenders opened, what the
    registry answered."""

    path: Path

    def draw(self, lender: str) -> Path:
        return self.path / f"{lender}.draw.jws"

    def opened(self, lender: str) -> Path:
        return self.path / f"{lender}.opened"

    def answer(self, lender: str) -> Path:
        return self.path / f"{lender}.evidence"

    def announced(self) -> dict[str, Any] | None:
        file = self.path / SAMPLE_FILE
        return json.loads(text_of(file, "the sample")) if file.exists() else None

    def keep(self, announced: dict[str, Any]) -> None:
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        (self.path / SAMPLE_FILE).write_text(json.dumps(announced), encoding="utf-8")

    def forget(self) -> int:
        """Delete what names people: what lenders opened, what the registry answered. Returns of how
        many lenders. Raises AuditFailed: there is no sample here."""
        announced = self.announced()
        if announced is None:
            raise AuditFailed(f"there is no sample in {self.path}")
        self.keep({**announced, "forgotten": True})
        held = [*self.path.glob("*.opened"), *self.path.glob("*.evidence")]
        for file in held:
            file.unlink()
        return len({file.stem for file in held})


@app.command(
    epilog="Example: `tahini evidence sample --campaign HASH --people 300 --out spring --auditor "
    "auditor --url https://… --ca ca.crt --registry-key KEY`; give each lender its draw (`tahini "
    "node sample`), put what it returns beside it, and run it again. Exit code 3 while lenders are "
    "waited for, 1 if anybody in a roster had not said yes"
)
def sample(
    auditor: Annotated[Path, typer.Option(help="The auditor's home folder.", exists=True)],
    out: Annotated[Path, typer.Option(help="Folder of this sample.", file_okay=False)],
    campaign: Annotated[
        str | None, typer.Option(help="Hash of the campaign; the first time.")
    ] = None,
    people: Annotated[
        int,
        typer.Option(
            help="How many cells of rosters to draw; one to two people stand in each on average, "
            "and all of them are judged.",
            min=1,
            max=10_000,
        ),
    ] = 300,
    close: Annotated[
        bool, typer.Option("--close", help="Whoever has not opened its draw has refused.")
    ] = False,
    forget: Annotated[
        bool, typer.Option("--forget", help="Delete what names people, once the report is written.")
    ] = False,
    url: Url = DEFAULT_URL,
    ca: Ca = None,
    consortium: ConsortiumFile = None,
    registry_key: RegistryKey = None,
    as_json: AsJson = False,
) -> None:
    """Draw people from the rosters of a campaign, have lenders and registry open them, and judge
    whether each had said yes to what was done.

    Nobody chooses whom: the log draws cells of rosters, in which about as many people stand, or up
    to twice as many, each person as likely as every other. Without one bad among 300 people, fewer
    than 1% are bad, with 95% confidence.
    """
    from auditlog.audit import verify_log
    from auditlog.sample_draws import draws

    folder = Folder(out)
    if forget:
        lenders = folder.forget()
        told = f"deleted what {lenders} lenders and the registry opened; draws and number stay"
        say({"forgotten": lenders} if as_json else told, as_json)
        return
    if (folder.announced() or {}).get("forgotten"):
        raise AuditFailed(f"the people of the sample in {out} were deleted; announce another")
    key = load_recipient_key(auditor / "auditor.recipient.key")
    kept = auditor / CHECKPOINT_FILE
    anchors = Anchors(url, ca, consortium, registry_key)
    with anchors.verifier(auditor, kept) as client:
        earlier = text_of(kept, "the checkpoint") if kept.exists() else client.checkpoint_note()
        announced = _announced(client, auditor, folder, campaign, people)
        client.inclusion(announced["entry_index"], wait=True)
        audit = verify_log(client, earlier, key, past=anchors.past(auditor))
        client.accept_head(audit.note)
        signing = load_signing_key(auditor / "auditor.key")
        index, nonce = announced["entry_index"], announced["nonce"]
        asked = draws(audit, announced["campaign"], index, nonce)
        for lender, draw in asked.items():
            folder.draw(lender).write_text(draw.sign(signing), encoding="utf-8")
        missing = sorted(name for name in asked if not folder.opened(name).exists())
        if missing and not close:
            _say_waiting(folder, missing, as_json)
            raise typer.Exit(WAITING)
        found = _judged(client, auditor, folder, audit, asked)
        _say_erased(folder, audit)
    _say(found, as_json)
    if found.broken:
        raise typer.Exit(1)


def _announced(
    client: AuditorClient, auditor: Path, folder: Folder, campaign: str | None, people: int
) -> dict[str, Any]:
    """The sample that the log holds; it is announced the first time. Its number is on disk before:
    the draw is lost without it."""
    from hashlib import sha256

    from protocol.hashes import whole_hash
    from protocol.parties import Role
    from protocol.samples import SampleRequest
    from protocol.schema import now

    announced = folder.announced()
    if announced is None:
        if campaign is None:
            raise AuditFailed(f"there is no sample in {folder.path} yet: say --campaign")
        whole = whole_hash(campaign, client.campaigns(), "at this registry")
        announced = {"campaign": whole, "people": people, "nonce": secrets.token_hex(32)}
        folder.keep(announced)
    if "entry_index" not in announced:
        request = SampleRequest(
            campaign_sha256=announced["campaign"],
            auditor=client.consortium.one(Role.AUDITOR).id,
            people=announced["people"],
            nonce_sha256=sha256(bytes.fromhex(announced["nonce"])).hexdigest(),
            requested_at=now(),
        )
        index = client.announce_sample(request, load_signing_key(auditor / "auditor.key"))
        announced["entry_index"] = index
        folder.keep(announced)
    return announced


def _judged(
    client: AuditorClient, auditor: Path, folder: Folder, audit: Audit, asked: dict[str, Draw]
) -> Verdicts:
    from auditlog.sample_draws import judged
    from consent.auditing import NOTICE_RULES
    from crypto.sealing import unpad, unseal_from
    from protocol.samples import EVIDENCE_CONTEXT, OPENED_CONTEXT, OpenedSample

    key = load_recipient_key(auditor / "auditor.recipient.key")
    opened: dict[str, OpenedSample] = {}
    evidence: dict[str, dict[str, Any]] = {}
    for lender, draw in asked.items():
        file = folder.opened(lender)
        if not file.exists():
            continue
        sealed = ask(file.read_bytes, f"what {lender} opened, {file}")
        token = unpad(unseal_from(key, sealed, OPENED_CONTEXT)).decode()
        opened[lender] = OpenedSample.verify(token, client.consortium.party(lender).key)
        kept = folder.answer(lender)
        if not kept.exists():  # the registry answers once
            replace_file(kept, client.open_evidence(draw.entry_index, token))
        answer = ask(kept.read_bytes, f"what the registry answered about {lender}, {kept}")
        evidence[lender] = json.loads(unpad(unseal_from(key, answer, EVIDENCE_CONTEXT)))
    return judged(audit, asked, opened, evidence, NOTICE_RULES)


def _say_erased(folder: Folder, audit: Audit) -> None:
    """The log tells of erasures and names nobody: whoever was erased since the sample was judged
    first may stand in it, and only here."""
    announced, erased = folder.announced() or {}, audit.know.by_type["subject.forgotten"]
    first = announced.setdefault("erasures", erased)
    folder.keep(announced)
    if since := erased - first:
        typer.echo(
            f"{since} people were erased since this sample was judged first; if any is in it, only "
            "this folder still names them: delete it as soon as the report is written (--forget)",
            err=True,
        )


def _say_waiting(folder: Folder, missing: list[str], as_json: bool) -> None:
    if as_json:
        say({"waiting_for": missing, "draws": [str(folder.draw(name)) for name in missing]}, True)
        return
    for name in missing:
        typer.echo(
            f"{name}: tahini node sample --draw {folder.draw(name)} --out {folder.opened(name)}"
        )
    typer.echo("then run this again; --close counts whoever does not answer as having refused")


def _say(found: Verdicts, as_json: bool) -> None:
    rules: dict[str, int] = {}
    for one in found.broken:
        rules[one.rule] = rules.get(one.rule, 0) + 1
    if as_json:
        told = {
            "drawn": found.drawn,
            "clean": found.clean,
            "masked": found.masked,
            "forgotten": found.forgotten,
            "by_rule": rules,
            "broken": [asdict(one) for one in found.broken],
            "most_bad": found.most_bad,
            "confidence": 0.95,
        }
        say(told, True)
        return
    for one in found.broken:
        typer.echo(f"{one.lender}, release {one.release}, cell {one.cell}: {one.why} ({one.rule})")
    lost = f"; of {found.forgotten} forgotten since nothing can be shown" if found.forgotten else ""
    part = (
        f", {found.masked} of them to a part of it, and the rest was masked" if found.masked else ""
    )
    typer.echo(
        f"{found.drawn} drawn, {found.clean} had said yes to what was done{part}{lost}\n"
        f"with 95% confidence fewer than {found.most_bad:.2%} of the uses were of somebody who had "
        "not"
    )


app.registered_commands += evidence_packs.app.registered_commands
