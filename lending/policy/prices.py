"""By what nobody's price is set: kinds of data that the law table of the day names. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date

from law.categories import DataCategory
from law.packs import spoken_of
from lending.law.rows import Laws
from lending.policy.document import PolicyDocument

PRICE_NOT_BY = "price.not-by"
"""The row of the law table that names them (互联网信息服务算法推荐管理规定 21)."""


def unfair_price(
    said: PolicyDocument, held: Mapping[str, Collection[DataCategory]], day: date, laws: Laws
) -> str | None:
    """Why a policy may not set prices as it does on ``day``, through its tiers too; None if it may.

    A fact is of the kinds that the policy declares, that its words name, and that its source says:
    ``held``, by fact.
    """
    row = laws.find(said.jurisdiction, PRICE_NOT_BY, day)
    if row is None:
        return None
    read = {name for one in said.tables["pricing"].rows for name in one.when}
    if "tier" in read:
        read |= {name for one in said.tables["tiers"].rows for name in one.when}
    for name in sorted(read & said.facts.keys()):
        fact = said.facts[name]
        kinds = {*fact.categories, *spoken_of(name, fact.about), *held.get(name, ())}
        if by := kinds & set(row.words):
            return f"policy {said.id!r} sets prices by {name!r}, {min(by)}: {row.article} bars that"
    return None
