"""Applications as they are stored: written whole, read and opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, case, exists, select, update

from desk.challenging import SilentDecision
from desk.consents import Permission
from desk.office import MACHINE, Desk, InHand
from desk.sealing import ApplicationKey
from desk.sources import Sources
from desk.statements import decision_payload
from desk.states import ApplicationEvent, ApplicationStatus, following
from desk.storage.tables import applications, decisions, erasures, offers, outbox, silent_decisions
from law.categories import DataCategory
from lending.cases import Case, Decision, LoanOffer
from lending.records import case_from, case_json, decision_from, decision_json
from protocol.errors import NotFound, PreconditionFailed
from protocol.snapshots import Reason
from protocol.uses import Blinding, ConsentNamed

REST = "decision"
"""What a decision rested on, as its sealed body is called."""


@dataclass(frozen=True)
class Reviewed:
    """What a person decided under, on the day on which they did."""

    staff: Sequence[str]
    """Who, and who agreed (:meth:`desk.sealing.AtRest.alias`)."""
    model_hash: str
    """Whose score they were shown."""
    policy_hash: str
    law_hash: str
    product_hash: str
    outstanding: int
    """What the applicant owed by then, fen."""


@dataclass(frozen=True)
class StoredDecision:
    """A decision with everything that it rested on and that is needed to show it later."""

    case: Case
    decision: Decision
    permission: Permission
    blinding: Blinding
    sources: Mapping[str, tuple[DataCategory, ...]]
    """The kinds of data of each source, as it was described when the case was made."""
    by: str = MACHINE
    silent: SilentDecision | None = None
    reviewed: Reviewed | None = None
    """Of a person's decision."""

    @property
    def versions(self) -> tuple[str, str, str]:
        """Of model, policy and law: what it was decided under, and by whom."""
        under = self.case if self.reviewed is None else self.reviewed
        return under.model_hash, under.policy_hash, under.law_hash

    @property
    def outstanding(self) -> int:
        """What the person owed already, as it was known to whoever decided; fen."""
        return self.case.outstanding if self.reviewed is None else self.reviewed.outstanding

    def payload(self) -> dict[str, Any]:
        """What the log commits to and a receipt holds; of a person's decision also under what they
        decided, and who, by a name that says nothing to others."""
        said = decision_payload(self.decision)
        return said if self.reviewed is None else {**said, "reviewed": asdict(self.reviewed)}

    def described(self, today: Sources) -> dict[str, tuple[DataCategory, ...]]:
        """The kinds of data of each source: those as which it was asked, and those that it is said
        to hold today."""
        found = dict(self.sources)
        for name, kinds in today.described.items():
            found[name] = tuple(dict.fromkeys((*found.get(name, ()), *kinds)))
        return found

    def sealed(self, key: ApplicationKey) -> bytes:
        return key.seal(
            REST,
            {
                "sources": self.sources,
                "reviewed": self.reviewed,
                "case": case_json(self.case),
                "decision": decision_json(self.decision),
                "permission": permission_json(self.permission),
                **blinding_json(self.blinding),
            },
        )

    @classmethod
    def opened(cls, row: Row[Any], key: ApplicationKey) -> StoredDecision:
        """From a row of ``decisions``; raises SealError."""
        said = opened_record(row, key)
        return cls(
            case_from(said["case"]),
            decision_from(said["decision"]),
            permission_from(said["permission"]),
            blinding_from(row.id, said),
            {name: tuple(map(DataCategory, kinds)) for name, kinds in said["sources"].items()},
            row.by,
            reviewed=None if said["reviewed"] is None else Reviewed(**said["reviewed"]),
        )


def opened_record(row: Row[Any], key: ApplicationKey) -> dict[str, Any]:
    """What a row of ``decisions`` rested on and says, as it was written; raises SealError."""
    found: dict[str, Any] = key.open(REST, row.sealed)
    return found


def opened_case(sealed: bytes, key: ApplicationKey) -> Case:
    """What the machine's decision of an application rested on; raises SealError."""
    return case_from(key.open(REST, sealed)["case"])


def usable_key() -> ColumnElement[bytes | None]:
    """Of a row of ``applications``, its key; null of one whose person was ordered to be erased
    since, so that what a law still has kept of it is used for nothing."""
    ordered = exists(
        select(erasures.c.pseudonym).where(
            erasures.c.pseudonym == applications.c.pseudonym,
            applications.c.received_at <= erasures.c.ordered_at,
        )
    )
    return case((~ordered, applications.c.wrapped_key), else_=None).label("wrapped_key")


def blinding_json(blinding: Blinding) -> dict[str, Any]:
    """Beside its own id, which is kept with it: the salts of it and of what it follows."""
    said: dict[str, Any] = {"salt": blinding.salt}
    if blinding.first is not None:
        said["first"] = [blinding.first.application, blinding.first.salt]
    return said


def blinding_from(application: str, said: dict[str, Any]) -> Blinding:
    """Of what :func:`blinding_json` wrote."""
    first = said.get("first")
    return Blinding(application, said["salt"], None if first is None else Blinding(*first))


def permission_json(permission: Permission) -> dict[str, Any]:
    return {
        "pseudonym": permission.pseudonym,
        "granted": {
            category.value: named.model_dump(mode="json")
            for category, named in permission.granted.items()
        },
        "refused": {
            category.value: reason.value for category, reason in permission.refused.items()
        },
        "consents": [named.model_dump(mode="json") for named in permission.consents],
        "automated": permission.automated,
        "told_at": permission.told_at.isoformat(),
        "state_sha256": permission.state_sha256,
    }


def permission_from(said: dict[str, Any]) -> Permission:
    return Permission(
        pseudonym=said["pseudonym"],
        granted={
            DataCategory(category): ConsentNamed.model_validate(named)
            for category, named in said["granted"].items()
        },
        refused={
            DataCategory(category): Reason(reason) for category, reason in said["refused"].items()
        },
        consents=tuple(ConsentNamed.model_validate(named) for named in said["consents"]),
        automated=said["automated"],
        told_at=datetime.fromisoformat(said["told_at"]),
        state_sha256=said["state_sha256"],
    )


def write_decision(hand: InHand, made: StoredDecision, number: int, key: ApplicationKey) -> None:
    """The decision, its offer, what a challenger said; its statement goes into the outbox in the
    same transaction."""
    decision, named = made.decision, made.blinding.application
    hand.add(
        decisions,
        id=named,
        number=number,
        by=made.by,
        sealed=made.sealed(key),
        **decision_columns(made.case, decision) | version_columns(made),
    )
    if decision.offer is not None:
        hand.add(offers, decision=named, **offer_columns(decision.offer))
    if (silent := made.silent) is not None:
        hand.add(
            silent_decisions,
            decision=named,
            policy_hash=silent.challenger,
            outcome=silent.outcome,
            sealed=silent.sealed(key),
        )


def version_columns(made: StoredDecision) -> dict[str, str]:
    """By what it was decided."""
    return dict(zip(("model_hash", "policy_hash", "law_hash"), made.versions, strict=True))


def decision_columns(case: Case, decision: Decision) -> dict[str, Any]:
    """What of a decision stands in clear beside it."""
    scored = decision.scored
    return {
        "application": case.application.id,
        "outcome": decision.outcome,
        "score": None if scored is None else scored.score,
        "band": None if scored is None else scored.band,
        "model_hash": case.model_hash,
        "policy_hash": case.policy_hash,
        "law_hash": case.law_hash,
        "release_hash": case.release_hash,
        "case_hash": decision.case_hash,
        "decided_at": decision.decided_at,
        "explored": explored(decision),
    }


def explored(decision: Decision) -> bool:
    """Whether it is of the slice below the cut-off."""
    return any(one.table == "exploration" and one.held for one in decision.trace)


def offer_columns(offer: LoanOffer) -> dict[str, Any]:
    """What stands in clear of an offer, for whoever accepts it."""
    cost = offer.cost
    return {
        "product": offer.product,
        "amount": offer.amount,
        "term_days": offer.term_days,
        "rate_ppm_day": offer.rate_ppm_day,
        "credit_limit": offer.limit,
        "compound": str(cost.compound),
        "simple": str(cost.simple),
        "cap": None if cost.cap is None else str(cost.cap),
        "cap_source": cost.cap_source,
        "total": cost.total,
        "valid_until": offer.valid_until,
    }


def etag_of(version: int, stage: str) -> str:
    """Of an application; ``stage``: pending, logged or void."""
    return f'"{version}-{stage}"'


@dataclass(frozen=True)
class Held:
    """An application as it stands, with its newest decision."""

    application: Row[Any]
    decision: Row[Any]
    entry_index: int | None
    """Of the decision's statement in the log; without it the decision has no effect."""
    refused: str | None
    """Why the registry does not log it: a consent was taken back, so the decision is void."""

    @property
    def status(self) -> ApplicationStatus:
        return ApplicationStatus(self.application.status)

    @property
    def effective(self) -> bool:
        return self.entry_index is not None

    @property
    def etag(self) -> str:
        stage = "void" if self.refused else "logged" if self.effective else "pending"
        return etag_of(self.application.version, stage)

    def key(self, desk: Desk) -> ApplicationKey:
        """Raises SealError where it was forgotten."""
        return desk.at_rest.of(self.application.id, self.application.wrapped_key)

    def made(self, desk: Desk) -> StoredDecision:
        """The newest decision, opened; raises SealError."""
        return StoredDecision.opened(self.decision, self.key(desk))

    def require(self, if_match: str | None) -> None:
        """RFC 9110 section 13.1.1. Raises PreconditionFailed."""
        if if_match not in {None, "*", self.etag}:
            raise PreconditionFailed("the application has changed since it was read; read it again")


def held(connection: Connection, application: str, decision: str | None = None) -> Held:
    """An application with its newest decision, or with another one. Raises NotFound."""
    row = connection.execute(
        select(applications).where(applications.c.id == application)
    ).one_or_none()
    if row is None:
        raise NotFound("there is no such application")
    which = (
        (decisions.c.application == application)
        if decision is None
        else (decisions.c.id == decision)
    )
    newest = connection.execute(
        select(decisions, outbox.c.entry_index, outbox.c.refused.label("log_refused"))
        .join(
            outbox,
            (outbox.c.application == decisions.c.id) & (outbox.c.step == "use.scored"),
        )
        .where(which)
        .order_by(decisions.c.number.desc())
        .limit(1)
    ).one()
    return Held(row, newest, newest.entry_index, newest.log_refused)


def move(hand: InHand, found: Held, event: ApplicationEvent) -> ApplicationStatus:
    """Let the event happen to the application; raises Conflict where it may not."""
    status = following(found.status, event)
    hand.connection.execute(
        update(applications)
        .where(applications.c.id == found.application.id)
        .values(status=status.value, version=found.application.version + 1)
    )
    return status
