"""A house whose released model is watched: people asked for that purpose too, applicants in a file, campaigns."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
from support.house import House, InMemoryFleet

from clients.data.description import APPLICANTS_FILE
from consent.notice_text import with_particulars
from crypto.keys import replace_file
from demo.assessing import make_assessment
from protocol.assessments import ImpactAssessment, campaign_categories
from protocol.notices import Notice
from protocol.schema import now
from protocol.watched import APPROVED, WATCHING_PURPOSE
from server.assessments import record
from server.fleet_app import release_card
from server.folders import CAMPAIGN_FILE
from server.run import CampaignRun
from server.watching import WatchAsked

SINCE = date(2026, 10, 1)
UNTIL = date(2026, 11, 1)
DESCRIPTION = """kind = "parquet"
path = "applicants.parquet"
person = "pseudonym"
latest_by = "applied_on"
"""


def watching_notice(house: House) -> Notice:
    """The house's notice for the purpose of watching."""
    texts = {"en": "We watch the model together.", "zh": "我们共同监测模型。"}
    changed = {"id": "joint-model-monitoring", "purpose": WATCHING_PURPOSE, "texts": texts, "published_at": now()}
    return with_particulars(Notice.model_validate({**house.notice.model_dump(), **changed}))


def ask_for_watching(house: House, but: tuple[str, ...] = ()) -> Notice:
    """Publish the notice; everybody who gives for training gives for this too, but for some."""
    notice = watching_notice(house)
    operator = house.founded.operator(house.url)
    operator.publish_notice(notice, house.founded.registry_key)
    operator.close()
    answers = [
        person.first_answer(notice)
        for people in house.borrowers.values()
        for person in people
        if person.answer == "gives" and person.pseudonym not in but
    ]
    house.anyone().decide(answers)
    coordinator = house.coordinator()
    made = make_assessment("coordinator", campaign_categories(house.campaign.features), now())
    said = {**made.model_dump(), "id": "watching", "purpose": WATCHING_PURPOSE}
    record(coordinator, ImpactAssessment.model_validate(said))
    folder = coordinator.folder(house.campaign.sha256)
    replace_file(folder / CAMPAIGN_FILE, house.campaign_token.encode())
    return notice


def model_to_watch(house: House) -> None:
    """A model was released, everybody was asked to have it watched, and applicants are in files."""
    house.activate(epsilon=0.5)
    watched(house)
    ask_for_watching(house)
    write_applicants(house)


def applicants(names: list[str], seed: int) -> pd.DataFrame:
    """One row each: even ones applied within the period, odd ones in the month before."""
    rng = np.random.default_rng(seed)
    count = len(names)
    days = [SINCE + timedelta(days=int(at)) if at % 2 == 0 else SINCE - timedelta(days=3) for at in range(count)]
    return pd.DataFrame(
        {
            "pseudonym": names,
            "applied_on": days,
            "late": rng.poisson(0.7, count),
            "income": rng.lognormal(8, 0.6, count),
            "grade": rng.choice(["a", "b", "c"], count),
            APPROVED: rng.integers(0, 2, count),
        }
    )


def write_applicants(house: House) -> dict[str, pd.DataFrame]:
    """At every lender; everybody on its books applied."""
    tables = {}
    for seed, (lender, people) in enumerate(house.borrowers.items()):
        home = house.founded.node_home(lender)
        tables[lender] = applicants([person.pseudonym for person in people], seed)
        tables[lender].to_parquet(home / "applicants.parquet")
        (home / APPLICANTS_FILE).write_text(DESCRIPTION, encoding="utf-8")
    return tables


def watch_asked(house: House, kind: str = "intake", **chosen: Any) -> WatchAsked:
    options = {"since": SINCE, "until": UNTIL} | chosen
    trained = getattr(house, "trained", house.campaign)
    return WatchAsked.of(house.coordinator(), trained.sha256, kind, **options)


def begin_watching(house: House, kind: str = "intake", **chosen: Any) -> None:
    """Propose such a campaign and have every lender approve it."""
    from fleet.code import installed_code
    from server.assessments import assessed

    coordinator = house.coordinator()
    planned = watch_asked(house, kind, **chosen).campaign("coordinator", installed_code(), "0" * 64, now())
    campaign = assessed(coordinator, planned, None, now())
    house.propose(campaign)
    replace_file(coordinator.folder(campaign.sha256) / CAMPAIGN_FILE, house.campaign_token.encode())
    assert house.approve_all()


def watched(house: House, fleet: InMemoryFleet | None = None) -> Any:
    """Run it to its card."""
    coordinator = house.coordinator()
    run = CampaignRun(coordinator, house.campaign, fleet or InMemoryFleet(house), lambda _: None, lambda _: None)
    fold = run.execute()
    release_card(coordinator, house.campaign, fold)
    return fold
