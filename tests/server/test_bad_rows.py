"""A campaign whose lenders have bad rows: the coordinator sees answers, lengths and events as without them."""

from __future__ import annotations

import pandas as pd
import pytest
from support.effort import part_of
from support.house import InMemoryFleet

from server.run import CampaignRun

KINDS = {
    "nothing": "",
    "no outcome": "{who},1,2.0,a,\n",
    "a third outcome": "{who},1,2.0,a,2\n",
    "an outcome that is no number": "{who},1,2.0,a,maybe\n",
    "the same person twice": "{who},1,2.0,a,1\n{who},2,3.0,b,0\n",
    "a comma too many": "{who},1,2.0,a,1,\n",
    "a comma too few": "{who},1,2.0,a\n",
    "an open quotation mark": '{who},"1,2.0,a,1\n',
    "no text at all": "\x00\x01\n",
    "numbers beyond numbers": "{who},1e999,-1e999,a,1\n",
    "nobody": ",1,2.0,a,1\n",
}


@pytest.mark.parametrize("kind", part_of(list(KINDS), 0.2))
def test_what_the_coordinator_sees_does_not_depend_on_a_bad_row(active, kind):
    whose = {}
    for lender in active.borrowers:
        home = active.founded.node_home(lender)
        book = pd.read_parquet(home / "book.parquet").rename(columns={"pseudonym": "who"})
        whose[lender] = active.consenting(lender)[0].pseudonym
        book = book.loc[book["who"] != whose[lender], ["who", "late", "income", "grade", "bad"]]
        (home / "book.parquet").unlink()
        text = book.to_csv(index=False) + KINDS[kind].format(who=whose[lender])
        (home / "loans.csv").write_text(text, encoding="utf-8")
        description = 'kind = "csv"\npath = "loans.csv"\nperson = "who"\n'
        (home / "data.toml").write_text(description, encoding="utf-8")
    events: list[dict] = []
    fleet = InMemoryFleet(active)
    CampaignRun(active.coordinator(), active.campaign, fleet, events.append, lambda _: None).execute()
    releases = active.campaign.mechanism.releases
    assert [event["event"] for event in events] == ["joined", *["release"] * len(releases)]
    assert [set(seen) for seen in fleet.seen] == [set(active.borrowers)] * len(releases)
    for seen in fleet.seen:
        assert len({len(words) for words in seen.values()}) == 1
