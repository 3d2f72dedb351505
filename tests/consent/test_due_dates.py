"""By when a lender must answer: the law that the consortium keeps counts, whatever its notices name."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from support.market import Market

from consent.commands.receive_requests import due_date
from consent.transaction import reading
from law.bases import LegalBasis
from law.deadlines import due
from law.processing import Processing, SupportingBasis
from protocol.rights import RequestKind

GERMAN = {
    "jurisdiction": ("DE",), "lawful_basis": LegalBasis.GDPR_CONSENT, "storage_locations": ("DE",),
    "bases": dict.fromkeys(Processing, SupportingBasis.GDPR_INTEREST), "written_form": False,
}  # fmt: skip


@pytest.mark.parametrize(("law", "counts"), [("CN", "CN"), ("EU", "EU"), (None, "EU")])
def test_a_notice_that_names_another_law_does_not_make_twenty_days_a_month(market: Market, law, counts):
    """Traced: the consortium kept Chinese law, its notice named Germany, and an objection was due in a month."""
    market.publish(2, **GERMAN)
    legal = {"jurisdiction": law} if law else None
    lawful = replace(market.registry, consortium=market.registry.consortium.model_copy(update={"legal": legal}))
    request = SimpleNamespace(recipient="aspen", asked=SimpleNamespace(kind=RequestKind.OBJECT))
    with reading(lawful) as view:
        assert due_date(view, request, market.clock()) == due("object", counts, market.clock())
