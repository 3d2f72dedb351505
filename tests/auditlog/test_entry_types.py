"""Every type of entry that the product can write is one that the auditor checks; of any other it says so."""

from __future__ import annotations

import ast
import json
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
from support.audits import some_report
from support.entries import append, audit
from support.house import Ground
from support.incidents import make_incident

from auditlog.audit import verify_log
from auditlog.entries import Entry, entry_for_subject, entry_with_sealed_body
from auditlog.entry_checks import FORMS
from consent.commands.answer_requests import mark_request
from consent.commands.append_entries import EntryType, NewEntry, append_entries
from consent.commands.receive_requests import state_request
from consent.commands.report_incidents import close_incident, report_incident
from crypto.documents import canonical_json
from crypto.keys import SigningKey
from demo.assessing import make_assessment
from protocol.audits import AuditRemedy
from protocol.cards import ModelCard
from protocol.errors import AuditFailed
from protocol.incidents import IncidentClosure, IncidentReport
from protocol.parties import Consortium
from protocol.rights import ENTRY_TYPES as REQUEST_TYPES
from protocol.rights import RequestContent, RequestKind
from protocol.schema import now
from protocol.uses import USE_STEPS
from server.assessments import record

ROOT = Path(__file__).resolve().parent.parent.parent
WRITERS = {
    "log_sealed": 0,
    "sealed_to_auditor": 0,
    "entry_for_subject": 0,
    "entry_with_sealed_body": 0,
    "entry": 0,
    "_log": 1,
}
"""Which argument is the type."""
PASSED_ON: set[str] = set()
"""Modules that write a type which somebody else named."""
ROOMS = ("auditlog", "cli", "consent", "demo", "naming", "server")


@cache
def written() -> dict[str, str]:
    """Every type that stands in the product as the type of an entry, and where."""
    found: dict[str, str] = {}
    for path in (path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        named = {
            one.targets[0].id: one.value.value
            for one in tree.body
            if isinstance(one, ast.Assign) and isinstance(one.targets[0], ast.Name)
            if isinstance(one.value, ast.Constant)
        }
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name not in WRITERS or len(node.args) <= WRITERS[name]:
                continue
            said = node.args[WRITERS[name]]
            kind = said.value if isinstance(said, ast.Constant) else named.get(getattr(said, "id", ""), "")
            if "." in str(kind):
                found[str(kind)] = f"{path.relative_to(ROOT)}:{node.lineno}"
            elif not isinstance(said, ast.Constant):
                PASSED_ON.add(str(path.relative_to(ROOT)))
    return found | dict.fromkeys(REQUEST_TYPES.values(), "consent/commands/request_steps.py")


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """An audit verifies the whole log: with ten people at each lender it is short."""
    return Ground.decided(tmp_path_factory.mktemp("few") / "house", people=10)


@pytest.fixture
def house(few, tmp_path):
    with few.copy(tmp_path / "house").opened() as opened:
        yield opened


def test_every_type_that_can_be_written_has_a_form():
    types = written()
    assert len(types) >= 15, "the search itself is broken"
    missing = {kind: where for kind, where in types.items() if kind not in FORMS}
    assert not missing, f"the auditor checks no entries of these types (auditlog/entry_checks.py): {missing}"
    assert set(get_args(EntryType)) <= set(FORMS)


def test_no_module_passes_on_types_that_were_not_looked_at():
    """A type that a caller names is found where it is named, in these; a new one would hide its types."""
    written()
    assert {
        "auditlog/ledger.py", "cli/staff.py", "consent/api/log.py", "consent/commands/append_entries.py",
        "consent/commands/export_consents.py", "consent/commands/open_evidence.py", "consent/commands/read_consents.py",
        "consent/commands/register_keys.py", "consent/commands/report_incidents.py",
        "consent/commands/request_steps.py", "consent/identity/links.py",
        "consent/commands/log_uses.py", "consent/evidence_log.py", "consent/registry.py", "consent/transaction.py",
    } == PASSED_ON  # fmt: skip


def test_no_form_is_of_a_type_that_nobody_writes():
    assert set(FORMS) == set(written()) | set(get_args(EntryType)) | set(USE_STEPS)


def test_an_entry_of_an_unknown_type_fails(house):
    append(house, house.registry.sealed_to_auditor("borrower.sold", "registry", {}, b"{}"))
    with pytest.raises(AuditFailed, match=r"nothing here checks entries of the type 'borrower.sold'"):
        audit(house)


@pytest.mark.parametrize(
    ("kind", "actor", "public", "said"),
    [
        ("notice.published", "aspen", {"notice": "n", "notice_version": 1, "texts": {}}, "not its to write"),
        ("subject.forgotten", "registry", {"key": "k", "name": "v1.x"}, "other fields than its type"),
        ("subject.forgotten", "registry", {}, "other fields than its type"),
        ("use.read", "auditor", {}, "not its to write"),
        ("names.keys", "aspen", {}, "not its to write"),
        ("population.counted", "coordinator", {"epsilon": 1e9}, "counts of people have cost more"),
        ("party.key_revoked", "aspen", {"party": "birch", "key": "k"}, "changed a key of 'birch'"),
        ("request.received", "aspen", {"request": "0" * 64}, "not its to write"),
        ("request.closed", "registry", {"request": "0" * 64, "kind": "access"}, "other fields than its type"),
        ("request.marked", "registry", {"request": "0" * 64}, "not sealed to the subject"),
        ("incident.notified", "registry", {}, "not sealed to the subject"),
        ("incident.opened", "auditor", {"incident": "0" * 64}, "not its to write"),
        ("incident.closed", "aspen", {"incident": "0" * 64}, "none of its own that is open"),
        ("assessment.recorded", "coordinator", {}, "other fields than its type"),
        ("consortium.amended", "aspen", {"document": "0" * 64}, "not its to write"),
        ("subjects.enrolled", "nobody", {}, "not a party of the consortium"),
        ("consent.state-served", "registry", {"lender": "registry", "state": "0" * 64}, "to no lender"),
    ],
)
def test_an_entry_that_does_not_keep_its_form_fails(house, kind, actor, public, said):
    append(house, house.registry.sealed_to_auditor(kind, actor, public, b"{}"))
    with pytest.raises(AuditFailed, match=said):
        audit(house)


def test_an_entry_that_is_not_sealed_to_the_auditor_fails(house):
    """What the auditor cannot read could say anything."""
    append(house, entry_with_sealed_body("subjects.enrolled", "aspen", {}, "naming", b"sealed"))
    with pytest.raises(AuditFailed, match="not sealed to the auditor"):
        audit(house)


# --- uses to score an application


A_USE = {"application": "a" * 64, "statement": "b" * 64}
DECIDED = A_USE | {"policy": "c" * 64, "law": "d" * 64, "case": "e" * 64}
PORTRAYED = A_USE | {"policy": "c" * 64}


def use(kind: str, actor: str = "aspen", about: dict | None = None, **public) -> Entry:
    """An entry of a use, sealed to the first borrower there is."""
    stated = about or {"use.read": A_USE, "use.portrayed": PORTRAYED}.get(kind, DECIDED)
    return entry_for_subject(kind, actor, {"use": stated, **public}, 1, b"k" * 32, b"{}")


def test_uses_in_their_order_verify_with_and_without_a_model(house):
    other = DECIDED | {"application": "f" * 64, "model": "1" * 64}
    append(house, use("use.read"), use("use.scored"), use("use.explained"))
    append(house, use("use.read", about={**A_USE, "application": "f" * 64}), use("use.scored", about=other))
    append(house, use("use.read", "birch"), use("use.scored", "birch"))
    append(house, use("use.portrayed", about={**PORTRAYED, "application": "9" * 64}))
    assert audit(house).by_type["use.scored"] == 3


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([use("use.scored")], "does not come after use.read"),
        ([use("use.read"), use("use.read")], "does not come after nothing"),
        ([use("use.read"), use("use.scored"), use("use.scored")], "does not come after use.read"),
        ([use("use.read"), use("use.explained")], "does not come after use.scored"),
        ([use("use.portrayed"), use("use.scored")], "does not come after use.read"),
        ([use("use.portrayed"), use("use.portrayed")], "does not come after nothing"),
        ([use("use.portrayed", about=A_USE)], "other fields than its step"),
        ([use("use.read"), use("use.scored", "birch")], "does not come after use.read"),
        ([use("use.read", "coordinator")], "only a lender"),
        ([use("use.read", counts={"rows": 1})], "more than a use"),
        ([use("use.read", about=A_USE | {"person": "a" * 64})], "other fields than its step"),
        ([use("use.read", about=A_USE | {"model": "a" * 64})], "other fields than its step"),
        ([use("use.read"), use("use.scored", about=A_USE)], "other fields than its step"),
        ([use("use.read", about=A_USE | {"statement": "v1.somebody"})], "no hash"),
        ([use("use.read", about=A_USE | {"statement": 612})], "no hash"),
    ],
)
def test_a_use_that_does_not_keep_its_form_fails(house, entries, said):
    append(house, *entries)
    with pytest.raises(AuditFailed, match=said):
        audit(house)


def test_a_use_that_is_sealed_to_others_than_the_person_fails(house):
    append(house, house.registry.ledger.sealer.entry("use.read", "aspen", {"use": A_USE}, ("auditor",), b"{}"))
    with pytest.raises(AuditFailed, match="sealed to the person alone"):
        audit(house)


# --- requests, incidents, assessments, amendments


def log_token(house, kind: str, actor: str, field: str, sha256: str, token: str) -> None:
    body = canonical_json({"token": token})
    append(house, house.registry.sealed_to_auditor(kind, actor, {field: sha256}, body))


def amended(house, **changes) -> Consortium:
    return Consortium.model_validate(house.founded.consortium.payload() | changes)


def test_what_parties_file_verifies(house):
    registry, aspen = house.registry, house.founded.consortium.party("aspen")
    person = house.borrowers["aspen"][0].pseudonym
    key = house.node("aspen").key
    incident = make_incident("aspen", discovered_at=now())
    report_incident(registry, aspen, IncidentReport(token=incident.sign(key), affected=(person,)))
    closure = IncidentClosure(
        incident_sha256=incident.sha256, institution="aspen", summary="the share is gone", handled_at=now()
    )
    close_incident(registry, aspen, incident.sha256, closure.sign(key))
    asked = RequestContent(kind=RequestKind.ACCESS, channel="web")
    told = state_request(registry, [person], "aspen", asked, "e" * 64)
    mark_request(registry, aspen, told["request_sha256"])
    record(house.coordinator(), house.assessment)
    read = NewEntry(type="evidence.read", to=("auditor",))
    append_entries(registry, house.founded.consortium.party("auditor"), [read])
    after = amended(house, legal={"staff_ids": True})
    log_token(house, "consortium.amended", "registry", "document", after.sha256, after.sign(registry.signing_key))
    found = audit(house).by_type
    assert all(found[kind] == 1 for kind in (
        "incident.opened", "incident.notified", "incident.closed", "request.received", "request.marked",
        "assessment.recorded", "evidence.read", "consortium.amended",
    ))  # fmt: skip


def test_a_request_that_commits_to_nothing_fails(house):
    append(house, entry_with_sealed_body("request.received", "registry", {"request": "v1.x"}, "subject", b"sealed"))
    with pytest.raises(AuditFailed, match="does not commit to a step"):
        audit(house)


def test_an_incident_that_another_signed_fails(house):
    incident = make_incident("birch", discovered_at=now())
    token = incident.sign(house.node("aspen").key)
    log_token(house, "incident.opened", "birch", "incident", incident.sha256, token)
    with pytest.raises(AuditFailed, match="signature"):
        audit(house)


@pytest.mark.parametrize("what", ["hash", "twice", "never", "theirs"])
def test_an_audit_that_is_not_told_as_it_was_signed_fails(house, what):
    made = some_report("auditor", now())
    by_auditor = made.sign(house.founded.auditor_key)
    done = AuditRemedy(
        report_sha256=made.sha256, finding="late", party="aspen", done="It was remedied.", done_at=now()
    ).sign(house.node("aspen").key)
    told = ("audit.reported", "auditor", "report", made.sha256, by_auditor)
    entries, said = {
        "hash": ([(*told[:3], "0" * 64, by_auditor)], "another than was stated"),
        "twice": ([told, told], "reported before"),
        "never": ([("audit.remedied", "aspen", "report", made.sha256, done)], "never reported"),
        "theirs": ([told, ("audit.remedied", "birch", "report", made.sha256, done)], "signature"),
    }[what]
    for entry in entries:
        log_token(house, *entry)
    with pytest.raises(AuditFailed, match=said):
        audit(house)


@pytest.mark.parametrize("what", ["hash", "twice", "another's", "again"])
def test_an_incident_that_is_not_told_as_it_was_signed_fails(house, what):
    incident, moment = make_incident("aspen", discovered_at=now()), now()
    key, birch = house.node("aspen").key, house.node("birch").key
    closure = IncidentClosure(
        incident_sha256=incident.sha256, institution="aspen", summary="the share is gone", handled_at=moment
    )
    opening = ("incident.opened", "aspen", "incident", incident.sha256, incident.sign(key))
    closing = ("incident.closed", "aspen", "incident", incident.sha256, closure.sign(key))
    theirs = closure.model_copy(update={"institution": "birch"}).sign(birch)
    entries, said = {
        "hash": ([(*opening[:3], "0" * 64, opening[4])], "another than was stated"),
        "twice": ([opening, opening], "was opened before"),
        "another's": ([opening, (closing[0], "birch", *closing[2:4], theirs)], "none of its own that is open"),
        "again": ([opening, closing, opening], "was opened before"),
    }[what]
    for entry in entries:
        log_token(house, *entry)
    with pytest.raises(AuditFailed, match=said):
        audit(house)


def test_an_assessment_of_another_hand_fails(house):
    made = make_assessment("coordinator", ["bureau"], now())
    log_token(house, "assessment.recorded", "aspen", "assessment", made.sha256, made.sign(house.node("aspen").key))
    with pytest.raises(AuditFailed, match="another party's"):
        audit(house)


def test_an_amendment_that_swaps_a_key_fails(house):
    parties = house.founded.consortium.payload()["parties"]
    other = {"signing_key": SigningKey.generate().public.text}
    after = amended(house, parties=[one | other if one["id"] == "aspen" else one for one in parties])
    token = after.sign(house.registry.signing_key)
    log_token(house, "consortium.amended", "registry", "document", after.sha256, token)
    with pytest.raises(AuditFailed, match="gives 'aspen' another role or key"):
        audit(house)


def test_an_amendment_that_the_registry_did_not_sign_fails(house):
    after = amended(house, legal={"staff_ids": True})
    token = after.sign(house.node("aspen").key)
    log_token(house, "consortium.amended", "registry", "document", after.sha256, token)
    with pytest.raises(AuditFailed, match="signature"):
        audit(house)


# --- model cards


@pytest.fixture
def released(after_release, tmp_path):
    """A campaign that has released its model, and the card as it was signed."""
    with after_release.copy(tmp_path / "house").opened() as house:
        folder = house.coordinator().folder(house.campaign.sha256)
        yield house, ModelCard.claimed((folder / "model-card.jws").read_text(encoding="utf-8"))


def changed(card: ModelCard, **fields) -> ModelCard:
    return ModelCard.model_validate({**card.model_dump(), **fields})


def log_card(house, card: ModelCard, key=None, campaign: str | None = None, **public: str) -> None:
    """A card that the registry let through without a look at it."""
    token = card.sign(key or house.coordinator().key)
    clear = {"campaign": campaign or house.campaign.sha256, "model_card": card.sha256, **public}
    append(
        house,
        house.registry.sealed_to_auditor("model.released", "coordinator", clear, canonical_json({"token": token})),
    )


def test_a_released_model_verifies(released):
    house, _ = released
    assert audit(house).by_type["model.released"] == 1


def test_any_text_as_a_model_card_fails(active):
    body = canonical_json({"token": "the best model ever"})
    public = {"campaign": active.campaign.sha256, "model_card": "0" * 64}
    append(active, active.registry.sealed_to_auditor("model.released", "coordinator", public, body))
    with pytest.raises(AuditFailed, match=r"model\.released"):
        audit(active)


def test_the_same_model_card_twice_fails(released):
    house, card = released
    log_card(house, card)
    with pytest.raises(AuditFailed, match="released twice"):
        audit(house)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epsilon_spent": 0.01}, "another epsilon than the rosters"),
        ({"epsilon_spent": 7.0}, "another epsilon than the rosters"),
        ({"epsilon": 0.1}, "another epsilon than was approved"),
        ({"purpose": "https://w3id.org/dpv#Marketing"}, "another purpose than was approved"),
        ({"features": ("late",)}, "another features than was approved"),
        ({"lenders": ("aspen", "zelkova")}, "without a roster in its last release"),
        ({"campaign_sha256": "0" * 64}, "another, or of another"),
    ],
)
def test_a_model_card_that_says_something_else_than_the_log_fails(released, changes, said):
    house, card = released
    log_card(house, changed(card, **changes))
    with pytest.raises(AuditFailed, match=said):
        audit(house)


def test_a_model_card_of_another_hand_or_hash_fails(released):
    house, card = released
    other = changed(card, population_released=1.0)
    log_card(house, other, model_card="0" * 64)
    with pytest.raises(AuditFailed, match="another, or of another"):
        audit(house)


def test_a_model_card_that_a_lender_signed_fails(released):
    house, card = released
    log_card(house, changed(card, population_released=1.0), house.node().key)
    with pytest.raises(AuditFailed, match="signature"):
        audit(house)


def test_a_model_card_of_releases_that_nobody_committed_fails(active):
    mechanism = active.campaign.mechanism
    card = ModelCard(
        campaign_sha256=active.campaign.sha256, campaign_title="t", model="scorecard", model_sha256="0" * 64,
        features=tuple(f["name"] for f in active.campaign.features["features"]), purpose=active.campaign.purpose,
        legal_basis=active.campaign.legal_basis, lenders=(), epsilon=mechanism.epsilon, delta=mechanism.delta,
        mechanism=mechanism.model_dump(mode="json"), releases=len(mechanism.releases), population_released=1.0,
        base_rate_released=0.1, released_at=active.campaign.created_at,
    )  # fmt: skip
    log_card(active, card)
    with pytest.raises(AuditFailed, match="counts release 0"):
        audit(active)


def test_without_the_auditors_key_the_order_is_still_checked(house):
    campaign = house.make_campaign()
    house.propose(campaign)
    public = {"campaign": campaign.sha256, "model_card": "0" * 64}
    append(house, house.registry.sealed_to_auditor("model.released", "coordinator", public, b"{}"))
    client = house.founded.auditor(house.url)
    house.clients.append(client)
    house.registry.ledger.catch_up()
    with pytest.raises(AuditFailed, match="not active"):
        verify_log(client, client.checkpoint_note())


def test_a_leaf_is_read_as_it_is_served(active):
    """What is checked is the leaf under the signed root, not what a registry says of it."""
    found = audit(active)
    leaf = json.loads(found.know.bodies.client.leaves(1)[0])
    assert leaf["type"] in FORMS
