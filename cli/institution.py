"""Whose home a command was given: any institution's, with its key and its connection to the
registry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from crypto.keys import SigningKey, load_signing_key
from protocol.client.institutions import InstitutionClient
from protocol.errors import ConsentError
from protocol.parties import Party, Role

DEFAULT_URL = "http://127.0.0.1:8700"


@dataclass(frozen=True)
class Institution:
    """An institution at the registry: who it is, what it signs with, how it is connected."""

    party: Party
    key: SigningKey
    client: InstitutionClient


@contextmanager
def institution(home: Path, url: str | None = None) -> Iterator[Institution]:
    """The institution that lives in ``home``.

    Args:
        url: of the registry; only its own home does not say where it is.

    Raises:
        ConsentError: it is nobody's home.
    """
    party, key, client = _opened(home, url)
    with client:
        yield Institution(party, key, client)


def _opened(home: Path, url: str | None) -> tuple[Party, SigningKey, InstitutionClient]:
    if (home / "approved").is_dir():
        from clients.home import Node
        from protocol.client.lenders import LenderClient

        node = Node.open(home)
        return node.consortium.party(node.lender), node.key, node.connected(LenderClient)
    if (home / "campaigns").is_dir():
        from server.home import Coordinator

        office = Coordinator.open(home)
        return office.consortium.one(Role.COORDINATOR), office.key, office.registry()
    if (home / "log.key").exists():
        from consent.doctor import open_consortium
        from consent.home import KEY_FILE

        consortium, key = open_consortium(home), load_signing_key(home / KEY_FILE)
        me = consortium.one(Role.REGISTRY)
        return me, key, InstitutionClient(url or DEFAULT_URL, consortium, me.id, key)
    if (home / "seeds").is_dir():
        from naming.keys import NamingHome

        names = NamingHome.open(home)
        return names.consortium.party(names.settings.party), names.key, names.registry()
    raise ConsentError(f"{home} is the home of no node, coordinator, naming service or registry")
