"""Borrowers: people with a key of their own who answer a notice, and may change their mind."""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from consent.notice_text import with_particulars
from crypto.keys import SigningKey
from law.categories import DataCategory, Sensitivity
from law.processing import Processing, SupportingBasis
from naming.client import Names
from protocol.consents import Action, Choice, ConsentDecision
from protocol.enrolment import Enrolment
from protocol.legal import LegalIdentity
from protocol.notices import Capacity, Notice, Recipient, Terms, Words
from protocol.parties import Consortium, Role
from protocol.schema import now
from protocol.terms import TRAINING_PURPOSE

Answer = Literal["gives", "refuses", "silent"]
GIVES, REFUSES = 0.86, 0.08
GIVES_SENSITIVE = 0.88

NOTICE_EN = """{lenders} want to train one credit model together, to learn who can repay a loan. If you agree,
your lender uses the data named below on its own computers. Your loan data are not sent to anybody; the consent
registry keeps your answers under a code. What is sent is a sum over many borrowers with random noise (differential
privacy, epsilon {epsilon:g} at most, delta {delta}). Your lender knows whether you were in it. Whoever sees the sums
and would otherwise guess that with even odds is right {guess:g} times in 100 at most, but for a chance of delta.
You can say no, and you can withdraw at any time: from then on your data are not used in any new round. What was
learnt before stays in the model, with an influence bounded by the figure above."""

NOTICE_ZH = """{lenders}希望共同训练一个信用模型，以了解谁有能力偿还贷款。
如果您同意，您的贷款机构将在其自己的计算机上使用下列数据。您的贷款数据不会发送给任何人；
同意登记处以代码保存您的答复。对外发送的只是许多借款人数据加入随机噪声后的总和（差分隐私，epsilon 不超过 {epsilon:g}，
delta 为 {delta}）。您的贷款机构知道您是否在其中；看到这些总和的其他人，若原本只有一半把握猜对您是否在其中，
猜对的机会最多升至 {guess:g}%（delta 的概率除外）。
您可以拒绝，也可以随时撤回：撤回后，您的数据不再用于任何新的训练轮次。
此前已经学到的内容会留在模型中，其影响以上述数值为上限。"""

NECESSITY: Words = {
    "en": "how much somebody can repay depends on what they earn and own.",
    "zh": "能够偿还多少取决于收入和财产状况。",
}
EFFECT: Words = {
    "en": "a model that knows them judges everybody by them, you included, when a lender uses it.",
    "zh": "贷款机构使用该模型时，会依据这些信息对包括您在内的所有人进行评估。",
}
CONSEQUENCES: Words = {
    "en": "a low income or few assets can lower what a model says of people like you.",
    "zh": "收入较低或财产较少可能使模型对与您情况相似的人评分较低。",
}
COMPLAINT: Words = {
    "en": "to your lender, or to the local branch of the People's Bank of China.",
    "zh": "可向您的贷款机构或中国人民银行当地分支机构投诉。",
}
WITHDRAWAL: Words = {
    "en": "in the portal, or by any signed request, at any time.",
    "zh": "随时可以在门户中撤回，或以任何签名请求撤回。",
}
CHILDREN: Words = {
    "en": "a guardian answers and shows by what right; all of a child's data are sensitive.",
    "zh": "由监护人作出同意并提供证明；未成年人的全部信息均按敏感个人信息处理。",
}
BASES = dict.fromkeys(Processing, SupportingBasis.PIPL_DUTY)
"""What lenders of the demo state; whether it holds, counsel would say."""
CATEGORIES = (
    DataCategory.REPAYMENT,
    DataCategory.BUREAU,
    DataCategory.IDENTITY,
    DataCategory.INCOME,
)
"""What the demo's own loans are about."""
_CAPACITY: dict[Role, Capacity] = {Role.LENDER: "joint-handler", Role.AUDITOR: "handler"}


def named_officer(stated: LegalIdentity) -> str | None:
    """As a notice names them; None where none is stated."""
    officer = stated.officer
    if officer is None:
        return None
    return ", ".join((officer.name, *officer.contact.model_dump(exclude_none=True).values()))


def best_guess(epsilon: float) -> float:
    """How often in 100, rounded up, a guess with even odds about one person can become right under
    epsilon.

    The posterior odds are at most e^epsilon (Wasserman & Zhou 2010,
    https://arxiv.org/abs/0811.2501), but for delta.
    """
    return math.ceil(1e4 / (1 + math.exp(-epsilon))) / 100


def recipients_of(consortium: Consortium, lenders: Sequence[str]) -> tuple[Recipient, ...]:
    """Everybody of the consortium who gets something of what these lenders hold."""
    return tuple(
        Recipient(
            id=party.id,
            name=party.name,
            role=party.role,
            capacity=_CAPACITY.get(party.role, "processor"),
            contact=f"privacy@{party.id}.example",
            officer=named_officer(LegalIdentity.of(party)),
        )
        for party in consortium.parties
        if party.role is not Role.LENDER or party.id in lenders
    )


def make_notice(
    consortium: Consortium,
    lenders: Sequence[str],
    epsilon: float,
    categories: Sequence[DataCategory] = CATEGORIES,
) -> Notice:
    """What the demo's borrowers are shown; the texts state what the consortium's policy allows at
    most, and the particulars what may be used (``consent.notice_text``)."""
    shown = {
        "epsilon": epsilon,
        "delta": f"{consortium.max_delta:f}".rstrip("0"),
        "guess": best_guess(epsilon),
    }
    names = [name.title() + " Finance" for name in lenders]
    all_names = ", ".join(names[:-1]) + " and " + names[-1]
    terms = Terms(
        categories=tuple(dict.fromkeys((DataCategory.REPAYMENT, *categories))),
        recipients=recipients_of(consortium, lenders),
        necessity=NECESSITY,
        effect=EFFECT,
        adverse_consequences=CONSEQUENCES,
        children=CHILDREN,
        bases=BASES,
        complaint=COMPLAINT,
        withdrawal_method=WITHDRAWAL,
        written_form=True,
        storage_locations=("CN",),
        jurisdiction=("CN",),
        validity_days=365,
    )
    return with_particulars(
        Notice(
            id="joint-credit-model",
            version=1,
            purpose=TRAINING_PURPOSE,
            recipients=tuple(lenders),
            terms=terms,
            texts={
                "en": " ".join(NOTICE_EN.split()).format(lenders=all_names, **shown),
                "zh": "".join(NOTICE_ZH.split("\n")).format(lenders="、".join(names), **shown),
            },
            published_at=now(),
        )
    )


@dataclass(frozen=True)
class DemoBorrower:
    """One account: a person at one lender."""

    lender: str
    pseudonym: str
    ledger_pseudonym: str
    key: SigningKey
    answer: Answer
    sensitive: bool
    language: Literal["en", "zh"]

    @property
    def enrolment(self) -> Enrolment:
        return Enrolment(
            pseudonym=self.pseudonym,
            ledger_pseudonym=self.ledger_pseudonym,
            public_key=self.key.public.text,
        )

    def decide(self, notice: Notice, answers: dict[Sensitivity, Action]) -> str:
        """A signed decision with one choice for each consent."""
        choices = tuple(
            Choice(
                purpose=notice.purpose,
                recipient=self.lender,
                sensitivity=sensitivity,
                action=action,
            )
            for sensitivity, action in answers.items()
        )
        return ConsentDecision(
            pii_principal_id=self.pseudonym,
            notice_id=notice.id,
            notice_version=notice.version,
            notice_language=self.language,
            notice_sha256=notice.text_sha256(self.language),
            choices=choices,
            event_time=now(),
            nonce=secrets.token_urlsafe(16),
        ).sign(self.key)

    def first_answer(self, notice: Notice) -> str:
        """Give or refuse everything that is asked; only those who are not silent have one."""
        given = self.answer == "gives"
        further = Action.GIVE if given and self.sensitive else Action.REFUSE
        answers: dict[Sensitivity, Action] = dict.fromkeys(notice.terms.asked(), further)
        return self.decide(notice, answers | {"ordinary": Action.GIVE if given else Action.REFUSE})

    def withdrawal(self, notice: Notice) -> str:
        """Withdraw everything that was given."""
        answers: dict[Sensitivity, Action] = {"ordinary": Action.WITHDRAW}
        if self.sensitive:
            answers |= dict.fromkeys(notice.terms.asked(), Action.WITHDRAW)
        return self.decide(notice, answers)


def make_borrowers(
    lender: str, people: Sequence[Names], rng: np.random.Generator
) -> list[DemoBorrower]:
    """The borrowers of one lender by their names; ``rng`` fixes their answers, never their keys."""
    draws = rng.random((len(people), 3))
    borrowers = []
    for names, (answer, sensitive, language) in zip(people, draws, strict=True):
        said: Answer = (
            "gives" if answer < GIVES else "refuses" if answer < GIVES + REFUSES else "silent"
        )
        borrowers.append(
            DemoBorrower(
                lender=lender,
                pseudonym=names.pairwise,
                ledger_pseudonym=names.ledger,
                key=SigningKey.generate(),
                answer=said,
                sensitive=bool(sensitive < GIVES_SENSITIVE),
                language="zh" if language < 0.6 else "en",
            )
        )
    return borrowers


def consent_counts(borrowers: Sequence[DemoBorrower]) -> dict[str, int]:
    """Borrowers by what they answer."""
    answers = [person.answer for person in borrowers]
    return {
        "enrolled": len(borrowers),
        "given": answers.count("gives"),
        "refused": answers.count("refuses"),
        "silent": answers.count("silent"),
    }
