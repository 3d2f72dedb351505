"""Reading a log from the outside: nothing is believed that does not verify under a pinned trust
policy.

The client remembers the newest checkpoint it has seen and refuses any that does not extend it
(invariant 7).
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import time
from base64 import b64decode
from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import unquote

import httpx

from crypto.errors import CryptoError, ProofError
from crypto.keys import replace_file
from crypto.merkle import inclusion_proof, leaf_hash, verify_consistency, verify_inclusion
from crypto.notes import Checkpoint, InclusionProof, Trust, claimed_checkpoint
from crypto.tiles import TILE_WIDTH, index_path, parse_entry_bundle, tile_reader
from protocol import tracing
from protocol.bounded import Bounds, Unending, ask, ask_again, kept
from protocol.errors import ConsentError, Malformed, RegistryUnavailable, SplitView
from protocol.heads import HeadStore

T = TypeVar("T")
TIMEOUT = httpx.Timeout(60.0, connect=5.0)
RESTART_PATIENCE_S, ASK_AGAIN_S = 10.0, 0.25
"""What a service that was killed takes to be started again, and more."""
NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout)
AWAY = frozenset({429, 502, 503, 504})
"""What is said by a registry with too much to do, and by a proxy while nobody is behind it."""
ANSWER = Bounds(1 << 30, 600.0)
"""Of the registry: more than it has to say of ten million people, over a slow line."""


@cache
def _read_once(_named: str | None) -> ssl.SSLContext:
    """The list of certificate authorities takes longer to load than most requests take."""
    return httpx.create_ssl_context()


def trusted_authorities() -> ssl.SSLContext:
    """The system's, or those that ``SSL_CERT_FILE`` names."""
    return _read_once(os.environ.get("SSL_CERT_FILE"))


_NO_ANSWER = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What reading an answer of another form raises; the last where it is nested very deep."""


def _refusal(response: httpx.Response) -> ConsentError:
    """The registry's own words, as an exception that keeps status and code."""
    try:
        details = response.json()
        detail = str(details["detail"])
        code = str(details["type"]).rpartition(":")[2]
        place: tuple[str | int, ...] = ()
        for fault in (details.get("errors") or ())[:1]:
            parts = str(fault["pointer"]).removeprefix("#").split("/")[1:]
            place = tuple(int(part) if part.isdecimal() else unquote(part) for part in parts)
    except _NO_ANSWER:
        return RegistryUnavailable(
            f"the consent registry answered {response.status_code} without saying why"
        )
    error: ConsentError = (
        RegistryUnavailable(detail) if response.status_code >= 500 else ConsentError(detail)
    )
    error.status = response.status_code
    error.code = code
    error.place = place
    return error


def _asked_to_wait(response: httpx.Response) -> float:
    """Seconds that ``Retry-After`` states; 0 where it states none."""
    stated = response.headers.get("Retry-After", "")
    return float(stated) if stated.isascii() and stated.isdigit() and len(stated) <= 6 else 0.0


_CAUSES = (
    (Unending, "what it answers does not end in time, or is longer than it may be"),
    (
        ssl.SSLCertVerificationError,
        "its certificate is not trusted; SSL_CERT_FILE names the authority to believe",
    ),
    (ssl.SSLError, "it does not speak TLS as expected; is it http:// or https://?"),
    (ConnectionRefusedError, "nobody listens there"),
    (socket.gaierror, "there is no such host"),
    (httpx.TimeoutException, "not in time"),
    ((httpx.UnsupportedProtocol, httpx.InvalidURL), "that is no http:// or https:// URL"),
)


def why_silent(error: BaseException) -> str:
    """Why there was no answer, in words, from what lies at the bottom of the error; its kind where
    there are none."""
    causes = [error]
    while (deeper := causes[-1].__cause__ or causes[-1].__context__) is not None and len(
        causes
    ) < 10:
        causes.append(deeper)
    return next(
        (words for kind, words in _CAUSES for cause in causes if isinstance(cause, kind)),
        type(error).__name__,
    )


def http_client(url: str, authority: Path | None = None) -> httpx.Client:
    """A client that believes the system's certificate authorities, or ``authority`` alone.

    Raises:
        RegistryUnavailable: the authority's certificate cannot be read.
    """
    try:
        verify = (
            trusted_authorities()
            if authority is None
            else ssl.create_default_context(cafile=str(authority))
        )
    except (OSError, ssl.SSLError) as error:
        raise RegistryUnavailable(f"{authority} is no certificate to believe ({error})") from error
    return httpx.Client(base_url=url, timeout=TIMEOUT, verify=verify, limits=kept())


class LogClient:
    """One reader of one log. It closes itself: ``with LogClient(…) as log:``.

    Args:
        url: the log's base URL.
        trust: which checkpoints are believed.
        heads: where to remember checkpoints.
    """

    def __init__(
        self,
        url: str,
        trust: Trust,
        heads: HeadStore | None = None,
        http: httpx.Client | None = None,
    ) -> None:
        self.trust, self._heads = trust, heads
        self._http = http or http_client(url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    # --- transport

    patience_s = 0.0
    """How long to go on asking while nobody is there, for callers who can wait until it was started
    again. What may have been heard is asked again only if it changes nothing."""
    bounds = ANSWER

    def _authorization(self, _method: str, _target: str, _content: bytes) -> dict[str, str]:
        """Headers that say who is calling: nobody in particular."""
        return {}

    def _send(self, method: str, target: str, body: Any = None) -> httpx.Response:
        content = b"" if body is None else json.dumps(body).encode()
        deadline = time.monotonic() + self.patience_s
        while True:
            headers = {"Content-Type": "application/json"} if body is not None else {}
            headers |= self._authorization(method, target, content)
            if above := tracing.traceparent():
                headers[tracing.HEADER] = above
            try:
                response = ask_again(
                    self._http, method, target, self.bounds, content=content, headers=headers
                )
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                unheard = isinstance(error, httpx.TransportError) and not isinstance(
                    error, Unending
                )
                again = isinstance(error, NEVER_SENT) or (method == "GET" and unheard)
                if again and time.monotonic() + ASK_AGAIN_S < deadline:
                    time.sleep(ASK_AGAIN_S)
                    continue
                raise RegistryUnavailable(
                    f"the consent registry at {self._http.base_url} does not answer "
                    f"({why_silent(error)}); nothing was acknowledged"
                ) from error
            if response.is_success:
                return response
            pause = max(ASK_AGAIN_S, _asked_to_wait(response))
            if (
                method == "GET"
                and response.status_code in AWAY
                and time.monotonic() + pause < deadline
            ):
                time.sleep(pause)
                continue
            raise _refusal(response)

    def get(self, target: str) -> httpx.Response:
        """What is served at ``target``, as it came: for callers that verify it themselves."""
        return self._send("GET", target)

    def _checked(self, read: Callable[[], T]) -> T:
        """An answer that does not verify is the same as no answer."""
        try:
            return read()
        except (CryptoError, Malformed, *_NO_ANSWER) as error:
            raise RegistryUnavailable(
                f"the consent registry's answer cannot be believed: {error}"
            ) from error

    # --- heads, proofs, leaves

    def accept_head(self, note: str) -> Checkpoint:
        """Verify a checkpoint, and that it and the newest one seen before are of one history;
        remember the newer.

        An older head is one history's past: enough for a proof of inclusion. Whoever needs the
        present compares sizes, as the gate does with state and authorisation.
        """
        checkpoint = self._checked(lambda: self.trust.open(note))
        if self._heads is None:
            return checkpoint
        with self._heads.locked() as known_note:
            if known_note is not None:
                known = self._checked(lambda: self.trust.open(known_note))
                self.one_history((known_note, note))
                if checkpoint.size < known.size:
                    return checkpoint
            self._heads.write(note)
        return checkpoint

    def one_history(self, notes: Sequence[str]) -> None:
        """These heads are of one history: in the order of their sizes each extends the one before.

        Args:
            notes: checkpoints that the log signed, which is checked already.

        Raises:
            SplitView: two of one size have different roots. Both notes are kept beside the newest
                head, if that is kept, and nothing of this log is believed from then on. Or the
                registry's proof that one extends another proves nothing; nothing is kept then.
            RegistryUnavailable, ConsentError: the registry gives no such proof.
        """
        heads = sorted(
            ((claimed_checkpoint(note), note) for note in notes), key=lambda head: head[0].size
        )
        for (old, older), (new, newer) in pairwise(heads):
            if old.size == new.size and old.root != new.root:
                kept = ""
                if self._heads is not None:
                    replace_file(self._heads.split, f"{older}\n{newer}".encode())
                    kept = f"; both are in {self._heads.split}"
                raise SplitView(
                    f"the log {old.origin} signed two heads of {old.size} entries, with the roots "
                    f"{old.root.hex()} and "
                    f"{new.root.hex()}: its history was rewritten, or it shows two{kept}"
                )
            self.check_consistency(old, new)

    def elsewhere(self, url: str, bounds: Bounds) -> httpx.Response:
        """What another host answers, believing the same certificate authorities. Raises httpx's
        errors, Unending."""
        return ask(self._http, "GET", url, bounds)

    def check_consistency(self, old: Checkpoint, new: Checkpoint) -> None:
        """Fetch and verify the proof that ``new`` extends ``old``.

        Raises:
            SplitView: what the registry gives as the proof proves nothing. RegistryUnavailable,
                ConsentError: it gives none.
        """
        hashes: list[bytes] = []
        if old.size != new.size:
            answer = self._send("GET", f"/v1/log/consistency?old={old.size}&new={new.size}")
            hashes = self._checked(
                lambda: [b64decode(value, validate=True) for value in answer.json()["proof"]]
            )
        try:
            verify_consistency(old.size, new.size, hashes, old.root, new.root)
        except ProofError as error:
            raise SplitView(f"the consent registry's answer cannot be believed: {error}") from error

    def checkpoint_note(self) -> str:
        return self._send("GET", "/checkpoint").text

    def head(self) -> Checkpoint:
        return self.accept_head(self.checkpoint_note())

    def accepted_note(self) -> str:
        """The newest checkpoint that was accepted so far; the published one where there is none
        yet."""
        if self._heads is not None:
            with self._heads.locked() as note:
                if note is not None:
                    return note
        note = self.checkpoint_note()
        self.accept_head(note)
        return note

    def inclusion(self, index: int, wait: bool = False) -> InclusionProof:
        """The proof of one entry, unverified; ``wait`` until it is under a published checkpoint."""
        answer = self._send("GET", f"/v1/log/inclusion/{index}{'?wait=true' if wait else ''}").text
        return self._checked(lambda: InclusionProof.parse(answer))

    def leaves(self, stop: int, start: int = 0) -> list[bytes]:
        """Leaves ``start`` to ``stop - 1``, from the public entry bundles."""
        leaves: list[bytes] = []
        for bundle in range(start // TILE_WIDTH, (stop + TILE_WIDTH - 1) // TILE_WIDTH):
            width = min(TILE_WIDTH, stop - bundle * TILE_WIDTH)
            suffix = "" if width == TILE_WIDTH else f".p/{width}"
            data = self._send("GET", f"/tile/entries/{index_path(bundle)}{suffix}").content
            entries = self._checked(partial(parse_entry_bundle, data))
            if len(entries) != width:
                raise RegistryUnavailable(
                    f"the log answered with {len(entries)} entries where it has {width}"
                )
            leaves += entries
        return leaves[start % TILE_WIDTH :]

    def verified_leaves(self, head: Checkpoint, start: int = 0) -> list[bytes]:
        """Leaves ``start`` to the end, after the whole bundles they stand in were found under
        ``head``.

        Raises:
            RegistryUnavailable: what is served does not hash into the signed root.
        """
        from_bundle = start - start % TILE_WIDTH
        leaves = self.leaves(head.size, from_bundle)
        if leaves:
            known: dict[tuple[int, int], bytes] = {}
            rows = [leaf_hash(leaf) for leaf in leaves]

            def load(level: int, index: int) -> bytes:
                if level == 0 and index * TILE_WIDTH >= from_bundle:
                    at = index * TILE_WIDTH - from_bundle
                    return b"".join(rows[at : at + TILE_WIDTH])
                if (level, index) not in known:
                    width = min(TILE_WIDTH, (head.size >> (8 * level)) - index * TILE_WIDTH)
                    suffix = "" if width == TILE_WIDTH else f".p/{width}"
                    known[level, index] = self._send(
                        "GET", f"/tile/{level}/{index_path(index)}{suffix}"
                    ).content
                return known[level, index]

            def verify() -> None:
                """The proof of a bundle's first leaf is made of all the others, so it covers the
                whole bundle."""
                read = tile_reader(load)
                for at in range(from_bundle, head.size, TILE_WIDTH):
                    verify_inclusion(
                        rows[at - from_bundle],
                        at,
                        head.size,
                        inclusion_proof(at, head.size, read),
                        head.root,
                    )

            self._checked(verify)
        return leaves[start - from_bundle :]

    def proved_leaf(self, index: int, wait: bool = False) -> tuple[bytes, InclusionProof]:
        """An entry's leaf and its verified inclusion proof, under an accepted head."""
        proof = self.inclusion(index, wait)
        leaf = self._send("GET", f"/v1/log/entries/{index}").content
        if proof.index != index:
            raise RegistryUnavailable("the log proved another entry than was asked for")
        self._checked(lambda: proof.verify(leaf, self.trust))
        self.accept_head(proof.checkpoint_note)
        return leaf, proof
