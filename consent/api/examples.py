"""Examples of request bodies that are made of many parts, as the API's description shows them."""

from typing import Any

_NAME, _OTHER, _LEDGER, _KEY = ("v1." + letter * 43 for letter in "ABCD")
_SHA256 = "0" * 64
SUBJECTS = {"subjects": [{"pseudonym": _NAME, "ledger_pseudonym": _LEDGER, "public_key": ""}]}
RENAMINGS = {
    "renamings": [
        {
            "pseudonym": _NAME,
            "new_pseudonym": "v2" + _OTHER[2:],
            "new_ledger_pseudonym": "v2" + _LEDGER[2:],
        }
    ]
}
IMPORT = {
    "notice_id": "joint-credit-model",
    "notice_version": 1,
    "notice_language": "zh",
    "notice_sha256": _SHA256,
    "channel": "branch",
    "records": [
        {
            "number": 0,
            "sensitivity": "ordinary",
            "action": "give",
            "event_time": "2026-11-22T08:00:00Z",
            "evidence_sha256": _SHA256,
        }
    ],
}
REQUEST = {
    "recipient": "aspen",
    "asked": {"kind": "object", "features": ["debrate"], "text": "This is not my loan."},
}
AUTHORISATION = {
    "node_key": _KEY[3:],
    "purpose": "https://w3id.org/dpv#CreditChecking",
    "code_sha256": _SHA256,
    "log_size": 4711,
}
COMMITMENT = {
    "authorisation_id": "0" * 32,
    "release": 0,
    "attempt": 1,
    "kind": "binning",
    "root": _SHA256,
    "noise_multiplier": 1.1,
    "sampling_rate": 1.0,
    "steps": 1,
    "sealed_body": "AAAA",
}

INCIDENT = {
    "token": "the incident, signed by the institution",
    "affected": [_NAME],
}


def shown(*examples: dict[str, Any]) -> dict[str, Any]:
    """The ``openapi_extra`` of an endpoint whose JSON body looks like these."""
    named = {f"example-{number}": {"value": example} for number, example in enumerate(examples, 1)}
    return {"requestBody": {"content": {"application/json": {"examples": named}}}}
