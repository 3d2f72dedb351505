"""The entries of the log: listed out of the auditor's own index, and each with its proof."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from crypto.errors import TahiniError
from crypto.merkle import inclusion_proof, leaf_hash
from crypto.notes import InclusionProof, claimed_checkpoint
from screens.house.errors import PageError, ServiceAway
from screens.house.forms import new_once, read_own
from screens.house.shell import Look, go
from screens.house.staff import StaffDoor
from screens.viewer.drawing import proof_tree
from screens.viewer.forms import FIELDS, ActForm, number_of, query_of
from screens.viewer.index import IndexedEntry
from screens.viewer.opened import OpenedBodies
from screens.viewer.verification import Verifications, is_away

PAGE = 50
"""Entries on one page."""


@dataclass(frozen=True)
class EntryPages:
    """Pages about entries."""

    look: Look
    door: StaffDoor
    verifications: Verifications
    opened: OpenedBodies

    def entries(self, request: Request) -> Response:
        """``GET /entries``: the newest first; filters stand in the address."""
        self.door.staff(request, "look")
        asked, index = request.query_params, self.verifications.index
        number = number_of(asked, "index")
        if number is not None:
            return go(f"/entries/{number}")
        query, before = query_of(asked), number_of(asked, "before")
        found = index.newest(query, before, PAGE + 1)
        kept = {name: asked[name] for name in FIELDS if asked.get(name)}
        older = found[PAGE - 1].index if len(found) > PAGE else None
        return self.look.page(
            request,
            "entries.html",
            tab="/entries",
            entries=found[:PAGE],
            query=query,
            count=index.count(query),
            size=index.size(),
            choices={name: index.grouped(name) for name in ("type", "actor", "campaign")},
            older=None if older is None else f"/entries?{urlencode({**kept, 'before': older})}",
            newest=f"/entries?{urlencode(kept)}" if before is not None else None,
            csv=f"/exports/entries.csv?{urlencode(kept)}",
            outcome=self.verifications.outcome,
        )

    def entry(self, request: Request) -> Response:
        """``GET /entries/{index}``: one entry, its proof, and its body if it was just opened."""
        self.door.staff(request, "look")
        entry = self._entry(request)
        proof = self._proof(entry)
        size = 0 if proof is None else claimed_checkpoint(proof.checkpoint_note).size
        drawn = (
            None
            if proof is None
            else proof_tree(leaf_hash(entry.leaf), entry.index, size, proof.path)
        )
        fields, home = entry.fields, self.verifications.home
        return self.look.page(
            request,
            "entry.html",
            tab="/entries",
            once=new_once(),
            entry=entry,
            fields=fields,
            opened=self.opened.find(entry.index),
            can_open=not self.opened.readers().isdisjoint(_sealed_to(fields)),
            sealed_to=_sealed_to(fields),
            tree=drawn,
            size=size,
            proof=None if proof is None else self._for_browser(proof),
            newest=self.verifications.index.size() - 1,
            outcome=self.verifications.outcome,
            consortium=home.document,
            pinned=home.settings.registry_key,
        )

    async def open(self, request: Request) -> Response:
        """``POST /entries/{index}/open``: log that it is opened, and open it."""
        staff = self.door.staff(request, "look")
        await read_own(request, ActForm, staff.whose)
        entry = self._entry(request)
        try:
            await anyio.to_thread.run_sync(self.opened.open, entry)
        except TahiniError as error:
            if is_away(error):
                raise ServiceAway from error
            raise PageError("cannot-open", 409) from error
        return go(f"/entries/{entry.index}")

    def proof(self, request: Request) -> Response:
        """``GET /entries/{index}/proof``: its proof, as a file (C2SP tlog-proof)."""
        self.door.staff(request, "look")
        proof = self._proof(self._entry(request))
        if proof is None:
            raise PageError("not-found", 404)
        return attachment(proof.text, f"entry-{proof.index}.tlog-proof")

    def leaf(self, request: Request) -> Response:
        """``GET /entries/{index}/leaf``: the entry as it stands in the log, as a file."""
        self.door.staff(request, "look")
        entry = self._entry(request)
        return attachment(entry.leaf.decode(), f"entry-{entry.index}.json")

    def _entry(self, request: Request) -> IndexedEntry:
        index = int(request.path_params["index"])
        found = self.verifications.index.entry(index) if index < 1 << 53 else None
        if found is None:
            raise PageError("not-found", 404)
        return found

    def _proof(self, entry: IndexedEntry) -> InclusionProof | None:
        """That an entry stands under the head that was verified last; None where none is to be
        believed."""
        outcome = self.verifications.outcome
        if outcome.verdict != "verified":
            return None
        size = claimed_checkpoint(outcome.note).size
        if entry.index >= size:
            return None
        with self.verifications.index.tree() as read:
            path = inclusion_proof(entry.index, size, read)
        return InclusionProof(entry.index, tuple(path), outcome.note)

    def _for_browser(self, proof: InclusionProof) -> dict[str, str]:
        path = " ".join(one.hex() for one in proof.path)
        return {"note": proof.checkpoint_note, "path": path}


def _sealed_to(fields: dict[str, Any]) -> list[str]:
    body = fields.get("body")
    return [str(one) for one in body.get("sealed_to", ())] if isinstance(body, dict) else []


def attachment(text: str, name: str, media_type: str = "text/plain") -> Response:
    """A file to keep."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return PlainTextResponse(text, media_type=media_type, headers=headers)
