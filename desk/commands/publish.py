"""The principles of a lender's scoring, for everybody: from what is in force now."""

from __future__ import annotations

from typing import Any

from desk.commands.monitor import last_reviewed
from desk.errors import RulesMissing
from desk.lending_rules import ReleasedRules
from desk.office import Desk
from desk.principles import principles
from desk.wording import Tongue


def published(desk: Desk, tongue: Tongue) -> dict[str, Any]:
    """With who the lender is, where it says that (``letter.toml``). Raises RulesMissing: it decides
    by nothing that was released; LawSilent."""
    rules = released(desk)
    model = rules.model
    reviewed = None if model is None else last_reviewed(desk, model.scorer.model_sha256)
    found = principles(rules, desk.wording, desk.now().date(), reviewed, tongue)
    return {"lender": desk.ways.letter_end.get(tongue), **found}


def released(desk: Desk) -> ReleasedRules:
    """Raises RulesMissing: the desk decides by nothing that was released."""
    if not isinstance(desk.lending, ReleasedRules):
        raise RulesMissing("this desk decides by rules that were not released, so none are told")
    return desk.lending
