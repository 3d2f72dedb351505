"""What lenders and the registry do not open: whoever was chosen, too many, another's, twice."""

from __future__ import annotations

import json

import pytest
from support.sampling import Sampling, changed, resigned
from support.world import pseudonym

from auditlog.entry_checks import check_entry
from auditlog.sample_draws import draws
from clients.errors import NodeError
from clients.sampling import open_sample, verified_draw
from consent.commands.forget_subject import forget_subject
from crypto.keys import SigningKey
from crypto.memberships import MAX_MEMBERS
from crypto.rosters import depth_for
from protocol.errors import AuditFailed, ConsentError
from protocol.samples import OpenedSample, cells, seed_of


def test_a_lender_opens_nobody_whom_the_auditor_chose(used):
    sampling = Sampling(used, people=5)
    lender, draw = next(iter(sampling.draws.items()))
    roster = draw.rosters[0]
    others = tuple(at for at in range(1 << depth_for(roster.size)) if at not in roster.cells)
    chosen = others[: len(roster.cells)]
    forged = draw.model_copy(update={"rosters": (roster.model_copy(update={"cells": chosen}),)})
    node, client = used.node(lender), used.client(lender)
    with pytest.raises(NodeError, match="chosen, not drawn"):
        verified_draw(node, client, type(draw).model_validate(forged.model_dump()).sign(used.founded.auditor_key))


def test_a_lender_opens_no_more_than_the_log_announced(used):
    """An auditor that announces little and asks for much, drawn as the log says."""
    sampling = Sampling(used, people=5)
    lender, draw = next(iter(sampling.draws.items()))
    roster = draw.rosters[0]
    seed = seed_of(draw.root, draw.nonce, draw.campaign_sha256)
    more = cells(seed, lender, (roster.release, roster.attempt), roster.size, 6)
    greedy = changed(draw, rosters=[{**roster.model_dump(), "cells": more}])
    with pytest.raises(NodeError, match="more cells than entry"):
        verified_draw(used.node(lender), used.client(lender), greedy.sign(used.founded.auditor_key))


def test_a_lender_opens_nothing_under_another_size_than_its_roster_has(used):
    """With a size of its choice an auditor could try many draws of one seed."""
    sampling = Sampling(used, people=5)
    lender, draw = next(iter(sampling.draws.items()))
    roster = draw.rosters[0]
    for size in (roster.size // 2, roster.size * 2):
        of_another = roster.model_dump() | {"size": size, "cells": (0,)}
        with pytest.raises(NodeError, match="has not the size"):
            open_sample(used.node(lender), changed(draw, rosters=[of_another]))
    beyond = roster.model_dump() | {"cells": (1 << depth_for(roster.size),)}
    with pytest.raises(NodeError, match="has no cell"):
        open_sample(used.node(lender), changed(draw, rosters=[beyond]))


def test_a_draw_by_another_number_or_root_or_hand_is_refused(used):
    sampling = Sampling(used, people=5)
    lender, draw = next(iter(sampling.draws.items()))
    node, client, key = used.node(lender), used.client(lender), used.founded.auditor_key
    with pytest.raises(NodeError, match="announces no such sample"):
        verified_draw(node, client, changed(draw, nonce="0" * 64).sign(key))
    with pytest.raises(NodeError, match="announces no such sample"):
        verified_draw(node, client, changed(draw, entry_index=0).sign(key))
    with pytest.raises(ConsentError):
        verified_draw(node, client, changed(draw, root="0" * 64).sign(key))
    with pytest.raises(Exception, match="signature"):
        verified_draw(node, client, draw.sign(SigningKey.generate()))
    other = next(name for name in used.borrowers if name != lender)
    with pytest.raises(NodeError, match="is for"):
        verified_draw(used.node(other), used.client(other), draw.sign(key))


def test_the_auditor_cannot_draw_with_another_number_than_it_announced(used):
    sampling = Sampling(used)
    with pytest.raises(AuditFailed, match="with another number"):
        draws(sampling.audit, used.campaign.sha256, sampling.index, "1" * 64)
    with pytest.raises(AuditFailed, match="announces no sample"):
        draws(sampling.audit, used.campaign.sha256, 0, sampling.nonce)


def test_the_registry_opens_nobody_whom_no_lender_opened(used):
    sampling = Sampling(used, people=2)
    lender = next(iter(sampling.draws))
    token, opened = sampling.opened(lender)
    with pytest.raises(Exception, match="signature"):
        sampling.evidence(opened.sign(used.founded.auditor_key))
    with pytest.raises(ConsentError, match="announces no sample"):
        sampling.client.open_evidence(0, token)
    one = opened.rosters[0].cells[0].model_dump()
    everybody = [pseudonym() for _ in range(4 * 2 + MAX_MEMBERS + 1)]
    crowded = [{**one, "names": everybody[:MAX_MEMBERS]}, {**one, "names": everybody[MAX_MEMBERS:]}]
    for greedy in ([one] * 3, crowded):
        roster = {**opened.rosters[0].model_dump(), "cells": greedy}
        more = OpenedSample.model_validate({**opened.model_dump(), "rosters": [roster]})
        with pytest.raises(ConsentError, match="more cells or people than"):
            sampling.evidence(more.sign(used.node(lender).key))


def test_only_auditors_sample(used):
    sampling = Sampling(used)
    token = sampling.opened("cedar")[0]
    answer = used.client("cedar")
    with pytest.raises(ConsentError, match="this call is for"):
        answer._send("POST", "/v1/evidence/samples", {"token": token})
    with pytest.raises(ConsentError, match="this call is for"):
        answer._send("POST", f"/v1/evidence/samples/{sampling.index}/openings", {"token": token})


# --- one sample, one answer


def test_a_sample_is_opened_once_and_asked_again_answered_the_same(used):
    sampling = Sampling(used)
    token = sampling.opened("cedar")[0]
    answer = sampling.evidence(token)
    person = used.consenting("cedar")[0]
    used.withdraw(person)
    assert sampling.evidence(token) == answer, "what came later is nothing to it"
    sampling.verify()
    assert sampling.audit.by_type["evidence.opened"] == 1


def test_nobody_chooses_among_answers_to_one_sample(used):
    """The lender opens the same cells anew, or fewer of them: of another file nothing is opened."""
    sampling = Sampling(used)
    token, opened = sampling.opened("cedar")
    sampling.evidence(token)
    fewer = resigned(opened, lambda cell: cell).model_dump()
    fewer["rosters"] = fewer["rosters"][:1]
    with pytest.raises(ConsentError, match="opened already, as another file shows it"):
        sampling.evidence(OpenedSample.model_validate(fewer).sign(used.node("cedar").key))


def test_an_answer_that_would_be_another_now_is_not_given_again(used):
    """Whoever was erased since would count as forgotten: that is not for somebody to choose."""
    sampling = Sampling(used)
    token, opened = sampling.opened("cedar")
    sampling.evidence(token)
    forget_subject(used.registry, opened.names[0])
    with pytest.raises(ConsentError, match="people were erased since"):
        sampling.evidence(token)


def test_people_who_are_in_no_roster_are_not_drawn_out_of_the_registry(used):
    """A lender that puts other people of its own, or another cell, into what it opens."""
    sampling = Sampling(used)
    opened = sampling.opened("cedar")[1]
    silent = next(p.pseudonym for p in used.borrowers["cedar"] if p.answer == "silent")
    changes = (lambda cell: cell | {"names": (silent,)}, lambda cell: cell | {"salt": "0" * 64})
    for change in changes:
        with pytest.raises(ConsentError, match=r"cell of no roster|in which they do not belong"):
            sampling.evidence(resigned(opened, change).sign(used.node("cedar").key))
    other = opened.model_dump()
    other["rosters"][0]["attempt"] = 9
    with pytest.raises(ConsentError, match="cell of no roster"):
        sampling.evidence(OpenedSample.model_validate(other).sign(used.node("cedar").key))


def test_the_registry_opens_what_its_log_held_when_the_sample_was_announced(used):
    sampling = Sampling(used)
    token, opened = sampling.opened("cedar")
    late = next(p for p in used.consenting("cedar") if p.pseudonym in opened.names)
    used.withdraw(late)
    told = sampling.evidence(token)["people"][late.pseudonym]
    assert told["events"]
    assert all(event["entry_index"] < sampling.index for event in told["events"])


def test_a_sample_that_was_opened_twice_fails_the_audit(used):
    sampling = Sampling(used)
    sampling.evidence(sampling.opened("cedar")[0])
    sampling.verify()
    at, leaf = next(
        (at, json.loads(leaf)) for at, leaf in enumerate(sampling.audit.leaves) if b'"evidence.opened"' in leaf
    )
    with pytest.raises(AuditFailed, match="opened twice for one lender"):
        check_entry(sampling.audit.know, at, leaf)
