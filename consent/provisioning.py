"""Found a log by itself: a registry's home and a key for everybody who will write to it or read it.

A whole consortium founds itself the same way, each party making its own keys on its own machine;
this makes them all in one place, for whoever wants the audit log first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from consent.home import create_home, found
from crypto.keys import RecipientKey, SigningKey, new_home, save_recipient_key, save_signing_key
from crypto.notes import Verifier, check_key_name
from crypto.policies import Log, Policy, unwitnessed
from protocol.parties import Consortium, Party, Role

REGISTRY_HOME, POLICY_FILE, REGISTRY_PUB = "registry", "log.policy", "registry.pub"


@dataclass(frozen=True)
class FoundedLog:
    home: Path
    policy: Policy
    registry_key: str
    parties: tuple[str, ...]


def found_log(
    home: Path, origin: str, lenders: Sequence[str], database: str | None = None
) -> FoundedLog:
    """Make a new log under ``home`` that nobody witnesses: its policy asks for no quorum, and says
    so.

    Args:
        origin: the log's name for the world, a URL without its scheme, such as
            ``audit.example.com/consent``.
        lenders: ids of the parties that will append, besides the registry itself and the
            coordinator.
        database: a ``postgresql://`` URL; SQLite in the registry's home without one.

    Raises:
        KeyFileError: ``home`` exists already. SignatureError: ``origin`` cannot be a log's name.
            ValidationError: a lender's id cannot be one. Then nothing is left at ``home``.
    """
    check_key_name(origin)
    with new_home(home) as made:
        return _found(made, home, origin, lenders, database)


def _found(
    made: Path, home: Path, origin: str, lenders: Sequence[str], database: str | None
) -> FoundedLog:
    """In ``made``, which will stand at ``home``."""
    made.mkdir(mode=0o700)
    registry_key, log_key = create_home(made / REGISTRY_HOME)
    policy = unwitnessed(Log(Verifier(origin, log_key.public)))
    parties = [
        Party(
            id="registry", name="Registry", role=Role.REGISTRY, signing_key=registry_key.public.text
        )
    ]
    roles = {
        "coordinator": Role.COORDINATOR,
        "auditor": Role.AUDITOR,
        **dict.fromkeys(lenders, Role.LENDER),
    }
    for name, role in roles.items():
        key, recipient = SigningKey.generate(), RecipientKey.generate()
        folder = made / name
        folder.mkdir(mode=0o700)
        save_signing_key(folder / f"{name}.key", key)
        save_recipient_key(folder / f"{name}.recipient.key", recipient)
        stated = Party(
            id=name,
            name=name.title(),
            role=role,
            signing_key=key.public.text,
            recipient_key=recipient.public.text,
        )
        parties.append(stated)
    consortium = Consortium(
        name=origin.replace("/", " "),
        parties=tuple(parties),
        log_policy=policy.text,
        unwitnessed=True,
        max_epsilon=1.0,
        max_delta=1e-5,
    )
    token = found(made / REGISTRY_HOME, consortium, database)
    (made / "consortium.jws").write_text(token, encoding="utf-8")
    (made / REGISTRY_PUB).write_text(registry_key.public.text + "\n", encoding="utf-8")
    (made / POLICY_FILE).write_text(policy.text, encoding="utf-8")
    return FoundedLog(home, policy, registry_key.public.text, tuple(party.id for party in parties))
