"""A person's export as a page that they can read: one file without outside parts, in Chinese or
English."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from protocol.languages import lookup

LANGUAGES = ("en", "zh")
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""Content-Security-Policy of the page: it can load nothing and run nothing."""

_SECTIONS = {
    "accounts": ("Who you are here", "您在此处的登记"),
    "consents": ("What you have agreed to, and what not", "您同意与不同意的内容"),
    "notices": ("What you were asked, word for word", "向您展示的告知原文"),
    "events": ("What happened to your consents", "您的同意的变更记录"),
    "decisions": ("Your decisions and their receipts", "您的决定及回执"),
    "imports": ("What a lender handed in about you", "机构代为提交的记录"),
    "campaigns": ("Trainings in which you had a place", "您被计入的训练活动"),
    "uses": ("Who may have used your data, and when", "何时何人可能使用过您的数据"),
    "requests": ("What you asked your lenders, and their answers", "您的请求及答复"),
    "incidents": ("Incidents with your data", "涉及您数据的安全事件"),
    "budget": ("How much privacy this has cost you", "已使用的隐私预算"),
    "revocations": ("What your lender had to be told", "已通知机构的撤回"),
    "log_entries": ("Entries about you in the audit log", "审计日志中与您有关的条目"),
    "successions": ("Who succeeded whom", "权利义务的承继"),
    "kept_answers": ("Answers kept for a day", "保留一天的应答"),
}
"""Part of the export, and its title in each language."""
_WORDS = {
    "en": {
        "title": "What the registry holds about you",
        "made": "made",
        "none": "nothing",
        "not_here": "Your loans, the figures made of them and what was decided with them are your "
        "lender's: ask it.",
        "json": "The same as a file for programs: format=json",
    },
    "zh": {
        "title": "登记处保存的关于您的信息",
        "made": "生成时间",
        "none": "无",
        "not_here": "您的贷款、由此计算的数据以及据此作出的决定由您的贷款机构保存，请向其查询。",
        "json": "供程序读取的同一内容：format=json",
    },
}


def person_page(found: Mapping[str, Any], ranges: Sequence[str]) -> tuple[str, str]:
    """The page, and the language it is in.

    Args:
        found: ``consent.commands.export_consents.export_all``. ranges: languages that the person
            reads, the most wanted first (``protocol.languages.accepted``).
    """
    language = lookup(ranges, LANGUAGES) or "en"
    at = LANGUAGES.index(language)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    environment.filters["shown"] = _shown
    page = environment.get_template("person.html").render(
        language=language,
        words=_WORDS[language],
        registry=found["registry"],
        made_at=found["exported_at"],
        sections=[(titles[at], _items(found[name])) for name, titles in _SECTIONS.items()],
    )
    return page, language


def _items(part: Any) -> list[Mapping[str, Any]]:
    """The entries of one part, each with names and values."""
    return [part] if isinstance(part, Mapping) else list(part)


def _shown(value: Any) -> str:
    """A value as text; named texts as they are, what else has parts as JSON with line breaks."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping) and all(isinstance(one, str) for one in value.values()):
        return "\n\n".join(f"{name}: {one}" for name, one in value.items())
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, ensure_ascii=False, indent=1)
    return "–" if value is None else json.dumps(value)
