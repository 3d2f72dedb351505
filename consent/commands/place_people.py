"""Contribution bounding (invariant 5): a person is counted at one lender at most, in every
campaign.

When a campaign becomes active, everybody who has no place yet is given one: at random among the
lenders where their consent is live, else among all of theirs. It stays, because the person's budget
is kept there, and a second ledger would be a second budget. And because it stays, a lender that
watches many campaigns learns no more than from one.

A lender sees who of its consenting borrowers has no place. So that this does not mean "borrows
elsewhere too", people with one lender only are left out as well, with probability
``Consortium.cover_rate``, for good. What still leaks is in docs/consent.md, with figures. Who has
no budget left for the campaign has no place either (``consent.budgets``), nor in one from which a
machine may decide alone who has refused that (PIPL article 24; GDPR article 22).
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from datetime import datetime

import numpy as np
from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from auditlog.columns import read_columns
from auditlog.database import bulk_insert
from consent.budgets import Caps, Spending, cannot_pay, price
from consent.commands.request_marks import standing_refusals
from consent.registry import Registry
from consent.storage.enrolment import count_enrolled
from consent.storage.tables import (
    EVENTS,
    ApprovalRow,
    AssignmentRow,
    CampaignRow,
    CommitmentRow,
    ConsentRow,
    PlacesRow,
    SubjectRow,
)
from consent.storage.tombstones import count_as_one, drawn_before
from consent.transaction import Transaction, reading
from crypto.pseudonyms import version_of
from law.categories import SENSITIVITIES, Sensitivity
from protocol.campaigns import Campaign
from protocol.errors import Conflict, NotAllowed, NotFound
from protocol.parties import Consortium, Party
from protocol.rights import RequestKind
from protocol.snapshots import NEVER, Flags, Places, packed
from protocol.states import ConsentStatus, Event, state_at

_CHANCES = 1 << 32


def place_people(transaction: Transaction, campaign: Campaign) -> None:
    """Assign whoever is not assigned yet, and keep who has a place in this campaign.

    Places are kept of people whose consent is live now: of the others they would only tell where
    else they borrow.

    Raises:
        Conflict: some people still have names of an older version of the naming keys than others,
            so that one person could be counted as two.
    """
    session, known = transaction.session, transaction.notices
    refuse_two_versions(session)
    scopes = {lender: known.scopes.get((campaign.purpose, lender)) for lender in campaign.lenders}
    _assign(transaction, campaign, scopes)
    poor = _without_budget(transaction, campaign)
    for lender, scope in scopes.items():
        people = count_enrolled(session, lender)
        flags = np.zeros(people, dtype=bool)
        # The name must be that of the place: who was two people until a renaming may have left a
        # place behind.
        placed = select(SubjectRow.number).join(
            AssignmentRow,
            (AssignmentRow.subject_id == SubjectRow.id)
            & (AssignmentRow.ledger_pseudonym == SubjectRow.ledger_pseudonym),
        )
        flags[list(session.scalars(placed.where(SubjectRow.lender == lender)))] = True
        if lender in poor:
            flags &= ~poor[lender]
        if campaign.automated_decision:
            refusing = standing_refusals(transaction, lender)
            flags[refusing.get(RequestKind.REFUSE_AUTOMATED, [])] = False
        maps = []
        for sensitivity in SENSITIVITIES:
            live = flags & _live(transaction, scope, sensitivity, people)
            used = used_up(transaction, lender, campaign.purpose, sensitivity)
            live = live if used is None else live & ~used
            if sensitivity == "ordinary":
                flags = live
            maps.append(np.packbits(live, bitorder="little").tobytes())
        row = PlacesRow(campaign_sha256=campaign.sha256, lender=lender)
        row.bitmap, row.sensitive = maps[0], b"".join(maps[1:])
        session.add(row)


def _without_budget(transaction: Transaction, campaign: Campaign) -> dict[str, Flags]:
    """Who of each lender's borrowers cannot pay for this campaign; empty where nobody has paid for
    any yet."""
    session, moment = transaction.session, transaction.moment
    attempts: dict[tuple[str, str], list[int]] = defaultdict(list)
    for sha256, lender, release in session.execute(
        select(CommitmentRow.campaign_sha256, CommitmentRow.lender, CommitmentRow.release)
    ):
        attempts[sha256, lender].append(release)
    rows = session.execute(
        select(PlacesRow.lender, PlacesRow.bitmap, CampaignRow.token, CampaignRow.sha256).join(
            CampaignRow, CampaignRow.sha256 == PlacesRow.campaign_sha256
        )
    )
    spendings = []
    for lender, bitmap, token, sha256 in rows:
        earlier = Campaign.claimed(token)
        charges = price(earlier, attempts[sha256, lender], moment)
        flags = np.unpackbits(np.frombuffer(bitmap, dtype=np.uint8), bitorder="little").astype(bool)
        spendings.append(Spending(lender, flags, charges, earlier.expires_at))
    if not spendings:
        return {}
    concerned = {spending.lender for spending in spendings} | set(campaign.lenders)
    people = {
        lender: np.zeros(count_enrolled(session, lender), dtype=np.int64) for lender in concerned
    }
    person = func.min(SubjectRow.id).over(partition_by=SubjectRow.ledger_pseudonym)
    for lender, number, who in session.execute(
        select(SubjectRow.lender, SubjectRow.number, person).where(SubjectRow.lender.in_(concerned))
    ):
        people[lender][number] = who
    count_as_one(transaction, concerned, people)
    caps = Caps.of(transaction.registry.consortium)
    return cannot_pay(people, spendings, price(campaign, (), moment), caps, moment)


def refuse_two_versions(session: Session) -> None:
    """Names of one version sort together, so the first and the last tell."""
    ends = session.execute(
        select(func.min(SubjectRow.ledger_pseudonym), func.max(SubjectRow.ledger_pseudonym)).where(
            SubjectRow.erased_at.is_(None)
        )
    ).one()
    if ends[0] is not None and version_of(ends[0]) != version_of(ends[1]):
        raise Conflict(
            "some lenders have not renamed their people since the naming keys were rotated; they "
            "come first"
        )


def _live(transaction: Transaction, scope: int | None, sensitivity: str, people: int) -> Flags:
    flags = np.zeros(people, dtype=bool)
    if scope is not None:
        rows = transaction.session.scalars(
            select(SubjectRow.number)
            .join(ConsentRow, ConsentRow.subject_id == SubjectRow.id)
            .where(
                ConsentRow.scope_id == scope,
                ConsentRow.sensitivity == sensitivity,
                ConsentRow.state == ConsentStatus.GIVEN,
                or_(ConsentRow.expiry_time.is_(None), ConsentRow.expiry_time > transaction.moment),
            )
        )
        flags[list(rows)] = True
    return flags


def _assign(transaction: Transaction, campaign: Campaign, scopes: dict[str, int | None]) -> None:
    session = transaction.session
    cover_rate = transaction.registry.consortium.cover_rate
    rows = session.execute(
        select(SubjectRow.ledger_pseudonym, SubjectRow.id, ConsentRow.state, ConsentRow.expiry_time)
        .outerjoin(
            ConsentRow,
            (ConsentRow.subject_id == SubjectRow.id)
            & ConsentRow.scope_id.in_([scope for scope in scopes.values() if scope is not None])
            & (ConsentRow.sensitivity == "ordinary"),
        )
        .outerjoin(AssignmentRow, AssignmentRow.ledger_pseudonym == SubjectRow.ledger_pseudonym)
        .where(SubjectRow.lender.in_(campaign.lenders), AssignmentRow.ledger_pseudonym.is_(None))
        .where(SubjectRow.erased_at.is_(None))
    )
    people: dict[str, list[tuple[int, bool]]] = defaultdict(list)
    for person, subject_id, state, expiry in rows:
        live = (
            state is not None and state_at(state, expiry, transaction.moment) is ConsentStatus.GIVEN
        )
        people[person].append((subject_id, live))
    for person in drawn_before(transaction, people):
        del people[person]  # before an erasure: the place is where it was
    assigned = []
    for person, places in people.items():
        candidates = [i for i, live in places if live] or [i for i, _ in places]
        chosen: int | None = secrets.choice(candidates)
        if len(places) == 1 and secrets.randbelow(_CHANCES) < cover_rate * _CHANCES:
            chosen = None
        assigned.append((person, chosen))
    bulk_insert(
        session,
        AssignmentRow.__tablename__,
        {"ledger_pseudonym": "text", "subject_id": "int8"},
        assigned,
    )


def used_up(transaction: Transaction, lender: str, purpose: str, sensitivity: str) -> Flags | None:
    """Whose limits on use leave no further campaign; None where no notice limits the number of
    uses.

    A use is a campaign of this purpose in which the person had a place at this lender and that had
    not ended when the consent was given: who gives while a campaign runs is used in it. Suspending
    and resuming give nothing anew.
    """
    session, known = transaction.session, transaction.notices
    limited = {
        number: notice.terms.limits
        for number, notice in known.notices.items()
        if notice.purpose == purpose
        and lender in notice.recipients
        and notice.terms.limits.counts_uses
    }
    scope = known.scopes.get((purpose, lender))
    if not limited or scope is None:
        return None
    people = count_enrolled(session, lender)
    given_at = np.full(people, NEVER, dtype=np.int64)
    notice_of = np.zeros(people, dtype=np.int32)
    about = f"scope_id = {int(scope)} AND sensitivity = {SENSITIVITIES.index(sensitivity)}"
    gave = f"{about} AND event = {EVENTS.index(Event.GIVE)}"
    found = read_columns(
        session,
        {"number": "s.number int32", "notice": "c.notice int32", "given_at": "g.given_at seconds"},
        "FROM (SELECT subject_id, MAX(event_time) AS given_at FROM consent_events"  # noqa: S608
        f" WHERE {gave} GROUP BY subject_id) g"
        f" JOIN (SELECT subject_id, notice FROM consents WHERE {about}) c ON c.subject_id = "
        "g.subject_id JOIN subjects s ON s.id = g.subject_id",
    )
    given_at[found["number"]], notice_of[found["number"]] = found["given_at"], found["notice"]
    full = np.zeros(people, dtype=bool)
    uses = _uses(session, lender, purpose, sensitivity, people)
    for number, limits in limited.items():
        counted = np.zeros(people, dtype=np.int32)
        since = None if limits.frequency is None else transaction.moment - limits.frequency.period
        for activated, ends, flags in uses:
            if limits.fetch_type == "one-time" or since is None or activated > since:
                counted += flags & (given_at < int(ends.timestamp()))
        most = (
            1
            if limits.fetch_type == "one-time" or limits.frequency is None
            else limits.frequency.times
        )
        full |= (notice_of == number) & (counted >= most)
    return full


def _uses(
    session: Session, lender: str, purpose: str, sensitivity: str, people: int
) -> list[tuple[datetime, datetime, Flags]]:
    """When each campaign of this purpose became active at this lender, when it ends, and who had a
    place in it."""
    rows = session.execute(
        select(CampaignRow.token, CampaignRow.activated_at, PlacesRow.bitmap, PlacesRow.sensitive)
        .join(PlacesRow, PlacesRow.campaign_sha256 == CampaignRow.sha256)
        .where(PlacesRow.lender == lender)
    )
    found = []
    for token, activated, placed, further in rows:
        campaign = Campaign.claimed(token)
        bitmap = bitmaps(placed, further).get(sensitivity, b"")
        if activated is not None and campaign.purpose == purpose:
            bits = np.unpackbits(np.frombuffer(bitmap, dtype=np.uint8), bitorder="little")[
                :people
            ].astype(bool)
            found.append((activated, campaign.expires_at, np.pad(bits, (0, people - len(bits)))))
    return found


def bitmaps(placed: bytes, further: bytes) -> dict[str, bytes]:
    """The bitmap of each consent; of campaigns before version 0.7.0 of the first two only."""
    size = max(len(placed), 1)
    parts = [further[start : start + size] for start in range(0, len(further), size)]
    return dict(zip(SENSITIVITIES, (placed, *parts), strict=False))


def bitmaps_told(
    consortium: Consortium, campaign: Campaign, row: PlacesRow
) -> dict[Sensitivity, bytes]:
    """Those of a campaign that its lender is told: of the consents that it needs, and, because of a
    child everything is sensitive, of that one."""
    needed = {*campaign.needs(consortium).consents, "sensitive"}
    found = bitmaps(row.bitmap, row.sensitive)
    return {kind: found[kind] for kind in SENSITIVITIES if kind in needed and kind in found}


def read_places(registry: Registry, lender: Party, sha256: str) -> str:
    """Who of this lender's borrowers has a place in an active campaign, signed.

    Raises:
        NotFound: the campaign is not active. NotAllowed: this lender is no part of it.
    """
    with reading(registry) as view:
        session = view.session
        row = session.get(PlacesRow, (sha256, lender.id))
        campaign = session.get(CampaignRow, sha256)
        if campaign is None or campaign.activated_at is None:
            raise NotFound(f"there is no active campaign {sha256[:12]}…")
        if row is None:
            raise NotAllowed(f"{lender.id!r} is not part of this campaign")
        bitmap = np.frombuffer(row.bitmap, dtype=np.uint8)
        people = count_enrolled(session, lender.id)
        maps = bitmaps_told(registry.consortium, Campaign.claimed(campaign.token), row)
        of_campaign = select(ApprovalRow.token).where(ApprovalRow.campaign_sha256 == sha256)
        approvals = tuple(session.scalars(of_campaign.order_by(ApprovalRow.lender)))
    places = Places(
        campaign_sha256=sha256,
        lender=lender.id,
        people=min(people, 8 * len(bitmap)),
        bitmap=packed(bitmap),
        further={
            kind: packed(np.frombuffer(bitmap, dtype=np.uint8))
            for kind, bitmap in maps.items()
            if kind != "ordinary"
        },
        approvals=approvals,
        issued_at=view.moment,
    )
    return places.sign(registry.signing_key)
