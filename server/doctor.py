"""What a doctor looks at in a coordinator's home."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from crypto.errors import CryptoError
from ops import doctor
from ops.doctor import Finding, care, ill, well
from protocol.errors import ConsentError
from protocol.parties import Role
from server.desired_state import Stage, read_state
from server.errors import CoordinatorError
from server.home import KEY_FILE, Coordinator
from server.service import CERTIFICATE, KEY


def coordinator(home: Path) -> Iterator[Finding]:
    """Everything that a coordinator needs to run a campaign."""
    yield doctor.disk(home)
    yield doctor.private_key(home / KEY_FILE)
    try:
        opened = Coordinator.open(home)
    except (CoordinatorError, ConsentError, CryptoError, OSError) as error:
        yield ill("consortium", error, "join: tahini coordinator join --help")
        return
    if opened.consortium.one(Role.COORDINATOR).key != opened.key.public:
        yield ill(
            "consortium",
            "the key here is not the one that the consortium knows",
            "use the home that it was made of",
        )
    else:
        yield well(
            "consortium",
            f"{opened.consortium.name!r} with {len(opened.consortium.lenders)} lenders",
        )
    yield from doctor.in_law(opened.consortium)
    keyless = [party.id for party in opened.consortium.lenders if not party.fleet_key]
    if keyless:
        yield care(
            "fleet keys",
            f"{', '.join(keyless)} stated none and cannot connect",
            "ask for their membership.jws",
        )
    yield doctor.certificate(home / CERTIFICATE, home / KEY)
    yield doctor.port("fleet interface", opened.settings.host, opened.settings.port)
    yield from doctor.service("registry", opened.settings.registry_url, opened.authority)
    yield from _campaigns(home)


def _campaigns(home: Path) -> Iterator[Finding]:
    stages: list[str] = []
    for folder in sorted((home / "campaigns").iterdir()):
        try:
            state = read_state(folder)
        except CoordinatorError as error:
            yield ill(
                "campaign",
                error,
                "remove that file: what was released stays, and the campaign can be resumed",
            )
            continue
        stages.append(str(state.stage))
        if state.stage is Stage.STOPPED:
            yield care(
                "campaign",
                f"{folder.name[:12]} stopped: {state.reason}",
                f"tahini campaign resume {folder.name[:12]} --home {home}",
            )
    told = ", ".join(f"{stages.count(stage)} {stage}" for stage in Stage if str(stage) in stages)
    yield well("campaigns", told or "none yet")
