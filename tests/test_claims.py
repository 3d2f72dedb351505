"""Say what is true (invariant 9): what the product tells people about withdrawal and privacy."""

from __future__ import annotations

from pathlib import Path

from demo.borrowers import make_notice
from server.card import ModelCard

ROOT = Path(__file__).resolve().parent.parent


def test_a_model_card_says_that_influence_is_bounded_and_never_that_it_is_gone():
    limits = " ".join(ModelCard.model_fields["limits"].default)
    assert "bounded influence" in limits
    assert "unlearn" not in limits.lower()


def test_the_notice_says_what_a_withdrawal_does_and_does_not_do():
    notice = make_notice(["aspen", "birch"], 1.0)
    assert "stays in the model" in notice.texts["en"]
    assert "会留在模型中" in notice.texts["zh"]
    assert "epsilon 1 " in notice.texts["en"]


def test_nothing_we_publish_claims_that_a_model_unlearns():
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "demo" / "report.html"]:
        for line in path.read_text(encoding="utf-8").splitlines():
            if "unlearn" in line.lower():
                assert "not" in line.lower() or "never" in line.lower(), f"{path.name}: {line}"
