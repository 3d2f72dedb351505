"""Every page of the console, in both languages, as it is sent; no browser."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest
from starlette.requests import Request
from starlette.routing import Route
from starlette.testclient import TestClient
from support.console import HTTP, SESSION, ConsoleSite, open_console
from support.house import Ground, InMemoryFleet
from support.pages import Seen
from support.waiting import until

from protocol.campaigns import Campaign
from protocol.cards import ModelCard
from protocol.errors import RegistryUnavailable
from protocol.schema import now
from screens.console.campaigns import CampaignPages
from screens.console.home import listening_of
from screens.console.sight import ConsoleSight
from screens.house.forms import new_once
from screens.house.headers import HEADERS
from screens.house.issuers import LoginIssuer
from screens.house.shell import shell
from screens.house.staff import Staff
from screens.house.staff_list import StaffList, StaffMember
from screens.house.staff_login import IssuerDoor
from screens.house.words import FOLDER, TAGS, catalogue
from server.connections import CONNECTIONS_FILE, STALE, keep_connections, read_connections
from server.desired_state import Stage, read_state, record_event, request_run, run_requested, write_state
from server.home import CARD_FILE
from server.proposing import MAX_STEPS

CONSOLE_WORDS = FOLDER.parents[1] / "console" / "words"
LENDERS = {"lender.aspen": "on", "lender.birch": "on", "lender.cedar": "on"}
FILLED = {
    "title": "A model",
    "name": "spring",
    "features": "file:loans.toml",
    "epsilon": "0.5",
    "steps": "2",
    **LENDERS,
}


@pytest.fixture(scope="module")
def site(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleSite]:
    with open_console(ground, tmp_path_factory.mktemp("console")) as opened:
        yield opened


@pytest.fixture(scope="module")
def session(site: ConsoleSite) -> str:
    return site.cookie()


@pytest.fixture(scope="module")
def campaigns(site: ConsoleSite) -> dict[str, Campaign]:
    """One that has released its model, one that lost a lender and stopped, one that was rejected, one to launch."""
    released = site.proposed(id="one", title="Model one", plan={"hold_out": 0.3})
    site.conduct(released)
    stopped = site.proposed(id="two", title="Model two", plan={"spare_attempts": 1})
    site.conduct(stopped, InMemoryFleet(site.house, leaving={2: {"birch"}}))
    ready = site.proposed(id="three", title="Model three")
    rejected = site.proposed(approve=False, id="four", title="Model <four>")
    site.reject(rejected, "cedar", "the budget <b>is</b> too large")
    return {"released": released, "stopped": stopped, "ready": ready, "rejected": rejected}


@pytest.fixture(scope="module")
def paths(campaigns: dict[str, Campaign]) -> list[str]:
    of = {name: f"/campaigns/{one.sha256}" for name, one in campaigns.items()}
    return [
        "/", "/now", "/propose", f"/propose?like={campaigns['rejected'].sha256}", "/budgets", "/health", *of.values(),
        f"{of['ready']}/now", f"{of['ready']}/launch", f"{of['stopped']}/resume", f"{of['released']}/card",
        "/there-is-no-such-page",
    ]  # fmt: skip


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_page_is_whole_and_loads_nothing_but_our_own(
    site: ConsoleSite, session: str, paths: list[str], language: str
) -> None:
    links: set[str] = set()
    for path in paths:
        answer = site.get(path, language, session)
        assert answer.status_code == (404 if path == "/there-is-no-such-page" else 200), (path, answer.text)
        for name, value in HEADERS.items():
            assert answer.headers[name] == value, (path, name)
        assert answer.headers["cache-control"] == "no-store", path
        seen = Seen(answer.text)
        if not path.endswith("/now"):
            assert [one["lang"] for one in seen.all("html")] == [TAGS[language]], path
            assert len(seen.all("h1")) == 1 and len(seen.all("main")) == 1, path
            assert all(one.get("src") for one in seen.all("script")), path
        controls = [one for one in seen.all("input") if one["type"] != "hidden"] + seen.all("textarea")
        assert seen.labelled == len(controls), path
        for tag, attributes in seen.elements:
            assert not [name for name in attributes if name == "style" or name.startswith("on")], (path, tag)
            for source in ("src", "action"):
                assert attributes.get(source, "/").startswith("/"), (path, tag)  # type: ignore[union-attr]
        assert {form["method"] for form in seen.all("form")} <= {"post"}, path
        links |= {link["href"] or "" for link in seen.all("a")}
    for target in links:
        if not target.startswith(("#", paths[-1])):
            assert site.get(target, language, session).status_code < 400, target


def test_nothing_is_left_in_english(site: ConsoleSite, session: str, paths: list[str]) -> None:
    sentences = {
        one
        for folder in (FOLDER, CONSOLE_WORDS)
        for one in catalogue("zh", folder)._catalog
        if isinstance(one, str) and len(one) > 5 and "%" not in one  # type: ignore[attr-defined]
    }
    for path in paths:
        if not path.endswith("/health"):  # the doctor's own words, marked as English
            text = " ".join(Seen(site.get(path, "zh", session).text).text)
            assert not {one for one in sentences if one in text}, path


def test_who_has_no_session_sees_nothing(site: ConsoleSite, paths: list[str]) -> None:
    for path in paths[:-1]:
        assert site.get(path).status_code == 401, path


def test_a_form_of_another_site_does_nothing(site: ConsoleSite, session: str, campaigns: dict[str, Campaign]) -> None:
    unsafe = [one.path for one in site.app.router.routes if isinstance(one, Route) and "POST" in (one.methods or ())]  # type: ignore[attr-defined]
    assert len(unsafe) >= 7
    for path in unsafe:
        target = path.replace("{sha256:hex}", campaigns["ready"].sha256)
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}, {}):
            sent = {**headers, "Cookie": f"{SESSION}={session}"}
            answer = HTTP.post(f"{site.url}{target}", data={"once": new_once()}, headers=sent)
            assert answer.status_code == 403 and "did not come from this page" in answer.text, path
    assert not run_requested(site.folder(campaigns["ready"]))


def test_a_form_that_somebody_else_was_shown_does_nothing(
    site: ConsoleSite, session: str, campaigns: dict[str, Campaign]
) -> None:
    unsafe = [one.path for one in site.app.router.routes if isinstance(one, Route) and "POST" in (one.methods or ())]  # type: ignore[attr-defined]
    acts = sorted({*unsafe} - {"/enter", "/logout"})
    assert len(acts) >= 5
    for path in acts:
        target = path.replace("{sha256:hex}", campaigns["ready"].sha256)
        answer = site.post(
            target, session, **{**FILLED, "whose": "w" * 44} if "propose" in path else {"whose": "w" * 44}
        )
        assert answer.status_code == 409 and "opened by somebody else" in answer.text, path
    assert not run_requested(site.folder(campaigns["ready"]))


# --- what is shown


def test_what_lenders_said_and_why_is_shown_as_text(
    site: ConsoleSite, session: str, campaigns: dict[str, Campaign]
) -> None:
    page = site.get(f"/campaigns/{campaigns['rejected'].sha256}", session=session).text
    assert "the budget &lt;b&gt;is&lt;/b&gt; too large" in page and "Model &lt;four&gt;" in page
    text = " ".join(" ".join(Seen(page).text).split())
    assert "cedar said no before every lender had said yes" in text
    assert "aspen : not answered yet" in text and "/launch" not in page and "/stop" not in page


def test_who_was_lost_and_why_and_what_was_spent_is_shown(
    site: ConsoleSite, session: str, campaigns: dict[str, Campaign]
) -> None:
    page = site.get(f"/campaigns/{campaigns['stopped'].sha256}", session=session).text
    text = " ".join(" ".join(Seen(page).text).split())
    assert "birch at release 3, attempt 1" in text and "birch did not answer" in text
    assert "Release 2 of 5" in text and "fewer than the campaign's threshold" in text
    assert f"{site.status(campaigns['stopped']).epsilon_spent:.3f} of 1 spent" in text
    course = page[page.index('<ol class="course"') :]
    assert course.count('<li class="made">') == 2 and course.count('<li class="open">') == 3, "none is made now"
    assert course.count('class="lost"') == 1 and "1 attempt lost" in text
    first = " ".join(" ".join(Seen(site.get("/", session=session).text).text).split())
    assert "1 time, last on" in first and "birch did not answer" in first


def test_a_card_that_was_altered_is_not_believed(
    site: ConsoleSite, session: str, campaigns: dict[str, Campaign]
) -> None:
    path = f"/campaigns/{campaigns['released'].sha256}/card"
    page = site.get(path, session=session).text
    assert "checked by this server" in page and "is the one that the card names" in page
    file = site.folder(campaigns["released"]) / CARD_FILE
    token = file.read_text(encoding="utf-8")
    assert site.get(f"{path}/model-card.jws", session=session).text == token
    header, body, _ = token.split(".")
    try:
        file.write_text(f"{header}.{body}.{'A' * 86}", encoding="utf-8")
        assert "it does not verify" in site.get(path, session=session).text
        other = ModelCard.claimed(token).model_copy(update={"campaign_sha256": campaigns["ready"].sha256})
        file.write_text(other.sign(site.house.coordinator().key), encoding="utf-8")
        page = site.get(path, session=session).text
        assert "about another campaign than this one" in page and '<section class="error">' in page
    finally:
        file.write_text(token, encoding="utf-8")
    assert ModelCard.claimed(token).campaign_sha256 == campaigns["released"].sha256


def test_a_card_of_an_earlier_version_is_shown(site: ConsoleSite, session: str, campaigns: dict[str, Campaign]) -> None:
    """Its evaluation says neither who was held out nor who could not be told of."""
    file = site.folder(campaigns["released"]) / CARD_FILE
    token = file.read_text(encoding="utf-8")
    names = ("bad_rate", "auc", "ks", "ece", "observed_to_expected")
    told = {name: {"value": 0.5, "error": 0.1} for name in names} | {"people": {"value": 400.0, "error": 9.0}}
    few = dict.fromkeys(names) | {"people": {"value": 20.0, "error": 9.0}}
    segments = [{"name": "everybody", **told}, {"name": "thin file", **few}]
    old = {"segments": segments, "psi_score": None, "psi_features": {}}
    card = ModelCard.claimed(token).model_copy(update={"evaluation": old})
    try:
        file.write_text(card.sign(site.house.coordinator().key), encoding="utf-8")
        answer = site.get(f"/campaigns/{campaigns['released'].sha256}/card", session=session)
    finally:
        file.write_text(token, encoding="utf-8")
    assert answer.status_code == 200 and "checked by this server" in answer.text
    assert "0.500 ± 0.100" in answer.text and "Too few people to tell of" in answer.text


def test_who_is_connected_is_what_the_service_saw_lately(site: ConsoleSite, session: str) -> None:
    assert "service does not run" in site.get("/now", session=session).text
    keep_connections(site.home, {"aspen": True, "birch": False})
    page = site.get("/now", session=session).text
    assert page.count("Connected since") == 1 and page.count("Not connected since") == 1
    first = read_connections(site.home, site.house.clock())
    assert first is not None
    until(lambda: now() > first.nodes["birch"].since, "a second has passed")  # times are whole seconds
    keep_connections(site.home, {"aspen": True, "birch": True})
    again = read_connections(site.home, site.house.clock())
    assert again is not None and again.nodes["aspen"] == first.nodes["aspen"]
    assert again.nodes["birch"].since > first.nodes["birch"].since
    assert read_connections(site.home, again.seen_at + STALE + timedelta(seconds=1)) is None
    (site.home / CONNECTIONS_FILE).unlink()


def test_budgets_are_what_attempts_cost_and_what_is_reserved(
    site: ConsoleSite, session: str, campaigns: dict[str, Campaign]
) -> None:
    page = site.get("/budgets", session=session).text
    spent = site.status(campaigns["stopped"]).epsilon_spent
    assert f">{spent:.3f}</td>" in page and ">1.000</td>" in page


def test_the_doctor_is_asked(site: ConsoleSite, session: str) -> None:
    assert "签名密钥" in site.get("/health", "zh", session).text
    page = site.get("/health", session=session).text
    assert "not in order" in page and "coordinator.crt" in page, "the house has no certificate"


# --- what is done


def test_only_what_can_be_done_is_done_and_what_is_recorded_is_shown(
    site: ConsoleSite, session: str, campaigns: dict[str, Campaign]
) -> None:
    for name, act in (("released", "launch"), ("rejected", "launch"), ("ready", "stop"), ("ready", "resume")):
        assert site.get(f"/campaigns/{campaigns[name].sha256}/{act}", session=session).status_code == 409
    assert site.post(f"/campaigns/{campaigns['rejected'].sha256}/launch", session).status_code == 409
    assert not run_requested(site.folder(campaigns["rejected"]))
    assert site.post(f"/campaigns/{campaigns['released'].sha256}/resume", session).status_code == 409


def test_a_stop_waits_for_nothing_slow(
    site: ConsoleSite, session: str, campaigns: dict[str, Campaign], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A launch that the registry keeps waiting, and every thread that serves pages waiting with it."""
    hangs, here, went_on = threading.Event(), threading.Semaphore(0), []
    ready, runs = (site.folder(campaigns[one]) for one in ("ready", "stopped"))
    request_run(runs, True)
    write_state(runs, Stage.RUNNING)

    def slow(*_: object) -> None:
        here.release()
        went_on.append(hangs.wait(60))
        raise RegistryUnavailable("away")

    def launch() -> None:
        site.post(f"/campaigns/{ready.name}/launch", session)

    monkeypatch.setattr("screens.console.sight.lenders_answers", slow)
    waiting = [threading.Thread(target=launch) for _ in range(45)]
    try:
        for one in waiting:
            one.start()
        for _ in range(40):
            assert here.acquire(timeout=300)
        asked = site.get(f"/campaigns/{runs.name}/stop", session=session)
        assert asked.status_code == 200 and "Stop" in asked.text
        assert site.post(f"/campaigns/{runs.name}/stop", session).status_code == 303
        assert not run_requested(runs) and not went_on, "it is recorded while they still wait"
    finally:
        hangs.set()
        for one in waiting:
            one.join()
        write_state(runs, Stage.STOPPED, "the test is over")


class TwoPersons(IssuerDoor):
    """A door at which whoever says so is let in: two of them make one act."""

    def staff(self, request: Request, role: str | None = None, fresh: bool = False) -> Staff:
        who = request.headers["x-who"]
        return Staff(who, frozenset({"launch"}), self.clock(), who, self.marks.of(who, who))


def test_two_agree_on_a_campaign_as_it_stands_and_not_as_it_stood(site: ConsoleSite) -> None:
    look, origin = site.app.state.look, "https://console.example"  # type: ignore[attr-defined]
    people = [StaffMember(subject=one, name=one, roles=frozenset({"launch"})) for one in ("wang", "chen")]
    listed = StaffList(issuer=LoginIssuer(issuer="https://login.example", client_id="c"), people=tuple(people))
    door = TwoPersons(look, now, httpx.AsyncClient(), origin, lambda: listed)
    pages = CampaignPages(look, door, ConsoleSight(site.home, now))
    route = Route("/campaigns/{sha256:hex}/launch", pages.launch, methods=["POST"])
    client = TestClient(shell(look, origin, [route]), base_url=origin, follow_redirects=False)
    campaign = site.proposed(id="agreed", title="Agreed")
    folder = site.folder(campaign)

    def launches(who: str) -> bool:
        headers = {"X-Who": who, "Sec-Fetch-Site": "same-origin"}
        form = {"once": new_once(), "whose": door.marks.of(who, who)}
        sent = client.post(f"/campaigns/{campaign.sha256}/launch", data=form, headers=headers)
        assert sent.status_code == 303, sent.text
        return run_requested(folder)

    assert not launches("wang") and not launches("wang"), "one alone is one, however often"
    record_event(folder, {"event": "lost", "lenders": ["birch"], "release": 1})
    assert not launches("chen"), "what wang had asked for stood otherwise"
    assert launches("wang")


def test_a_campaign_that_lacks_a_yes_is_not_launched(site: ConsoleSite, session: str) -> None:
    waits = site.proposed(approve=False, id="waits", title="Waits")
    assert site.post(f"/campaigns/{waits.sha256}/launch", session).status_code == 409
    assert not run_requested(site.folder(waits)) and read_state(site.folder(waits)).stage is Stage.PROPOSED


def test_the_same_form_acts_once(site: ConsoleSite, session: str) -> None:
    one = site.proposed(id="once", title="Once")
    once, folder = new_once(), site.folder(one)
    assert site.post(f"/campaigns/{one.sha256}/launch", session, once=once).status_code == 303
    write_state(folder, Stage.STOPPED, "r")
    again = site.post(f"/campaigns/{one.sha256}/launch", session, once=once)
    assert again.headers["location"] == f"/campaigns/{one.sha256}"
    assert site.post(f"/campaigns/{one.sha256}/launch", session).status_code == 409


# --- proposing


def propose(site: ConsoleSite, session: str, **fields: str) -> httpx.Response:
    return site.post("/propose", session, **{**FILLED, **fields})


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"title": ""}, "This is needed."),
        ({"name": "Spring Model"}, "Lower-case letters, digits and hyphens only"),
        ({"features": ""}, "This is needed."),
        ({"features": "file:../coordinator.json"}, "This is not known here"),
        ({"epsilon": "20"}, "More than the consortium allows."),
        ({"epsilon": "nan"}, "out of range"),
        ({"epsilon": "much"}, "This is not a number."),
        ({"epsilon": "0"}, "There is no plan for this budget"),
        ({"steps": str(MAX_STEPS + 1)}, "out of range"),
        ({"collusion_bound": "2"}, "Two lenders at least must be left who do not collude."),
        ({"hold_out": "0.6"}, "out of range"),
        ({"lender.zelkova": "on"}, "This is not known here"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field_and_what_was_typed_is_kept(
    site: ConsoleSite, session: str, fields: dict[str, str], said: str
) -> None:
    answer = propose(site, session, do="sign", **fields)
    assert answer.status_code == 422 and said in answer.text
    kept = {one.get("name"): one.get("value") for one in Seen(answer.text).all("input")}
    typed = {**FILLED, **fields}
    assert {kept[name] for name in ("title", "name", "epsilon")} == {typed[one] for one in ("title", "name", "epsilon")}
    assert all(one.status.campaign.id != "spring" for one in site.listed())


def test_a_field_that_the_form_does_not_have_is_refused(site: ConsoleSite, session: str) -> None:
    assert propose(site, session, do="sign", purpose="other").status_code == 422


def test_the_price_is_the_plan_that_is_signed_and_signing_twice_proposes_once(site: ConsoleSite, session: str) -> None:
    price = site.post("/propose/price", session, **FILLED)
    assert "Epsilon 0.5 per borrower at most" in price.text and "<html" not in price.text
    look = propose(site, session, do="check")
    assert look.status_code == 200 and "Sign this campaign?" in look.text and "late, income, grade" in look.text
    hidden = {str(one["name"]): str(one["value"]) for one in Seen(look.text).all("input") if one["name"] != "once"}
    assert {name: hidden[name] for name in FILLED} == FILLED
    once = new_once()
    signed, again = (site.post("/propose", session, **{**hidden, "do": "sign", "once": once}) for _ in range(2))
    assert signed.status_code == 303 and signed.headers["location"] == again.headers["location"]
    (made,) = [one for one in site.listed() if one.status.campaign.id == "spring"]
    plan = made.status.campaign.mechanism
    assert f"{len(plan.releases)} releases and {plan.spare_attempts} spare attempts, among 3 lenders" in price.text
    with site.house.coordinator().registry() as registry:
        assert registry.proposed(made.sha256).campaign == made.status.campaign
    shown = site.get(signed.headers["location"], session=session).text
    assert "Waits for the yes of aspen, birch and cedar." in shown or "aspen, birch" in shown


def test_a_warm_start_is_ticked_priced_looked_at_and_signed(
    site: ConsoleSite, session: str, campaigns: dict[str, Campaign]
) -> None:
    earlier = campaigns["released"]
    asked = {"features": f"campaign:{earlier.sha256}", "warm_start": "on", "name": "warm", "steps": ""}
    price = site.post("/propose/price", session, **{**FILLED, **asked})
    assert "6 releases and 1 spare attempts, among 3 lenders" in price.text
    look = propose(site, session, do="check", **asked)
    assert "Begins with the model of" in look.text and earlier.sha256[:12] in look.text
    hidden = {str(one["name"]): str(one["value"]) for one in Seen(look.text).all("input") if one["name"] != "once"}
    signed = site.post("/propose", session, **{**hidden, "do": "sign", "once": new_once()})
    (made,) = [one for one in site.listed() if one.status.campaign.id == "warm"]
    assert signed.headers["location"] == f"/campaigns/{made.sha256}"
    assert made.status.campaign.begins_with.campaign_sha256 == earlier.sha256
    assert f'href="/campaigns/{earlier.sha256}"' in site.get(signed.headers["location"], session=session).text
    (ticked,) = [one for one in Seen(propose(site, session, **asked).text).all("input") if one["name"] == "warm_start"]
    assert "checked" in ticked


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"features": "file:loans.toml"}, "has released no model to begin with"),
        ({"features": "campaign:ready"}, "has released no model to begin with"),
        ({"features": "campaign:released", "model": "gam"}, "is of another kind"),
    ],
)
def test_what_cannot_be_begun_with_is_said_beside_the_tick(
    site: ConsoleSite, session: str, campaigns: dict[str, Campaign], fields: dict[str, str], said: str
) -> None:
    kind, _, name = fields["features"].partition(":")
    if kind == "campaign":
        fields = {**fields, "features": f"campaign:{campaigns[name].sha256}"}
    answer = propose(site, session, do="check", warm_start="on", **fields)
    assert answer.status_code == 422 and said in answer.text and 'id="wrong-warm_start"' in answer.text


def test_people_are_counted_when_asked_and_only_then(site: ConsoleSite, session: str) -> None:
    assert "not counted today" in propose(site, session, do="price").text
    counted = propose(site, session, do="count")
    assert counted.status_code == 422 and "The budget for counts is spent" in counted.text, "the house sets none aside"


def test_without_an_assessment_nothing_is_signed(site: ConsoleSite, session: str) -> None:
    folder = site.home / "assessments"
    away = folder.rename(site.home / "elsewhere")
    try:
        answer = propose(site, session, do="sign", name="unassessed")
        assert answer.status_code == 422 and "No impact assessment of this home covers it." in answer.text
    finally:
        away.rename(folder)
    assert all(one.status.campaign.id != "unassessed" for one in site.listed())


# --- where it listens


def test_beyond_this_machine_only_with_a_list_of_people(site: ConsoleSite) -> None:
    from screens.console.app import create_console

    for flags in ({"host": "0.0.0.0"}, {"origin": "https://console.example"}):
        with pytest.raises(ValueError, match="name the issuer and the people"):
            create_console(site.home, listening_of(site.home, **flags))
    assert listening_of(site.home).reached_at == "http://127.0.0.1:8723"
    assert listening_of(site.home, host="::1").reached_at == "http://[::1]:8723"
