"""What a form of staff sends besides what is filled in."""

from __future__ import annotations

from typing import Any

from screens.house.forms import new_once
from screens.house.staff import OPERATOR


def own_form(app: Any, who: str = OPERATOR, /, **fields: str) -> dict[str, str]:
    """As whoever has the code was shown it."""
    return {"once": new_once(), "whose": app.state.door.marks.of("", who), **fields}
