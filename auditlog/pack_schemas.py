"""What each JSON file of an evidence pack can say: nothing but what is named here, and nobody.

A field that nobody knows is refused, since nobody would check it and a reader would believe it; and
so is a pseudonym anywhere, in the payloads of signed documents too. What stands in the entries of
the log has forms of its own (``auditlog.entry_checks``), and what is compared whole with something
else, as the bill of materials with the card, needs none here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from auditlog.packs import PackPart
from crypto.keys import unb64
from crypto.sentences import one_sentence, shaped
from law.categories import Sensitivity
from law.incidents import Grade
from protocol.errors import AuditFailed
from protocol.rights import RequestKind
from protocol.schema import Sha256, Slug
from protocol.states import ConsentStatus

Count = Annotated[int, Field(ge=0)]
Day = Annotated[str, shaped(r"^\d{4}-\d\d-\d\d$", "a day, as 2026-11-27")]
_PSEUDONYM = re.compile(
    r"(?<![A-Za-z0-9_-])(v[0-9]{1,3}\.[A-Za-z0-9_-]{43}|erased\.[A-Za-z0-9_-]{49})"
    r"(?![A-Za-z0-9_-])"
)


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Authorisation(_Closed):
    id: Annotated[str, Field(max_length=64)]
    lender: Slug
    expires_at: Annotated[str, Field(max_length=40)]


class _NamedNotice(_Closed):
    id: Slug
    version: int


class _Coverage(_Closed):
    notice: _NamedNotice | None
    beyond: str


class _Incident(_Closed):
    incident: Sha256
    grade: Grade
    closed: bool


class _Review(_Closed):
    day: Day
    entry_index: Count


class _Finding(_Closed):
    rule: str
    reason: str
    article: str


class _NoticeReview(_Closed):
    adds: list[str]
    lint: list[_Finding]


class _Cell(_Closed):
    lender: Slug
    purpose: str
    consent: Sensitivity
    notice: str
    state: ConsentStatus
    people: Count


class _States(_Closed):
    cells: list[_Cell]
    fewest_told: Count
    cells_left_out: Count


class _Withdrawals(_Closed):
    acknowledged_after_days: Mapping[Annotated[str, Field(pattern=r"^\d+$")], Count]
    p50_days: Count | None
    p95_days: Count | None
    most_days: Count | None
    acknowledged_a_day_too_late: Count
    not_acknowledged_yet: Count
    overdue_since: Day | None


class _Requests(_Closed):
    lender: Slug
    kind: RequestKind
    received: Count
    answered: Count
    answered_late: Count
    overdue: Count
    refused_now: Count
    closed: Count


class _Erasures(_Closed):
    places_on_rolls_of_erased_people: Count | None
    fewest_told: Count


class _AuditDue(_Closed):
    party: Slug
    last: Day | None
    due: Day | None


class _Kept(_Closed):
    of: str
    what: str
    law: str
    level: str
    source: str
    by: str = ""
    keep: str = ""
    since: str = ""
    days: Count | None = None


class _Counts(_Closed):
    entries_in_scope: Mapping[str, Count]


class _Releases(_Closed):
    attempts: list[Count]
    lost: list[Slug]
    lenders: list[list[Slug]]


class _Roster(_Closed):
    release: Count
    attempt: Annotated[int, Field(ge=1)]
    size_class: Annotated[int, Field(ge=16)] | None

    @model_validator(mode="after")
    def _power_of_two(self) -> _Roster:
        if self.size_class is not None and self.size_class & (self.size_class - 1):
            raise ValueError("size_class is no power of two")
        return self


class _Names(_Closed):
    people_per_day: Count
    retired: list[Count]


_CAMPAIGN = r"campaigns/[0-9a-f]{64}"
SCHEMAS: Mapping[str, TypeAdapter[object]] = {
    rf"{_CAMPAIGN}/authorisations\.json": TypeAdapter(list[_Authorisation]),
    rf"{_CAMPAIGN}/coverage\.json": TypeAdapter(Mapping[Slug, _Coverage]),
    rf"{_CAMPAIGN}/releases\.json": TypeAdapter(_Releases),
    rf"{_CAMPAIGN}/rosters\.json": TypeAdapter(list[_Roster]),
    r"log/counts\.json": TypeAdapter(_Counts),
    r"log/consistency\.json": TypeAdapter(Mapping[str, list[str]]),
    r"incidents/index\.json": TypeAdapter(list[_Incident]),
    r"notices/review\.json": TypeAdapter(Mapping[str, _NoticeReview]),
    r"consents/states\.json": TypeAdapter(_States),
    r"consents/withdrawals\.json": TypeAdapter(Mapping[Slug, _Withdrawals]),
    r"requests/statistics\.json": TypeAdapter(list[_Requests]),
    r"erasures/counts\.json": TypeAdapter(_Erasures),
    r"audits/due\.json": TypeAdapter(list[_AuditDue]),
    r"retention/rules\.json": TypeAdapter(list[_Kept]),
    r"retention/reviews\.json": TypeAdapter(list[_Review]),
    r"names/settings\.json": TypeAdapter(_Names),
}
COMPARED_WHOLE = rf"{_CAMPAIGN}/(evaluation|bom\.cdx|figures)\.json"
"""With what the model card says."""


def check_contents(part: PackPart) -> None:
    """Raises AuditFailed: a file says what no such file can say, or names somebody."""
    for path in sorted(part.manifest.files):
        if _PSEUDONYM.search(path):
            raise AuditFailed(f"{part.maker}: the name of a file in it is somebody's pseudonym")
        if path.startswith("log/entries/") or path.endswith(".gz"):
            continue
        file = part.folder / path
        if path.endswith(".json"):
            _check_schema(f"{part.maker}/{path}", path, file.read_bytes())
        if any(_PSEUDONYM.search(text) for text in _texts(file)):
            raise AuditFailed(f"{part.maker}/{path}: it names somebody; a pack holds no pseudonym")


def _check_schema(name: str, path: str, content: bytes) -> None:
    if re.fullmatch(COMPARED_WHOLE, path):
        return
    schema = next((one for form, one in SCHEMAS.items() if re.fullmatch(form, path)), None)
    if schema is None:
        raise AuditFailed(f"{name}: nothing here says what such a file can say")
    try:
        schema.validate_json(content, strict=True)
    except ValidationError as error:
        raise AuditFailed(f"{name}: {one_sentence(error)}") from error


def _texts(file: Path) -> Iterator[str]:
    """What a reader finds in a file: as it stands, and what JSON in it says, of a signed document
    its payload."""
    content = file.read_bytes()
    yield content.decode(errors="replace")
    try:
        said = unb64(content.decode("ascii").split(".")[1]) if file.suffix == ".jws" else content
        if file.suffix in {".jws", ".json"}:
            yield json.dumps(json.loads(said), ensure_ascii=False)
    except (ValueError, IndexError, RecursionError):
        return  # no document, or no JSON: refused where its signature or its form is checked
