"""A credit policy: signed, dated decision tables from what is known of an applicant to terms.

Six tables, in this order: ``knock_outs`` (what declines by itself), ``tiers`` (what a score comes
to), ``review`` (what a person looks at), ``limits``, ``pricing``, ``affordability``. Beside the
facts that a policy declares, tables read what a decision works out itself (``DERIVED``).

A policy that names a feature which its jurisdiction forbids or protects does not load on a day on
which it does, and nothing is decided by one that is not in force.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Mapping
from datetime import date
from typing import Annotated, Any, Literal, Protocol, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
    model_validator,
)

from crypto.documents import (
    MAX_INT,
    canonical_json,
    document_hash,
    sign_document,
    verify_document,
)
from crypto.errors import TahiniError
from crypto.keys import PublicKey, SigningKey
from crypto.sentences import one_sentence, shaped
from law.categories import DataCategory
from law.packs import Jurisdiction
from lending.cases import Value
from lending.policy.conditions import DeclaredFact, FactName, written
from lending.policy.tables import DecisionTable, HitPolicy, rows_of

POLICY_TYP = "tahini-credit-policy"
TableName = Literal["knock_outs", "tiers", "review", "limits", "pricing", "affordability"]
COLLECTING = frozenset({"knock_outs", "review"})
MOST_BURDEN = 1_000_000
"""Per mille of income; what nobody can pay is as bad as this."""
MOST_EXPLORED_PPM = 50_000
"""No more than one in twenty of those below the cut-off."""
DERIVED = {
    "score": DeclaredFact(kind="integer", low=350, high=950, about="as shown"),
    "neutral": DeclaredFact(kind="integer", low=0, high=10_000, about="features left neutral"),
    "amount": DeclaredFact(kind="fen", low=1, high=MAX_INT, about="of the loan"),
    "term_days": DeclaredFact(kind="integer", low=1, high=36_500, about="of the loan"),
    "outstanding": DeclaredFact(kind="fen", low=0, high=MAX_INT, about="owed here already"),
    "exposure": DeclaredFact(kind="fen", low=1, high=MAX_INT, about="outstanding and amount"),
}
"""What every table may read. ``product``, one of the policy's, comes to it; from ``review`` on
``tier``; in ``affordability`` only ``burden``."""
BURDEN = DeclaredFact(
    kind="integer", low=0, high=MOST_BURDEN, about="what falls due in 30 days, per mille of income"
)
PURPOSE = "purpose"
"""What the applicant says that the loan is for; a policy that reads it declares its codes."""


class PolicyRefused(TahiniError):
    """A policy cannot be used, at all or on this day or for this case: the sentence says why."""


class Barred(Protocol):
    """Why a fact may not be used."""

    @property
    def why(self) -> str:
        """The rest of a sentence that begins with the fact, with the article."""


class FeatureLaw(Protocol):
    """What the law of a place says about using facts for decisions about credit."""

    def __call__(
        self,
        jurisdictions: Collection[Jurisdiction],
        day: date,
        declared: Collection[DataCategory],
        *texts: str,
    ) -> Barred | None:
        """Why a fact of these categories, so named and described, may not be used in these
        jurisdictions on ``day``; None if it may."""


Code = Annotated[str, shaped(r"^[a-z0-9][a-z0-9-]{0,63}$", "small letters, digits and hyphens")]
Output = StrictBool | Annotated[StrictInt, Field(ge=-MAX_INT, le=MAX_INT)] | StrictStr


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class WrittenRow(_Frozen):
    """A row as a file has it: cells by fact (:mod:`lending.policy.conditions`), outputs by name."""

    id: Code
    when: dict[str, Annotated[str, BeforeValidator(written)]] = {}
    then: dict[str, Output]
    note: str = Field(default="", max_length=500)


class WrittenTable(_Frozen):
    """A table as a file has it."""

    hit: HitPolicy
    rows: tuple[WrittenRow, ...] = Field(min_length=1, max_length=2000)


class Income(_Frozen):
    """The facts, both fen a month, that burden is worked out from: ``(obligations + what falls due
    within 30 days) / income``."""

    income: str
    obligations: str


class Exploration(_Frozen):
    """Loans below the cut-off, few and small, so that what would have become of those who are
    declined is known (against reject bias).

    ``share_ppm`` of the applications with a score from ``lowest_score``, chosen by a keyed hash of
    their id; each at most ``most_amount``, all together ``most_outstanding`` (the fact
    ``exploration_outstanding``, which the lender's books give; without it, nobody), as ``tier``.
    """

    share_ppm: int = Field(ge=1, le=MOST_EXPLORED_PPM)
    lowest_score: int = Field(ge=350, le=950)
    most_amount: int = Field(ge=1, le=MAX_INT)
    most_outstanding: int = Field(ge=1, le=MAX_INT)
    tier: Code


class PolicyDocument(_Frozen):
    """A policy as it is signed. ``valid_from`` is its first day, ``valid_until`` the first one on
    which it is over; ``most_neutral`` how many neutral features a machine may still decide with;
    ``challenges`` the hash of the policy that this one is tried beside."""

    id: Code
    version: int = Field(ge=1)
    jurisdiction: Jurisdiction
    lender_kind: Code
    products: tuple[Code, ...] = Field(min_length=1)
    valid_from: date
    valid_until: date = Field(lt=date(9000, 1, 1))
    offer_days: int = Field(ge=1, le=90)
    most_neutral: int = Field(ge=0, le=10_000)
    facts: dict[Annotated[str, FactName], DeclaredFact]
    burden: Income
    exploration: Exploration | None = None
    challenges: str = ""
    tables: dict[TableName, WrittenTable]

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.valid_from >= self.valid_until:
            raise ValueError("it is over before it begins")
        if missing := [name for name in OUTPUTS if name not in self.tables]:
            raise ValueError(f"it has no table {missing[0]!r}")
        taken = {*DERIVED, "product", "tier", "burden"} & set(self.facts)
        if taken:
            raise ValueError(f"{min(taken)!r} is worked out, so it cannot be declared")
        needed = [self.burden.income, self.burden.obligations]
        needed += ["exploration_outstanding"] if self.exploration else []
        for name in needed:
            if name not in self.facts or self.facts[name].kind != "fen":
                raise ValueError(f"{name!r} must be declared, as fen")
        if PURPOSE in self.facts and self.facts[PURPOSE].kind != "code":
            raise ValueError("a purpose is a code")
        for name, table in self.tables.items():
            if (table.hit == "collect") != (name in COLLECTING):
                raise ValueError(
                    f"table {name!r} {'collects' if name in COLLECTING else 'must not collect'}"
                )
            for row in table.rows:
                try:
                    OUTPUTS[name].model_validate(row.then)
                except ValidationError as error:
                    raise ValueError(
                        f"table {name!r}, row {row.id!r}: {one_sentence(error)}"
                    ) from error
        if not self.tiers:
            raise ValueError("every row of its tiers declines")
        return self

    @property
    def tiers(self) -> tuple[str, ...]:
        """Those that lead anywhere."""
        found = [row.then.get("tier") for row in self.tables["tiers"].rows]
        found += [self.exploration.tier] if self.exploration else []
        return tuple(dict.fromkeys(str(one) for one in found if one is not None))

    def payload(self) -> dict[str, Any]:
        """What is signed and hashed."""
        return self.model_dump(mode="json", exclude_defaults=True)

    @property
    def as_signed(self) -> Self:
        """The same, its names in the order in which they are signed (RFC 8785): rows read facts in
        that order, whatever file they were written in, so one hash is one trace."""
        return self.model_validate_json(canonical_json(self.payload()))

    def sign(self, key: SigningKey) -> str:
        """As a signed document."""
        return sign_document(POLICY_TYP, self.payload(), key)


class _Output(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Reason(_Output):
    reason: Code


class _Tier(_Output):
    outcome: Literal["approve", "review", "decline"]
    tier: Code | None = None
    reason: Code | None = None

    @model_validator(mode="after")
    def _reasoned(self) -> Self:
        if (self.outcome == "decline") != (self.tier is None):
            raise ValueError("a row leads to a tier if and only if it does not decline")
        if self.outcome != "approve" and self.reason is None:
            raise ValueError("whatever does not approve has a reason")
        return self


class _Limit(_Output):
    limit: int = Field(ge=0, le=MAX_INT)


class _Price(_Output):
    """``rate`` and ``floor`` in parts per million a day; below the floor the lender does not
    lend."""

    rate: int = Field(ge=0, le=1_000_000)
    floor: int = Field(default=0, ge=0, le=1_000_000)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.floor > self.rate:
            raise ValueError("its floor lies above its rate")
        return self


class _Affordable(_Output):
    outcome: Literal["approve", "review", "decline"]
    reason: Code | None = None

    @model_validator(mode="after")
    def _reasoned(self) -> Self:
        if self.outcome != "approve" and self.reason is None:
            raise ValueError("whatever does not approve has a reason")
        return self


OUTPUTS: Mapping[TableName, type[_Output]] = {
    "knock_outs": _Reason,
    "tiers": _Tier,
    "review": _Reason,
    "limits": _Limit,
    "pricing": _Price,
    "affordability": _Affordable,
}
"""What the rows of each table say."""


class CreditPolicy:
    """A policy whose tables were compiled and checked."""

    def __init__(self, document: PolicyDocument) -> None:
        """Raises TableError."""
        self.document = document
        self.hash = document_hash(document.payload())
        self.tables = {name: self._table(name) for name in OUTPUTS}
        self._money = {
            name: (int(fact.range[0]), int(fact.range[1]))  # type: ignore[arg-type]
            for name, fact in document.facts.items()
            if fact.kind == "fen"
        }
        self.reads_burden = any(one.fact == "burden" for one in self.tables["affordability"].axes)

    def _table(self, name: TableName) -> DecisionTable:
        facts = self.readable(name)
        rows = rows_of([row.model_dump() for row in self.document.tables[name].rows], facts, name)
        return DecisionTable(name, self.document.tables[name].hit, rows, facts)

    def readable(self, table: TableName) -> dict[str, DeclaredFact]:
        """The facts that a table may read."""
        document = self.document
        found = {**document.facts, **DERIVED}
        found["product"] = DeclaredFact(kind="code", values=document.products)
        if table not in {"knock_outs", "tiers"}:
            found["tier"] = DeclaredFact(kind="code", values=document.tiers)
        if table == "affordability":
            found["burden"] = BURDEN
        return found

    def covered(self, name: str, known: Mapping[str, Value]) -> int | None:
        """An amount of money in fen, if it is known and inside of what is declared."""
        value = known.get(name)
        low, high = self._money[name]
        return value if type(value) is int and low <= value <= high else None

    def out_of_force(self, day: date) -> str | None:
        """Why nothing is decided by it on ``day``; None if it is in force."""
        named = f"policy {self.document.id!r} version {self.document.version}"
        if day < self.document.valid_from:
            return f"{named} is not in force before {self.document.valid_from}, and it is {day}"
        if day >= self.document.valid_until:
            return f"{named} was in force until {self.document.valid_until}, and it is {day}"
        return None

    def explores(self, application: str, key: bytes) -> bool:
        """Whether this application is in the slice below the cut-off: the first 64 bits of
        HMAC-SHA256(key, policy's id, application's id), as a fraction, lie below the share.

        The key is the lender's secret and stays the same while the policy does: then nobody can
        choose an id that is in, and everybody who has the key can say afterwards who was. Without a
        key nobody is.
        """
        if self.document.exploration is None or not key:
            return False
        named = f"tahini exploration\n{self.document.id}\n{application}".encode()
        drawn = int.from_bytes(hmac.digest(key, named, hashlib.sha256)[:8], "big")
        return drawn * 1_000_000 < self.document.exploration.share_ppm << 64


def unlawful(document: PolicyDocument, law: FeatureLaw, day: date) -> str | None:
    """The first fact that a policy names and may not use on ``day``, with the article; None if it
    may use all of them."""
    for name, fact in document.facts.items():
        barred = law((document.jurisdiction,), day, fact.categories, name, fact.about)
        if barred is not None:
            return f"policy {document.id!r} names {name!r}, which {barred.why}"
    return None


def policy_from(payload: Mapping[str, Any], law: FeatureLaw, day: date) -> CreditPolicy:
    """The policy in a file or a verified document, for decisions on ``day``.

    Raises:
        PolicyRefused: malformed, or unlawful on that day. TableError: a table is faulty.
    """
    try:
        document = PolicyDocument.model_validate(payload).as_signed
    except ValidationError as error:
        raise PolicyRefused(f"the policy cannot be used: {one_sentence(error)}") from error
    if why := unlawful(document, law, day):
        raise PolicyRefused(why)
    return CreditPolicy(document)


def verified_policy(token: str, key: PublicKey, law: FeatureLaw, day: date) -> CreditPolicy:
    """The policy in a signed document. Raises SignatureError, and as :func:`policy_from`."""
    return policy_from(verify_document(token, POLICY_TYP, key), law, day)
