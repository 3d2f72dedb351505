"""What a consortium does with a person beside what they are asked for, and by what right. Pure.

A use in training rests on consent, and on nothing else (``law.bases``). What comes before an answer
and beside it does not: a person who is silent, or says no, stands in the registry too. Which basis
that has is the consortium's to state; these are the ones that it can state.
"""

from __future__ import annotations

from enum import StrEnum

_GDPR = "https://w3id.org/dpv/legal/eu/gdpr#"
_PIPL = "https://w3id.org/tahini/law/cn/pipl#"


class Processing(StrEnum):
    """One kind of processing that no consent is asked for."""

    ENROLMENT = "enrolment"
    """A code is made of a person's number, put on a lender's roll, and linked to their codes at
    other lenders, before they answer."""
    ANSWERS = "answers"
    """Answers, withdrawals and uses are recorded, under the code, in registry and log."""
    BUDGET = "budget"
    """How often a person was used is counted over all lenders, so that it stays bounded."""
    REQUESTS = "requests"
    """Requests, complaints and incidents are handled."""


class SupportingBasis(StrEnum):
    """By what right, where it is not consent."""

    PIPL_CONTRACT = _PIPL + "A13-1-2"
    """Necessary to conclude or perform a contract with the person."""
    PIPL_DUTY = _PIPL + "A13-1-3"
    """Necessary to fulfil a duty under law."""
    GDPR_CONTRACT = _GDPR + "A6-1-b"
    GDPR_DUTY = _GDPR + "A6-1-c"
    GDPR_INTEREST = _GDPR + "A6-1-f"
    """A legitimate interest that the person's do not override; they can object (article 21)."""

    @property
    def jurisdiction(self) -> str:
        """ISO 3166 code; ``EU`` for the Union."""
        return "CN" if self.value.startswith(_PIPL) else "EU"


PROCESSING_WORDS = {
    Processing.ENROLMENT: (
        "giving you a code and linking your codes at several lenders, before you answer",
        "在您答复之前为您生成代码，并关联您在各机构的代码",
    ),
    Processing.ANSWERS: (
        "recording your answers and the uses of your data",
        "记录您的答复以及您的数据的使用情况",
    ),
    Processing.BUDGET: (
        "counting over all lenders how often you were used",
        "跨机构统计您的数据被使用的次数",
    ),
    Processing.REQUESTS: (
        "handling your requests and incidents",
        "处理您的请求和安全事件",
    ),
}
"""In English and Chinese, as ``law.vocabulary.LANGUAGES``."""
BASIS_WORDS = {
    SupportingBasis.PIPL_CONTRACT: (
        "a contract with you, PIPL 13(1)(2)",
        "订立或履行与您的合同所必需，《个人信息保护法》第十三条第一款第二项",
    ),
    SupportingBasis.PIPL_DUTY: (
        "a duty under law, PIPL 13(1)(3)",
        "履行法定义务所必需，《个人信息保护法》第十三条第一款第三项",
    ),
    SupportingBasis.GDPR_CONTRACT: (
        "a contract with you, GDPR 6(1)(b)",
        "履行与您的合同，GDPR 第6条第1款(b)项",
    ),
    SupportingBasis.GDPR_DUTY: (
        "a duty under law, GDPR 6(1)(c)",
        "履行法定义务，GDPR 第6条第1款(c)项",
    ),
    SupportingBasis.GDPR_INTEREST: (
        "a legitimate interest, GDPR 6(1)(f); you can object",
        "正当利益，GDPR 第6条第1款(f)项；您可以反对",
    ),
}
