"""``party.toml``: what an institution states of itself in law, as its people fill it in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.forms import read_form
from crypto.errors import CryptoError
from ops.named_files import text_of
from protocol.errors import ConsentError
from protocol.legal import LegalIdentity
from protocol.parties import Membership, Party

LegalFile = Annotated[
    Path | None,
    typer.Option(
        "--legal",
        help="The institution in law, TOML: contact, officer, licence, country, roles, agreements; "
        "see: tahini party template.",
        exists=True,
        dir_okay=False,
    ),
]
TEMPLATE = """# What an institution states of itself in law; it signs it and everybody in the
# consortium can read it. Leave out what does not apply. Engineering, not legal advice.
country = "CN"
# a lender that is the same institution as the coordinator names it, and the other way round
# institution = "coordinator"
# counsel's opinion that no licence is needed here, by the SHA-256 of its text
# opinion_sha256 = ""
# succeeded_by = "other-lender"
# former_ids = ["old-name"]

# what it is called in other languages than that of its name
[names]
zh = "山杨（虚构）"

# one way at least (PIPL 17(1); GDPR 13)
[contact]
email = "privacy@aspen.example"
phone = "+86 10 0000 0000"
postal = "1 Example Street, Nowhere"

# who looks into complaints, where others do
[complaints]
email = "complaints@aspen.example"

# needed from a million people on (PIPL 52), with the day of the report to the authority; a function
# is enough
[officer]
name = "officer for personal information"
contact.email = "officer@aspen.example"
reported_on = 2026-01-05

# personal-credit-reporting, bank, consumer-finance, microloan or other
[licence]
kind = "consumer-finance"
number = "FICTITIOUS-0001"
authority = "nobody (fictitious)"
until = 2030-12-31

# handler, joint-handler, processor, recipient or none, for each purpose
[[roles]]
purpose = "PURPOSE"
role = "joint-handler"

# joint-handling (PIPL 20; GDPR 26), processing (PIPL 21; GDPR 28) or transfer (PIPL 38; GDPR 44);
# a transfer also states mechanism, number and until
[[agreements]]
kind = "joint-handling"
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
parties = ["birch", "cedar"]
until = 2030-12-31
"""


def legal_of(path: Path | None) -> dict[str, Any] | None:
    """What stands in the form, as it will be signed; None without one. Raises ConsentError."""
    return None if path is None else read_form(path, LegalIdentity).stated()


def stated_in(path: Path) -> Party:
    """A party's own statement, signed with the key that it states; raises ConsentError."""
    token = text_of(path).strip()
    try:
        return Membership.verify(token, Membership.claimed(token).party.key).party
    except CryptoError as error:
        raise ConsentError(f"{path} is no statement of a party's keys: {error}") from error
