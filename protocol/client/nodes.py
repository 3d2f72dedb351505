"""A lender's node at the registry: how its borrowers stand, what it may use, its roster
commitments."""

from __future__ import annotations

import hashlib
from functools import partial
from urllib.parse import urlencode

from crypto.keys import SigningKey, unb64
from law.categories import SENSITIVITIES
from protocol.campaigns import (
    Authorisation,
    AuthorisationRequest,
    CommitmentRequest,
    commitment_fields,
)
from protocol.client.base import RegistryClient, items_of
from protocol.cursors import cursor_of
from protocol.errors import RegistryUnavailable
from protocol.revocations import Acknowledgement, Revocation
from protocol.schema import now
from protocol.snapshots import (
    ConsentSnapshot,
    Places,
    ReceivedSnapshot,
    codes_sha256,
    unpacked,
)


class NodeClient(RegistryClient):
    """What a lender's node asks of the registry while it trains."""

    def roll(self, first: int, until: int) -> list[str]:
        """The caller's own borrowers from number ``first`` to ``until - 1``, in order."""
        names: list[str] = []
        while first + len(names) < until:
            cursor = cursor_of(first + len(names))
            answer = self._send(
                "GET",
                f"/v1/subjects?cursor={cursor}&limit={min(50_000, until - first - len(names))}",
            )
            found = self._checked(partial(items_of, answer))
            if not found:
                break
            names += found
        return names

    def consent_state(
        self, purpose: str, challenge: str, since: ConsentSnapshot | None = None
    ) -> ReceivedSnapshot:
        """The state of the caller's borrowers for ``purpose``, verified: all of it, or what is
        other than ``since``.

        Raises:
            RegistryUnavailable: the answer is not signed, not to this challenge, or its codes are
                not those signed.
        """
        asked = {"purpose": purpose, "challenge": challenge}
        if since is not None:
            asked |= {"since": str(since.sequence), "since_moment": since.issued_at.isoformat()}
        answer = self._checked(self._send("GET", f"/v1/consent-states?{urlencode(asked)}").json)
        token = self._checked(lambda: str(answer["token"]))
        state = self._checked(lambda: ConsentSnapshot.verify(token, self._registry_key))
        numbers = answer.get("numbers")
        held = self._checked(
            lambda: ReceivedSnapshot(
                state=state,
                token=token,
                numbers=None if numbers is None else unpacked(numbers, "uint32"),
                codes={
                    kind: unpacked(answer["codes"][kind], "uint32")
                    for kind in SENSITIVITIES
                    if kind in answer["codes"]
                },
            )
        )
        expected = (self._caller, purpose, challenge, since.sequence if since else None)
        stated = (state.lender, state.purpose, state.challenge, state.since)
        if stated != expected or codes_sha256(held.numbers, held.codes) != state.codes_sha256:
            raise RegistryUnavailable(
                "the consent registry answered with another state than was asked for"
            )
        self.accept_head(state.checkpoint)
        return held

    def places(self, sha256: str) -> Places:
        """Who of the caller's borrowers has a place in the campaign."""
        token = self._send("GET", f"/v1/campaigns/{sha256}/places").text
        places = self._checked(lambda: Places.verify(token, self._registry_key))
        if (places.campaign_sha256, places.lender) != (sha256, self._caller):
            raise RegistryUnavailable(
                "the consent registry answered with the places of another campaign or lender"
            )
        return places

    def revocations(self) -> list[Revocation]:
        """What the caller has not acknowledged yet, verified and in order, without a gap."""
        found: list[Revocation] = []
        cursor = ""
        while True:
            answer = self._send("GET", f"/v1/revocations{cursor}")
            page = self._checked(partial(items_of, answer))
            found += [
                self._checked(partial(Revocation.verify, token, self._registry_key))
                for token in page
            ]
            following = answer.json().get("next")
            if following is None or not page:
                break
            cursor = f"?cursor={following}"
        numbers = [revocation.number for revocation in found]
        mine = all(revocation.recipient == self._caller for revocation in found)
        if not mine or (numbers and numbers != list(range(numbers[0], numbers[0] + len(numbers)))):
            raise RegistryUnavailable(
                "the consent registry's revocations have a gap, or are another lender's"
            )
        return found

    def acknowledge(self, number: int, key: SigningKey) -> int:
        """Say, signed, that the caller has acted on every revocation up to ``number``; returns up
        to which it has.

        The acknowledgement is under an accepted head of the log when this returns.
        """
        told = Acknowledgement(recipient=self._caller or "", number=number, acknowledged_at=now())
        body = {"token": told.sign(key)}
        answer = self._checked(self._send("POST", "/v1/revocations/acknowledgements", body).json)
        reached, index = self._checked(
            lambda: (int(answer["acknowledged"]), int(answer["entry_index"]))
        )
        self.proved_leaf(index, wait=True)
        return reached

    def authorisation(self, sha256: str, asked: AuthorisationRequest) -> Authorisation:
        answer = self._send(
            "POST", f"/v1/campaigns/{sha256}/authorisations", asked.model_dump(mode="json")
        )
        return self._checked(
            lambda: Authorisation.verify(answer.json()["token"], self._registry_key)
        )

    def size_of(self, note: str) -> int:
        """The tree size in a checkpoint note of this log."""
        return self._checked(lambda: self.trust.open(note)).size

    def commit_roster(self, sha256: str, request: CommitmentRequest) -> None:
        """Write the commitment to the log; returns only when its inclusion is proved.

        Raises:
            RegistryUnavailable: not acknowledged, or acknowledged with something else than was
                sent.
        """
        answer = self._send(
            "POST", f"/v1/campaigns/{sha256}/commitments", request.model_dump(mode="json")
        )
        leaf = self._acknowledged(answer)
        expected = {
            **commitment_fields(request, sha256),
            "type": "roster.committed",
            "actor": self._caller,
        }
        sealed = hashlib.sha256(unb64(request.sealed_body)).hexdigest()
        if {k: leaf.get(k) for k in expected} != expected or leaf["body"]["sha256"] != sealed:
            raise RegistryUnavailable(
                "the log acknowledged another entry than the roster commitment that was sent"
            )
