"""What everybody may know of how a lender scores and decides (互联网信息服务算法推荐管理规定 16):
purpose, basic principles and main mechanism, from what is in force on a day. Pure.

Of the model it tells families of features in the order of their weight; no weight, no bound of a
bin, no cut-off of a policy and nobody's data stand in it. Engineering, not legal advice.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from datetime import date
from importlib.resources import files
from itertools import product as each_with_each
from typing import Any

from credit.bands import BANDS
from credit.scaling import HIGHEST, LOWEST
from desk.errors import RulesMissing
from desk.lending_rules import ReleasedRules
from desk.score_rules import ScoreRules
from desk.wording import Tongue, Wording
from law.deadlines import deadlines
from law.packs import Jurisdiction
from law.vocabulary import words
from lending.law.features import barred
from lending.policy.document import DERIVED, CreditPolicy
from lending.score.compiled import LookUp
from lending.terms.products import Product

RIGHTS = ("review", "refuse-automated", "explain", "object", "correct", "complain")
"""Kinds of request (``protocol.rights``) by which somebody answers a score, or a decision by it."""
_SAID: Mapping[str, Mapping[str, str]] = tomllib.loads(
    (files("desk") / "words.toml").read_text(encoding="utf-8")
)["principles"]


def principles(
    rules: ReleasedRules, wording: Wording, day: date, reviewed: date | None, tongue: Tongue
) -> dict[str, Any]:
    """As of a day, in a language.

    Args:
        reviewed: until which day the model was last looked at.

    Raises:
        LawSilent: the law table does not say what may not be used on that day.
    """
    model = rules.model
    told = ["consent"] if model is None else ["consent", "formula", "trained"]
    places = {wording.jurisdiction, *(() if model is None else model.schema.jurisdictions)}
    return {
        "as_of": day.isoformat(),
        "language": tongue,
        "jurisdiction": wording.jurisdiction,
        "purpose": _say("purpose", tongue),
        "principles": [
            _say(one, tongue, low=LOWEST, high=HIGHEST)
            for one in (*told, "rules" if model else "no_model")
        ],
        "model": None if model is None else _model(model, reviewed, tongue),
        "never_used": list(_never(rules, places, day, tongue)),
        "products": [_product(rules, one, day, tongue) for one in _offered(rules)],
        "rights": [_right(one, wording.jurisdiction, day, tongue) for one in RIGHTS],
    }


def _say(key: str, tongue: Tongue, **values: object) -> str:
    return _SAID[key][tongue].format(**values)


def weights(look_up: LookUp) -> dict[str, float]:
    """By feature, how far it moves the log-odds of people as the model's binning counts them, in
    the mean: what families are put in order by, and what nobody is told."""
    shares = [table.frequency for table in look_up.tables]
    found = [
        sum(share * abs(moved) for share, moved in zip(shares[at], table.deviations, strict=False))
        for at, table in enumerate(look_up.tables)
    ]
    for pair in look_up.pairs:
        sides = (pair.first, pair.first_shares), (pair.second, pair.second_shares)
        ways = each_with_each(enumerate(shares[pair.first]), enumerate(shares[pair.second]))
        for (row, one), (column, other) in ways:
            at, beside = pair.first_levels[row], pair.second_levels[column]
            for feature, moved in sides:
                found[feature] += one * other * abs(moved[at][beside])
    return dict(zip((table.name for table in look_up.tables), found, strict=True))


def _families(model: ScoreRules, tongue: Tongue) -> list[dict[str, Any]]:
    """The one that counts most first; of equal ones the first in the model's order."""
    together: dict[str, float] = {}
    kinds: dict[str, set[str]] = {}
    made_of = {one.name: one.categories for one in model.schema.features}
    for feature, weight in weights(model.scorer.look_up).items():
        family = model.glossary.families.get(feature, feature)
        together[family] = together.get(family, 0.0) + weight
        named = {words(kind, tongue) for kind in made_of[feature]}
        kinds.setdefault(family, set()).update(named)
    return [
        {"name": model.glossary.words[family][tongue], "made_of": sorted(kinds[family])}
        for family in sorted(together, key=lambda one: -together[one])
    ]


def _model(model: ScoreRules, reviewed: date | None, tongue: Tongue) -> dict[str, Any]:
    card = model.card
    return {
        "kind": None if card is None else card.model,
        "sha256": model.scorer.model_sha256,
        "released_on": None if card is None else card.released_at.date().isoformat(),
        "reviewed_as_of": None if reviewed is None else reviewed.isoformat(),
        "lowest": LOWEST,
        "highest": HIGHEST,
        "bands": [
            {
                "name": getattr(BANDS.band(int(one["least"])), tongue),
                "from": one["least"],
                "to": one["most"],
            }
            for one in BANDS.table()
        ],
        "families": _families(model, tongue),
    }


def _never(
    rules: ReleasedRules, places: set[Jurisdiction], day: date, tongue: Tongue
) -> Iterator[dict[str, str]]:
    for place in sorted(places):
        for kind, found in barred(place, day, rules.pricing.laws).items():
            yield {"name": words(kind, tongue), "jurisdiction": place, "law": found.row.article}


def _offered(rules: ReleasedRules) -> list[Product]:
    return [rules.pricing.products[name] for name in sorted(rules.pricing.products)]


def policy_of(rules: ReleasedRules, product: str, day: date) -> CreditPolicy | None:
    """What decides about a product on a day; None where nothing is decided."""
    try:
        sha256 = rules.versions(product, day).policy
    except RulesMissing:
        return None
    return next(one for one in rules.policies if one.hash == sha256)


def _product(rules: ReleasedRules, one: Product, day: date, tongue: Tongue) -> dict[str, Any]:
    policy = policy_of(rules, one.name, day)
    told: dict[str, Any] = {"product": one.name, "name": getattr(one, tongue), "policy": None}
    if policy is None:
        return told
    said = policy.document
    explored = said.exploration if rules.exploration_key and rules.model else None
    return {
        **told,
        "policy": {
            "id": said.id,
            "version": said.version,
            "sha256": policy.hash,
            "valid_from": said.valid_from.isoformat(),
            "valid_until": said.valid_until.isoformat(),
        },
        "decided_by": "person" if rules.model is None else "machine",
        "explored_ppm": 0 if explored is None else explored.share_ppm,
        "price_depends_on": _price_reads(policy, tongue),
    }


def _price_reads(policy: CreditPolicy, tongue: Tongue) -> list[str]:
    """In kinds of data: which fact it is would be a way to choose one's price."""
    found: set[str] = set()
    for axis in policy.tables["pricing"].axes:
        if axis.fact in {"score", "tier", "neutral"}:
            found.add(_say("score", tongue))
        elif axis.fact in DERIVED:
            found.add(_say("loan", tongue))
        elif axis.fact != "product":
            kinds = policy.document.facts[axis.fact].categories
            found |= {words(kind, tongue) for kind in kinds} or {_say("unlisted", tongue)}
    return sorted(found)


def _right(right: str, place: Jurisdiction, day: date, tongue: Tongue) -> dict[str, Any]:
    """``answered_within``: None where our table of the place has no day for it."""
    found = (
        one
        for one in deadlines()
        if one.jurisdiction == place and right in one.rights and one.in_force(day)
    )
    due = next(found, None)
    within = None
    if due is not None:
        number = {"count": due.count, "unit": due.unit, "law": due.article}
        within = {**number, "set_by": "policy" if due.policy else "law"}
    return {"right": right, "name": _say(right, tongue), "answered_within": within}


def in_words(told: Mapping[str, Any], tongue: Tongue) -> str:
    """What :func:`principles` found, as people read it; a thought a line."""
    return "\n".join(_lines(told, tongue)) + "\n"


def _lines(told: Mapping[str, Any], tongue: Tongue) -> Iterator[str]:
    yield _say("title", tongue)
    yield _say("as_of", tongue, day=told["as_of"])
    yield told["purpose"]
    yield from told["principles"]
    if told["model"] is not None:
        yield from _model_lines(told["model"], tongue)
    yield _say("never", tongue)
    yield from (f"- {one['name']} ({one['law']})" for one in told["never_used"])
    yield _say("products", tongue)
    yield from (f"- {'; '.join(_product_words(one, tongue))}" for one in told["products"])
    yield _say("rights", tongue)
    for one in told["rights"]:
        due = one["answered_within"]
        within = "" if due is None else f": {_say(due['unit'], tongue, **due)} ({due['law']})"
        yield f"- {one['name']}{within}"
    yield _say("ask", tongue)


def _model_lines(model: Mapping[str, Any], tongue: Tongue) -> Iterator[str]:
    kind = _say(model["kind"] or "unknown", tongue)
    day = model["released_on"] or _say("unknown", tongue)
    yield _say("model", tongue, kind=kind, day=day, sha256=model["sha256"])
    seen = model["reviewed_as_of"]
    yield _say("unreviewed" if seen is None else "reviewed", tongue, day=seen)
    yield _say("bands", tongue)
    yield from (f"- {one['from']}-{one['to']}: {one['name']}" for one in model["bands"])
    yield _say("families", tongue)
    for number, one in enumerate(model["families"], 1):
        yield f"{number}. {one['name']} ({', '.join(one['made_of'])})"


def _product_words(one: Mapping[str, Any], tongue: Tongue) -> Iterator[str]:
    policy = one["policy"]
    if policy is None:
        yield _say("undecided", tongue, name=one["name"])
        return
    yield _say("product", tongue, name=one["name"], since=policy["valid_from"], **policy)
    yield _say(one["decided_by"], tongue)
    if one["explored_ppm"]:
        yield _say("exploration", tongue, share=one["explored_ppm"])
    what = ", ".join(one["price_depends_on"]) or _say("same", tongue)
    yield _say("price", tongue, what=what)
