"""Say what is true (invariant 9): what the product tells people about withdrawal and privacy."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from support.notices import some_consortium

from consent.claims import CLAIMS, untrue
from consent.commands.hold_evidence import KEPT
from consent.retention import rules
from demo.borrowers import best_guess, make_notice
from demo.report import NOT_PRIVATE
from demo.scoring_notice import make_scoring_notice
from law.categories import DataCategory
from protocol.cards import ModelCard

ROOT = Path(__file__).resolve().parent.parent
CONSORTIUM = some_consortium("aspen", "birch")


def test_a_model_card_says_that_influence_is_bounded_and_never_that_it_is_gone():
    limits = " ".join(ModelCard.model_fields["limits"].default)
    assert "bounded influence" in limits
    assert "unlearn" not in limits.lower()


def test_the_notice_says_what_a_withdrawal_does_and_does_not_do():
    notice = make_notice(CONSORTIUM, ["aspen", "birch"], 1.0)
    assert "stays in the model" in notice.texts["en"]
    assert "会留在模型中" in notice.texts["zh"]
    assert "epsilon 1 " in notice.texts["en"]


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 8.0])
def test_the_notice_states_what_somebody_who_guesses_can_gain(epsilon):
    """Not "nobody can tell": the odds can move by a factor e^epsilon, and the lender knows."""
    texts = make_notice(CONSORTIUM, ["aspen", "birch"], epsilon).texts
    best = 100 * math.exp(epsilon) / (1 + math.exp(epsilon))
    assert best <= best_guess(epsilon) <= best + 0.0101
    for text in texts.values():
        assert f"{best_guess(epsilon):g}" in text and f"{epsilon:g}" in text and "0.00001" in text
    assert "Your lender knows" in texts["en"] and "您的贷款机构知道" in texts["zh"]


def test_the_notice_says_that_a_no_changes_nothing_in_the_contract():
    """PIPL 16: nobody is refused a product for refusing or withdrawing a consent that it does not need."""
    texts = make_notice(CONSORTIUM, ["aspen", "birch"], 1.0).texts
    assert "Saying no, or taking it back, changes nothing in your contract." in texts["en"]
    assert "拒绝或撤回同意不影响您的合同。" in texts["zh"]


TOLD = [
    *(path for room in ("consent/api", "cli", "credit", "law") for path in (ROOT / room).glob("*.py")),
    *(ROOT / name for name in ("consent/export.py", "consent/commands/export_consents.py", "protocol/records.py")),
    *(ROOT / name for name in ("consent/person.html", "consent/export.html", "consent/person_page.py")),
    *(ROOT / name for name in ("compliance/duties.toml", "consent/notice_text.py", "demo/portal.py")),
]
"""What people read of the code: descriptions of calls and commands, pages, notices."""
PUBLISHED = [ROOT / "SECURITY.md", ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), ROOT / "demo" / "report.html"]


NOTICES = (
    make_notice(CONSORTIUM, ["aspen", "birch"], 1.0),
    make_scoring_notice(CONSORTIUM, ["aspen", "birch"], [DataCategory.INCOME]),
)


@pytest.mark.parametrize("notice", NOTICES, ids=lambda one: one.id)
def test_every_notice_says_what_is_kept_after_everything_else_is_gone(notice):
    """Traced: "kept for 30 days at most", and what somebody had signed was held for 1,098 days more."""
    for said, text in (
        (f"what you signed is kept {KEPT.days} days more", notice.texts["en"]),
        ("registry and auditor can open it only together", notice.texts["en"]),
        ("Keyed hashes of the codes for you stay as long as budgets are counted", notice.texts["en"]),
        (f"您签署的内容另行加密保存{KEPT.days}天", notice.texts["zh"]),
        ("带密钥哈希值在计算隐私预算期间继续保留", notice.texts["zh"]),
    ):
        assert said in text
    kept = {one.of: one for one in rules()}
    assert "while budgets are counted" in str(kept["registry.tombstones"].keep)


@pytest.mark.parametrize("notice", NOTICES, ids=lambda one: one.id)
def test_no_notice_of_ours_says_what_is_not_so(notice):
    assert [untrue(text) for text in notice.texts.values()] == [None, None]


@pytest.mark.parametrize("claim", CLAIMS)
def test_nothing_we_publish_claims_more_than_is_true(claim):
    said = {path.name: path.read_text(encoding="utf-8") for path in PUBLISHED}
    said |= make_notice(CONSORTIUM, ["aspen", "birch"], 1.0).texts
    said |= {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in TOLD}
    for where, text in said.items():
        assert not re.search(claim, " ".join(text.split()), re.IGNORECASE), f"{where}: {CLAIMS[claim]}"


def test_exact_figures_of_the_demo_are_marked_wherever_they_stand():
    page = (ROOT / "demo" / "report.html").read_text(encoding="utf-8")
    for heading in ("How good is it", "Who said yes", "Rosters, step by step", "The data and the mechanism"):
        _, _, after = page.partition(f"<h2>{heading}</h2>")
        assert "not private, for the demo only" in after[:200], heading
    assert "not private, for the demo only" in NOT_PRIVATE["note"]


def test_nothing_we_publish_claims_that_a_model_unlearns():
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "demo" / "report.html"]:
        for line in path.read_text(encoding="utf-8").splitlines():
            if "unlearn" in line.lower():
                assert "not" in line.lower() or "never" in line.lower(), f"{path.name}: {line}"
