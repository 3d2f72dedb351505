"""What people are shown before a lender scores their application: a notice of its own, apart from
the one of training, in Chinese and English.

It is engineering, not legal advice.
"""

from __future__ import annotations

from collections.abc import Sequence

from consent.notice_text import with_particulars
from demo.borrowers import BASES, CHILDREN, COMPLAINT, WITHDRAWAL, recipients_of
from law.categories import DataCategory
from protocol.notices import Notice, Terms, Words
from protocol.parties import Consortium, Role
from protocol.schema import now
from protocol.uses import SCORING_PURPOSE

SCORING_EN = """{lenders}, each for itself, want to work out whether and on what terms to lend to
you when you apply for a loan. If you agree, the lender that you apply to gathers the data named
below about you, works out a score from 350 to 950 with a model and decides by rules of its own; it
may sort applicants into groups for that. Before anything is read, and before a decision takes
effect, it is recorded in a log that nobody can rewrite unnoticed; what is public of the record
names nobody and does not say what was decided, and you are given a receipt of it. You are told the
reasons, and what would have changed them. You can ask for a person to decide instead of the
machine, beforehand or afterwards. You can allow one kind of data and refuse another: what you
refuse is never counted against you."""

SCORING_ZH = """{lenders}（各自独立）希望在您申请贷款时，评估是否以及以何种条件向您放款。
如果您同意，您所申请的贷款机构将收集下列与您有关的数据，使用模型计算350至950分的信用评分，并按其自身规则作出决定；
为此可能对申请人进行分组（画像）。在读取任何数据之前、在决定生效之前，都会记入一份任何改写都会被发现的日志；
该记录的公开部分不含您的身份，也不含决定内容，并会向您提供回执。您会被告知决定的理由，以及哪些情况不同会改变结果。
您可以事先或事后要求由人工而非机器作出决定。您可以同意使用一类数据而拒绝另一类：拒绝提供的数据不会对您产生不利评价。"""

NECESSITY: Words = {
    "en": "how much you can repay depends on what you earn and own.",
    "zh": "您能够偿还多少取决于您的收入和财产状况。",
}
EFFECT: Words = {
    "en": "they weigh in the score, and so in whether you are lent to, how much and at what price.",
    "zh": "这些信息会影响您的评分，从而影响是否放款、额度和价格。",
}
CONSEQUENCES: Words = {
    "en": "a low income or few assets can lead to a smaller loan, a higher price or a refusal.",
    "zh": "收入较低或财产较少可能导致额度降低、价格升高或申请被拒绝。",
}

LOGIC: Words = {
    "en": "points for what is known of you add up to a score, and a written policy turns score, "
    "income and the law of the day into yes or no, limit and price.",
    "zh": "根据已知信息计分并相加得出评分；"
    "再由书面政策根据评分、收入及当日法律规定决定是否放款、额度和价格。",
}


def make_scoring_notice(
    consortium: Consortium, lenders: Sequence[str], categories: Sequence[DataCategory]
) -> Notice:
    """What the demo's applicants are shown; what may be used stands in the particulars."""
    recipients = [
        one.model_copy(update={"capacity": "handler"}) if one.role is Role.LENDER else one
        for one in recipients_of(consortium, lenders)
    ]
    terms = Terms(
        categories=tuple(dict.fromkeys((DataCategory.REPAYMENT, *categories))),
        automated_decision=True,
        recipients=tuple(one for one in recipients if one.role is not Role.COORDINATOR),
        necessity=NECESSITY,
        effect=EFFECT,
        adverse_consequences=CONSEQUENCES,
        logic=LOGIC,
        children=CHILDREN,
        bases=BASES,
        complaint=COMPLAINT,
        withdrawal_method=WITHDRAWAL,
        written_form=True,
        collection_method="from the lender's own accounts, and from the sources that it names",
        storage_locations=("CN",),
        jurisdiction=("CN",),
        validity_days=365,
    )
    names = [consortium.party(lender).name for lender in lenders]
    return with_particulars(
        Notice(
            id="application-scoring",
            version=1,
            purpose=SCORING_PURPOSE,
            recipients=tuple(lenders),
            terms=terms,
            texts={
                "en": " ".join(SCORING_EN.split()).format(lenders=", ".join(names)),
                "zh": "".join(SCORING_ZH.split("\n")).format(lenders="、".join(names)),
            },
            published_at=now(),
        )
    )
