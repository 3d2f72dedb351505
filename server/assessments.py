"""The coordinator's impact assessments: signed, recorded at the registry, kept, named by
campaigns."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from crypto.keys import replace_file
from protocol.assessments import ImpactAssessment, uncovered
from protocol.campaigns import Campaign
from protocol.client.filing import record_assessment
from protocol.hashes import whole_hash
from server.errors import CoordinatorError
from server.home import Coordinator

FOLDER = "assessments"


def _file(coordinator: Coordinator, sha256: str) -> Path:
    return coordinator.home / FOLDER / f"{sha256}.jws"


def record(coordinator: Coordinator, assessment: ImpactAssessment) -> str:
    """Sign it, hand it to the registry, keep it; returns its hash."""
    token = assessment.sign(coordinator.key)
    with coordinator.registry() as client:
        sha256 = record_assessment(client, token)
    (coordinator.home / FOLDER).mkdir(mode=0o700, exist_ok=True)
    replace_file(_file(coordinator, sha256), token.encode())
    return sha256


def recorded(coordinator: Coordinator) -> dict[str, ImpactAssessment]:
    """Every assessment that was recorded from this home, by hash, the newest first."""
    found = {}
    for path in (coordinator.home / FOLDER).glob("*.jws"):
        one = ImpactAssessment.verify(path.read_text(encoding="utf-8"), coordinator.key.public)
        found[one.sha256] = one
    newest = sorted(found.items(), key=lambda item: (item[1].made_at, item[0]), reverse=True)
    return dict(newest)


def assessed(
    coordinator: Coordinator, campaign: Campaign, begins: str | None, moment: datetime
) -> Campaign:
    """The campaign, naming the assessment whose hash begins so; else the newest that covers it.

    Raises:
        CoordinatorError: there is none, or it does not cover the campaign.
    """
    known = recorded(coordinator)
    if begins is not None:
        names = {sha256: one.id for sha256, one in known.items()}
        chosen = whole_hash(begins, names, f"of an assessment in {coordinator.home}")
        known = {chosen: known[chosen]}
    reasons = []
    for sha256, assessment in known.items():
        named = campaign.model_copy(update={"assessment_sha256": sha256})
        reason = uncovered(named, assessment, moment)
        if reason is None:
            return named
        reasons.append(reason)
    raise CoordinatorError(
        f"no impact assessment covers the campaign ({'; '.join(reasons) or 'none was made yet'}); "
        "make one with: tahini coordinator assess"
    )
