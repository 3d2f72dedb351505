"""What was filed beside campaigns and lies in the registry's part of an evidence pack: incidents,
assessments, audits, yearly reviews; each as it was signed, and as the log shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from auditlog.authority import AuditState
from auditlog.entries import day_of
from auditlog.pack_log import Leaf, ShownLog, naming, require
from auditlog.packs import PackPart, json_in
from protocol.assessments import ImpactAssessment
from protocol.audits import AuditRemedy, ComplianceReport
from protocol.errors import AuditFailed
from protocol.evidence import PackScope
from protocol.incidents import Incident, IncidentClosure
from protocol.schema import Document

D = TypeVar("D", bound=Document)


@dataclass(frozen=True)
class PackFilings:
    """Checked by :meth:`check`.

    Args:
        know: whose key is whose, after all entries about campaigns.
    """

    part: PackPart
    log: ShownLog
    scope: PackScope
    know: AuditState

    @property
    def folder(self) -> Path:
        return self.part.folder

    @property
    def maker(self) -> str:
        return self.part.maker

    def check(self) -> list[str]:
        """Says what was checked. Raises AuditFailed."""
        self._incidents()
        self._assessments()
        self._reviews()
        return self._audits()

    def _logged(self, kind: str) -> Iterator[tuple[int, Leaf]]:
        return ((at, leaf) for at, leaf in self.log.leaves.items() if leaf["type"] == kind)

    def _signed(self, path: Path, kind: type[D], field: str) -> D:
        """The document, signed by the party that it names in ``field``."""
        token = path.read_text(encoding="utf-8")
        return self.know.verified(kind, token, getattr(kind.claimed(token), field))

    def _named(self, path: Path) -> str:
        return f"{self.maker}/{path.relative_to(self.folder).as_posix()}"

    def _held(self, pattern: str) -> list[Path]:
        return sorted(self.folder.glob(pattern))

    def _incidents(self) -> None:
        """Those that were reported in scope, and how each was closed."""
        opened = {
            leaf["incident"]: leaf["actor"]
            for _, leaf in self._logged("incident.opened")
            if self.scope.campaign or self.scope.wants(leaf)
        }
        closed = {leaf["incident"] for _, leaf in self._logged("incident.closed")}
        told = json_in(self.folder, "incidents/index.json")
        with naming(f"{self.maker}/incidents/index.json"):
            listed = {one["incident"]: one for one in told}
        for sha256, one in listed.items():
            path = self.folder / f"incidents/{sha256}.jws"
            with naming(self._named(path)):
                incident = self._signed(path, Incident, "institution")
                same = (incident.sha256, incident.grade.value) == (sha256, one["grade"])
                require(same, "the index says another incident or grade")
                if self.log.whole:
                    true = one["closed"] == (sha256 in closed)
                    require(true, "the log and the index do not agree whether it is closed")
                    theirs = opened.get(sha256, incident.institution) == incident.institution
                    require(theirs, "the log shows that somebody else reported it")
        if self.log.whole and set(listed) != set(opened):
            odd = min(set(listed) ^ set(opened))
            raise AuditFailed(
                f"{self.maker}/incidents/{odd}.jws: it is in the log or here, not in both"
            )
        files = {f"{sha256}.jws" for sha256 in listed}
        files |= {f"{sha256}.closed.jws" for sha256, one in listed.items() if one["closed"]}
        held = {path.name for path in self._held("incidents/*.jws")}
        for odd in sorted(files ^ held):
            raise AuditFailed(f"{self.maker}/incidents/{odd}: it is in the index or here, not both")
        for path in self._held("incidents/*.closed.jws"):
            with naming(self._named(path)):
                closure = self._signed(path, IncidentClosure, "institution")
                sha256 = path.name.partition(".")[0]
                incident = Incident.claimed((path.parent / f"{sha256}.jws").read_text("utf-8"))
                about = (closure.incident_sha256, closure.institution)
                require(about == (sha256, incident.institution), "it closes another incident")

    def _assessments(self) -> None:
        """Every one of the log's, in a part about a period."""
        held = set()
        for path in self._held("assessments/*.jws"):
            with naming(self._named(path)):
                found = self._signed(path, ImpactAssessment, "author")
                require(found.sha256 == path.stem, "it is another assessment")
                held.add((found.sha256, found.author))
        if not self.log.whole:
            return
        logged = {
            (leaf["assessment"], leaf["actor"]) for _, leaf in self._logged("assessment.recorded")
        }
        wanted = logged if self.scope.days is not None else set()
        for sha256, _ in sorted(held ^ wanted):
            raise AuditFailed(
                f"{self.maker}/assessments/{sha256}.jws: it is in the log or here, not in both"
            )

    def _audits(self) -> list[str]:
        """Reports as they were signed and logged, with every remedy that the log shows of them.
        Which institutions and days a report is about the log does not say."""
        reported = {leaf["report"]: leaf["actor"] for _, leaf in self._logged("audit.reported")}
        remedied = Counter(
            (leaf["report"], leaf["actor"]) for _, leaf in self._logged("audit.remedied")
        )
        reports = dict[str, ComplianceReport]()
        remedies = Counter[tuple[str, str]]()
        for path in self._held("audits/*.jws"):
            if path.name.endswith(".remedy.jws"):
                continue
            with naming(self._named(path)):
                report = self._signed(path, ComplianceReport, "auditor")
                require(report.sha256 == path.stem, "it is another report")
                right = not self.log.whole or reported.get(report.sha256) == report.auditor
                require(right, "the log does not show that it was reported")
                reports[report.sha256] = report
        for path in self._held("audits/*.remedy.jws"):
            with naming(self._named(path)):
                remedy = self._signed(path, AuditRemedy, "party")
                name = f"{remedy.report_sha256}.{remedy.finding}.remedy.jws"
                require(path.name == name, "it is the remedy of another finding")
                require(remedy.report_sha256 in reports, "the report of its finding is not here")
                report = reports[remedy.report_sha256]
                whose = {one.id: one.party for one in report.findings}
                require(whose[remedy.finding] == remedy.party, "it is not its party's to remedy")
                remedies[remedy.report_sha256, remedy.party] += 1
        if not self.log.whole:
            return []
        for about in sorted(remedied.keys() | remedies.keys()):
            if about[0] in reports and remedied[about] != remedies[about]:
                raise AuditFailed(
                    f"{self.maker}/audits/{about[0]}.jws: the log shows {remedied[about]} remedies "
                    f"of {about[1]!r}, not {remedies[about]}"
                )
        if not reported:
            return []
        count = f"{len(reports)} of {len(reported)} reports of audits in the log are here"
        return [f"{count}; that the others are out of scope is the registry's word"]

    def _reviews(self) -> None:
        """The yearly reviews of what is kept, each at its place in the log."""
        told = json_in(self.folder, "retention/reviews.json")
        with naming(f"{self.maker}/retention/reviews.json"):
            stated: dict[Any, Any] = {one["entry_index"]: one["day"] for one in told}
            if self.log.whole:
                logged = {at: day_of(leaf) for at, leaf in self._logged("retention.reviewed")}
                require(stated == logged, "they are not those of the log")
