"""A lender's witness over HTTP, as https://c2sp.org/tlog-witness asks: status by status, byte by byte."""

from __future__ import annotations

import http.client
from dataclasses import replace

import httpx
import pytest
from support.logs import ORIGIN
from support.waiting import PATIENCE_S
from support.witnesses import LOG_KEY, NOW, TRUNK, VERIFIER, ask, forked, new_witness, seen

from clients.witness import origin_hash, witness_app
from crypto.cosignatures import CosigningKey, Kind
from crypto.keys import SigningKey
from crypto.merkle import EMPTY_ROOT
from crypto.notes import Checkpoint, sign_checkpoint, signature_line, signers
from crypto.witnessing import MAX_REQUEST_BYTES, AddCheckpoint


@pytest.mark.parametrize("kind", Kind)
def test_what_extends_the_last_head_is_cosigned_and_verifies(tmp_path, street, kind):
    witness = new_witness(tmp_path / "home", kind)
    url = street(witness_app({"one": witness}))
    old = 0
    for size in (0, 1, 7, 7, 256, 600):
        request = TRUNK.request(old, size)
        answer = ask(url, request)
        assert answer.status_code == 200
        assert answer.text.startswith("— w.example/one ")
        assert answer.text.endswith("\n")
        assert answer.text.count("\n") == 1
        _, keys = signers(request.note + answer.text, [VERIFIER, witness.key.public])
        assert keys == [VERIFIER, witness.key.public]
        old = size


def test_every_refusal_has_the_status_and_the_content_type_of_the_specification(url):
    assert ask(url, TRUNK.request(0, 10)).status_code == 200
    stranger = SigningKey.generate()
    head = TRUNK.head(20)
    unknown_origin = sign_checkpoint(replace(head, origin="log.test/unknown"), stranger)
    spoiled = TRUNK.note(20) + signature_line(ORIGIN, VERIFIER.key_id + b"\1" * 64)
    refusals = {
        400: [
            b"",
            b"\xff\xfe",
            b"old 10\n",
            b"old 010\n\n" + TRUNK.note(20).encode(),
            b"old 10\nbm90IGEgaGFzaA==\n\n" + TRUNK.note(20).encode(),
            b"old 10\n\nlog.test/one\n20\n",
            AddCheckpoint(10, (b"\0" * 32,) * 64, TRUNK.note(20)),
            TRUNK.request(30, 20),
        ],
        403: [AddCheckpoint(10, (), sign_checkpoint(head, stranger)), AddCheckpoint(10, (), spoiled)],
        404: [AddCheckpoint(10, (), unknown_origin)],
        409: [TRUNK.request(0, 20), TRUNK.request(9, 20), TRUNK.request(11, 20), TRUNK.request(0, 5)],
        422: [
            AddCheckpoint(10, (), TRUNK.note(20)),
            AddCheckpoint(10, (*TRUNK.request(10, 20).proof, b"\0" * 32), TRUNK.note(20)),
            AddCheckpoint(10, TRUNK.request(10, 20).proof, forked(5).note(20)),
            AddCheckpoint(10, (), forked(5).note(10)),
        ],
    }
    for status, requests in refusals.items():
        for request in requests:
            answer = ask(url, request)
            assert answer.status_code == status, (status, request, answer.text)
            kind = answer.headers["content-type"]
            if status == 409:
                assert (kind, answer.text) == ("text/x.tlog.size", "10\n")
            else:
                assert kind.partition(";")[0] == "text/plain"
    assert ask(url, TRUNK.request(10, 20)).status_code == 200, "no refusal changed what the witness remembers"


def test_before_it_cosigned_anything_a_witness_stands_at_zero(url):
    answer = ask(url, TRUNK.request(3, 20))
    assert (answer.status_code, answer.text) == (409, "0\n")
    wrong_root = sign_checkpoint(Checkpoint(ORIGIN, 0, b"\0" * 32), LOG_KEY)
    assert ask(url, AddCheckpoint(0, (), wrong_root)).status_code == 422
    assert ask(url, AddCheckpoint(0, (b"\0" * 32,), TRUNK.note(3))).status_code == 422
    assert TRUNK.head(0).root == EMPTY_ROOT
    assert ask(url, TRUNK.request(0, 0)).status_code == 200


def test_monitors_get_the_last_head_with_both_signatures(url, witness):
    assert seen(url).status_code == 404
    assert httpx.get(f"{url}/{'0' * 64}/checkpoint").status_code == 404
    request = TRUNK.request(0, 12)
    with_others = request.note + CosigningKey.generate("w.example/two").cosign(TRUNK.head(12).text, NOW)
    lines = ask(url, AddCheckpoint(0, (), with_others)).text
    answer = seen(url)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text == request.note + lines
    assert signers(answer.text, [VERIFIER, witness.key.public])[1] == [VERIFIER, witness.key.public]
    ask(url, TRUNK.request(12, 13))
    assert Checkpoint.parse(seen(url).text.partition("\n\n")[0] + "\n").size == 13


def test_several_witnesses_of_one_process_remember_apart(tmp_path, street):
    names = ("aspen", "birch")
    url = street(witness_app({name: new_witness(tmp_path / name) for name in names}))
    assert ask(f"{url}/aspen", TRUNK.request(0, 5)).status_code == 200
    assert ask(f"{url}/birch", forked(0).request(0, 5)).status_code == 200
    assert ask(f"{url}/aspen", forked(0).request(5, 6)).status_code == 422
    assert ask(url, TRUNK.request(5, 6)).status_code == 404


def test_only_the_methods_of_the_specification_are_answered(url):
    assert httpx.get(f"{url}/add-checkpoint").status_code == 405
    assert httpx.put(f"{url}/add-checkpoint", content=b"x").status_code == 405
    assert httpx.post(f"{url}/{origin_hash(ORIGIN)}/checkpoint").status_code == 405


def test_a_request_is_read_up_to_its_limit_whether_it_states_its_length_or_not(url):
    host, _, path = url.removeprefix("http://").partition("/")
    body = TRUNK.request(0, 5).text.encode()

    def answered(headers, *chunks):
        connection = http.client.HTTPConnection(host, timeout=PATIENCE_S)
        connection.putrequest("POST", f"/{path}/add-checkpoint")
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        for chunk in chunks:
            connection.send(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        status = connection.getresponse().status
        connection.close()
        return status

    chunked = {"Transfer-Encoding": "chunked"}
    assert answered({"Content-Length": str(MAX_REQUEST_BYTES + 1)}) == 413
    assert answered({"Content-Length": "9" * 30}) == 400
    assert answered(chunked, body, b"x" * MAX_REQUEST_BYTES, b"") == 413
    assert answered({}) == 400, "nothing is no request"
    assert seen(url).status_code == 404, "none of them was cosigned"
    padded = body + b"x" * (MAX_REQUEST_BYTES - len(body))
    assert ask(url, padded).status_code == 403, "a request of the largest size is read"
    assert answered(chunked, body[:10], body[10:], b"") == 200
