"""The gate: the only door to a lender's rows.

For every release, in this order, stopping at the first thing that is not as it should be:

1. a live data-use authorisation, checked rule by rule (:mod:`clients.rules`);
2. how this lender's borrowers stand, asked for now, signed, bound to a checkpoint that extends
   every one seen before; revocations acknowledged; who has a place in the campaign; and that every
   witness that can be heard stands in the same history (:mod:`protocol.gossip`);
3. the budget filter: whoever is at the cap is left out, and if that is everybody the roster is
   empty and the answer is noise, because a refusal would say so;
4. the reservation, on this node's disk;
5. the roster commitment, in the log, its inclusion proved;
6. only then rows: of the roster's members, once per person, features without consent masked, stale
   records gone. They come chunk by chunk, each as it may be used before anything else sees it
   (:mod:`clients.admission`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from clients.admission import Admission, UseLimits
from clients.budget_ledger import Attempt, PersonCaps, Reserved
from clients.consents import HeldSnapshot
from clients.data.book import open_applicants, open_source
from clients.data.people import Period, Source
from clients.erasures import obey
from clients.home import Node
from clients.rules import Use, require
from credit.features import FeatureSchema, schema_from
from credit.values import moment
from crypto.documents import canonical_json
from crypto.keys import RecipientPublicKey, b64
from crypto.sealing import body_context, pad, seal_to
from fleet.code import installed_code
from privacy.charges import Charge
from privacy.mechanism import ReleaseKind
from protocol.campaigns import (
    Approval,
    Authorisation,
    AuthorisationRequest,
    Campaign,
    CommitmentRequest,
    ReleaseRequest,
    RosterCommitment,
)
from protocol.client.nodes import NodeClient
from protocol.errors import ConsentError
from protocol.gossip import compare_heads
from protocol.holdout import Draw, verified_approvals
from protocol.parties import Role
from protocol.schema import now
from protocol.snapshots import Places

RENEW_BEFORE = timedelta(minutes=1)
NONE = -1
"""The last of the patterns of hidden features: nothing is hidden."""


@dataclass(frozen=True)
class Batch:
    """Rows that may be used for exactly one release. Columns: the target and the campaign's
    features."""

    tables: Iterator[pd.DataFrame]
    """A bounded number of people in each, everybody once; none where nobody may be used. They can
    be read once."""
    schema: FeatureSchema
    number: int
    """The reservation in the node's ledger; settle it when the release leaves the node."""

    @property
    def table(self) -> pd.DataFrame:
        """All that was not read yet in one table, in memory."""
        nobody = pd.DataFrame(columns=[self.schema.target, *self.schema.names])
        found = list(self.tables)
        return pd.concat(found, ignore_index=True) if found else nobody


class Gate:
    """One node's gate for one campaign."""

    def __init__(
        self,
        node: Node,
        campaign: Campaign,
        approval: Approval | None,
        client: NodeClient,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._node, self._campaign, self._approval = node, campaign, approval
        self._client, self._clock = client, clock
        self._authorisation: Authorisation | None = None
        self._placed: Places | None = None

    def open(self, request: ReleaseRequest, charge: Charge) -> Batch:
        """Let the rows of one release attempt through.

        Raises:
            GateClosed: a rule failed, or nobody may be used. RegistryUnavailable: the registry or
                its log did not answer with something that can be believed. SignatureError: an
                approval is missing or forged.
            NodeError: the ledger's disk did not take the reservation.
        """
        # 1 and 2: authorised, by the consents as they stand now
        with self._saying_whose():
            use, snapshot = self._use(request, charge)
        require(use)
        draw = Draw.of(
            self._campaign, verified_approvals(use.places.approvals, self._node.consortium)
        )
        needs = self._campaign.needs(self._node.consortium)
        usable = snapshot.usable(use.places, needs)

        # 3 and 4: who can still pay, and the reservation, on this disk
        book, period = self._source()
        consenting = set(usable.members).intersection(book.people(period))
        reserved = self._reserve(use, draw, consenting)
        patterns = usable.hidden()
        hidden = np.fromiter((patterns.get(name, NONE) for name in reserved.members), np.int32)

        # 5: the log has the roster before a row is read
        commitment = RosterCommitment(
            **request.model_dump(include={"campaign_sha256", "release", "attempt", "kind"}),
            **asdict(charge),
            lender=self._node.lender,
            authorisation_id=use.authorisation.jti,
            state_sha256=snapshot.token_sha256,
            root=reserved.roster.root.hex(),
            salt=b64(reserved.roster.salt),
            size=reserved.roster.size,
            masked_sensitive=int(np.count_nonzero(hidden != NONE)),
            draw_sha256=draw.sha256,
            places_sha256=use.places.content_sha256,
            committed_at=use.moment,
        )
        with self._saying_whose():
            self._commit(commitment)

        # 6: only now rows
        limits = {
            kind: UseLimits.of(reserved.members, snapshot.limits(kind)) for kind in needs.consents
        }
        admission = Admission(
            self._features, use.moment, needs, hidden, (*usable.patterns, frozenset()), limits
        )
        rows = self._rows(book.rows(reserved.members, self._features, period), admission)
        return Batch(rows, self._features, reserved.number)

    def _use(self, request: ReleaseRequest, charge: Charge) -> tuple[Use, HeldSnapshot]:
        """Everything that the rules look at, asked for now, and how the borrowers stand."""
        self._act_on_revocations()
        authorisation = self._live_authorisation()
        snapshot = self._node.consents.sync(self._client, self._campaign.purpose)
        places = self._places()
        authorisation_size = self._client.size_of(authorisation.use.consent_checkpoint)
        state_size = self._client.size_of(snapshot.state.checkpoint)
        compare_heads(self._client, self._node.consortium.policy, self._client.accepted_note())
        use = Use(
            lender=self._node.lender,
            node_key=self._node.key.public.thumbprint,
            code_sha256=installed_code(),
            moment=self._clock(),
            campaign=self._campaign,
            approval=self._approval,
            request=request,
            charge=charge,
            authorisation=authorisation,
            authorisation_size=authorisation_size,
            state=snapshot.state,
            state_size=state_size,
            places=places,
            consortium_sha256=self._node.consortium.sha256,
        )
        return use, snapshot

    @property
    def _features(self) -> FeatureSchema:
        return schema_from(self._campaign.features, f"campaign {self._campaign.id}")

    def _source(self) -> tuple[Source, Period | None]:
        """Whose rows the campaign is about, and of which days."""
        watched, home = self._campaign.watched, self._node.home
        if watched is None:
            return open_source(home), None
        intake = self._campaign.mechanism.releases[0].kind is ReleaseKind.INTAKE
        period = Period(moment(watched.since), moment(watched.until))
        return (open_applicants if intake else open_source)(home), period

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
        """Bring this node's copy up to date for every purpose that was revoked, then acknowledge,
        on the record."""
        obey(self._node, self._client, self._client.revocations())

    def _places(self) -> Places:
        if self._placed is None:
            self._placed = self._client.places(self._campaign.sha256)
        return self._placed

    def _reserve(self, use: Use, draw: Draw, consenting: set[str]) -> Reserved:
        """Charge everybody of these who is of this release's audience and below the caps."""
        request = use.request
        wanted = self._campaign.mechanism.releases[request.release].audience
        present = sorted(name for name in consenting if draw.audience_of(name) is wanted)
        asked = Attempt(
            self._campaign.sha256, request.release, request.attempt, request.kind, use.charge
        )
        caps = PersonCaps(self._node.cap, self._node.yearly_cap)
        return self._node.store.reserve(asked, present, caps, use.moment, self._campaign.why_not)

    def _commit(self, commitment: RosterCommitment) -> None:
        """Returns once the commitment is in the log: its clear part, and the whole sealed to the
        auditor."""
        auditor = self._node.consortium.one(Role.AUDITOR)
        recipient = RecipientPublicKey.from_text(auditor.recipient_key or "")
        body = canonical_json({"token": commitment.sign(self._node.key)})
        sealed = seal_to(recipient, pad(body), body_context("roster.committed"))
        self._client.commit_roster(self._campaign.sha256, CommitmentRequest.of(commitment, sealed))

    def _rows(self, rows: Iterator[pd.DataFrame], admission: Admission) -> Iterator[pd.DataFrame]:
        """Members' rows, each chunk as their consents let it be before anything else sees it."""
        return (admission.admitted(table) for table in rows)

    @contextmanager
    def _saying_whose(self) -> Iterator[None]:
        """A refusal by the registry says at whose gate it happened."""
        try:
            yield
        except ConsentError as error:
            named = type(error)(f"{self._node.lender}: {error}")
            named.status, named.code = error.status, error.code
            raise named from error
