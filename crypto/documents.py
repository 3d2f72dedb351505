"""Signed documents: everything one party must believe of another.

A document is a compact JWS (RFC 7515) over canonical JSON (RFC 8785), signed with Ed25519 under the
fully-specified algorithm name of RFC 9864. Its ``typ`` header names what it is, and a verifier
always says which type it expects, so a signature over one kind of document can never pass for
another.

>>> from crypto.keys import SigningKey
>>> key = SigningKey.generate()
>>> token = sign_document("tahini-notice", {"id": "n1"}, key)
>>> verify_document(token, "tahini-notice", key.public)
{'id': 'n1'}
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, cast

import orjson
import rfc8785
from joserfc import jws
from joserfc.errors import JoseError

from crypto.errors import SignatureError
from crypto.keys import PublicKey, SigningKey

ALGORITHM = "Ed25519"
MAX_DOCUMENT_BYTES = 64 * 1024 * 1024


class _Registry(jws.JWSRegistry):
    """joserfc's checks, with room for the consent state of a large lender."""

    max_payload_length = MAX_DOCUMENT_BYTES


_REGISTRY = _Registry(algorithms=[ALGORITHM])


def plain(value: Any) -> bool:
    """Whether orjson writes ``value`` exactly as RFC 8785 does: no floats, small integers, ASCII
    names only."""
    kind = type(value)
    if kind is str:
        return True
    if kind is dict:
        return all(
            type(name) is str and name.isascii() and plain(item) for name, item in value.items()
        )
    if kind is int:
        return bool(-MAX_INT <= value <= MAX_INT)
    if kind is list:
        return all(map(plain, value))
    return value is None or kind is bool


MAX_INT = (1 << 53) - 1
"""RFC 8785 section 3.2.2.3: integers beyond what a double holds exactly are refused."""


def canonical_json(value: Any) -> bytes:
    """RFC 8785 bytes of a JSON value: the form over which every hash is taken."""
    if plain(value):
        try:
            return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        except TypeError as error:
            raise rfc8785.CanonicalizationError("a lone surrogate has no UTF-8 form") from error
    return rfc8785.dumps(value)


def document_hash(payload: Mapping[str, Any]) -> str:
    """SHA-256 over the canonical JSON of ``payload``, in hex: the name of a document."""
    return hashlib.sha256(canonical_json(payload)).hexdigest()


def sign_document(typ: str, payload: Mapping[str, Any], key: SigningKey) -> str:
    """Sign ``payload`` as a document of type ``typ``; returns a compact JWS."""
    header = {"alg": ALGORITHM, "typ": typ, "kid": key.public.thumbprint}
    return jws.serialize_compact(header, canonical_json(payload), key.jwk, registry=_REGISTRY)


def verify_document(token: str, typ: str, key: PublicKey) -> dict[str, Any]:
    """Return the payload of ``token`` if it is a ``typ`` document signed by ``key``.

    Raises:
        SignatureError: wrong key, wrong type, another algorithm, altered or malformed.
    """
    if len(token) > MAX_DOCUMENT_BYTES:
        raise SignatureError(f"a {typ} document of {len(token)} characters is too large to be one")
    try:
        signed = jws.deserialize_compact(token, key.jwk, registry=_REGISTRY)
        payload = json.loads(signed.payload)
    except (JoseError, ValueError, RecursionError) as error:
        raise SignatureError(
            f"the {typ} document does not verify under key {key.short}: {error}"
        ) from error
    found = signed.protected.get("typ")
    if found != typ:
        raise SignatureError(f"expected a {typ} document, found one of type {found!r}")
    if not isinstance(payload, dict):
        raise SignatureError(f"the {typ} document does not hold a JSON object")
    return cast(dict[str, Any], payload)


def unverified_payload(token: str) -> dict[str, Any]:
    """The payload of a JWS *before* its signature is checked: only to find out whose key to check
    it with.

    Raises:
        SignatureError: not a compact JWS over a JSON object.
    """
    try:
        payload = json.loads(jws.extract_compact(token.encode(), registry=_REGISTRY).payload)
    except (JoseError, ValueError, RecursionError) as error:
        raise SignatureError(f"not a signed document: {error}") from error
    if not isinstance(payload, dict):
        raise SignatureError("the signed document does not hold a JSON object")
    return cast(dict[str, Any], payload)
