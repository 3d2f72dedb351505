"""What a pack is, for people: ``README.html``, one page without outside parts in Chinese and
English, and ``VERIFY.md``, the commands that check it.

Both are made of what the parts say and of nothing else, so that whoever checks a pack makes them
anew: a page that says something else is noticed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from auditlog.pack_log import naming
from auditlog.packs import PAGE_FILE, VERIFY_FILE, PackPart, json_in
from protocol.cards import ModelCard
from protocol.parties import Consortium, Role

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""Content-Security-Policy of the page: it can load nothing and run nothing."""
_TITLES = {
    "log": ("Entries of the log in scope, by type", "范围内的日志条目（按类型）"),
    "campaigns": ("Trainings", "训练活动"),
    "incidents": ("Incidents", "安全事件"),
    "requests": ("What people asked", "个人的请求"),
    "withdrawals": ("Withdrawals, and how soon they were heeded", "撤回及其执行时间"),
    "erasures": ("Erased people", "已删除的个人"),
}
_VERIFY = """# How to check this pack

Of `{scope}`. Three commands, offline; the consortium document and the registry's key are those that
you pinned, not the copies in here.

    tahini evidence merge  *.part --out PACK --key YOUR.key --consortium CONSORTIUM --registry-key K
    tahini evidence verify PACK --since OLD --consortium CONSORTIUM --registry-key K
    python read_pack.py    PACK CONSORTIUM K

The first made this folder of the parts as they were handed in. The second checks signatures, every
hash, the place in the log of every entry, and what follows from the documents; it says what was
checked, and of what nothing shows that nothing was left out. The third is a reader that shares no
code with the second (`tests/interop/read_pack.py` in Tahini's source).

## 如何核验

以上三条命令均可离线运行;联盟文件和登记处公钥须为您自己保存的副本,而非包内的副本。第一条由各机构
提交的部分生成本文件夹;第二条核验签名、文件哈希、日志条目及文件之间的一致性,并说明哪些内容无法证明
没有遗漏;第三条是不共用任何代码的独立读取程序。
"""


def pages(
    parts: Sequence[PackPart], missing: Mapping[str, Any], consortium: Consortium
) -> dict[str, str]:
    """The text of both, by the file's name; raises AuditFailed: a part cannot be read."""
    scope = parts[0].manifest.scope
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    with naming(PAGE_FILE):
        facts = _facts(
            [part for part in parts if consortium.party(part.maker).role is Role.REGISTRY]
        )
    page = environment.get_template("pack.html").render(
        policy=POLICY,
        scope=scope,
        parts=[(part.manifest, consortium.party(part.maker).role.value) for part in parts],
        missing=missing["missing"],
        sections=[(_TITLES[name], rows) for name, rows in facts.items()],
    )
    return {PAGE_FILE: page, VERIFY_FILE: _VERIFY.format(scope=scope)}


def _facts(parts: Sequence[PackPart]) -> dict[str, list[tuple[str, str]]]:
    """What the registry's part says, as lines of two."""
    found: dict[str, list[tuple[str, str]]] = {}
    for part in parts:
        files = part.manifest.files
        if "log/counts.json" in files:
            counts = json_in(part.folder, "log/counts.json")["entries_in_scope"]
            found["log"] = [(kind, f"{count:,}") for kind, count in counts.items()]
            found["campaigns"] = _campaigns(part)
        if "incidents/index.json" in files:
            told = json_in(part.folder, "incidents/index.json")
            found["incidents"] = [
                (
                    one["incident"][:12] + "…",
                    f"{one['grade']}, {'closed' if one['closed'] else 'open'}",
                )
                for one in told
            ]
        if "requests/statistics.json" in files:
            told = json_in(part.folder, "requests/statistics.json")
            found["requests"] = [(f"{one['lender']}: {one['kind']}", _counts(one)) for one in told]
        if "consents/withdrawals.json" in files:
            told = json_in(part.folder, "consents/withdrawals.json")
            found["withdrawals"] = [(lender, _counts(one)) for lender, one in told.items()]
        if "erasures/counts.json" in files:
            told = json_in(part.folder, "erasures/counts.json")
            few = f"fewer than {told['fewest_told']}"
            count = told["places_on_rolls_of_erased_people"]
            found["erasures"] = [(part.maker, few if count is None else f"{count:,}")]
    return found


def _counts(told: Mapping[str, Any]) -> str:
    """Each number under the name that it has in the file."""
    return ", ".join(
        f"{name.replace('_', ' ')}: {value}"
        for name, value in sorted(told.items())
        if isinstance(value, int)
    )


def _campaigns(part: PackPart) -> list[tuple[str, str]]:
    """How many lenders approved each, and what its model cards cost a person at most."""
    approvals, cards = dict[str, int](), dict[str, list[str]]()
    for name in part.manifest.files:
        folder, _, rest = name.partition("/")
        if folder != "campaigns":
            continue
        campaign, _, document = rest.partition("/")
        approvals.setdefault(campaign, 0)
        approvals[campaign] += document.startswith("approvals/")
        if document.startswith("cards/"):
            card = ModelCard.claimed((part.folder / name).read_text(encoding="utf-8"))
            cards.setdefault(campaign, []).append(f"ε {card.epsilon_spent:.4g}")
    return [
        (
            f"{one[:12]}…",
            ", ".join([f"approvals: {approvals[one]}", *sorted(cards.get(one, ()))]),
        )
        for one in sorted(approvals)
    ]
