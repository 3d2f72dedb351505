"""What the makers of a pack could write into its JSON files: fields that nobody knows, impossible values, people."""

from __future__ import annotations

import json
import re

import pytest
from support.commands import done, refused
from support.packs import campaign_of, edited, signed_again, verifying
from support.world import pseudonym

from auditlog.pack_files import CHECKED, WORD
from auditlog.pack_schemas import COMPARED_WHOLE, SCHEMAS
from protocol.sight import SightStatement

NOBODY = "v1." + "x" * 43


def first(told):
    return told[0] if isinstance(told, list) else next(iter(told.values()))


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("coordinator/campaigns/{}/releases.json", lambda told: told.update(epsilon_spent=0.001), "is not known"),
        ("coordinator/campaigns/{}/releases.json", lambda told: told.update(lenders=[["nobody"]]), "does not have"),
        ("coordinator/campaigns/{}/releases.json", lambda told: told["attempts"].extend([1] * 9), "does not have"),
        ("coordinator/campaigns/{}/releases.json", lambda told: told.update(attempts="99"), "must be a list"),
        ("aspen/campaigns/{}/rosters.json", lambda told: told[0].update(members=[NOBODY]), "is not known"),
        ("aspen/campaigns/{}/rosters.json", lambda told: told[0].update(size_class=(1 << 40) + 1), "power of two"),
        ("aspen/campaigns/{}/rosters.json", lambda told: told.append(told[0]), "lists a roster twice"),
        ("aspen/campaigns/{}/rosters.json",
         lambda told: told.append({"release": 77, "attempt": 1, "size_class": None}), "was not planned"),
        ("registry/campaigns/{}/authorisations.json", lambda told: told[0].update(rows_read=0), "is not known"),
        ("registry/campaigns/{}/coverage.json", lambda told: first(told).update(also="all"), "is not known"),
        ("registry/incidents/index.json", lambda told: told[0].update(people=0), "is not known"),
        ("registry/retention/reviews.json", lambda told: told[0].update(by="somebody"), "is not known"),
        ("registry/retention/rules.json", lambda told: told[0].update(until=1), "is not known"),
        ("registry/audits/due.json", lambda told: told[0].update(due="soon"), "must be a day"),
        ("registry/notices/review.json", lambda told: first(told).update(fine=True), "is not known"),
        ("registry/consents/states.json", lambda told: told.update(people=1), "is not known"),
        ("registry/consents/withdrawals.json", lambda told: first(told).update(names=[]), "is not known"),
        ("registry/erasures/counts.json", lambda told: told.update(fewest_told="10"), "a whole number"),
        ("registry/log/counts.json", lambda told: told.update(rows=1), "is not known"),
    ],
)  # fmt: skip
def test_a_field_or_value_that_such_a_file_cannot_hold_is_refused(handed_in, pack, file, change, said):
    house, folder = handed_in
    name = file.format(campaign_of(pack))
    edited(pack / name, change)
    signed_again(house, pack, name.partition("/")[0])
    answer = refused(*verifying(folder, pack))
    assert name in answer and said in answer
    assert NOBODY not in answer


@pytest.mark.parametrize("escaped", [False, True])
def test_a_pseudonym_in_a_file_is_refused_and_not_repeated(handed_in, pack, escaped):
    house, folder = handed_in
    path, name = pack / "registry/notices/review.json", pseudonym()
    edited(path, lambda told: first(told)["adds"].append(f"of {name} too"))
    if escaped:
        path.write_text(path.read_text("utf-8").replace(name, "\\u0076" + name[1:]), encoding="utf-8")
        assert name in json.dumps(json.loads(path.read_text("utf-8")))
    signed_again(house, pack, "registry")
    answer = refused(*verifying(folder, pack))
    assert "review.json: it names somebody" in answer and name not in answer


def test_a_pseudonym_as_the_name_of_a_file_is_refused_and_not_repeated(handed_in, pack):
    house, folder = handed_in
    name = pseudonym()
    earlier = pack / "registry/parties/earlier"
    earlier.mkdir(exist_ok=True)
    (earlier / f"{name}.jws").write_bytes((pack / "registry/parties/consortium.jws").read_bytes())
    signed_again(house, pack, "registry")
    answer = refused(*verifying(folder, pack))
    assert "registry: the name of a file" in answer and name not in answer


def test_a_pseudonym_in_a_signed_document_is_refused(handed_in, pack):
    house, folder = handed_in
    path = pack / f"coordinator/campaigns/{campaign_of(pack)}/who-sees-what.jws"
    said = SightStatement.claimed(path.read_text("utf-8"))
    path.write_text(said.model_copy(update={"campaign_sha256": pseudonym()}).sign(house.coordinator().key), "utf-8")
    signed_again(house, pack, "coordinator")
    assert "who-sees-what.jws: it names somebody" in refused(*verifying(folder, pack))


def test_what_rests_on_the_makers_own_word_is_named_of_each(handed_in, pack):
    _, folder = handed_in
    said = done(*verifying(folder, pack))
    assert f"on coordinator's word alone: campaigns/{campaign_of(pack)}/releases.json" in said
    assert f"on aspen's word alone: campaigns/{campaign_of(pack)}/rosters.json" in said
    assert "no file says what such a file cannot say, or names a person" in said


def test_every_json_file_that_a_part_can_hold_has_a_closed_schema():
    known = {*SCHEMAS, COMPARED_WHOLE}
    for patterns in (*CHECKED.values(), *WORD.values()):
        for pattern in patterns:
            if pattern.endswith("json") and "entries" not in pattern:
                names = pattern.replace("[0-9a-f]{64}", "0" * 64).replace("(", " ").replace(")", " ").replace("|", " ")
                lead, *rest = names.split(" ")
                made = [lead + one + rest[-1] for one in rest[:-1]] if len(rest) > 1 else [names]
                for one in made:
                    assert any(re.fullmatch(form, one.replace("\\", "")) for form in known), one
