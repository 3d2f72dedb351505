"""Borrowers: people with a key of their own who answer a notice, and may change their mind."""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from crypto.keys import SigningKey
from naming.client import Names
from protocol.consents import Action, Choice, ConsentDecision, Notice
from protocol.enrolment import Enrolment
from protocol.schema import now
from protocol.terms import TRAINING_PURPOSE, Sensitivity, Terms

Answer = Literal["gives", "refuses", "silent"]
GIVES, REFUSES = 0.86, 0.08
GIVES_SENSITIVE = 0.88

NOTICE_EN = """{lenders} want to train one credit model together, to judge more fairly who can repay a loan. If you
agree, your lender uses your repayment, bureau and identity data on its own computers. Your loan data are not sent to
anybody; the consent registry keeps your answers under a code. What is sent is a sum over many borrowers with random
noise (differential privacy, epsilon {epsilon:g} at most, delta {delta}). Your lender knows whether you were in it.
Whoever sees the sums and would otherwise guess that with even odds is right {guess:g} times in 100 at most, but for a
chance of delta. Income and similar data are used only if you agree to that as well. You can say no, and you can
withdraw at any time: from then on your data are not used in any new round. What was learnt before stays in the model,
with an influence bounded by the figure above. Saying no changes nothing in your contract."""

NOTICE_ZH = """{lenders}希望共同训练一个信用模型，以便更公平地判断谁有能力偿还贷款。
如果您同意，您的贷款机构将在其自己的计算机上使用您的还款、征信和身份数据。您的贷款数据不会发送给任何人；
同意登记处以代码保存您的答复。对外发送的只是许多借款人数据加入随机噪声后的总和（差分隐私，epsilon 不超过 {epsilon:g}，
delta 为 {delta}）。您的贷款机构知道您是否在其中；看到这些总和的其他人，若原本只有一半把握猜对您是否在其中，
猜对的机会最多升至 {guess:g}%（delta 的概率除外）。
收入等敏感数据须经您另行单独同意后方可使用。您可以拒绝，也可以随时撤回：撤回后，您的数据不再用于任何新的训练轮次。
此前已经学到的内容会留在模型中，其影响以上述数值为上限。拒绝不会对您的合同产生任何影响。"""


def best_guess(epsilon: float) -> float:
    """How often in 100, rounded up, a guess with even odds about one person can become right under
    epsilon.

    The posterior odds are at most e^epsilon (Wasserman & Zhou 2010,
    https://arxiv.org/abs/0811.2501), but for delta.
    """
    return math.ceil(1e4 / (1 + math.exp(-epsilon))) / 100


def make_notice(lenders: list[str], epsilon: float, delta: str = "0.00001") -> Notice:
    """What the demo's borrowers are shown; the texts state what the consortium's policy allows at
    most."""
    shown = {"epsilon": epsilon, "delta": delta, "guess": best_guess(epsilon)}
    names = [name.title() + " Finance" for name in lenders]
    all_names = ", ".join(names[:-1]) + " and " + names[-1]
    return Notice(
        id="joint-credit-model",
        version=1,
        purpose=TRAINING_PURPOSE,
        recipients=tuple(lenders),
        terms=Terms(
            pii_type={
                "ordinary": (
                    "https://w3id.org/dpv/pd#CreditRecord",
                    "https://w3id.org/dpv/pd#FinancialAccount",
                ),
                "sensitive": ("https://w3id.org/dpv/pd#Income",),
            },
            storage_locations=("at the lender",),
            jurisdiction=("CN",),
            validity_days=365,
        ),
        texts={
            "en": " ".join(NOTICE_EN.split()).format(lenders=all_names, **shown),
            "zh": "".join(NOTICE_ZH.split("\n")).format(lenders="、".join(names), **shown),
        },
        published_at=now(),
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
        """A signed decision with one choice per sensitivity."""
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

    def first_answer(self, notice: Notice, sensitive_asked: bool) -> str:
        """Give or refuse; only those who are not silent have one."""
        given = self.answer == "gives"
        answers: dict[Sensitivity, Action] = {"ordinary": Action.GIVE if given else Action.REFUSE}
        if sensitive_asked:
            answers["sensitive"] = Action.GIVE if given and self.sensitive else Action.REFUSE
        return self.decide(notice, answers)

    def withdrawal(self, notice: Notice, sensitive_asked: bool) -> str:
        """Withdraw everything that was given."""
        answers: dict[Sensitivity, Action] = {"ordinary": Action.WITHDRAW}
        if sensitive_asked and self.sensitive:
            answers["sensitive"] = Action.WITHDRAW
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
