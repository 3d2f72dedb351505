"""Portraits (画像): named, rule-based segments of a lender's own customers, as signed, dated data.

A portrait says what is done with the people who are in it, and that is one of a closed list: a
word, an offer to talk, a person's look; never a price, a limit or a no (PIPL 24: no unreasonable
differential treatment). Its rule is rows of conditions over declared facts (``lending.policy``):
whoever fulfils one row is in it. What is not known of somebody puts them into none.

A portrait is used from its first day until the day on which it is to be looked at again, and not a
day longer; a newer version takes the place of an older one on its own first day. A portrait that
names a feature which its jurisdiction forbids or protects does not load. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from crypto.documents import canonical_json, document_hash, sign_document, verify_document
from crypto.errors import TahiniError
from crypto.keys import PublicKey, SigningKey
from crypto.sentences import one_sentence
from law.categories import DataCategory
from law.packs import Jurisdiction
from lending.cases import Fact, Value
from lending.policy.conditions import Condition, DeclaredFact, FactName, TableError, written
from lending.policy.document import Code, FeatureLaw
from lending.policy.tables import DecisionTable, TableRow, rows_of

PORTRAIT_TYP = "tahini-portrait"
Action = Literal[
    "remind-before-due",
    "offer-extension-talk",
    "financial-education",
    "limit-review-by-a-person",
    "marketing",
]
"""What may be done with whoever is in a portrait. None of it sets a price or a limit, and none
refuses anything: a limit is looked at by a person, marketing is of one named product."""
LONGEST = timedelta(days=366)
"""A portrait is looked at once a year at least. Policy."""
EVERYBODY = "everybody-else"


class PortraitRefused(TahiniError):
    """A portrait cannot be used, at all or on this day: the sentence says why."""


class _Portrayed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class InBothLanguages(_Portrayed):
    """Plain words for the people whom they concern."""

    zh: str = Field(min_length=1, max_length=200)
    en: str = Field(min_length=1, max_length=200)


class PortraitFact(DeclaredFact):
    """A fact that a portrait reads: what it is called, and at least one kind of data, to which
    people have to have agreed."""

    words: InBothLanguages
    categories: tuple[DataCategory, ...] = Field(min_length=1)


class PortraitRow(_Portrayed):
    """Conditions that hold together (:mod:`lending.policy.conditions`)."""

    id: Code
    when: dict[str, Annotated[str, BeforeValidator(written)]] = Field(min_length=1)


class PortraitDocument(_Portrayed):
    """A portrait as it is signed. ``valid_from`` is its first day, ``review_on`` the first one on
    which it is used no more; ``product`` what marketing is of; ``owner`` who at the lender answers
    for it."""

    id: Code
    version: int = Field(ge=1, le=1_000_000)
    jurisdiction: Jurisdiction
    name: InBothLanguages
    purpose: InBothLanguages
    action: Action
    product: Code | None = None
    owner: str = Field(min_length=1, max_length=100)
    valid_from: date
    review_on: date
    facts: dict[Annotated[str, FactName], PortraitFact] = Field(min_length=1, max_length=64)
    rows: tuple[PortraitRow, ...] = Field(min_length=1, max_length=200)

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if not self.valid_from < self.review_on <= self.valid_from + LONGEST:
            raise ValueError(
                f"it is looked at again after its first day, within {LONGEST.days} days"
            )
        if (self.action == "marketing") != (self.product is not None):
            raise ValueError("marketing is of a product, and nothing else is")
        return self

    @property
    def categories(self) -> frozenset[DataCategory]:
        """Every kind of data that it reads."""
        return frozenset(one for fact in self.facts.values() for one in fact.categories)

    def payload(self) -> dict[str, Any]:
        """What is signed and hashed."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def sign(self, key: SigningKey) -> str:
        """As a signed document."""
        return sign_document(PORTRAIT_TYP, self.payload(), key)


@dataclass(frozen=True, slots=True)
class Because:
    """One condition that held, and on what."""

    fact: str
    condition: str
    value: Value


@dataclass(frozen=True, slots=True)
class PortraitSeen:
    """What a portrait says of somebody.

    Args:
        held: the conditions of each row that held, by row; nobody is in it without one.
        missing: what is not known and might have put them in.
    """

    held: Mapping[str, tuple[Because, ...]]
    missing: tuple[str, ...]

    @property
    def within(self) -> bool:
        return bool(self.held)


class Portrait:
    """A portrait whose rule was compiled and checked."""

    def __init__(self, document: PortraitDocument) -> None:
        """Raises TableError: a row holds nowhere, never counts, or everybody is in it.
        PortraitRefused: a fact is declared, and read, of which no row asks anything."""
        self.document = document
        self.hash = document_hash(document.payload())
        facts: dict[str, DeclaredFact] = dict(document.facts)
        written_rows = [{**row.model_dump(), "then": {}} for row in document.rows]
        self._rows = rows_of(written_rows, facts, document.id)
        asked = {fact for row in self._rows for fact in row.when}
        if unasked := sorted(facts.keys() - asked):
            raise PortraitRefused(
                f"portrait {document.id!r}: it declares {unasked[0]!r}, which no row reads; leave "
                "it out"
            )
        self._table = DecisionTable(document.id, "collect", self._rows, facts)
        _require_a_segment(document.id, self._rows, facts)

    def look(self, facts: Mapping[str, Fact]) -> PortraitSeen:
        """Who is in it is so by facts that are present and as they were declared."""
        known = {
            name: facts[name].value
            for name in self.document.facts
            if name in facts and facts[name].status == "present"
        }
        looked = self._table.look({name: one for name, one in known.items() if one is not None})
        held = {row.id: _because(row.when, known) for row in looked.held}
        return PortraitSeen(held, looked.missing)

    def idle(self, day: date) -> str | None:
        """Why it is not used on ``day``; None if it is."""
        said = self.document
        named = f"portrait {said.id!r} version {said.version}"
        if day < said.valid_from:
            return f"{named} is not used before {said.valid_from}, and it is {day}"
        if day >= said.review_on:
            return f"{named} was to be looked at again by {said.review_on}, and it is {day}"
        return None


def _require_a_segment(
    portrait: str, rows: Iterable[TableRow], facts: Mapping[str, DeclaredFact]
) -> None:
    """The rows, and after them everybody else: as a table of which the first row that holds counts,
    it is refused where one never does. Raises TableError."""
    rest = TableRow(EVERYBODY, {}, {})
    try:
        DecisionTable(portrait, "first", [*rows, rest], facts)
    except TableError as error:
        if f"row {EVERYBODY!r} never counts" in str(error):
            raise TableError(
                f"portrait {portrait!r}: everybody of whom its facts are known is in it, so it "
                "tells nobody apart"
            ) from error
        raise


def _because(when: Mapping[str, Condition], known: Mapping[str, Any]) -> tuple[Because, ...]:
    return tuple(Because(fact, str(one), known[fact]) for fact, one in when.items())


def unlawful_portrait(
    document: PortraitDocument,
    law: FeatureLaw,
    day: date,
    held: Mapping[str, Collection[DataCategory]] | None = None,
) -> str | None:
    """The first thing that a portrait names and may not use on ``day``, with the article; None if
    it may use all of it.

    Args:
        held: of which kinds of data the facts are made, by the sources that answer for them.
    """
    named = f"portrait {document.id!r}"
    places = (document.jurisdiction,)
    for what, texts in _called(document).items():
        if (barred := law(places, day, (), *texts)) is not None:
            return f"the {what} of {named} {barred.why}"
    for name, fact in document.facts.items():
        kinds = frozenset(fact.categories) | frozenset((held or {}).get(name, ()))
        said = (name, fact.about, fact.words.en, fact.words.zh, *fact.values)
        if (barred := law(places, day, kinds, *said)) is not None:
            return f"{named} names {name!r}, which {barred.why}"
    return None


def _called(document: PortraitDocument) -> dict[str, tuple[str, ...]]:
    """What a portrait says of whom it is about, beside its facts."""
    return {
        "name": (document.name.en, document.name.zh, document.id),
        "purpose": (document.purpose.en, document.purpose.zh),
        "product": (document.product or "",),
        "rule": tuple(row.id for row in document.rows),
    }


def portrait_of(payload: Mapping[str, Any]) -> Portrait:
    """The portrait in a file; whoever uses it asks the law of the day (:func:`unlawful_portrait`).

    Raises:
        PortraitRefused: malformed. TableError: its rule is faulty.
    """
    try:
        document = PortraitDocument.model_validate(payload)
        document = PortraitDocument.model_validate_json(canonical_json(document.payload()))
    except ValidationError as error:
        raise PortraitRefused(f"the portrait cannot be used: {one_sentence(error)}") from error
    return Portrait(document)


def portrait_from(payload: Mapping[str, Any], law: FeatureLaw, day: date) -> Portrait:
    """As :func:`portrait_of`, for use on ``day``. Raises PortraitRefused where the law of that day
    is against it, too."""
    found = portrait_of(payload)
    if why := unlawful_portrait(found.document, law, day):
        raise PortraitRefused(why)
    return found


def verified_portrait(token: str, key: PublicKey) -> Portrait:
    """The portrait in a signed document. Raises SignatureError, and as :func:`portrait_of`."""
    return portrait_of(verify_document(token, PORTRAIT_TYP, key))


def in_use(portraits: Iterable[Portrait], day: date) -> dict[str, Portrait]:
    """Those that are used on ``day``, by id. Of each the newest version that has begun: where that
    one is over, no older one takes its place."""
    begun: dict[str, Portrait] = {}
    for one in sorted(portraits, key=lambda each: each.document.version):
        if one.document.valid_from <= day:
            begun[one.document.id] = one
    return {name: one for name, one in begun.items() if one.idle(day) is None}
