"""The registry's part of an evidence pack: its documents, folded into the log by the same checks as
``tahini log verify`` makes, and what is counted and claimed in it, against both.

That nothing is left out follows where the part holds the whole log: each entry in scope that speaks
of a document finds it here, and there are no documents besides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from auditlog.authority import AuditState
from auditlog.entries import day_of
from auditlog.entry_checks import check_entry
from auditlog.opening import Bodies
from auditlog.pack_filings import PackFilings
from auditlog.pack_log import ShownLog, naming, require
from auditlog.packs import PackPart, json_in
from crypto.keys import PublicKey
from protocol.assessments import ImpactAssessment
from protocol.campaigns import Campaign
from protocol.client.auditor import AuditorClient
from protocol.coverage import exceeds
from protocol.errors import AuditFailed
from protocol.evidence import MANIFEST_FILE, PackScope, percentiles
from protocol.notices import Notice
from protocol.parties import Consortium, Role

_DOCUMENTS = {
    "campaign.proposed": "campaigns/{campaign}/campaign.jws",
    "campaign.approved": "campaigns/{campaign}/approvals/{actor}.jws",
    "campaign.rejected": "campaigns/{campaign}/rejections/{actor}.jws",
    "model.released": "campaigns/{campaign}/cards/{model_card}.jws",
    "model.recalled": "campaigns/{campaign}/recalls/{model_card}.{actor}.jws",
    "recall.acknowledged": "campaigns/{campaign}/heard/{model_card}.{actor}.jws",
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
        "model.recalled",
        "recall.acknowledged",
    }
)
"""Entries that are about a campaign which was proposed; others may name anything."""


@dataclass(frozen=True)
class _Clear(Bodies):
    """Bodies that need not be opened: the pack holds the documents in clear."""

    folder: Path = field(default=Path())

    def opened(self, index: int, leaf: Mapping[str, Any]) -> dict[str, Any] | None:
        named = _DOCUMENTS.get(leaf["type"])
        if named is None:
            return None
        return {"token": (self.folder / named.format_map(leaf)).read_text(encoding="utf-8")}


@dataclass
class RegistryPart:
    """The registry's part, and what follows from it for the others'."""

    part: PackPart
    log: ShownLog
    consortium: Consortium
    scope: PackScope

    def knows(self, other: PackPart) -> Consortium:
        """The consortium document that the part was made under; raises AuditFailed."""
        for one in self._consortiums():
            if one.sha256 == other.manifest.consortium_sha256:
                return one
        raise AuditFailed(
            f"{other.maker}/{MANIFEST_FILE}: it was made under a consortium document that is "
            "neither the pinned one nor an earlier one in the registry's part"
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
        policy = self.part.folder / "log/policy"
        with naming(self._named(policy)):
            same = policy.read_text(encoding="utf-8") == self.consortium.policy.text
            require(same, "it is another than the consortium document names")
        for sha256 in self.campaigns:
            self._campaign(sha256)
        filed = PackFilings(self.part, self.log, self.scope, self.know).check()
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
            *filed,
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
        recalled, heard = (
            {f"{leaf['model_card']}.{leaf['actor']}" for leaf in self._entries(kind, sha256)}
            for kind in ("model.recalled", "recall.acknowledged")
        )
        for kind, logged in (
            ("approvals", use.approved),  # type: ignore[union-attr]
            ("rejections", use.rejected),  # type: ignore[union-attr]
            ("cards", use.cards),  # type: ignore[union-attr]
            ("recalls", recalled),
            ("heard", heard),
        ):
            held = {path.stem for path in (self.part.folder / below / kind).glob("*.jws")}
            require(held == logged, f"{self.part.maker}/{below}/{kind}: not those of the log")
        self._authorisations(campaign)
        self._assessment(campaign)
        told = json_in(self.part.folder, f"{below}/coverage.json")
        with naming(f"{self.part.maker}/{below}/coverage.json"):
            require(set(told) == set(campaign.lenders), "it is about other lenders")
            for lender, one in told.items():
                true = one == self._coverage(campaign, lender)
                require(true, f"it is not true of what asks {lender!r}'s borrowers now")

    def _entries(self, kind: str, campaign: str) -> Iterator[Mapping[str, Any]]:
        """Entries of one type about a campaign, in order."""
        for leaf in self.log.leaves.values():
            if (leaf["type"], leaf.get("campaign")) == (kind, campaign):
                yield leaf

    def logged_on(self, kind: str, campaign: str, actor: str) -> date | None:
        """On which day the log took this entry about a campaign first."""
        days = (day_of(one) for one in self._entries(kind, campaign) if one["actor"] == actor)
        first = next(days, None)
        return None if first is None else date.fromisoformat(first)

    def _authorisations(self, campaign: Campaign) -> None:
        """Those of the log, each for its lender, and no longer than such a one can last."""
        issued = {
            (leaf["authorisation"], leaf["lender"]): date.fromisoformat(day_of(leaf))
            for leaf in self._entries("use.authorised", campaign.sha256)
        }
        file = f"campaigns/{campaign.sha256}/authorisations.json"
        listed = json_in(self.part.folder, file)
        with naming(f"{self.part.maker}/{file}"):
            held = {(one["id"], one["lender"]): one["expires_at"] for one in listed}
            require(len(held) == len(listed), "it names an authorisation twice")
            require(held.keys() <= issued.keys(), "it names an authorisation that the log does not")
            complete = held.keys() == issued.keys()
            require(complete, "it leaves out an authorisation that the log shows")
            for which, until in held.items():
                ends, day = datetime.fromisoformat(until), issued[which]
                lasts = day <= ends.date() <= day + timedelta(days=1)
                in_time = lasts and ends <= campaign.expires_at
                require(in_time, "an authorisation lasts longer or shorter than it can")

    def _assessment(self, campaign: Campaign) -> None:
        path = self.part.folder / f"campaigns/{campaign.sha256}/assessment.jws"
        if campaign.assessment_sha256 is None and not path.exists():
            return
        with naming(self._named(path)):
            token = path.read_text(encoding="utf-8")
            author = self.consortium.party(ImpactAssessment.claimed(token).author)
            held = ImpactAssessment.verify(token, author.key)
            require(held.sha256 == campaign.assessment_sha256, "the campaign names another")

    def _coverage(self, campaign: Campaign, lender: str) -> dict[str, Any]:
        """The notice that asks the lender's borrowers for the campaign's purpose after all entries
        of the log, and what the campaign needs beyond it."""
        for notice in self._newest.values():
            if notice.purpose == campaign.purpose and lender in notice.recipients:
                beyond = exceeds(campaign.needs(self.consortium), notice.terms)
                named = {"id": notice.id, "version": notice.version}
                return {"notice": named, "beyond": beyond or ""}
        return {"notice": None, "beyond": "no notice asks for it"}

    @property
    def _key(self) -> PublicKey:
        return self.consortium.one(Role.REGISTRY).key

    def _notices(self) -> None:
        """Each is the registry's, the log shows that it was published as it stands here, and there
        are no others; keeps in mind the newest version of each."""
        self._newest = dict[str, Notice]()
        held = {path.name: path for path in (self.part.folder / "notices").glob("*.jws")}
        for leaf in self.log.leaves.values():
            if leaf["type"] != "notice.published":
                continue
            name = f"{leaf['notice']}-{leaf['notice_version']}.jws"
            with naming(f"{self.part.maker}/notices/{name}"):
                token = held.pop(name).read_text(encoding="utf-8")
                self._newest[leaf["notice"]] = Notice.verify(token, self._key)
        for name in sorted(held):
            raise AuditFailed(
                f"{self.part.maker}/notices/{name}: the log does not show that it was published"
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
