"""A campaign's nodes behind a Flower grid: ask them, wait for their answers, name who is missing or
refuses."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid

from credit.questions import Packed, arrays_to_bytes
from crypto.masks import Words
from protocol import tracing
from server.errors import CampaignStopped
from server.run import Answers

NODES_TIMEOUT_S = 120.0
ANSWER_TIMEOUT_S = 300.0
POLL_S = 0.1
"""From one look to the next, where the SuperLink keeps none open until there is something."""
SLOW_S = 5.0
"""Whoever has not answered by then is named to the operator."""

Emit = Callable[[dict[str, Any]], None]


@dataclass
class FlowerFleet:
    """The campaign's nodes behind a Flower grid."""

    grid: Grid
    wanted: frozenset[str]
    """The lenders without whose nodes nothing begins."""
    answer_s: float = ANSWER_TIMEOUT_S
    others: int = 0
    """How many more nodes may be connected, whose lenders take no part: they refuse, or are left
    alone."""
    check: Callable[[], None] = lambda: None
    """Called while waiting; raises CampaignStopped when the operator wants to stop."""
    tell: Emit = lambda _: None
    """Told what is waited for."""
    _lenders: dict[int, str] = field(default_factory=dict, init=False)
    """Which node speaks for which lender, as it said when it joined. Whoever says so falsely cannot
    contribute: it lacks the mask key. A release without the lender's contribution is lost, not
        wrong."""

    def _node_ids(self) -> list[int]:
        deadline = time.monotonic() + NODES_TIMEOUT_S
        seen = -1
        while len(ids := list(self.grid.get_node_ids())) < len(self.wanted):
            self.check()
            if len(ids) != seen:
                seen = len(ids)
                self.tell(
                    {
                        "event": "waiting",
                        "reason": f"nodes: {seen} of {len(self.wanted)} are connected",
                    }
                )
            if time.monotonic() > deadline:
                raise CampaignStopped(
                    f"only {len(ids)} of {len(self.wanted)} nodes connected within "
                    f"{NODES_TIMEOUT_S:.0f} s"
                )
            time.sleep(POLL_S)
        return ids

    def _ask(
        self, kind: str, nodes: Iterable[int], content: Callable[[], RecordDict]
    ) -> Iterator[tuple[int, Message]]:
        asked = list(nodes)
        messages = [Message(content(), dst_node_id=node, message_type=kind) for node in asked]
        pushed = zip(self.grid.push_messages(messages), asked, strict=False)
        sent = {str(found): node for found, node in pushed if found}
        waiting = set(sent)
        began = time.monotonic()
        deadline = began + self.answer_s
        told = False
        while waiting and time.monotonic() < deadline:
            self.check()
            looked_at = time.monotonic()
            replies = list(self.grid.pull_messages(waiting))
            for reply in replies:
                waiting.discard(reply.metadata.reply_to_message_id)
                yield reply.metadata.src_node_id, reply
            if replies:
                continue
            if not told and time.monotonic() > began + SLOW_S:
                told = True
                who = sorted(self._lenders.get(sent[found], "a node") for found in waiting)
                self.tell({"event": "waiting", "reason": f"the answer of {', '.join(who)}"})
            time.sleep(max(0.0, POLL_S - (time.monotonic() - looked_at)))

    def join(self, campaign_sha256: str) -> Mapping[str, str]:
        """Asked again until everybody answers or time is up: a node that was just started again may
        miss a question.

        Whoever refuses is not asked again; raises CampaignStopped with their words if too few are
        left.
        """
        asked: dict[str, str | bytes] = {
            "campaign": campaign_sha256,
            "traceparent": tracing.traceparent(),
        }
        content = RecordDict({"request": ConfigRecord(asked)})  # type: ignore[arg-type]
        keys: dict[str, str] = {}
        refused: dict[int, str] = {}
        deadline = time.monotonic() + NODES_TIMEOUT_S
        named = frozenset[str]()
        while (missing := self.wanted - set(keys)) and time.monotonic() < deadline:
            silent = [
                node
                for node in self._node_ids()
                if node not in self._lenders and node not in refused
            ]
            if len(refused) > self.others:
                break
            if not silent:
                if missing != named:
                    named = missing
                    self.tell(
                        {"event": "waiting", "reason": f"the node of {', '.join(sorted(missing))}"}
                    )
                self.check()
                time.sleep(POLL_S)
                continue
            for node, reply in self._ask("query.join", silent, lambda: content):
                if reply.has_error() and reply.error.code == ErrorCode.NODE_UNAVAILABLE:
                    time.sleep(POLL_S)  # it died, and may be on its way back
                    continue
                if (refusal := _refusal(reply)) is not None:
                    refused[node] = refusal
                    continue
                answer = reply.content.config_records["answer"]
                lender = str(answer.get("lender"))
                if lender in keys:
                    raise CampaignStopped(f"two nodes say that they are {lender}'s")
                self._lenders[node], keys[lender] = lender, str(answer.get("mask_key"))
        if missing and refused:
            raise CampaignStopped(
                "; ".join(
                    [f"the node of {', '.join(sorted(missing))} is missing", *refused.values()]
                )
            )
        return {lender: key for lender, key in keys.items() if lender in self.wanted}

    def release(self, token: str, packed: Packed, roster: frozenset[str]) -> Answers:
        arrays = arrays_to_bytes(packed.arrays)

        def content() -> RecordDict:
            parts: dict[str, str | bytes] = {
                "token": token,
                "binning": packed.binning,
                "pairs": packed.pairs,
                "arrays": arrays,
                "traceparent": tracing.traceparent(),
            }
            return RecordDict({"request": ConfigRecord(parts)})  # type: ignore[arg-type]

        contributions: dict[str, Words] = {}
        refusals: dict[str, str] = {}
        asked = [node for node, lender in self._lenders.items() if lender in roster]
        for node, reply in self._ask("train.release", asked, content):
            lender = self._lenders[node]
            refusal = _refusal(reply)
            if refusal is not None:
                refusals[lender] = refusal
                continue
            words = reply.content.config_records["answer"].get("words")
            if not isinstance(words, bytes) or len(words) % 8:
                refusals[lender] = f"{lender} sent something that is not a contribution"
                continue
            contributions[lender] = np.frombuffer(words, dtype="<u8").astype(np.uint64)
        return Answers(contributions, refusals)


def _refusal(reply: Message) -> str | None:
    """Why a node did not do what it was asked; None if it did."""
    if reply.has_error():
        return f"a node failed: {reply.error.reason}"
    answer = reply.content.config_records.get("answer")
    said = "a node's answer is none" if answer is None else answer.get("refused")
    return None if said is None else str(said)
