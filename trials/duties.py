"""What the law asks of a consortium, by duty: ``python -m trials.duties > docs/compliance.md``.

``compliance/duties.toml`` says it; ``tests/test_compliance.py`` holds it to the code, and
``python -m trials.breaks --duties`` breaks what each duty rests on.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

ROOT = Path(__file__).resolve().parent.parent
DUTIES_FILE = ROOT / "compliance" / "duties.toml"
GROUPS = {
    "pipl": "Personal Information Protection Law (个人信息保护法, PIPL)",
    "cr": "Regulation on the Administration of the Credit Reporting Industry (征信业管理条例)",
    "cb": "Measures for Credit Reporting Business (征信业务管理办法)",
    "pd": "PBOC measures on data security (中国人民银行业务领域数据安全管理办法)",
    "pi": "Reports of incidents (PBOC, CAC)",
    "nd": "Regulation on Network Data Security (网络数据安全管理条例)",
    "cac": "CAC measures for small handlers",
    "loan": "Cost of loans",
    "algo": "Provisions on Algorithmic Recommendation (互联网信息服务算法推荐管理规定)",
    "gdpr": "General Data Protection Regulation",
    "aia": "AI Act",
    "ecoa": "ECOA, Regulation B (for contrast)",
}
"""Laws by the first word of a duty's id, in the order of the page."""
INTRODUCTION = """\
# Duties of law, and what answers them

**This is engineering, not legal advice.** It says which duties we know of, what in the product
answers each, how that is proved, and what is missing. It judges
software and pages, not the institutions that run them; counsel judges both. Written from
`compliance/duties.toml` by `python -m trials.duties`, and held to the
code by `tests/test_compliance.py`: whatever is named here exists.

**done** means that the product does what is asked in the words of this page, that a test would
notice if it did not, and that a break of the code, made on
purpose, turns the file of that test red: `python -m trials.breaks --duties` does it again.
**partly** and **missing** say what is not there. **not ours** names who bears it.
What a lender's desk answers (`/v1/applications`, `/v1/decisions`, `/v1/reviews`) is asked by that
lender's own systems.
*from memory*: the text of the law was not looked at; check it before you rely on it.
"""
LIMITS = """\
## Limits of the sources

- Read in secondary sources only: the guideline on the cost of small loans, 金规〔2026〕2号, CAC/MPS
  Order 25, Regulation (EU) 2026/1744, Directive (EU) 2023/2225 (CCD2), texts of
  GB/T and JR/T standards, the annex of the CAC's audit measures. Read the originals before a form
  rests on them.
- The stored text of PBOC's measures on reporting incidents has wrong digits in articles 7 to 9;
  thresholds that rest on them are marked in `law/incidents.toml`.
- Links go to where a text can be found, not to an article; texts change, and each duty says when
  it was last looked at.
- That a test is red when code is broken proves that the test looks, not that it looks at
  everything.
"""


class Status(StrEnum):
    """How a duty stands."""

    DONE = "done"
    PARTLY = "partly"
    MISSING = "missing"
    NOT_OURS = "not-ours"

    @property
    def words(self) -> str:
        return self.value.replace("-", " ")


class Duty(BaseModel):
    """One duty, as ``compliance/duties.toml`` has it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[a-z]+(-[a-z0-9]+)+$")
    law: str = Field(min_length=3)
    url: str = Field(default="", pattern=r"^(https://.+)?$")
    mark: str = Field(pattern=r"^(src|know)$")
    checked_on: date
    who: tuple[str, ...] = Field(min_length=1)
    asks: str = Field(min_length=5)
    status: Status
    missing: str = ""
    owner: str = ""
    code: tuple[str, ...] = ()
    """``path:qualname``."""
    tests: tuple[str, ...] = ()
    """``path::name``."""
    breaks: tuple[str, ...] = ()
    """Invariants of :mod:`trials.breaks`."""
    evidence: tuple[str, ...] = ()
    """Commands, endpoints, pages."""
    pack: tuple[str, ...] = ()
    """Files of an evidence pack about a campaign (``MAKER/path``, with ``*``)."""

    @property
    def group(self) -> str:
        return self.id.partition("-")[0]


def load() -> tuple[Duty, ...]:
    """Every duty; raises OSError, ValueError (``tomllib`` and ``pydantic`` say where)."""
    found = tomllib.loads(DUTIES_FILE.read_text(encoding="utf-8"))
    return tuple(Duty.model_validate(one) for one in found["duty"])


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def _file(path: str, said: str) -> str:
    return f"[`{said}`](../{path})"


def _references(references: Iterable[str], separator: str) -> str:
    """Links to the files, each named once, with what of it is meant."""
    by_file: dict[str, list[str]] = {}
    for reference in references:
        path, _, name = reference.partition(separator)
        by_file.setdefault(path, []).append(name)
    return "; ".join(
        f"{_file(path, path)} {', '.join(f'`{name}`' for name in names)}"
        for path, names in by_file.items()
    )


def _shown(evidence: str) -> str:
    known = (ROOT / evidence).is_file()
    return _file(evidence, evidence) if known else f"`{evidence}`"


def _counts(duties: Sequence[Duty]) -> str:
    found = Counter(duty.status for duty in duties)
    return " · ".join(f"{found[status]} {status.words}" for status in Status)


def _row(duty: Duty) -> str:
    said = " ".join(
        part for part in (duty.missing, f"Borne by: {duty.owner}." if duty.owner else "") if part
    )
    cells = (f"[{duty.id}](#{duty.id})", duty.law, duty.asks, duty.status.words, said)
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _detail(duty: Duty) -> list[str]:
    law = f"[{duty.law}]({duty.url})" if duty.url else duty.law
    where = "from memory, not looked at," if duty.mark == "know" else "looked at"
    looked = f"{where} on {duty.checked_on}"
    said = f"{law} ({looked}). {', '.join(duty.who)}: {duty.asks}. **{duty.status.words}**"
    lines = [f"### {duty.id}", "", said, ""]
    for what, told in (
        ("missing", duty.missing),
        ("borne by", duty.owner),
        ("code", _references(duty.code, ":")),
        ("tests", _references(duty.tests, "::")),
        ("breaks that turn them red", "; ".join(duty.breaks)),
        ("shown by", ", ".join(_shown(one) for one in duty.evidence)),
        ("in a pack of evidence", ", ".join(f"`{one}`" for one in duty.pack)),
    ):
        if told:
            lines.append(f"- {what}: {told}")
    return [*lines, ""]


def render(duties: Sequence[Duty]) -> str:
    """The page."""
    lines = [
        INTRODUCTION,
        f"**{len(duties)} duties: {_counts(duties)}.**",
        "",
        "| law | " + " | ".join(status.words for status in Status) + " |",
        "| --- |" + " --- |" * len(Status),
    ]
    groups = {name: [duty for duty in duties if duty.group == name] for name in GROUPS}
    for name, some in groups.items():
        found = Counter(duty.status for duty in some)
        lines.append(f"| {GROUPS[name]} | {' | '.join(str(found[one]) for one in Status)} |")
    for name, some in groups.items():
        lines += ["", f"## {GROUPS[name]}", "", f"{_counts(some)}.", ""]
        lines += ["| duty | law | asks | status | missing |", "| --- | --- | --- | --- | --- |"]
        lines += [_row(duty) for duty in some]
        lines.append("")
        for duty in some:
            lines += _detail(duty)
    return "\n".join([*lines, LIMITS])


if __name__ == "__main__":
    print(render(load()), end="")
