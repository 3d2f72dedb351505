"""A person of a workspace at the rights desk: what they ask, keep and read is verified on the way."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.desk import answers
from support.market import open_market

from crypto.errors import ProofError
from crypto.keys import PublicKey
from crypto.sealing import seal_to
from demo.borrowing import Person
from demo.errors import DemoError
from demo.requesting import ask, read, reply_key
from protocol.errors import NotFound
from protocol.receipts import verify_kept
from protocol.rights import attachment_context


@dataclass
class Playing:
    """As :class:`demo.borrowing.Player`, in a market."""

    home: Path
    person: Person
    market: object

    def keep_anchors(self) -> None:
        (self.home / "consortium.jws").write_text(self.market.registry.consortium_token, encoding="utf-8")
        (self.home / "registry.pub").write_text(self.market.keys["registry"].public.text, encoding="utf-8")

    def lenders_key(self) -> PublicKey:
        return self.market.party(self.person.lender).key


def test_a_person_asks_keeps_receipts_and_opens_what_was_attached(tmp_path):
    with open_market(tmp_path) as market:
        (person,) = market.consenting("aspen")
        market.http.headers.update(market.login(person))
        home = tmp_path / "lin"
        home.mkdir()
        lin = Playing(home, Person("aspen", person.pseudonym), market)
        done = ask(lin, market.http, {"kind": "access", "text": "All of it."})
        sha256 = done["request_sha256"]
        assert Path(done["receipt"]).parent == home / "requests"
        assert (done["status"], done["policy"]) == ("received", True)
        receipt = Path(done["receipt"]).read_text(encoding="utf-8").strip()
        proved = verify_kept(receipt, market.registry.consortium, [person.pseudonym])
        assert (proved.facts["request_sha256"], proved.facts["event"]) == (sha256, "receive")
        assert "is on record: receive, due by" in proved.sentence
        with pytest.raises(ProofError, match="somebody else"):
            verify_kept(receipt, market.registry.consortium, ["v1." + "z" * 43])
        found = read(lin, market.http, sha256[:8])
        assert (found["answers"], found["attached"], len(found["receipts"])) == ([], None, 1)
        sealed = seal_to(reply_key(lin).public, b"late: 3", attachment_context(sha256))
        answers(market, sha256, attachment=sealed)
        found = read(lin, market.http, sha256[:8])
        assert [one["outcome"] for one in found["answers"]] == ["granted"]
        assert Path(found["attached"]).read_bytes() == b"late: 3"
        assert Path(found["attached"]).stat().st_mode & 0o077 == 0
        with pytest.raises(NotFound, match="no requests of mine begin with 'zz'"):
            read(lin, market.http, "zz")
        other = market.keys["birch"].public
        lin.lenders_key = lambda: other
        with pytest.raises(Exception, match="signature"):
            read(lin, market.http, sha256[:8])
        with pytest.raises(DemoError):
            ask(lin, market.http, {"kind": "correct"})
        assert hashlib.sha256(sealed).hexdigest() == found["answers"][0]["attachment_sha256"]
