"""What nobody may claim of this consortium, to the people whose data it uses or to anybody else: a
table for notices (``consent.notice_rules``) and for whatever the product publishes
(``tests/test_claims.py``). Pure.

A table of phrases stops what was claimed before, not every way of saying it: who publishes a notice
signs it, and counsel reads it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

CLAIMS: Mapping[str, str] = {
    r"nobody can tell|no one can tell|任何人都无法判断": (
        "an epsilon bounds what can be told; it is not zero"
    ),
    r"your data are not sent to anybody|您的数据不会发送给任何人": (
        "codes and answers go to the registry"
    ),
    r"stands? in one (lender's )?book once": "as far as identity numbers tell",
    r"epsilon 1[^.]{0,60}everything that leaves": (
        "the epsilon of a campaign is over its releases"
    ),
    r"(perfect|complete|absolute)(ly)? (privacy|private|anonym)": "there is a figure for it",
    r"fully (compliant|anonym)|(PIPL|GDPR|AI Act)[- ]compliant|合规认证|完全合规": (
        "nobody has certified it"
    ),
    r"everything .{0,30}\babout (this person|me|you)\b": (
        "the rows that were used are at the lender, not here"
    ),
    r"until (the borrower|a borrower|you) (is|are) forgotten": (
        "consent/retention.toml says what is kept longer"
    ),
    r"destroy my keys": "erasing takes names and history too, and something stays: say what",
    r"guessed strictly": "a guess is a guess; its reason says so, and somebody looks",
    r"never a bundle": "`sensitive` is one yes to several kinds of data",
    r"in the form of ISO": "names follow it; what it makes mandatory is not all there",
    r"PIPL Art\. 55 and 56\)": (
        "the record of processing is part of it; an assessment is a document of its own"
    ),
    r"everything that was done with data": (
        "the log shows training, not what a lender does with a model"
    ),
    r"more fairly|fairer (decision|credit|score)|更公平": "no figure shows that it is fair",
}
"""By pattern, what is true instead."""
_NO = r"\bif you (refuse|say no|decline|withdraw|do ?n[o']t agree|take (it|your yes) back)\b"
_ENDED = (
    r"\b(loan|credit|contract|account)s?\b(?:(?!\b(not|never|no)\b|n[o'’]t\b)[^.]){0,40}"
    r"\b(called (in|back)|ends?|ended|closed|cancell?ed|terminated|due)\b"
)
OF_NOTICES: Mapping[str, str] = {
    r"\bunlearn|忘记您|从模型中(删除|移除|抹去|清除)": (
        "what a model has learnt stays in it, with bounded influence"
    ),
    rf"{_NO}[^.]{{0,60}}{_ENDED}|{_ENDED}[^.]{{0,40}}{_NO}": (
        "a no changes nothing in the contract (PIPL 16)"
    ),
    (
        r"(不同意|拒绝|撤回)[^。]{0,30}(?<!不)(?<!不[会得因])(?<!不会被)(?<!不会[导因][致此])(?<!不会[导因][致此]被)"
        r"(收回|提前到期|终止合同|解除合同|立即还款)"
    ): ("a no changes nothing in the contract (PIPL 16)"),
    (
        r"\b(nothing|none)\b[^.]{0,30}\b(above|below|before)\b[^.]{0,30}\b(appl|count|hold|bind)"
        r"|\b(terms|rights|particulars|text|above|below)\b[^.]{0,40}\bnot apply\b"
    ): "the particulars are what is enforced",
    r"(以上|以下|上述|下述|上列|下列)[^。]{0,20}(不适用|无效|不生效|作废)": (
        "the particulars are what is enforced"
    ),
}
"""What a notice may not say besides."""


def untrue(text: str) -> str | None:
    """What is true instead of the first claim of a notice's text that is not; None where none is
    found. Invisible characters and the width of letters hide nothing."""
    plain = unicodedata.normalize("NFKC", text)
    seen = "".join(one for one in plain if unicodedata.category(one) != "Cf").split()
    for claim, reason in {**CLAIMS, **OF_NOTICES}.items():
        for said in (" ".join(seen), "".join(seen)):
            if found := re.search(claim, said, re.IGNORECASE):
                return f"{found.group()[:80]!r} is not true: {reason}"
    return None
