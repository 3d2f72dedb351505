"""The lender's own assessment of what scoring may do to people's rights, before its first decision.

Whoever deploys an AI system that scores creditworthiness assesses that use first (AI Act 27(1),
Annex III 5(b); GDPR 35): its process, period and frequency (``description``), who is affected
(``groups``), what may harm them (``risks``), human oversight (``oversight``), and what is done if a
risk comes about (``measures``, ``oversight``). ``assessments/*.jws`` in the desk's home are all
that were ever signed; the newest counts. What is written in one is the lender's word.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from crypto.errors import TahiniError
from crypto.keys import PublicKey, SigningKey, replace_file
from desk.errors import AssessmentMissing
from law.categories import DataCategory
from law.packs import Jurisdiction
from protocol.assessments import CLOCK_SKEW, ImpactAssessment
from protocol.errors import BadSettings, Conflict
from protocol.rules import Rule, first_broken
from protocol.uses import SCORING_PURPOSE

ASSESSMENTS = "assessments"
ASKED_IN: frozenset[Jurisdiction] = frozenset({"EU"})
"""Under whose law a desk decides nothing without one. Asked from the first day, not only from the
one on which AI Act 27 applies (``high-risk`` in the law table): GDPR 35 has asked one for long."""


@dataclass(frozen=True)
class DeskUse:
    """What a desk does that an assessment has to cover: whose desk it is, the kinds of data that it
    reads, when."""

    lender: str
    reads: frozenset[DataCategory]
    moment: datetime
    assessment: ImpactAssessment


def is_the_lenders(of: DeskUse) -> str | None:
    if of.assessment.author != of.lender:
        return f"is by {of.assessment.author!r}, and the desk is {of.lender!r}'s"
    return None


def is_of_scoring(of: DeskUse) -> str | None:
    if of.assessment.purpose != SCORING_PURPOSE:
        return f"is of another purpose than {SCORING_PURPOSE}"
    return None


def is_in_force(of: DeskUse) -> str | None:
    made, ends = of.assessment.made_at, of.assessment.valid_until
    if not made - CLOCK_SKEW <= of.moment < ends:
        return f"is valid from {made:%Y-%m-%d} until {ends:%Y-%m-%d}, and not now"
    return None


def covers_what_is_read(of: DeskUse) -> str | None:
    more = of.reads - set(of.assessment.categories)
    if more:
        return f"says nothing about data on {', '.join(sorted(more))}, which the desk reads"
    return None


def says_that_a_machine_decides(of: DeskUse) -> str | None:
    if not of.assessment.automated_decision:
        return "says nothing about decisions by machine alone, which the desk makes"
    return None


RULES: tuple[Rule[DeskUse], ...] = (
    is_the_lenders,
    is_of_scoring,
    is_in_force,
    covers_what_is_read,
    says_that_a_machine_decides,
)


def uncovered_use(of: DeskUse) -> str | None:
    """Why the assessment does not cover the use; None where it does."""
    broken = first_broken(RULES, of)
    return broken and f"assessment {of.assessment.id!r} {broken[1]}"


@dataclass(frozen=True)
class OwnAssessment:
    """``places``: by whose law the desk decides. ``held``: what its lender signed; None if nothing
    was."""

    lender: str
    places: frozenset[Jurisdiction]
    held: ImpactAssessment | None = None

    def missing(self, reads: Collection[DataCategory], moment: datetime) -> str | None:
        """Why nothing may be decided on these kinds of data; None where it may."""
        if not self.places & ASKED_IN:
            return None
        why = (
            f"{self.lender!r} has not assessed what scoring here may do to people's rights"
            if self.held is None
            else uncovered_use(DeskUse(self.lender, frozenset(reads), moment, self.held))
        )
        return why and f"{why} (AI Act 27): nothing is decided before; see tahini desk assess"


def read_assessment(home: Path, key: PublicKey) -> ImpactAssessment | None:
    """The newest that the lender signed. Raises BadSettings: one is not signed with its key."""
    held = [_verified(path, key) for path in sorted((home / ASSESSMENTS).glob("*.jws"))]
    return max(held, key=lambda one: one.made_at, default=None)


def keep_assessment(home: Path, of: DeskUse, key: SigningKey) -> Path:
    """Sign the assessment and put it in the home, beside what was there before.

    Raises:
        AssessmentMissing: it does not cover what the desk does. Conflict: one is there that is not
            older, so that this one would not count. Nothing was written.
    """
    if why := uncovered_use(of):
        raise AssessmentMissing(f"{why}; nothing was written")
    made, held = of.assessment, read_assessment(home, key.public)
    if held is not None and made.made_at <= held.made_at:
        raise Conflict(
            f"an assessment of {held.made_at:%Y-%m-%d %H:%M:%S} UTC is there already, and the "
            "newest counts; sign this one later"
        )
    (home / ASSESSMENTS).mkdir(exist_ok=True)
    path = home / ASSESSMENTS / f"{made.made_at:%Y-%m-%d}-{made.sha256[:16]}.jws"
    replace_file(path, made.sign(key).encode())
    return path


def _verified(path: Path, key: PublicKey) -> ImpactAssessment:
    try:
        return ImpactAssessment.verify(path.read_text(encoding="utf-8").strip(), key)
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(f"cannot read {path}: {getattr(error, 'strerror', error)}") from error
    except TahiniError as error:
        raise BadSettings(f"{path} is no assessment of this lender's: {error}") from error
