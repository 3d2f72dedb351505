"""The naming service's part of an evidence pack: the list of its public keys as every lender pins
it, and how many people a lender may have named in a day. Whom it named it does not know. No node
imports this.
"""

from __future__ import annotations

from naming.keys import NamingHome
from protocol.parts import PartWriter


def collect(home: NamingHome, part: PartWriter) -> None:
    """Put everything into the part."""
    keys = home.key_list()
    part.add("names/keys.jws", keys.sign(home.key).encode())
    stated = {"people_per_day": home.settings.people_per_day, "retired": list(keys.retired)}
    part.add_json("names/settings.json", stated)
