"""What an auditor takes along: the entries as a table, the head, the policy, the record of
processing activities."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from consent.export import RecordSources, html_page, record_of
from crypto.merkle import leaf_hash
from protocol.errors import Conflict
from screens.house.errors import PageError
from screens.house.shell import Look
from screens.house.staff import StaffDoor
from screens.viewer.entry_pages import attachment
from screens.viewer.forms import day_in, query_of
from screens.viewer.index import EntryQuery, IndexedEntry
from screens.viewer.verification import Verifications

COLUMNS = ("index", "day", "type", "actor", "lender", "campaign", "sealed_to", "leaf_hash")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet would compute."""


@dataclass(frozen=True)
class ExportPages:
    """Pages with files."""

    look: Look
    door: StaffDoor
    verifications: Verifications

    def exports(self, request: Request) -> Response:
        """``GET /exports``: what there is to take along."""
        self.door.staff(request, "look")
        today = self.verifications.clock().date()
        return self.look.page(
            request,
            "exports.html",
            tab="/exports",
            size=self.verifications.index.size(),
            outcome=self.verifications.outcome,
            has_audit=self.verifications.audit is not None,
            first=(today - timedelta(days=365)).isoformat(),
            last=today.isoformat(),
        )

    def entries(self, request: Request) -> Response:
        """``GET /exports/entries.csv``: the entries that the filters want, in the log's order."""
        self.door.staff(request, "look")
        query = query_of(request.query_params)
        headers = {"Content-Disposition": 'attachment; filename="entries.csv"'}
        return StreamingResponse(self._rows(query), media_type="text/csv", headers=headers)

    def checkpoint(self, request: Request) -> Response:
        """``GET /exports/checkpoint``: the head that was verified last, as it was signed."""
        self.door.staff(request, "look")
        outcome = self.verifications.outcome
        if outcome.verdict != "verified":
            raise PageError("not-found", 404)
        return attachment(outcome.note, "log.checkpoint")

    def policy(self, request: Request) -> Response:
        """``GET /exports/policy``: whom to believe, for tools that take a C2SP tlog-policy."""
        self.door.staff(request, "look")
        return attachment(self.verifications.home.consortium.policy.text, "log.policy")

    def record(self, request: Request) -> Response:
        """``GET /exports/record.{format}``: the record of processing activities of a period."""
        self.door.staff(request, "look")
        try:
            record = self._record(request)
        except Conflict as error:
            raise PageError("no-such-filter", 422) from error
        if request.path_params["format"] == "html":
            return attachment(html_page(record), "processing-record.html", "text/html")
        text = json.dumps(record, indent=2, ensure_ascii=False)
        return attachment(text, "processing-record.json", "application/json")

    def _record(self, request: Request) -> dict[str, Any]:
        audit = self.verifications.audit
        if audit is None:
            raise PageError("not-found", 404)
        campaigns = {name: use.campaign for name, use in audit.know.uses.items() if use.campaign}
        size = audit.checkpoint.size
        sources = RecordSources(
            self.verifications.home.consortium,
            audit.checkpoint,
            (one.leaf for one in self.verifications.index.walk(EntryQuery()) if one.index < size),
            list(audit.know.notices.values()),
            campaigns,
            self.verifications.clock(),
        )
        asked = request.query_params
        return record_of(sources, day_in(asked, "first"), day_in(asked, "last"))

    def _rows(self, query: EntryQuery) -> Iterator[str]:
        yield _line(COLUMNS)
        for entry in self.verifications.index.walk(query):
            yield _line(_cells(entry))


def _cells(entry: IndexedEntry) -> list[object]:
    fields = entry.fields
    named = [str(fields.get(name, "")) for name in ("type", "actor", "lender", "campaign")]
    sealed = " ".join(fields["body"]["sealed_to"])
    said = [f"'{one}" if one.startswith(_FORMULA) else one for one in (*named, sealed)]
    return [entry.index, str(fields["time"])[:10], *said, leaf_hash(entry.leaf).hex()]


def _line(cells: list[object] | tuple[str, ...]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()
