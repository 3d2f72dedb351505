"""The particulars of a notice: its terms in words, in each language that we can say them in. Pure.

A text that is published begins with them, word for word (``consent.notice_rules``), so that what a
person reads first is what is enforced. Behind them stands whatever the publisher wants to add
(ISO/IEC 29184; GB/T 42574).
"""

from __future__ import annotations

from collections.abc import Mapping

from law.bases import LegalBasis
from law.categories import SENSITIVITIES
from law.processing import BASIS_WORDS, PROCESSING_WORDS, Processing
from law.vocabulary import CONSENT_WORDS, LANGUAGES, words
from protocol.notices import Notice, Recipient, Terms, Words
from protocol.parties import Role
from protocol.terms import BROADER_PURPOSE, TRAINING_PURPOSE, Limits
from protocol.uses import PORTRAIT_PURPOSE, SCORING_PURPOSE
from protocol.watched import WATCHING_PURPOSE

PURPOSES: Mapping[str, tuple[str, str]] = {
    TRAINING_PURPOSE: (
        (
            "To train a model for credit scores together with other lenders: each computes on its "
            "own computers, and sums over many people are put together."
        ),
        "与其他机构联合训练信用模型：各机构在其自己的计算机上计算，并汇总许多人的合计数。",
    ),
    SCORING_PURPOSE: (
        "To judge an application for a loan that you make, with a score.",
        "对您本人提出的贷款申请进行信用评分和审批。",
    ),
    PORTRAIT_PURPOSE: (
        (
            "To sort you, as a customer, into named groups by written rules, and to remind, inform "
            "or talk to you accordingly; no price, no limit and no refusal comes of it."
        ),
        (
            "按照书面规则对您（作为客户）进行命名分组（画像），并据此提醒、告知或联系您；"
            "不会因此决定价格、额度或拒绝。"
        ),
    ),
    WATCHING_PURPOSE: (
        (
            "To watch a model for credit scores together with other lenders, after it was made: "
            "who applies and what becomes of loans, as sums over many people."
        ),
        "与其他机构共同监测已建成的信用模型：申请人群和贷款结果的变化，仅以许多人的合计数体现。",
    ),
    BROADER_PURPOSE: (
        "To judge whether you can repay a loan.",
        "评估您的偿还能力和信用状况。",
    ),
}
"""What each purpose is, in each language. One without words cannot be asked for: nobody would read
what for."""
CONSENTS: Mapping[LegalBasis, tuple[str, str]] = {
    LegalBasis.PIPL_CONSENT: (
        "consent, PIPL article 13(1)(1)",
        "同意，《个人信息保护法》第十三条第一款第一项",
    ),
    LegalBasis.PIPL_SEPARATE_CONSENT: (
        "separate consent, PIPL article 29",
        "单独同意，《个人信息保护法》第二十九条",
    ),
    LegalBasis.GDPR_CONSENT: (
        "consent, GDPR article 6(1)(a)",
        "同意，《通用数据保护条例》（GDPR）第6条第1款(a)项",
    ),
    LegalBasis.GDPR_EXPLICIT_CONSENT: (
        "explicit consent, GDPR article 9(2)(a)",
        "明示同意，《通用数据保护条例》（GDPR）第9条第2款(a)项",
    ),
}
"""What each basis is called, in each language."""
GETS: Mapping[Role, tuple[str, str]] = {
    Role.LENDER: ("uses your data on its own computers", "在其自己的计算机上使用您的数据"),
    Role.REGISTRY: ("keeps your answers under a code", "以代码保存您的答复"),
    Role.COORDINATOR: (
        "gets sums over many people with noise, never your data",
        "只收到许多人数据加入噪声后的总和，不会收到您的数据",
    ),
    Role.AUDITOR: ("can read sealed records of use", "可以查阅加密的使用记录"),
    Role.NAMING: (
        "turns your number into a code without seeing it",
        "在看不到您证件号码的情况下将其转换为代码",
    ),
}
"""What each party does with people's data, in each language."""
CAPACITIES = {
    "handler": ("decides for itself", "个人信息处理者"),
    "joint-handler": ("decides together with the others", "共同处理者"),
    "processor": ("works for the others", "受托人"),
}
HELD_DAYS = 3 * 366
"""How long what somebody signed is held for a court after it is deleted elsewhere: three years, as
records of processing are kept (PIPL 56; 网络数据安全管理条例 12)."""
_RIGHTS = {
    "access": ("see your data", "查阅"),
    "portability": ("get a copy or have it sent on", "复制和转移"),
    "correction": ("have them corrected", "更正"),
    "erasure": ("have them erased", "删除"),
    "withdrawal": ("take your yes back", "撤回同意"),
    "restriction": ("pause their use", "限制处理"),
    "objection": ("object", "异议"),
    "explanation": ("have it explained", "要求解释说明"),
    "review": ("have a person decide", "要求人工复核"),
    "complaint": ("complain", "投诉"),
}
_PERIODS = {
    "day": ("day", "每日"),
    "week": ("week", "每周"),
    "month": ("30 days", "每30日"),
    "year": ("365 days", "每365日"),
}
_SAYS = {
    "purpose": ("What for: {}", "使用目的：{}"),
    "used": ("Used, if you agree: {}.", "经您同意后使用：{}。"),
    "apart": ("Only if you agree to each apart: {}.", "仅在您分别单独同意后使用：{}。"),
    "basis": (
        "Your yes is the basis of that use ({}), and it is tied to nothing else.",
        "该使用以您的同意为依据（{}），且不与其他事项捆绑。",
    ),
    "once": ("They are used once.", "仅使用一次。"),
    "one-application": (
        "They are used for one application of yours, its checks and its review included.",
        "仅用于您的一次贷款申请，包括对该申请的核实和人工复核。",
    ),
    "sometimes": (
        "They are used {times} times in each {per} at most.",
        "{per}最多使用{times}次。",
    ),
    "some-applications": (
        (
            "They are used for {times} applications of yours in each {per} at most, the checks "
            "and the review of each included."
        ),
        "{per}最多用于您的{times}次贷款申请，包括对各次申请的核实和人工复核。",
    ),
    "often": (
        "They are used as often as that needs, for as long as your yes lasts.",
        "在同意有效期内，按上述目的所需的次数使用。",
    ),
    "not-before": ("Facts from before {} are not used.", "不使用{}之前的信息。"),
    "not-after": ("Facts from after {} are not used.", "不使用{}之后的信息。"),
    "fresh": (
        "A fact is used for {} days after it was recorded.",
        "每项信息自记录之日起{}天内使用。",
    ),
    "beside": ("Without being asked: {}.", "无需您同意的处理：{}。"),
    "resting": ("{} ({})", "{}（{}）"),
    "necessity": ("Why sensitive data are needed: {}", "使用敏感信息的必要性：{}"),
    "effect": ("What that does to your rights: {}", "对您个人权益的影响：{}"),
    "consequences": ("What may follow from giving them: {}", "可能产生的不利后果：{}"),
    "machine": (
        "A machine may decide about you alone; you can ask for a person.",
        "可能仅由机器作出决定；您有权要求人工复核。",
    ),
    "person": ("No machine decides about you alone.", "不会仅由机器对您作出决定。"),
    "recipient": (
        "{name} ({contact}; {capacity}{officer}) {gets}.",
        "{name}（{contact}；{capacity}{officer}）{gets}。",
    ),
    "kept": (
        (
            "Kept for {days} days at most, in {places}, then deleted or made anonymous; your "
            "answers, {days} days after the last of them ended. Once they are deleted, what you "
            f"signed is kept {HELD_DAYS} days more, sealed so that registry and auditor can open "
            "it only together, for a court. Keyed hashes of the codes for you stay as long as "
            "budgets are counted: if you come back, you are asked anew and counted once."
        ),
        (
            "最长保存{days}天，存储地点：{places}，到期后删除或匿名化；"
            "您的答复在最后一项同意终止{days}天后删除。删除后，您签署的内容另行加密保存"
            f"{HELD_DAYS}天，仅供诉讼使用，须由登记处与审计方共同才能打开。"
            "代表您的代码的带密钥哈希值在计算隐私预算期间继续保留：您再次加入时将重新征得您的同意，且只计一次。"
        ),
    ),
    "officer": ("; data protection officer: {}", "；个人信息保护负责人：{}"),
    "logic": ("How a decision comes about: {}", "作出决定的方式：{}"),
    "children": ("For children under 14: {}", "不满十四周岁未成年人：{}"),
    "lasts": ("Your yes ends after {} days.", "您的同意在{}天后到期。"),
    "written": ("A yes must be in writing.", "同意须以书面形式作出。"),
    "read": (
        (
            "A yes on a screen counts once this was shown for {} seconds, to its end, with a "
            "control for each choice."
        ),
        "在屏幕上作出的同意，须在本告知展示满{}秒、浏览至末尾并就每一项单独选择后方为有效。",
    ),
    "rights": ("You can: {}.", "您有权：{}。"),
    "withdraw": ("Taking your yes back: {}", "撤回同意的方式：{}"),
    "free": (
        "Saying no, or taking it back, changes nothing in your contract.",
        "拒绝或撤回同意不影响您的合同。",
    ),
    "ends": (
        "Taking your yes back ends scoring and profiles; a loan that you have goes on as agreed.",
        "撤回后，停止评分和画像；您已有的贷款仍按合同履行。",
    ),
    "apart_from_training": (
        "This is not a yes to training models, which is asked for apart.",
        "本同意不包括训练模型，训练模型须另行征得您的同意。",
    ),
    "ends_groups": (
        (
            "Taking your yes back takes you out of every group at once; a loan that you have goes "
            "on as agreed. You can object to one group alone, without a reason."
        ),
        "撤回后，立即将您移出所有分组；您已有的贷款仍按合同履行。您也可以只反对某一个分组，无需说明理由。",
    ),
    "apart_from_scoring": (
        "This is not a yes to scoring or to training models, which are asked for apart.",
        "本同意不包括信用评分或训练模型，二者须另行征得您的同意。",
    ),
    "complain": ("Complaints: {}", "投诉渠道：{}"),
}
_AND = ("; ", "；")
_OF_PURPOSE: Mapping[str, tuple[str, ...]] = {
    SCORING_PURPOSE: ("ends", "apart_from_training"),
    PORTRAIT_PURPOSE: ("ends_groups", "apart_from_scoring"),
}


def printed(said: Words) -> dict[str, str]:
    """What people read of it in each of our languages; the first of several tags of one."""
    return {
        language: text
        for tag, text in sorted(said.items(), reverse=True)
        if (language := spoken(tag))
    }


def spoken(language: str) -> str | None:
    """Ours of the languages that a tag (RFC 5646) begins with; None where we cannot say it."""
    primary = language.lower().split("-")[0]
    return primary if primary in LANGUAGES else None


def _said(language: str, sentence: str, *given: str, **named: str | int) -> str:
    return _SAYS[sentence][LANGUAGES.index(language)].format(*given, **named)


def _recipient(language: str, one: Recipient) -> str:
    at = LANGUAGES.index(language)
    return _said(
        language,
        "recipient",
        name=one.name,
        contact=one.contact,
        capacity=CAPACITIES[one.capacity][at],
        officer=_said(language, "officer", one.officer) if one.officer else "",
        gets=GETS[one.role][at],
    )


def _categories(language: str, terms: Terms) -> list[str]:
    at = LANGUAGES.index(language)
    asked = terms.asked()
    named = {
        kind: _AND[at].join(words(one, language) for one in asked[kind])
        for kind in SENSITIVITIES
        if kind in asked
    }
    ordinary = [_said(language, "used", named.pop("ordinary"))] if "ordinary" in named else []
    apart = [
        f"{CONSENT_WORDS[kind][at]} ({them})" if kind == "sensitive" else CONSENT_WORDS[kind][at]
        for kind, them in named.items()
    ]
    return ordinary + ([_said(language, "apart", _AND[at].join(apart))] if apart else [])


def _beside(language: str, terms: Terms) -> list[str]:
    """What is done without being asked, each with its basis."""
    at = LANGUAGES.index(language)
    rests = [
        _said(language, "resting", PROCESSING_WORDS[what][at], BASIS_WORDS[terms.bases[what]][at])
        for what in Processing
        if what in terms.bases
    ]
    return [_said(language, "beside", _AND[at].join(rests))] if rests else []


def _limits(language: str, limits: Limits, about: str) -> list[str]:
    """How far the use goes: what one use is depends on what for."""
    scoring = about == SCORING_PURPOSE
    if limits.fetch_type == "one-time":
        often = _said(language, "one-application" if scoring else "once")
    elif limits.frequency is not None:
        per = _PERIODS[limits.frequency.per][LANGUAGES.index(language)]
        sentence = "some-applications" if scoring else "sometimes"
        often = _said(language, sentence, times=limits.frequency.times, per=per)
    else:
        often = _said(language, "often")
    bounds = (
        ("not-before", limits.data_from),
        ("not-after", limits.data_to),
        ("fresh", limits.data_life_days),
    )
    return [often, *(_said(language, name, str(one)) for name, one in bounds if one is not None)]


def particulars(notice: Notice, language: str) -> str:
    """What for, and everything that the terms state, as sentences. ``language``: one of ours
    (``law.vocabulary``)."""
    terms, about = notice.terms, notice.purpose
    at = LANGUAGES.index(language)

    def own(sentence: str, said: Words) -> list[str]:
        text = printed(said).get(language)
        return [_said(language, sentence, text)] if text else []

    sentences = [
        *([_said(language, "purpose", PURPOSES[about][at])] if about in PURPOSES else []),
        *_categories(language, terms),
        _said(language, "basis", CONSENTS[terms.lawful_basis][at]),
        *_limits(language, terms.limits, about),
        *_beside(language, terms),
        *own("necessity", terms.necessity),
        *own("effect", terms.effect),
        *own("consequences", terms.adverse_consequences),
        _said(language, "machine" if terms.automated_decision else "person"),
        *own("logic", terms.logic),
        *own("children", terms.children),
        *(_recipient(language, one) for one in terms.recipients),
        _said(
            language,
            "kept",
            days=terms.retention_period_days,
            places=", ".join(terms.storage_locations),
        ),
        *([_said(language, "lasts", str(terms.validity_days))] if terms.validity_days else []),
        *([_said(language, "written")] if terms.written_form else []),
        *([_said(language, "read", str(terms.reading_seconds))] if terms.reading_seconds else []),
        _said(language, "rights", _AND[at].join(_RIGHTS[one][at] for one in terms.privacy_rights)),
        *own("withdraw", terms.withdrawal_method),
        _said(language, "free"),
        *(_said(language, one) for one in _OF_PURPOSE.get(about, ())),
        *own("complain", terms.complaint),
    ]
    return (" " if language == "en" else "").join(sentences)


def with_particulars(notice: Notice) -> Notice:
    """The notice with its particulars before whatever its texts say; in a language that we cannot
    say them in, as it is."""
    texts = dict(notice.texts)
    for tag, text in notice.texts.items():
        if (language := spoken(tag)) and not text.startswith(particulars(notice, language)):
            texts[tag] = f"{particulars(notice, language)}\n\n{text}"
    return notice.model_copy(update={"texts": texts})
