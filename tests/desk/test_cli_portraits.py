"""``tahini desk portraits``: checked, signed, applied and listed, over a real registry; a refusal is one sentence."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from support.house import Ground
from support.lending_house import LendingHouse, lending_house
from support.portraits import document, portrait, portrait_notice

from crypto.keys import SigningKey
from demo.borrowers import DemoBorrower
from law.categories import DataCategory
from protocol.schema import now
from tahini import main


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(main, ["desk", "portraits", *map(str, arguments)])


def told(*arguments: Any) -> Any:
    found = run(*arguments, "--json")
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)


def file_of(folder: Path, **changes: Any) -> Path:
    """In use today."""
    today = now().date()
    dates = {"valid_from": str(today - timedelta(days=2)), "review_on": str(today + timedelta(days=60))}
    path = folder / "portrait.json"
    path.write_text(json.dumps(portrait(**(dates | changes))), encoding="utf-8")
    return path


def lent(lender: LendingHouse, person: DemoBorrower) -> None:
    lender.knows(person)
    made = lender.asks(person)
    assert made.json()["status"] == "offered", made.text
    path, decision = f"/v1/applications/{made.json()['id']}", made.json()["decision"]["id"]
    sha256 = lender.call("origination", "GET", f"{path}/disclosure").json()["sha256"]
    said = {"decision": decision, "disclosure_sha256": sha256}
    assert lender.call("origination", "POST", f"{path}/acceptance", said).status_code == 201
    paid = {"payment": "pay-1", "amount": 300_000, "on": lender.desk.now().date().isoformat()}
    done: httpx.Response = lender.call("servicing", "POST", f"{path}/disbursement", paid)
    assert done.status_code == 201, done.text


def test_a_portrait_is_checked_without_a_desk(tmp_path: Path):
    found = told("check", file_of(tmp_path))
    assert (found["id"], found["action"], found["consents"]) == ("late-before", "remind-before-due", ["repayment"])
    assert (found["not_in_use"], found["unlawful_later"], len(found["sha256"])) == (None, None, 64)
    shown = run("check", file_of(tmp_path))
    assert "looked at again" in shown.stdout and found["sha256"] in shown.stdout
    signed = tmp_path / "portrait.jws"
    signed.write_text(document().sign(SigningKey.generate()), encoding="utf-8")
    assert run("check", signed, "--on", "2026-06-01").exit_code == 0
    text = 'id = "x"\nversion = 1\n'
    (tmp_path / "half.toml").write_text(text, encoding="utf-8")
    assert run("check", tmp_path / "half.toml").exit_code == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rows": [{"id": "all", "when": {"late": ">= 0"}}]}, "everybody"),
        ({"rows": [{"id": "a", "when": {"late": ">= 1"}}, {"id": "b", "when": {"late": "3"}}]}, "row 'b' never counts"),
        ({"rows": [{"id": "none", "when": {"late": "> 500"}}]}, "holds nowhere"),
        ({"action": "raise-price"}, "action must be one of"),
        ({"name": {"zh": "女性客户", "en": "Some customers"}}, "PIPL 24"),
        ({"valid_from": "2020-01-01", "review_on": "2020-06-01"}, "was to be looked at again by 2020-06-01"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_sentence(tmp_path: Path, changes, said):
    found = run("check", file_of(tmp_path, **changes))
    assert found.exit_code == 1
    assert said in found.stderr and len(found.stderr.strip().splitlines()) == 1


def test_from_the_file_to_who_is_in_it(after_release: Ground, tmp_path: Path):
    with lending_house(after_release, tmp_path) as lender:
        person = lender.people[0]
        lent(lender, person)
        lender.knows(person, late=3)
        added = told("add", file_of(tmp_path), "--home", lender.home)
        assert (added["portrait"], added["version"]) == ("late-before", 1)
        again = run("add", file_of(tmp_path), "--home", lender.home)
        assert again.exit_code == 1 and "give this one a higher" in again.stderr
        stranger = {"band": {**portrait()["facts"]["late"], "categories": ["age"]}}
        other = file_of(tmp_path, id="other", facts=stranger, rows=[{"id": "a", "when": {"band": ">= 2"}}])
        refused = run("add", other, "--home", lender.home)
        assert refused.exit_code == 1 and "nothing was written" in refused.stderr
        unasked = run("run", "--home", lender.home)
        assert unasked.exit_code == 1 and "how borrowers consent to portraits cannot be told" in unasked.stderr
        house = lender.house
        notice = portrait_notice(house.founded.consortium, ["aspen"], [DataCategory.REPAYMENT])
        operator = house.founded.operator(house.url)
        operator.publish_notice(notice, house.founded.registry_key)
        operator.close()
        nobody = told("run", "--home", lender.home)
        assert nobody == {"people": 1, "read": 0, "placed": 0, "refused": 0}
        house.anyone().decide([person.first_answer(notice)])
        assert told("run", "--home", lender.home) == {"people": 1, "read": 1, "placed": 1, "refused": 0}
        (item,) = told("list", "--home", lender.home)["items"]
        assert (item["people"], item["objections"], item["idle"]) == (1, 0, None)
        assert "remind-before-due" in run("list", "--home", lender.home).stdout
        assert "1 places in portraits" in run("run", "--home", lender.home).stdout
