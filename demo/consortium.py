"""Found a consortium: every party makes its own keys, states them signed, and the registry signs
the list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import clients.home
import consent.home
import naming.keys
import server.home
from clients.witness import create_witness
from crypto.keys import RecipientKey, SigningKey, save_recipient_key, save_signing_key
from crypto.notes import Verifier
from crypto.policies import Log, Witness, most_dishonest, quorum_size, unwitnessed, witnessed_by
from demo.identities import TERMS, fictitious
from demo.workspaces import LOG_ORIGIN
from fleet.keys import create_fleet_key
from privacy.charges import Budget
from protocol.client.auditor import AuditorClient
from protocol.client.operator import OperatorClient
from protocol.client.rights import RECIPIENT_KEY_FILE
from protocol.parties import DEFAULT_COVER_RATE, Consortium, Membership, Party, Role


@dataclass(frozen=True)
class Founded:
    """Where everybody lives, and what the demo needs to act for each of them."""

    root: Path
    consortium: Consortium
    token: str
    registry_key: SigningKey
    auditor_key: SigningKey
    auditor_recipient: RecipientKey

    @property
    def registry_home(self) -> Path:
        return self.root / "registry"

    @property
    def coordinator_home(self) -> Path:
        return self.root / "coordinator"

    @property
    def naming_home(self) -> Path:
        return self.root / "naming"

    def node_home(self, lender: str) -> Path:
        return self.root / "lenders" / lender

    def connect(self, url: str, naming_url: str, superlink: str | None = None) -> None:
        """Every party pins the signed consortium and learns where registry, naming service and
        SuperLink are."""
        key = self.registry_key.public.text
        pinned = naming.keys.NamingSettings(party="naming", registry_url=url, registry_key=key)
        naming.keys.join(self.naming_home, pinned, self.token)
        for lender in self.consortium.lenders:
            settings = clients.home.NodeSettings(
                lender=lender.id,
                registry_url=url,
                registry_key=key,
                naming_url=naming_url,
                superlink=superlink,
            )
            clients.home.join(self.node_home(lender.id), settings, self.token)
        coordinator = server.home.CoordinatorSettings(registry_url=url, registry_key=key)
        if superlink is not None:
            host, _, port = superlink.rpartition(":")
            coordinator = coordinator.model_copy(update={"host": host, "port": int(port)})
        server.home.join(self.coordinator_home, coordinator, self.token)

    def auditor(self, url: str) -> AuditorClient:
        auditor = self.consortium.one(Role.AUDITOR)
        return AuditorClient(url, self.consortium, auditor.id, self.auditor_key)

    def operator(self, url: str) -> OperatorClient:
        registry = self.consortium.one(Role.REGISTRY)
        return OperatorClient(url, self.consortium, registry.id, self.registry_key)


def _stated(party: Party, key: SigningKey) -> Party:
    """The party's own signed statement, verified as the registry would before listing it."""
    token = Membership(party=party).sign(key)
    return Membership.verify(token, Membership.claimed(token).party.key).party


def found(
    root: Path,
    lenders: list[str],
    budget: Budget,
    witness_urls: Mapping[str, str] | None = None,
    cover_rate: float = DEFAULT_COVER_RATE,
    database: str | None = None,
) -> Founded:
    """Create all homes under ``root``; the consortium's policy allows each borrower ``budget`` in
    total.

    The registry's database is SQLite, or the PostgreSQL one at ``database``. Every lender whose
    witness has an address in ``witness_urls`` witnesses the log, with the quorum that tolerates as
    many dishonest ones as there can be: none of three, one of four. Without ``witness_urls`` nobody
    witnesses it.
    """
    witness_urls = witness_urls or {}
    registry_key, log_key = consent.home.create_home(root / "registry")
    coordinator_key = server.home.create_home(root / "coordinator")
    auditor_home = root / "auditor"
    auditor_home.mkdir()
    auditor_key, auditor_recipient = SigningKey.generate(), RecipientKey.generate()
    save_signing_key(auditor_home / "auditor.key", auditor_key)
    save_recipient_key(auditor_home / "auditor.recipient.key", auditor_recipient)
    naming_key = naming.keys.create_home(root / "naming")
    node_keys = {name: clients.home.create_home(root / "lenders" / name) for name in lenders}
    desk_keys = {name: RecipientKey.generate() for name in lenders}
    for name, desk_key in desk_keys.items():
        save_recipient_key(root / "lenders" / name / RECIPIENT_KEY_FILE, desk_key)
    fleet_keys = {name: create_fleet_key(root / "lenders" / name) for name in lenders}

    witnesses = {
        name: create_witness(root / "lenders" / name, f"{name}.example/witness") for name in lenders
    }
    asked = tuple(Witness(name, witnesses[name], url) for name, url in witness_urls.items())
    dishonest = most_dishonest(len(asked))
    log = Log(Verifier(LOG_ORIGIN, log_key.public))
    policy = (
        witnessed_by(log, asked, quorum_size(len(asked), dishonest)) if asked else unwitnessed(log)
    )

    def party(
        party_id: str, name: str, role: Role, key: SigningKey, recipient: RecipientKey | None = None
    ) -> Party:
        stated = Party(
            id=party_id,
            name=name,
            role=role,
            signing_key=key.public.text,
            fleet_key=fleet_keys.get(party_id),
            recipient_key=recipient.public.text if recipient else None,
            legal=fictitious(party_id, role, lenders),
        )
        return _stated(stated, key)

    consortium = Consortium(
        name="sesame",
        parties=(
            party("registry", "Consent registry", Role.REGISTRY, registry_key),
            party("coordinator", "Coordinator", Role.COORDINATOR, coordinator_key),
            party("auditor", "Auditor", Role.AUDITOR, auditor_key, auditor_recipient),
            party("naming", "Naming service", Role.NAMING, naming_key),
            *(
                party(name, f"{name.title()} Finance", Role.LENDER, key, desk_keys[name])
                for name, key in node_keys.items()
            ),
        ),
        log_policy=policy.text,
        dishonest_witnesses=dishonest,
        unwitnessed=not asked,
        max_epsilon=budget.epsilon,
        max_delta=budget.delta,
        cover_rate=cover_rate,
        legal=TERMS,
    )
    token = consent.home.found(root / "registry", consortium, database)
    return Founded(root, consortium, token, registry_key, auditor_key, auditor_recipient)
