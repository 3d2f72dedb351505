"""What a doctor finds has a name, and a reason why it matters, in both languages."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import clients.doctor
import ops.doctor
import server.doctor
from screens.common.findings import LEVELS, LOOKED_AT
from screens.house.words import FOLDER, catalogue

NAMED_FIRST = {"well", "care", "ill", "found", "port", "reached", "service"}
NAMED_THIRD = {"listens"}


def looked_at(source: str) -> Iterator[str]:
    """What the findings of a module are about."""
    for call in ast.walk(ast.parse(source)):
        if isinstance(call, ast.Call):
            name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            at = 0 if name in NAMED_FIRST else 2 if name in NAMED_THIRD else None
            if at is not None and len(call.args) > at and isinstance(call.args[at], ast.Constant):
                yield str(call.args[at].value)


def test_every_finding_of_a_lender_and_a_coordinator_has_a_name() -> None:
    modules = (ops.doctor, clients.doctor, server.doctor)
    found = {one for module in modules for one in looked_at(Path(str(module.__file__)).read_text(encoding="utf-8"))}
    assert found - {"witness port"} == set(LOOKED_AT), "a witness's pages are nobody's"


def test_they_are_said_in_chinese() -> None:
    words = catalogue("zh", FOLDER)
    for english in [*LEVELS.values(), *(one for both in LOOKED_AT.values() for one in both)]:
        assert words.gettext(english) != english, english
