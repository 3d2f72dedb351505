"""What lenders and the registry do not open: whoever was chosen, too many, another's, twice."""

from __future__ import annotations

import pytest
from support.sampling import Sampling, changed
from support.world import pseudonym

from auditlog.sample_draws import draws
from clients.errors import NodeError
from clients.sampling import open_sample, verified_draw
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
