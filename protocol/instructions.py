"""Instructions for whoever uses a released model, in English and Chinese: all of it from the signed
card. Pure.

What Annex IV and article 13 of the AI Act ask of the maker (intended purpose and users, accuracy
per group, limits, cut-offs, oversight, robustness, maintenance), and 征信业务管理办法 29 of scores.
The card stays what counts. Engineering, not legal advice. No node imports this.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from law.vocabulary import LANGUAGES
from protocol.cards import ModelCard

EVALUATED_AGAIN = timedelta(days=365)
"""By then it is evaluated anew or used no more."""
_FIGURES = ("bad_rate", "auc", "ks", "ece", "observed_to_expected")
_SAYS: Mapping[str, tuple[str, str]] = {
    "title": (
        "# Instructions for use: {title}",
        "# 使用说明：{title}",
    ),
    "whose": (
        (
            "Model {model} of campaign {campaign}, card {card}, released {day} by the joint "
            "training of {lenders}."
        ),
        "模型{model}，训练活动{campaign}，模型卡{card}，{day}由{lenders}联合训练发布。",
    ),
    "purpose": (
        "## What it is for, and whose hands it is for",
        "## 用途与使用者",
    ),
    "users": (
        (
            "For credit officers and risk staff of the lenders named above, who know its card. "
            "It estimates the probability that a borrower of these lenders does not repay. "
            "Purpose: {purpose}; legal basis of the training: {basis}. Consent was given to "
            "training: a decision about somebody needs its own basis, reasons, and a person to "
            "turn to."
        ),
        (
            "供上述机构中了解其模型卡的信贷与风险管理人员使用，用于估计这些机构的借款人不还款的概"
            "率。目的：{purpose}；训练的合法性依据：{basis}。同意仅针对训练：对个人作出决定须有独"
            "立的依据、理由和人工渠道。"
        ),
    ),
    "not_for": (
        (
            "Not for: employment, insurance, prices of anything but credit, people of other "
            "countries or products than were trained on, or a refusal that no person looks at."
        ),
        (
            "不得用于：招聘、保险、信贷以外的定价、训练范围以外的国家或产品的人群，以及无人复核的"
            "拒绝。"
        ),
    ),
    "inputs": (
        "## What goes in",
        "## 输入",
    ),
    "features": (
        (
            "{count} features, by the names and ranges of the campaign's schema: {features}. A "
            "missing value is a value of its own; numbers outside a public range are clamped to "
            "it."
        ),
        (
            "{count}个特征，名称和范围见训练活动的特征定义：{features}。缺失值按单独取值处理；超出"
            "公开范围的数值截断至边界。"
        ),
    ),
    "accuracy": (
        "## How good it is, and for whom",
        "## 准确性（按人群）",
    ),
    "unmeasured": (
        ("Not measured: nobody was held out. Do not use it before you have evaluated it yourself."),
        "未评估：没有留出人群。请自行评估之前不要使用。",
    ),
    "segment": (
        "- {name} (about {people:,.0f} people): {figures}",
        "- {name}（约{people:,.0f}人）：{figures}",
    ),
    "too_few": (
        "too few people to say",
        "人数过少，无法评估",
    ),
    "errors": (
        (
            "Figures are of people nobody trained on, and of people trained on where each could "
            "be scored as if left out; two standard errors of noise and sampling behind ±."
        ),
        (
            "数据来自未参与训练的人群，以及可按未参与训练方式评分的训练人群；±之后为两倍标准误差（含"
            "噪声与抽样误差）。"
        ),
    ),
    "untold": (
        "Too few people were held out to tell of: {names}. Evaluate the model on them yourself.",
        "留出人数过少，无法评估以下人群：{names}。请自行对其评估。",
    ),
    "noise": (
        "Figures are of people nobody trained on, two standard errors of the noise behind ±.",
        "数据来自未参与训练的人群；±之后为两倍噪声标准误差。",
    ),
    "cut_off": (
        "## Where to cut off",
        "## 临界值",
    ),
    "break_even": (
        (
            "A loan pays while the probability of bad is below gain / (gain + loss): gain is "
            "what a good loan earns you, loss what a bad one costs. That is yours to work out; "
            "the model does not know your prices."
        ),
        (
            "当不还款概率低于 收益÷(收益+损失) 时放款才有利：收益为正常贷款的收入，损失为不良贷款"
            "的成本。该值由贵机构计算，模型不了解贵机构的定价。"
        ),
    ),
    "band": (
        (
            "Probabilities of everybody miss by {ece:.3f} on average, {most:.3f} at two errors: "
            "let a person decide within {most:.3f} of your cut-off. Of all, {bad:.1%} were bad."
        ),
        (
            "全体概率平均偏差{ece:.3f}（两倍误差为{most:.3f}）：距临界值{most:.3f}以内应由人工决定"
            "。全体中{bad:.1%}为不良。"
        ),
    ),
    "worse": (
        (
            "For {names} it ranks worse than for everybody by more than the noise: decide by "
            "hand, or with a cut-off of their own that you evaluated."
        ),
        "对{names}，其排序能力低于全体且超出噪声：请人工决定，或使用经评估的单独临界值。",
    ),
    "none_worse": (
        "No group that could be measured ranks worse than everybody by more than the noise.",
        "可评估的人群中，没有排序能力低于全体且超出噪声的。",
    ),
    "oversight": (
        "## Who watches",
        "## 人工监督",
    ),
    "watch": (
        (
            "Somebody who can overrule it looks at every refusal, gives reasons, and is told who "
            "asked for a review. Any lender named above, and the coordinator, can stop it for "
            "everybody: `tahini model recall`. Before each use `tahini model verify` says "
            "whether it was; without it, people decide."
        ),
        (
            "每一次拒绝均由有权推翻结果的人员审查并说明理由，并及时处理复核请求。上述任一机构和协"
            "调方均可为所有人停用该模型：`tahini model recall`。每次使用前用 `tahini model "
            "verify` 检查是否已被召回；停用期间由人工决定。"
        ),
    ),
    "robust": (
        "## What it withstands, and what not",
        "## 稳健性与安全",
    ),
    "withstands": (
        (
            "Privacy: epsilon {epsilon:g} at delta {delta:g} per {unit}, over {releases} "
            "releases. The file is safetensors: nothing in it can execute. Not withstood: a "
            "lender that adds something else than it signed to its masked share cannot be seen; "
            "scores move when people change what they report. Compare with your own model on "
            "your own rows first."
        ),
        (
            "隐私：{releases}次发布合计，每{unit} epsilon {epsilon:g}、delta {delta:g}。文件为 "
            "safetensors，不含可执行内容。不能抵御：机构在掩码份额中加入与所签不符的内容无法被发现"
            "；申报内容变化会改变评分。请先用自有数据与自有模型对比。"
        ),
    ),
    "maintain": (
        "## How to keep it",
        "## 维护",
    ),
    "until": (
        (
            "Evaluate it anew by {day}, and whenever a feature's PSI passes 0.25; else use it no "
            "more. A withdrawal ends new training on somebody's data and leaves bounded "
            "influence here. Keep card, log entry and these instructions for ten years (AI Act "
            "18). Log each use before it happens."
        ),
        (
            "最迟于{day}重新评估；任一特征 PSI 超过 0.25 时亦须重新评估，否则停止使用。撤回同意后"
            "不再用于新的训练，在本模型中的影响有上限。模型卡、日志条目和本说明保存十年（AI Act 第"
            "18条）。每次使用前先记录日志。"
        ),
    ),
    "limits": (
        "## Limits, in the card's words",
        "## 局限（模型卡原文）",
    ),
}


_LIMITS_ZH = {
    "A withdrawal ends all new use and leaves bounded influence (the recorded epsilon) in this "
    "model.": "撤回同意后停止一切新的使用；在本模型中留有有限的影响（以记录的 epsilon 为上限）。",
    "Quality figures here are of the noisy sum over held-out people; their errors are those of the "
    "noise.": "质量数据来自留出人群的加噪总和，其误差为噪声误差。",
    "Quality figures here are of noisy sums over people held out, and trained on as if left out; "
    "their errors are those of noise and sampling.": "质量数据来自留出人群和按未参与训练方式评分的"
    "训练人群的加噪总和，其误差含噪声与抽样误差。",
}
"""What cards say by default (``protocol.cards``)."""


def instructions(card: ModelCard, language: str) -> str:
    """The page, as Markdown. ``language``: one of ``law.vocabulary``'s."""
    at = LANGUAGES.index(language)

    def say(sentence: str, **named: Any) -> str:
        return _SAYS[sentence][at].format(**named)

    lenders = ", ".join(card.lenders)
    whose = {"model": card.model, "campaign": card.campaign_sha256[:12], "card": card.sha256[:12]}
    again = (card.released_at + EVALUATED_AGAIN).date().isoformat()
    cost = {"epsilon": card.epsilon, "delta": card.delta, "releases": card.releases}
    paragraphs = [
        say("title", title=card.campaign_title),
        say("whose", **whose, day=f"{card.released_at:%Y-%m-%d}", lenders=lenders),
        say("purpose"),
        say("users", purpose=card.purpose, basis=card.legal_basis),
        say("not_for"),
        say("inputs"),
        say("features", count=len(card.features), features=", ".join(card.features)),
        say("accuracy"),
        *_accuracy(card, say),
        say("cut_off"),
        say("break_even"),
        *_cut_off(card, say),
        say("oversight"),
        say("watch"),
        say("robust"),
        say("withstands", **cost, unit=card.unit_of_privacy),
        say("maintain"),
        say("until", day=again),
        say("limits"),
        "\n".join(f"- {_limit(one, language)}" for one in card.limits),
    ]
    return "\n\n".join(paragraphs) + "\n"


def _limit(said: str, language: str) -> str:
    """In the card's words, which are signed; in Chinese besides, where we can say it."""
    known = _LIMITS_ZH.get(said) if language == "zh" else None
    return said if known is None else f"{known}（{said}）"


def _accuracy(card: ModelCard, say: Any) -> list[str]:
    if card.evaluation is None:
        return [say("unmeasured")]
    lines = []
    for segment in card.evaluation["segments"]:
        figures = ", ".join(
            f"{name} {segment[name]['value']:.3f} ± {2 * segment[name]['error']:.3f}"
            for name in _FIGURES
            if segment.get(name) is not None
        )
        people = segment["people"]["value"]
        told = figures or say("too_few")
        lines.append(say("segment", name=segment["name"], people=people, figures=told))
    untold = ", ".join(card.evaluation.get("untold", ()))
    errors = say("errors" if "held_out" in card.evaluation else "noise")
    told = ["\n".join(lines)] if lines else []
    return [*told, *([say("untold", names=untold)] if untold else []), errors]


def _cut_off(card: ModelCard, say: Any) -> list[str]:
    """What follows from the figures: how far probabilities miss, and for whom it ranks worse."""
    segments = (card.evaluation or {}).get("segments", ())
    everybody = segments[0] if segments and segments[0]["name"] == "everybody" else {}
    found = []
    if everybody.get("ece") and everybody.get("bad_rate"):
        ece, error = everybody["ece"]["value"], everybody["ece"]["error"]
        bad = everybody["bad_rate"]["value"]
        found.append(say("band", ece=ece, most=ece + 2 * error, bad=bad))
    if everybody.get("auc"):
        names = [one["name"] for one in segments[1:] if _ranks_worse(one, everybody)]
        found.append(say("worse", names=", ".join(names)) if names else say("none_worse"))
    return found


def _ranks_worse(segment: Mapping[str, Any], everybody: Mapping[str, Any]) -> bool:
    """By more than two standard errors of both figures."""
    mine, all_of_them = segment.get("auc"), everybody["auc"]
    if mine is None:
        return False
    noise = (mine["error"] ** 2 + all_of_them["error"] ** 2) ** 0.5
    return bool(mine["value"] + 2 * noise < all_of_them["value"])
