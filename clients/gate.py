"""The gate: the only door to a lender's rows.

For every release, in this order, stopping at the first thing that is not as it should be:

1. a live data-use authorisation, checked rule by rule (:mod:`clients.rules`);
2. how this lender's borrowers stand, asked for now, signed, bound to a checkpoint that extends every one seen before;
   revocations acknowledged; who has a place in the campaign; and that every witness that can be heard stands in the
   same history (:mod:`protocol.gossip`);
3. the budget filter: whoever is at the cap is left out, and if that is everybody the roster is empty and the answer is
   noise, because a refusal would say so;
4. the reservation, on this node's disk;
5. the roster commitment, in the log, its inclusion proved;
6. only then rows: of the roster's members, once per person, features without consent masked, stale records gone. They
   come chunk by chunk, each as it may be used before anything else sees it (:mod:`clients.admission`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from clients.admission import Admission, Reach
from clients.budget_ledger import Attempt
from clients.consents import Standing
from clients.data.book import open_source
from clients.data.people import Source
from clients.home import Node
from clients.rules import Use, require
from credit.features import FeatureRegistry, registry_from
from crypto.documents import canonical_json
from crypto.keys import RecipientPublicKey, b64
from crypto.rosters import Roster, new_salt
from crypto.sealing import body_context, pad, seal_to
from fleet.code import installed_code
from privacy.charges import Charge
from privacy.filter import affordable
from protocol.campaigns import (
    Approval,
    Authorisation,
    AuthorisationRequest,
    Campaign,
    CommitmentRequest,
    ReleaseRequest,
    RosterCommitment,
)
from protocol.client.lenders import LenderClient
from protocol.errors import ConsentError
from protocol.gossip import compare_heads
from protocol.holdout import Draw, verified_approvals
from protocol.parties import Role
from protocol.schema import now
from protocol.snapshots import Places

RENEW_BEFORE = timedelta(minutes=1)


@dataclass(frozen=True)
class Batch:
    """Rows that may be used for exactly one release. Columns: the target and the campaign's features."""

    tables: Iterator[pd.DataFrame]
    """A bounded number of people in each, everybody once; none where nobody may be used. They can be read once."""
    registry: FeatureRegistry
    number: int
    """The reservation in the node's ledger; settle it when the release leaves the node."""

    @property
    def table(self) -> pd.DataFrame:
        """All that was not read yet in one table, in memory."""
        nobody = pd.DataFrame(columns=[self.registry.target, *self.registry.names])
        found = list(self.tables)
        return pd.concat(found, ignore_index=True) if found else nobody


class Gate:
    """One node's gate for one campaign."""

    def __init__(
        self, node: Node, campaign: Campaign, approval: Approval | None, client: LenderClient,
        clock: Callable[[], datetime] = now,
    ) -> None:  # fmt: skip
        self._node, self._campaign, self._approval = node, campaign, approval
        self._client, self._clock = client, clock
        self._authorisation: Authorisation | None = None
        self._placed: Places | None = None

    def open(self, request: ReleaseRequest, charge: Charge) -> Batch:
        """Let the rows of one release attempt through.

        Raises:
            GateClosed: a rule failed, or nobody may be used. RegistryUnavailable: the registry or its log did not
                answer with something that can be believed. SignatureError: an approval is missing or forged.
            NodeError: the ledger's disk did not take the reservation.
        """
        try:
            self._act_on_revocations()
            authorisation = self._live_authorisation()
            standing = self._node.consents.sync(self._client, self._campaign.purpose)
            places = self._places()
            authorisation_size = self._client.size_of(authorisation.use.consent_checkpoint)
            state_size = self._client.size_of(standing.state.checkpoint)
            compare_heads(self._client, self._node.consortium.policy, self._client.accepted_note())
        except ConsentError as error:
            raise _named(error, self._node.lender) from error
        moment = self._clock()
        require(
            Use(
                lender=self._node.lender,
                node_key=self._node.key.public.thumbprint,
                code_sha256=installed_code(),
                moment=moment,
                campaign=self._campaign,
                approval=self._approval,
                request=request,
                charge=charge,
                authorisation=authorisation,
                authorisation_size=authorisation_size,
                state=standing.state,
                state_size=state_size,
                places=places,
            )
        )
        draw = Draw.of(self._campaign, verified_approvals(places.approvals, self._node.consortium))
        book = open_source(self._node.home)
        usable, sensitive = standing.usable(places)
        number, roster, members = self._reserve(book, usable, draw, request, charge, moment)
        commitment = RosterCommitment(
            campaign_sha256=self._campaign.sha256,
            lender=self._node.lender,
            release=request.release,
            attempt=request.attempt,
            kind=request.kind,
            authorisation_id=authorisation.jti,
            state_sha256=standing.token_sha256,
            root=roster.root.hex(),
            salt=b64(roster.salt),
            size=roster.size,
            masked_sensitive=sum(name not in sensitive for name in members),
            draw_sha256=draw.sha256,
            noise_multiplier=charge.noise_multiplier,
            sampling_rate=charge.sampling_rate,
            steps=charge.steps,
            committed_at=moment,
        )
        try:
            self._commit(commitment)
        except ConsentError as error:
            raise _named(error, self._node.lender) from error
        rows = self._rows(book, members, sensitive, standing, moment)
        return Batch(rows, self._features, number)

    @property
    def _features(self) -> FeatureRegistry:
        return registry_from(self._campaign.features, f"campaign {self._campaign.id}")

    def _live_authorisation(self) -> Authorisation:
        held = self._authorisation
        if held is None or held.exp - self._clock() < RENEW_BEFORE:
            asked = AuthorisationRequest(
                node_key=self._node.key.public.thumbprint,
                purpose=self._campaign.purpose,
                code_sha256=installed_code(),
                checkpoint=self._client.accepted_note(),
            )
            self._authorisation = held = self._client.authorisation(self._campaign.sha256, asked)
        return held

    def _act_on_revocations(self) -> None:
        """Bring this node's copy up to date for every purpose that was revoked, then acknowledge, on the record."""
        revoked = self._client.revocations()
        for purpose in {one.purpose for one in revoked}:
            self._node.consents.sync(self._client, purpose)
        if revoked:
            self._client.acknowledge(revoked[-1].number, self._node.key)

    def _places(self) -> Places:
        if self._placed is None:
            self._placed = self._client.places(self._campaign.sha256)
        return self._placed

    def _reserve(
        self, book: Source, usable: Sequence[str], draw: Draw, request: ReleaseRequest, charge: Charge, moment: datetime
    ) -> tuple[int, Roster, list[str]]:
        """Charge everybody who is consented, in the book, of this release's audience and below the cap.

        Returns the ledger's number, the roster and its members.
        """
        consenting = set(usable).intersection(book.people())
        wanted = self._campaign.mechanism.releases[request.release].audience
        present = sorted(name for name in consenting if draw.audience_of(name) is wanted)
        rosters: list[Roster] = []

        def commit_to(members: Sequence[str]) -> tuple[str, bytes]:
            rosters.append(Roster.of(members, new_salt()))
            return rosters[0].root.hex(), rosters[0].salt

        about = Attempt(self._campaign.sha256, request.release, request.attempt, request.kind, charge)
        number, members = self._node.store.reserve(
            about,
            present,
            lambda spent: affordable(spent, charge, self._node.cap),
            commit_to,
            moment,
            self._campaign.why_not,
            lambda spent: affordable(spent, charge, self._node.yearly_cap),
        )
        return number, rosters[0], members

    def _commit(self, commitment: RosterCommitment) -> None:
        auditor = self._node.consortium.one(Role.AUDITOR)
        recipient = RecipientPublicKey.from_text(auditor.recipient_key or "")
        body = canonical_json({"token": commitment.sign(self._node.key)})
        request = CommitmentRequest(
            authorisation_id=commitment.authorisation_id,
            release=commitment.release,
            attempt=commitment.attempt,
            kind=commitment.kind,
            root=commitment.root,
            noise_multiplier=commitment.noise_multiplier,
            sampling_rate=commitment.sampling_rate,
            steps=commitment.steps,
            sealed_body=b64(seal_to(recipient, pad(body), body_context("roster.committed"))),
        )
        self._client.commit_roster(self._campaign.sha256, request)

    def _rows(
        self,
        book: Source,
        members: list[str],
        sensitive: set[str],
        standing: Standing,
        moment: datetime,
    ) -> Iterator[pd.DataFrame]:
        """The members' rows, each chunk as their consents let it be before anything else sees it."""
        admission = Admission(
            self._features,
            moment,
            np.fromiter((name in sensitive for name in members), dtype=bool, count=len(members)),
            Reach.of(members, standing.limits("ordinary")),
            Reach.of(members, standing.limits("sensitive")),
        )
        rows = book.rows(members, self._features)
        return (admission.admitted(table) for table in rows)


def _named(error: ConsentError, lender: str) -> ConsentError:
    """The same refusal, saying at whose gate it happened."""
    named = type(error)(f"{lender}: {error}")
    named.status, named.code = error.status, error.code
    return named
