"""What can be trained."""

from __future__ import annotations

from typing import Literal

Kind = Literal["scorecard", "gam", "mlp"]
