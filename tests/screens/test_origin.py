"""Nothing is done on a form that another site sent, whatever it is and whoever is logged in."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest
from starlette.routing import Route
from support.portal import Site

from screens.house.forms import new_once
from screens.house.pace import WAYS_IN_PER_MINUTE
from screens.portal.pending import MAX_PENDING
from screens.portal.visit import KEPT_FOR, SESSION

HTTP = httpx.Client(timeout=300, verify=False)
FOREIGN = {
    "another site": {"Sec-Fetch-Site": "cross-site"},
    "a neighbour": {"Sec-Fetch-Site": "same-site"},
    "typed": {"Sec-Fetch-Site": "none"},
    "twice": [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "cross-site")],
    "who says nothing": {},
    "nobody": {"Origin": "null"},
    "another port": {"Origin": "http://127.0.0.1:1"},
    "its host": {"Origin": "http://evil.example", "Host": "evil.example"},
}


def targets(site: Site) -> list[str]:
    unsafe = [one.path for one in site.app.router.routes if isinstance(one, Route) and "POST" in (one.methods or ())]  # type: ignore[attr-defined]
    assert len(unsafe) >= 6
    notice = site.house.notice
    parts = {"{notice}": notice.id, "{version:number}": "1", "{record:hex}": "0" * 32, "{request:hex}": "0" * 64}
    for part, value in parts.items():
        unsafe = [path.replace(part, value) for path in unsafe]
    return unsafe


def post(site: Site, path: str, headers: object, session: str) -> httpx.Response:
    sent = list(headers.items()) if isinstance(headers, dict) else list(headers)  # type: ignore[call-overload]
    sent.append(("Cookie", f"{SESSION}={session}"))
    return HTTP.post(f"{site.url}{path}", data={"once": new_once()}, headers=sent)


@pytest.mark.parametrize("whose", FOREIGN)
def test_a_form_of_another_site_does_nothing(site: Site, whose: str) -> None:
    session = site.cookie(site.person(at=2))
    for path in targets(site):
        answer = post(site, path, FOREIGN[whose], session)
        assert answer.status_code == 403, (path, answer.status_code)
        assert "did not come from this page" in answer.text


@pytest.mark.parametrize("own", ["Sec-Fetch-Site", "Origin"])
def test_a_form_of_our_own_is_read(site: Site, own: str) -> None:
    session = site.cookie(site.person(at=2))
    headers = {own: "same-origin" if own == "Sec-Fetch-Site" else site.url}
    assert post(site, "/logout", headers, session).status_code == 303
    assert HTTP.get(f"{site.url}/uses", headers={"Cookie": f"{SESSION}={session}"}).status_code == 401


def test_nothing_large_is_kept_for_nobody(site: Site) -> None:
    """What a form keeps for whoever logs in again is a form, and no longer than one."""
    kept = site.app.state.door.kept  # type: ignore[attr-defined]
    before = len(kept._open)
    own = {"Sec-Fetch-Site": "same-origin", "Content-Type": "application/x-www-form-urlencoded"}
    sent = [
        (b"x" * 200_000, {**own, "Content-Type": "text/plain"}, 415),
        (b"once=" + new_once().encode() + b"&ticket=" + b"x" * 200_000, own, 413),
        (b"&".join(b"a%d=1" % one for one in range(1000)), own, 422),
        (b"once=" + new_once().encode() + b"&ticket=" + b"x" * 5_000, own, 422),
    ]
    for body, headers, status in sent:
        assert HTTP.post(f"{site.url}/link", content=body, headers=headers).status_code == status
    assert len(kept._open) == before


def test_strangers_do_not_push_out_what_is_kept_for_others(site: Site) -> None:
    """What somebody chose is kept for ten minutes, however often a stranger sends invitations."""
    door = site.app.state.door  # type: ignore[attr-defined]
    ways, before = door.ways_in, len(door.kept._open)
    ways._per_minute = 4
    ways._paces.clear()
    own, form = {"Sec-Fetch-Site": "same-origin"}, {"once": new_once(), "ticket": "t" * 60}
    try:
        codes = [HTTP.post(f"{site.url}/link", data=form, headers=own).status_code for _ in range(8)]
    finally:
        ways._per_minute = 1_000_000
        ways._paces.clear()
    assert codes == [401] * 4 + [429] * 4 and len(door.kept._open) == before + 4
    assert WAYS_IN_PER_MINUTE * KEPT_FOR / timedelta(minutes=1) < MAX_PENDING, "one address fills no more than a part"


def test_numbers_and_paths_that_nobody_writes_are_not_there(site: Site) -> None:
    for path in (f"/login?issuer={'9' * 5000}", f"/ask/joint-credit-model/{'9' * 5000}", "//evil.example/x"):
        answer = HTTP.get(f"{site.url}{path}", headers={"Cookie": f"__Host-portal-issuer={'9' * 5000}"})
        assert answer.status_code == 404 and 'href="//evil' not in answer.text, path
