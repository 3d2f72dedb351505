"""A person of a workspace of ``tahini up`` at the rights desk: asks their lender, reads the answer,
keeps and verifies receipts."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import httpx

from crypto.errors import CryptoError
from crypto.keys import (
    PublicKey,
    RecipientKey,
    load_recipient_key,
    replace_file,
    save_recipient_key,
)
from crypto.sealing import unseal_from
from demo.borrowing import Player, answered, asked_again
from demo.errors import DemoError
from protocol.errors import NotFound
from protocol.parties import Consortium
from protocol.rights import (
    RequestEvent,
    RightsAnswer,
    RightsReceipt,
    attachment_context,
    check_rights_receipt,
)

REPLY_KEY_FILE, REQUESTS_FOLDER = "reply.key", "requests"


def reply_key(player: Player) -> RecipientKey:
    """What answers' attachments to this person are sealed to; made the first time."""
    path = player.home / REPLY_KEY_FILE
    if not path.exists():
        save_recipient_key(path, RecipientKey.generate())
    return load_recipient_key(path)


def ask(player: Player, http: httpx.Client, content: dict[str, Any]) -> dict[str, Any]:
    """Ask the lender; returns what was recorded, and the file of the receipt."""
    body = {
        "recipient": player.person.lender,
        "asked": {**content, "reply_key": reply_key(player).public.text},
    }
    done = dict(answered(http.post("/v1/me/requests", json=body)))
    kept = keep_receipt(player, http, done["request_sha256"], done["step"])
    return {**done, "receipt": str(kept)}


def keep_receipt(player: Player, http: httpx.Client, sha256: str, number: int) -> Path:
    """Fetch, verify and keep the receipt of a step of a request."""
    answer = asked_again(http, f"/v1/me/requests/{sha256}/receipts/{number}")
    player.keep_anchors()
    key = PublicKey.from_text((player.home / "registry.pub").read_text(encoding="utf-8").strip())
    token = (player.home / "consortium.jws").read_text(encoding="utf-8").strip()
    try:
        trust = Consortium.verify(token, key).policy
        check_rights_receipt(RightsReceipt.verify(answer.text, key), trust)
    except (CryptoError, ValueError, KeyError) as error:
        raise DemoError(f"the receipt of the request does not verify: {error}") from error
    path = player.home / REQUESTS_FOLDER / f"{sha256[:16]}-{number}.jws"
    path.parent.mkdir(exist_ok=True)
    replace_file(path, answer.content)
    return path


def read(player: Player, http: httpx.Client, begins: str) -> dict[str, Any]:
    """One of the person's requests with the lender's answers, each verified with the lender's key;
    what was attached is written into a file."""
    mine = answered(http.get("/v1/me/requests?limit=1000"))["items"]
    found = [one["request_sha256"] for one in mine if one["request_sha256"].startswith(begins)]
    if len(found) != 1:
        raise NotFound(f"{len(found) or 'no'} requests of mine begin with {begins!r}")
    sha256 = found[0]
    told = dict(answered(http.get(f"/v1/me/requests/{sha256}")))
    receipts, answers = [], []
    for row in told["steps"]:
        path = keep_receipt(player, http, sha256, row["number"])
        receipts.append(str(path))
        step = RightsReceipt.claimed(path.read_text(encoding="utf-8")).step  # just verified
        if step.event in {RequestEvent.ANSWER, RequestEvent.REFUSE}:
            answers.append(step.answer(player.lenders_key()))
    return {
        **told,
        "receipts": receipts,
        "answers": [answer.payload() for answer in answers],
        "attached": _attached(player, http, told, answers),
    }


def _attached(
    player: Player, http: httpx.Client, told: dict[str, Any], answers: list[RightsAnswer]
) -> str | None:
    """The file that what was attached is written into; raises DemoError when it is not the
    answer's."""
    if told["attachment"] is None:
        return None
    sealed = http.get(told["attachment"]).content
    if hashlib.sha256(sealed).hexdigest() not in {one.attachment_sha256 for one in answers}:
        raise DemoError("the attachment is not the one that the lender's answer names")
    sha256 = str(told["request_sha256"])
    opened = unseal_from(reply_key(player), sealed, attachment_context(sha256))
    path = player.home / f"answer-{sha256[:16]}"
    replace_file(path, opened)
    return str(path)
