"""Rules that must all hold, each a function: None where it holds, in words why where it does not.
Pure.

>>> def is_even(number: int) -> str | None:
...     return f"{number} is odd" if number % 2 else None
>>> first_broken([is_even], 3)
('IsEven', '3 is odd')
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

S = TypeVar("S")
Rule = Callable[[S], str | None]


def rule_name(rule: Rule[S]) -> str:
    """The name of a rule in refusals: ``NoLessNoise`` for ``no_less_noise``."""
    return rule.__name__.title().replace("_", "")


def first_broken(rules: Sequence[Rule[S]], subject: S) -> tuple[str, str] | None:
    """Name and reason of the first rule that does not hold; None where all hold."""
    for rule in rules:
        reason = rule(subject)
        if reason is not None:
            return rule_name(rule), reason
    return None
