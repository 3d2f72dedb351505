"""Whatever decisions are made by, as one document each, named by its hash."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

RuleKind = Literal["model", "policy", "law", "release", "exploration", "product", "trial"]
"""``trial``: a model that was tried in shadow (``desk.score_rules.Trial``)."""


@dataclass(frozen=True)
class RuleDocument:
    """Something that decisions are made by, as it is kept."""

    kind: RuleKind
    content: bytes = field(repr=False)

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def secret(self) -> bool:
        return self.kind == "exploration"
