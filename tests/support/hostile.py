"""A coordinator that turned: everything it signs is signed with the real key, and sent over the real SuperLink.

``python -m support.hostile HOME`` is ``tahini coordinator serve`` with another executor beside it, which commits, in
every release, the attack that ``attack.txt`` in the home names.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import server.executor
from credit.questions import Packed
from crypto.keys import SigningKey, b64
from protocol.campaigns import MaskKey, ReleaseRequest
from server import fleet_app
from server.flower_fleet import FlowerFleet
from server.home import Coordinator
from server.run import Answers
from server.service import CoordinatorService

ATTACK_FILE, OTHER_FILE = "attack.txt", "other-campaign.txt"
ME = "support.hostile"


class HostileService(CoordinatorService):
    """Starts this file wherever the product starts its executor."""

    def run(self) -> None:
        popen = subprocess.Popen

        def other(command: list[str], **options: object) -> subprocess.Popen[bytes]:
            return popen([ME if part == "server.executor" else part for part in command], **options)

        subprocess.Popen = other  # type: ignore[misc,assignment]
        super().run()


class HostileFleet(FlowerFleet):
    """Asks what it was not allowed to ask."""

    home: Path

    def release(self, token: str, packed: Packed, roster: frozenset[str]) -> Answers:
        coordinator, asked = Coordinator.open(self.home), ReleaseRequest.claimed(token)
        attack = ATTACKS[(self.home / ATTACK_FILE).read_text(encoding="utf-8")]
        requests, packed = attack(coordinator, asked, packed)
        return [super(HostileFleet, self).release(one.sign(coordinator.key), packed, roster) for one in requests][-1]


Altered = tuple[list[ReleaseRequest], Packed]
"""What is asked, one after the other; the last answers count."""


def _another_campaign(coordinator: Coordinator, asked: ReleaseRequest, packed: Packed) -> Altered:
    other = (coordinator.home / OTHER_FILE).read_text(encoding="utf-8")
    return [asked.model_copy(update={"campaign_sha256": other})], packed


def _again(_: Coordinator, asked: ReleaseRequest, packed: Packed) -> Altered:
    return [asked, asked], packed


def _keys(change: Callable[[Coordinator, Mapping[str, str], str], dict[str, str]]):
    def attack(coordinator: Coordinator, asked: ReleaseRequest, packed: Packed) -> Altered:
        keys = change(coordinator, asked.mask_keys, asked.campaign_sha256)
        return [asked.model_copy(update={"mask_keys": keys})], packed

    return attack


def _mask_key(campaign: str, lender: str, signer: SigningKey) -> str:
    return MaskKey(campaign_sha256=campaign, lender=lender, public=b64(b"\x09" + bytes(31))).sign(signer)


def _stranger(_: Coordinator, keys: Mapping[str, str], campaign: str) -> dict[str, str]:
    return {**keys, "mallory": _mask_key(campaign, "mallory", SigningKey.generate())}


def _in_the_middle(coordinator: Coordinator, keys: Mapping[str, str], campaign: str) -> dict[str, str]:
    return {lender: _mask_key(campaign, lender, coordinator.key) for lender in keys}


def _alone(_: Coordinator, keys: Mapping[str, str], __: str) -> dict[str, str]:
    return {"aspen": keys["aspen"]}


def _too_often(_: Coordinator, asked: ReleaseRequest, packed: Packed) -> Altered:
    return [asked.model_copy(update={"attempt": attempt}) for attempt in range(1, 5)], packed


def _unplanned(_: Coordinator, asked: ReleaseRequest, packed: Packed) -> Altered:
    return [asked.model_copy(update={"release": 500})], packed


def _other_features(_: Coordinator, asked: ReleaseRequest, packed: Packed) -> Altered:
    """Bins of what nobody was asked for, as soon as a release has bins."""
    if packed.binning:
        binning = json.loads(packed.binning)
        binning["features"].append(binning["features"][-1])
        packed = replace(packed, binning=json.dumps(binning))
    return [asked.model_copy(update={"parameters_sha256": packed.sha256})], packed


def _other_parameters(_: Coordinator, asked: ReleaseRequest, packed: Packed) -> Altered:
    """What the coordinator signed is not what it sends."""
    return [asked], replace(packed, binning=packed.binning + " ")


ATTACKS: dict[str, Callable[[Coordinator, ReleaseRequest, Packed], Altered]] = {
    "another campaign": _another_campaign,
    "the same attempt again": _again,
    "a stranger in the roster": _keys(_stranger),
    "mask keys of its own": _keys(_in_the_middle),
    "one lender alone": _keys(_alone),
    "more attempts than reserved": _too_often,
    "a release that was not planned": _unplanned,
    "another feature set": _other_features,
    "parameters that were not signed": _other_parameters,
}


def execute() -> None:
    HostileFleet.home = Path(sys.argv[1])
    fleet_app.FlowerFleet = HostileFleet  # type: ignore[misc]
    server.executor.main()


if __name__ == "__main__":
    if len(sys.argv) > 2:
        execute()
    else:
        HostileService(Coordinator.open(Path(sys.argv[1]))).run()
