"""What a doctor looks at in a node's home."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from clients.data.description import APPLICANTS_FILE
from clients.data.profiling import applicants_in, people_in
from clients.errors import NodeError, SourceError
from clients.home import BOOK_FILE, KEY_FILE, LEDGER_FILE, Node
from clients.service import running, signed_bundles
from clients.witness import WITNESS_KEY_FILE, LenderWitness, WitnessListening
from crypto.errors import CryptoError
from crypto.notes import claimed_checkpoint
from fleet.code import installed_code
from fleet.errors import FleetError
from fleet.keys import fleet_key_text
from ops import doctor
from ops.doctor import Finding, Level, care, found, ill, well
from ops.settings import SERVE_FILE
from protocol.errors import ConsentError


def node(home: Path) -> Iterator[Finding]:
    """Everything that a node needs to take part in a campaign."""
    yield doctor.disk(home)
    yield doctor.private_key(home / KEY_FILE)
    yield _ledger(home)
    try:
        opened = Node.open(home)
    except (NodeError, ConsentError, CryptoError, OSError) as error:
        yield ill("consortium", error, "join: tahini node join --help")
        return
    yield well(
        "consortium", f"{opened.lender!r} of {opened.consortium.name!r}, with the key that it knows"
    )
    yield from doctor.in_law(opened.consortium)
    yield _fleet_key(opened)
    yield _book(opened)
    if (opened.home / APPLICANTS_FILE).exists():
        yield _applicants(opened)
    yield from doctor.service("registry", opened.settings.registry_url, opened.authority)
    if opened.settings.naming_url is not None:
        yield from (
            f
            for f in doctor.service("naming service", opened.settings.naming_url, opened.authority)
            if f.what != "clock" or f.level is not Level.WELL
        )
    if opened.settings.superlink is None:
        yield care("superlink", "the coordinator's is not known", "join again with --superlink")
    else:
        yield doctor.reached("superlink", opened.settings.superlink, opened.authority)
    yield _approvals(opened)
    yield _service(home)


def witness(home: Path) -> Iterator[Finding]:
    """Everything that a lender's witness needs to cosign: its key, what it remembers, and that it
    can be reached."""
    yield doctor.disk(home)
    try:
        opened = Node.open(home)
        at_work = LenderWitness.open(home, opened.consortium.log.verifier)
    except (NodeError, ConsentError, CryptoError, OSError) as error:
        yield ill(
            "witness",
            error,
            f"restore {WITNESS_KEY_FILE} and what it remembers from the same backup, or join",
        )
        return
    listed = next(
        (w for w in opened.consortium.policy.witnesses if w.key == at_work.key.public), None
    )
    if listed is None:
        yield ill(
            "witness",
            "the key here is not one that the consortium document names",
            "use the home that it was made of",
        )
        return
    yield found(
        "memory",
        lambda: _remembered(at_work),
        "it cosigns nothing until this file is restored: ask everybody",
    )
    if listed.url:
        yield doctor.reached("witness", listed.url, opened.authority)
    if (home / SERVE_FILE).exists():
        yield from doctor.listens(WitnessListening, home, "witness port")


def _remembered(at_work: LenderWitness) -> str:
    sizes = []
    for origin in at_work.logs:
        note = at_work.latest(origin)
        sizes.append(0 if note is None else claimed_checkpoint(note).size)
    return f"has cosigned heads of up to {max(sizes, default=0):,} entries"


def _ledger(home: Path) -> Finding:
    def look() -> str:
        doctor.require_whole(home / LEDGER_FILE)
        return "no damage"

    return found(
        "ledger", look, "restore it from its backup; an empty one would spend every budget again"
    )


def _fleet_key(opened: Node) -> Finding:
    try:
        mine = fleet_key_text(opened.home)
    except FleetError as error:
        return ill("fleet key", error, "make one: tahini node rotate-fleet-key")
    if mine != opened.consortium.party(opened.lender).fleet_key:
        return ill(
            "fleet key",
            "it is not the one in the pinned consortium document, so the SuperLink refuses this "
            "node",
            "give membership.jws to the registry's operator, and join again with the document that "
            "is signed then",
        )
    return well("fleet key", "the one that the SuperLink lets in")


def _book(opened: Node) -> Finding:
    try:
        people = people_in(opened.home)
    except (SourceError, NodeError) as error:
        return ill(
            "data", error, f"import a {BOOK_FILE} (tahini book), or describe a source in data.toml"
        )
    if not people:
        return care(
            "data", "nobody is in the data source", "look at it with: tahini node check-data"
        )
    return well("data", f"{people:,} people")


def _applicants(opened: Node) -> Finding:
    """What a watching campaign would read of everybody who applied."""
    try:
        people = applicants_in(opened.home)
    except (SourceError, NodeError) as error:
        again = "describe where they are, and write them: tahini desk export-applicants"
        return ill("applicants", error, again)
    if not people:
        again = f"look at what {APPLICANTS_FILE} describes"
        return care("applicants", "nobody who applied is in their source", again)
    return well("applicants", f"{people:,} people applied")


def _approvals(opened: Node) -> Finding:
    signed = signed_bundles(opened)
    other = sum(code != installed_code() for code in signed.values())
    if other:
        return ill(
            "approvals",
            f"{other} of {len(signed)} signed bundles are of other code than is installed",
            "install the version that was signed, or review and sign anew",
        )
    return well("approvals", f"{len(signed)} signed bundles are in force, of the installed code")


def _service(home: Path) -> Finding:
    if running(home):
        return well("service", "said within seconds that it lives")
    return care("service", "does not run", f"start it: tahini node serve --home {home}")
