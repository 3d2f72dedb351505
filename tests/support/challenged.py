"""The stand-in's rules with a challenger beside them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from support.counter import HASHES, PlainRules

from lending.cases import PrincipalReason

CHALLENGER = "d" * 64
SECRET_REASON = "only-the-challenger-says-so"


@dataclass
class Challenged(PlainRules):
    """A challenger that sees anybody with a late payment declined; it may fail."""

    installed: bool = True
    fails: Exception | None = None
    less: int = 0

    def challenger(self, product, policy, day):
        assert policy == HASHES.policy
        return CHALLENGER if self.installed else None

    def silently(self, case, challenger):
        assert challenger == CHALLENGER
        if self.fails is not None:
            raise self.fails
        found = self.decide(case)
        if case.facts["late"].value:
            reason = PrincipalReason(SECRET_REASON, "rule")
            return replace(found, outcome="decline", offer=None, reasons=(reason,))
        offer = replace(found.offer, limit=found.offer.limit + 1000, rate_ppm_day=found.offer.rate_ppm_day - self.less)
        return replace(found, offer=offer)
