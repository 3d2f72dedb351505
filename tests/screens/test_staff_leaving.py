"""Who has left an institution is out at once: their log-in, their visit, and a yes of theirs that waits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.commands import refused, tahini
from support.staff_pages import PEOPLE, StaffPages, person

from screens.house.errors import PageError
from screens.house.staff import Staff
from screens.house.staff_list import STAFF_FILE, StaffList


@pytest.fixture
def site(tmp_path: Path) -> StaffPages:
    return StaffPages(tmp_path)


@pytest.mark.parametrize("noun", ["office", "console"])
def test_who_is_taken_off_the_list_is_out_at_their_next_tap(site: StaffPages, tmp_path: Path, noun: str) -> None:
    site.enter(sub="zhao")
    assert site.client.get("/seen").text == "Zhao"
    told = tahini(noun, "remove-staff", "Zhao", "--home", tmp_path)
    assert told.exit_code == 0 and "Zhao is off the list, and out; 2 may come in" in told.stdout
    assert site.client.get("/seen").status_code == 401, "their visit has ended"
    assert site.enter(sub="zhao").status_code == 403, "and they do not come in again"
    assert site.enter(sub="wang").status_code == 303
    left = (tmp_path / STAFF_FILE).read_text(encoding="utf-8")
    assert "zhao" not in left.casefold(), "nothing of them is kept"
    assert (tmp_path / STAFF_FILE).stat().st_mode & 0o077 == 0


def test_what_one_may_do_is_what_the_list_says_now(site: StaffPages, tmp_path: Path) -> None:
    site.enter()
    assert site.client.get("/sign").text == "Wang"
    listed = json.loads((tmp_path / STAFF_FILE).read_text(encoding="utf-8"))
    for one in listed["people"]:
        one["roles"] = ["look"]
    written(tmp_path, json.dumps(listed))
    assert site.client.get("/sign").status_code == 403 and site.client.get("/seen").text == "Wang"


def test_somebody_else_under_the_same_name_does_not_take_over_the_visit(site: StaffPages, tmp_path: Path) -> None:
    site.enter(sub="zhao")
    listed = (tmp_path / STAFF_FILE).read_text(encoding="utf-8")
    written(tmp_path, listed.replace('"subject": "zhao"', '"subject": "zhao-the-younger"'))
    assert site.client.get("/seen").status_code == 401


@pytest.mark.parametrize("damage", ["", "{", "{}", None])
def test_without_a_list_nobody_is_known(site: StaffPages, tmp_path: Path, damage: str | None) -> None:
    site.enter()
    if damage is None:
        (tmp_path / STAFF_FILE).unlink()
    else:
        written(tmp_path, damage)
    page = site.client.get("/seen")
    assert page.status_code == 503 and "so nobody may" in page.text
    assert site.client.get("/enter").status_code == 503


def test_a_yes_of_who_has_left_waits_for_no_second_one(site: StaffPages, tmp_path: Path) -> None:
    wang, chen = (person(site, one) for one in ("Wang", "Chen"))
    assert not site.door.agreed(wang, "approve:1") and site.door.waiting("approve:1") == "Wang"
    listed = (tmp_path / STAFF_FILE).read_text(encoding="utf-8")
    written(tmp_path, listed.replace("Wang", "Weng"))
    assert site.door.waiting("approve:1") is None
    assert not site.door.agreed(chen, "approve:1")
    (tmp_path / STAFF_FILE).unlink()
    with pytest.raises(PageError):
        site.door.agreed(chen, "approve:1")


def test_a_yes_of_who_may_say_it_no_more_waits_for_no_second_one(site: StaffPages, tmp_path: Path) -> None:
    assert not site.door.agreed(person(site, "Chen"), "approve:1")
    tahini("office", "remove-staff", "Wang", "--home", tmp_path)  # Chen is alone now, and only looks
    listed = json.loads((tmp_path / STAFF_FILE).read_text(encoding="utf-8"))
    for one in ("li", "sun"):
        listed["people"].append({"subject": one, "name": one.title(), "roles": ["look", "approve"]})
    written(tmp_path, json.dumps(listed))
    li, sun = (Staff(one.title(), frozenset({"approve"}), site.issuer.now, one) for one in ("li", "sun"))
    assert site.door.waiting("approve:1") is None
    assert not site.door.agreed(li, "approve:1"), "of the two only one may"
    assert site.door.agreed(sun, "approve:1")


def test_a_role_that_takes_two_is_nobodys_when_one_is_left(site: StaffPages, tmp_path: Path) -> None:
    told = tahini("office", "remove-staff", "Wang", "--home", tmp_path)
    assert "'approve' takes two persons, so Chen has it no more" in told.stdout
    kept = {one.name: one.roles for one in StaffList.read(tmp_path / STAFF_FILE).people}
    assert kept == {"Chen": {"look"}, "Zhao": {"look"}}


def test_who_is_not_there_or_the_last_one_cannot_be_taken_off(site: StaffPages, tmp_path: Path) -> None:
    assert "nobody on the list is called 'Li'" in refused("office", "remove-staff", "Li", "--home", tmp_path)
    for one in sorted(PEOPLE)[:2]:
        assert tahini("office", "remove-staff", one.title(), "--home", tmp_path).exit_code == 0
    last = sorted(PEOPLE)[2].title()
    assert "is the last on the list" in refused("office", "remove-staff", last, "--home", tmp_path)
    (tmp_path / STAFF_FILE).unlink()
    assert "has no staff.json" in refused("office", "remove-staff", last, "--home", tmp_path)


def written(home: Path, text: str) -> None:
    """The list anew, as an editor writes it: another file under the same name."""
    anew = home / "anew"
    anew.write_text(text, encoding="utf-8")
    Path(anew).replace(home / STAFF_FILE)
