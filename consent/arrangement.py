"""Who answers for what in a consortium, in words for the people whose data it is about: the essence
of the joint arrangement (GDPR 26(2); PIPL 20), and who succeeded whom (PIPL 22). Pure.

It says what stands in the consortium document, and what the product does by construction; the
agreements themselves are named by hash. Engineering, not legal advice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from consent.notice_text import CAPACITIES, GETS
from law.deadlines import DEFAULT_JURISDICTION, deadlines
from law.vocabulary import LANGUAGES, words
from protocol.languages import lookup
from protocol.legal import Contact, LegalIdentity, LegalTerms
from protocol.notices import RIGHTS, Notice, Right
from protocol.parties import Consortium, Party

ANSWERED_BY: Mapping[Right, tuple[str, str, str]] = {
    "access": (
        "registry and lender",
        "the registry what it holds, at once; your lender what it holds",
        "登记处即时提供其保存的信息；贷款机构提供其保存的信息",
    ),
    "portability": (
        "registry and lender",
        "the registry a file, at once; your lender the rest",
        "登记处即时提供文件；其余由贷款机构提供",
    ),
    "correction": ("lender", "your lender, which holds the data", "由保存数据的贷款机构办理"),
    "erasure": (
        "registry and lender",
        "the registry, at once, and it orders your lender to follow",
        "登记处即时删除，并指令贷款机构删除",
    ),
    "withdrawal": (
        "registry",
        "the registry, at once; it tells every lender concerned",
        "登记处即时处理，并通知相关机构",
    ),
    "restriction": ("registry", "the registry, at once", "登记处即时处理"),
    "objection": (
        "lender",
        "your lender; until it has answered, what you dispute is not used",
        "由贷款机构处理；答复之前，有异议的信息不予使用",
    ),
    "explanation": ("lender", "your lender", "由贷款机构处理"),
    "review": ("lender", "your lender", "由贷款机构处理"),
    "complaint": (
        "lender",
        "your lender; the authority named in the notice, always",
        "由贷款机构处理；您也可随时向告知书所列监管机构投诉",
    ),
}
"""Whose each right is to answer: by whom, in English, in Chinese."""
_INCIDENTS = (
    "an incident is told to you by the institution where it happened",
    "安全事件由发生地机构告知您",
)
_TO_EACH = (
    "You can turn to each of them with each of your rights, whatever they agreed among themselves.",
    "无论各方内部如何约定，您均可以向其中任何一方行使全部权利。",
)
_SUCCEEDED = (
    (
        "{former} was succeeded by {successor} ({contact}). A yes to {former} is none to "
        "{successor}: for a purpose of its own it asks you anew."
    ),
    (
        "{former}的权利义务由{successor}承继（{contact}）。您对{former}的同意不等于对{successor}的同意："
        "变更目的的，将重新征得您的同意。"
    ),
)
_NO_CONTACT = ("no contact stated", "未载明联系方式")


def _contact(stated: Contact | None, at: int) -> str:
    ways = () if stated is None else stated.model_dump(exclude_none=True).values()
    return ", ".join(ways) or _NO_CONTACT[at]


def called(party: Party, stated: LegalIdentity, language: str) -> str:
    """A party's name for who reads this language; its signed name where it states no other."""
    found = lookup([language], list(stated.names))
    return party.name if found is None else stated.names[found]


def _party(party: Party, stated: LegalIdentity, at: int) -> dict[str, Any]:
    officer = stated.officer
    return {
        "party": party.id,
        "name": party.name,
        "called": called(party, stated, LANGUAGES[at]),
        "role": party.role.value,
        "does": GETS[party.role][at],
        "contact": _contact(stated.contact, at),
        "complaints": _contact(stated.complaints or stated.contact, at),
        "officer": None if officer is None else officer.model_dump(mode="json", exclude_none=True),
        "country": stated.country,
        "in_law": {one.purpose: one.role.value for one in stated.roles},
    }


def arrangement(consortium: Consortium, language: str) -> dict[str, Any]:
    """The essence: who does what, what they agreed, who answers which right. ``language``: one of
    ``law.vocabulary``'s. Raises Malformed."""
    at = LANGUAGES.index(language)
    stated = {party.id: LegalIdentity.of(party) for party in consortium.parties}
    agreed: dict[tuple[str, str], set[str]] = {}
    for name, identity in stated.items():
        for one in identity.agreements:
            agreed.setdefault((one.kind.value, one.sha256), set()).update({name, *one.parties})
    return {
        "consortium": consortium.name,
        "consortium_sha256": consortium.sha256,
        "jurisdiction": LegalTerms.of(consortium).jurisdiction,
        "parties": [_party(party, stated[party.id], at) for party in consortium.parties],
        "agreements": [
            {"kind": kind, "sha256": sha256, "between": sorted(names)}
            for (kind, sha256), names in sorted(agreed.items())
        ],
        "who_answers": [
            {"right": right, "by": ANSWERED_BY[right][0], "how": ANSWERED_BY[right][1 + at]}
            for right in RIGHTS
        ],
        "incidents": _INCIDENTS[at],
        "to_each": _TO_EACH[at],
        "successions": successions(consortium, language, None),
    }


def successions(
    consortium: Consortium, language: str, of: Iterable[str] | None
) -> list[dict[str, str]]:
    """Who took over from these parties, or from any; whether they are still named or only as a
    former id. Raises Malformed."""
    at = LANGUAGES.index(language)
    stated = {party.id: LegalIdentity.of(party) for party in consortium.parties}
    names = {party.id: called(party, stated[party.id], language) for party in consortium.parties}
    took_over = {former: name for name, one in stated.items() for former in one.former_ids}
    took_over |= {name: one.succeeded_by for name, one in stated.items() if one.succeeded_by}
    found = []
    for former in sorted(took_over) if of is None else sorted(took_over.keys() & set(of)):
        successor = took_over[former]
        contact = _contact(stated[successor].contact, at)
        said = _SUCCEEDED[at].format(
            former=names.get(former, former), successor=names[successor], contact=contact
        )
        found.append({"former": former, "successor": successor, "contact": contact, "said": said})
    return found


def collected(live: Iterable[Notice], language: str) -> list[dict[str, Any]]:
    """What is collected, for what and how, of everybody who says yes to one of these notices
    (征信业务管理办法 42)."""
    return [
        {
            "notice": f"{notice.id}-{notice.version}",
            "purpose": notice.purpose,
            "lenders": list(notice.recipients),
            "categories": [words(one, language) for one in notice.terms.categories],
            "how": notice.terms.collection_method,
            "kept_days": notice.terms.retention_period_days,
            "machine_alone": notice.terms.automated_decision,
        }
        for notice in sorted(live, key=lambda one: one.id)
    ]


def answered_within(jurisdiction: str | None, day: date) -> list[dict[str, Any]]:
    """How long a lender has for which request, by which law: objections among them."""
    return [
        {
            "requests": sorted(one.rights),
            "within": f"{one.count} {one.unit}",
            "article": one.article,
        }
        for one in deadlines()
        if one.jurisdiction == (jurisdiction or DEFAULT_JURISDICTION) and one.in_force(day)
    ]


def in_words(found: Mapping[str, Any], language: str) -> str:
    """The essence as a text."""
    at = LANGUAGES.index(language)
    lines = [found["consortium"], "", found["to_each"], ""]
    for one in found["parties"]:
        roles = sorted({CAPACITIES.get(role, (role, role))[at] for role in one["in_law"].values()})
        lines.append(f"{one['called']} ({one['contact']}; {', '.join(roles)}): {one['does']}")
    lines.append("")
    lines += [f"{one['right']}: {one['how']}" for one in found["who_answers"]]
    lines += [found["incidents"], ""]
    for one in found["agreements"]:
        lines.append(f"{one['kind']}: {', '.join(one['between'])}; SHA-256 {one['sha256']}")
    lines += [one["said"] for one in found["successions"]]
    for one in found.get("collected", ()):
        lines += ["", f"{one['notice']} ({', '.join(one['lenders'])}):", *one["categories"]]
    for one in found.get("answered_within", ()):
        lines.append(f"{', '.join(one['requests'])}: {one['within']} ({one['article']})")
    return "\n".join(lines) + "\n"
