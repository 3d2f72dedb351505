"""An institution's people at its own issuer: who comes in, for what, and what takes two of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey, OctKey
from support.staff_pages import ISSUER, ORIGIN, StaffPages, person

from screens.house.forms import new_once
from screens.house.shell import HOUSE, Look
from screens.house.staff import CodeDoor
from screens.house.staff_list import STAFF_FILE, StaffList
from screens.house.staff_login import open_staff_door


@pytest.fixture
def site(tmp_path: Path) -> Iterator[StaffPages]:
    yield StaffPages(tmp_path)


def test_who_is_on_the_list_comes_in_and_may_what_it_says(site: StaffPages) -> None:
    away = site.client.get("/seen")
    assert away.status_code == 401 and 'href="/enter?back=/seen"' in away.text
    assert site.enter().headers["location"] == "/seen"
    assert site.client.get("/seen").text == "Wang"
    assert site.enter(sub="zhao").status_code == 303
    assert site.client.get("/sign").status_code == 403


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"sub": "nobody"}, 403), ({"sub": None}, 400), ({"aud": "other"}, 400), ({"iss": "https://evil.example"}, 400),
        ({"nonce": "another"}, 400), ({"nonce": None}, 400), ({"exp": 1}, 400), ({"exp": None}, 400),
        ({"aud": ["office", "other"]}, 400), ({"auth_time": "now"}, 400), ({"auth_time": 10**18}, 400),
        ({"auth_time": 4_000_000_000}, 400),
    ],
)  # fmt: skip
def test_what_is_not_said_of_them_here_and_now_lets_nobody_in(
    site: StaffPages, claims: dict[str, Any], status: int
) -> None:
    assert site.enter(**claims).status_code == status
    assert site.client.get("/seen").status_code == 401


def test_another_key_and_a_symmetric_one_let_nobody_in(site: StaffPages) -> None:
    site.issuer.signer = ECKey.generate_key("P-256", {"kid": "k"})
    assert site.enter().status_code == 400
    site.issuer.signer = OctKey.generate_key(256, {"kid": "k"})
    site.issuer.header = {"alg": "HS256", "kid": "k"}
    assert site.enter().status_code == 400
    assert site.client.get("/seen").status_code == 401


def test_what_is_signed_wants_a_log_in_of_these_two_minutes(site: StaffPages) -> None:
    site.enter()
    assert site.client.get("/sign").text == "Wang"
    site.issuer.now += timedelta(minutes=3)
    again = site.client.get("/sign")
    assert again.status_code == 401 and "/enter?fresh=1&amp;back=/sign" in again.text
    earlier = int(site.issuer.now.timestamp()) - 600
    assert site.enter("/enter?fresh=1&back=/sign", auth_time=earlier).status_code == 400
    assert site.enter("/enter?fresh=1&back=/sign", auth_time=None).status_code == 400
    assert site.enter("/enter?fresh=1&back=/sign").headers["location"] == "/sign"
    assert {"prompt": "login", "max_age": "0"}.items() <= site.issuer.asked.items()
    assert site.client.get("/sign").text == "Wang"


def test_a_form_that_was_shown_to_one_of_them_signs_nothing_for_another(site: StaffPages) -> None:
    def sends(mark: str) -> httpx.Response:
        form, own = {"once": new_once(), "whose": mark}, {"Sec-Fetch-Site": "same-origin"}
        return site.client.post("/sign", data=form, headers=own)

    wangs, chens = (site.door.marks.of(one.casefold(), one) for one in ("Wang", "Chen"))
    site.enter()
    assert sends(wangs).text == "signed by Wang"
    site.enter(sub="chen")
    refused = sends(wangs)
    assert refused.status_code == 409 and "opened by somebody else" in refused.text
    assert sends("w" * 44).status_code == 409 and sends("").status_code == 422
    assert sends(chens).text == "signed by Chen"
    site.enter()
    assert sends(wangs).text == "signed by Wang", "logged in again, it is theirs again"


def test_no_script_reads_a_session_no_other_site_sends_it_and_log_out_forgets(site: StaffPages) -> None:
    came = site.enter().headers.get_list("set-cookie")
    (kept,) = [one for one in came if one.startswith(f"{site.door.cookie_name}=") and "Max-Age=0" not in one]
    said = {part.strip().lower() for part in kept.split(";")[1:]}
    assert {"httponly", "secure", "path=/"} <= said and said & {"samesite=lax", "samesite=strict"}
    assert not [one for one in said if one.startswith("domain")], "of this host alone"
    number = dict(site.client.cookies)
    gone = site.client.post("/logout", data={"once": new_once()}, headers={"Sec-Fetch-Site": "same-origin"})
    assert gone.headers["clear-site-data"] == '"cache", "storage"'
    site.client.cookies.update(number)
    assert site.client.get("/seen").status_code == 401, "the number of before opens nothing"


def test_an_issuer_that_does_not_say_when_makes_nothing_fresh(site: StaffPages) -> None:
    site.enter(auth_time=None)
    assert site.client.get("/seen").text == "Wang"
    assert site.client.get("/sign").status_code == 401


def test_a_way_back_is_gone_once(site: StaffPages) -> None:
    site.enter()
    back = {"state": site.issuer.asked["state"], "code": "c", "iss": ISSUER}
    assert site.client.get("/callback", params=back).status_code == 400


def test_what_binds_the_institution_takes_two(site: StaffPages) -> None:
    wang, chen = (person(site, name) for name in ("Wang", "Chen"))
    assert not site.door.agreed(wang, "approve:1")
    assert not site.door.agreed(wang, "approve:1"), "one person twice"
    assert site.door.waiting("approve:1") == "Wang" and site.door.waiting("approve:2") is None
    assert not site.door.agreed(chen, "approve:2")
    assert site.door.agreed(chen, "approve:1")
    assert site.door.waiting("approve:1") is None, "what was done is not done again"
    site.issuer.now += timedelta(hours=25)
    assert not site.door.agreed(wang, "approve:2"), "nobody waits for ever"


def test_a_list_that_leaves_one_alone_or_names_somebody_twice_is_refused(tmp_path: Path) -> None:
    def read(*people: tuple[str, list[str]]) -> StaffList:
        listed = [{"subject": one, "name": one.rstrip("123"), "roles": roles} for one, roles in people]
        path = tmp_path / STAFF_FILE
        path.write_text(
            json.dumps({"issuer": {"issuer": ISSUER, "client_id": "o"}, "people": listed}), encoding="utf-8"
        )
        return StaffList.read(path)

    assert len(read(("a", ["approve"]), ("b", ["approve"])).people) == 2
    for people, sentence in (
        ([("a", ["approve"]), ("b", ["look"])], "takes two persons"),
        ([("a", ["look"]), ("a", ["look"])], "subject stands twice"),
        ([("a1", ["look"]), ("a2", ["look"])], "name stands twice"),
        ([("operator", ["look"])], "is nobody's name"),
        ([(" Machine ", ["look"])], "is nobody's name"),
        ([("wang+chen", ["look"])], "is nobody's name"),
        ([], "people"),
    ):
        with pytest.raises(ValueError, match=sentence):
            read(*people)


def test_pages_that_others_reach_are_not_opened_by_a_code(tmp_path: Path) -> None:
    look = Look.of("portal", HOUSE.parent / "portal" / "views", "UTC", {"new_once": new_once})
    http = httpx.AsyncClient()
    with pytest.raises(ValueError, match="name the issuer and the people"):
        open_staff_door(look, lambda: datetime.now(UTC), http, tmp_path, ORIGIN)
    here = "http://127.0.0.1:8722"
    with pytest.raises(ValueError, match="name the issuer and the people"):
        open_staff_door(look, lambda: datetime.now(UTC), http, tmp_path, here, "http://0.0.0.0:8722")
    assert isinstance(open_staff_door(look, lambda: datetime.now(UTC), http, tmp_path, here), CodeDoor)
