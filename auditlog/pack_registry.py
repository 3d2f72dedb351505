"""The registry's part of an evidence pack: its documents, folded into the log by the same checks as
``tahini log verify`` makes, and what is counted and claimed in it, against both.

That nothing is left out follows where the part holds the whole log: each entry in scope that speaks
of a document finds it here, and there are no documents besides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from auditlog.authority import AuditState
from auditlog.entry_checks import check_entry
from auditlog.opening import Bodies
from auditlog.pack_log import ShownLog, naming, require
from auditlog.packs import PackPart, json_in
from crypto.keys import PublicKey
from protocol.assessments import ImpactAssessment
from protocol.campaigns import Campaign
from protocol.client.auditor import AuditorClient
from protocol.coverage import exceeds
from protocol.errors import AuditFailed
from protocol.evidence import MANIFEST_FILE, PackScope, percentiles
from protocol.incidents import Incident
from protocol.notices import Notice
from protocol.parties import Consortium, Role

_DOCUMENTS = {
    "campaign.proposed": "campaigns/{campaign}/campaign.jws",
    "campaign.approved": "campaigns/{campaign}/approvals/{actor}.jws",
    "campaign.rejected": "campaigns/{campaign}/rejections/{actor}.jws",
    "model.released": "campaigns/{campaign}/cards/{model_card}.jws",
    "notice.published": "notices/{notice}-{notice_version}.jws",
}
"""Where the registry's part holds in clear what an entry sealed."""


_OF_CAMPAIGNS = frozenset(
    {
        "campaign.proposed",
        "campaign.approved",
        "campaign.rejected",
        "campaign.activated",
        "use.authorised",
        "roster.committed",
        "model.released",
    }
)
"""Entries that are about a campaign which was proposed; others may name anything."""


@dataclass(frozen=True)
class _Clear(Bodies):
    """Bodies that need not be opened: the pack holds the documents in clear."""

    folder: Path = field(default=Path())

    def opened(self, index: int, leaf: Mapping[str, Any]) -> dict[str, Any] | None:
        named = _DOCUMENTS.get(leaf["type"])
        path = None if named is None else self.folder / named.format_map(leaf)
        if path is None or (leaf["type"] == "notice.published" and not path.exists()):
            return None  # of other purposes
        return {"token": path.read_text(encoding="utf-8")}


@dataclass
class RegistryPart:
    """The registry's part, and what follows from it for the others'."""

    part: PackPart
    log: ShownLog
    consortium: Consortium
    scope: PackScope

    def knows(self, other: PackPart) -> None:
        """The part was made under a consortium document that is known here."""
        known = {one.sha256 for one in self._consortiums()}
        require(
            other.manifest.consortium_sha256 in known,
            f"{other.maker}/{MANIFEST_FILE}: it was made under a consortium document that is "
            "neither the pinned one nor an earlier one in the registry's part",
        )

    def _consortiums(self) -> list[Consortium]:
        """The pinned document, and earlier ones that the same registry signed."""
        key = self.consortium.one(Role.REGISTRY).key
        earlier = []
        for path in sorted((self.part.folder / "parties/earlier").glob("*.jws")):
            with naming(self._named(path)):
                earlier.append(Consortium.verify(path.read_text(encoding="utf-8"), key))
        known = [self.consortium, *earlier]
        with naming(f"{self.part.maker}/parties/consortium.jws"):
            token = (self.part.folder / "parties/consortium.jws").read_text(encoding="utf-8")
            sha256 = Consortium.verify(token, key).sha256
            right = sha256 in {one.sha256 for one in known} and sha256 == self._stated
            require(right, "it is not the document that is pinned")
        return known

    @property
    def _stated(self) -> str:
        return self.part.manifest.consortium_sha256

    def _named(self, path: Path) -> str:
        return f"{self.part.maker}/{path.relative_to(self.part.folder).as_posix()}"

    def check(self) -> list[str]:
        """Fold the log, then compare what is counted and claimed with it; says what was checked."""
        self.know = AuditState(
            # nothing is asked of anybody: there is no client
            _Clear(cast(AuditorClient, None), "", folder=self.part.folder),
            self._consortiums(),
        )
        needs = {
            leaf["campaign"]
            for leaf in self.log.leaves.values()
            if leaf["type"] in _OF_CAMPAIGNS and self.scope.wants(leaf)
        }
        if lacking := sorted(needs - set(self.campaigns)):
            raise AuditFailed(f"{self.part.maker}/campaigns: {lacking[0]} is in the log, not here")
        for index, leaf in self.log.leaves.items():
            about = leaf.get("campaign") or leaf["type"] == "notice.published"
            if not about or (
                self.log.whole and leaf.get("campaign") not in {None, *self.campaigns}
            ):
                continue
            file = _DOCUMENTS.get(leaf["type"], "log/entries/{index}.json")
            with naming(f"{self.part.maker}/{file.format_map({**leaf, 'index': index})}"):
                check_entry(self.know, index, leaf)
                if leaf["type"] == "roster.committed":
                    self._as_planned(leaf)
        self._notices()
        for sha256 in self.campaigns:
            self._campaign(sha256)
        self._incidents()
        self._counts()
        cards = sum(len(use.cards) for use in self.know.uses.values())
        all_of_it = (
            [f"{self.log.head.size:,} entries are the whole log: none in scope was left out"]
            if self.log.whole
            else []
        )
        return [
            *all_of_it,
            (
                f"{len(self.campaigns)} campaigns: proposed, approved by every lender, active, "
                "authorised, committed, in this order and as planned"
            ),
            f"{cards} model cards say what was approved, and epsilon as this build computes it",
            "counts are those of the files in the pack",
        ]

    @property
    def campaigns(self) -> list[str]:
        folder = self.part.folder / "campaigns"
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

    def _as_planned(self, leaf: Mapping[str, Any]) -> None:
        campaign = self.know.use(leaf).campaign
        planned = campaign and campaign.planned(leaf["release"])
        charged = ("kind", "noise_multiplier", "sampling_rate", "steps")
        agreed = planned and tuple(getattr(planned, name) for name in charged)
        require(tuple(leaf[name] for name in charged) == agreed, "no release was planned like this")

    def _campaign(self, sha256: str) -> None:
        below = f"campaigns/{sha256}"
        use = self.know.uses.get(sha256)
        require(
            use is not None and use.campaign is not None,
            f"{self.part.maker}/{below}/campaign.jws: the log does not show that it was proposed",
        )
        campaign = cast(Campaign, cast(Any, use).campaign)
        for kind, logged in (("approvals", use.approved), ("rejections", use.rejected)):  # type: ignore[union-attr]
            held = {path.stem for path in (self.part.folder / below / kind).glob("*.jws")}
            require(held == logged, f"{self.part.maker}/{below}/{kind}: not those of the log")
        issued = {
            leaf["authorisation"]
            for leaf in self.log.leaves.values()
            if leaf["type"] == "use.authorised" and leaf["campaign"] == sha256
        }
        listed = json_in(self.part.folder, f"{below}/authorisations.json")
        with naming(f"{self.part.maker}/{below}/authorisations.json"):
            held = {one["id"] for one in listed}
            require(held <= issued, "it names an authorisation that the log does not")
            require(held == issued, "it leaves out an authorisation that the log shows")
        self._assessment(campaign)
        told = json_in(self.part.folder, f"{below}/coverage.json")
        with naming(f"{self.part.maker}/{below}/coverage.json"):
            require(set(told) == set(campaign.lenders), "it is about other lenders")
            for one in told.values():
                require(one["beyond"] == self._beyond(campaign, one["notice"]), "it is not true")

    def _assessment(self, campaign: Campaign) -> None:
        path = self.part.folder / f"campaigns/{campaign.sha256}/assessment.jws"
        if campaign.assessment_sha256 is None and not path.exists():
            return
        with naming(self._named(path)):
            token = path.read_text(encoding="utf-8")
            author = self.consortium.party(ImpactAssessment.claimed(token).author)
            held = ImpactAssessment.verify(token, author.key)
            require(held.sha256 == campaign.assessment_sha256, "the campaign names another")

    def _beyond(self, campaign: Campaign, named: Mapping[str, Any] | None) -> str:
        if named is None:
            return "no notice asks for it"
        path = self.part.folder / f"notices/{named['id']}-{named['version']}.jws"
        notice = Notice.verify(path.read_text(encoding="utf-8"), self._key)
        require(notice.purpose == campaign.purpose, "the notice is for another purpose")
        return exceeds(campaign.needs(self.consortium), notice.terms) or ""

    @property
    def _key(self) -> PublicKey:
        return self.consortium.one(Role.REGISTRY).key

    def _notices(self) -> None:
        """Each is the registry's, the log shows that it was published as it stands here, and there
        are no others."""
        logged = {
            f"{leaf['notice']}-{leaf['notice_version']}.jws"
            for leaf in self.log.leaves.values()
            if leaf["type"] == "notice.published"
        }
        for path in sorted((self.part.folder / "notices").glob("*.jws")):
            with naming(self._named(path)):
                Notice.verify(path.read_text(encoding="utf-8"), self._key)
                require(path.name in logged, "the log does not show that it was published")
            logged.discard(path.name)
        if logged:
            raise AuditFailed(
                f"{self.part.maker}/notices/{min(logged)}: it is in the log, not here"
            )

    def _counts(self) -> None:
        folder, maker = self.part.folder, self.part.maker
        said = json_in(folder, "log/counts.json")
        right = said == {"entries_in_scope": dict(sorted(self.log.by_type.items()))}
        require(right, f"{maker}/log/counts.json: not those of the entries in the pack")
        states = json_in(folder, "consents/states.json")
        with naming(f"{maker}/consents/states.json"):
            few = [one for one in states["cells"] if one["people"] < states["fewest_told"]]
            require(not few, "it tells a count that is to be left out")
        withdrawals = json_in(folder, "consents/withdrawals.json")
        with naming(f"{maker}/consents/withdrawals.json"):
            for one in withdrawals.values():
                days = {int(day): n for day, n in one["acknowledged_after_days"].items()}
                stated = {name: one[name] for name in ("p50_days", "p95_days", "most_days")}
                require(stated == percentiles(days), "its percentiles are not those of its days")

    def _incidents(self) -> None:
        """Those that were reported in scope, as they were signed and as the log shows them."""
        folder, maker = self.part.folder, self.part.maker
        logged = {
            leaf["incident"]
            for leaf in self.log.leaves.values()
            if leaf["type"] == "incident.opened" and (self.scope.campaign or self.scope.wants(leaf))
        }
        closed = {
            leaf["incident"]
            for leaf in self.log.leaves.values()
            if leaf["type"] == "incident.closed"
        }
        told = json_in(folder, "incidents/index.json")
        for one in told:
            with naming(f"{maker}/incidents/{one['incident']}.jws"):
                path = folder / f"incidents/{one['incident']}.jws"
                token = path.read_text(encoding="utf-8")
                author = self.consortium.party(Incident.claimed(token).institution)
                incident = Incident.verify(token, author.key)
                same = (incident.sha256, incident.grade.value) == (one["incident"], one["grade"])
                require(same, "the index says another incident or grade")
                if self.log.whole:
                    true = one["closed"] == (one["incident"] in closed)
                    require(true, "the log and the index do not agree whether it is closed")
        listed = {one["incident"] for one in told}
        if self.log.whole and listed != logged:
            odd = min(listed ^ logged)
            raise AuditFailed(f"{maker}/incidents/{odd}.jws: it is in the log or here, not in both")
