"""What a person is handed: the letter about a decision, the table of what a loan costs, and the
receipt.

A letter is written once, in both languages, kept sealed with its application, and that the decision
was explained is stated in the log (``use.explained``). Whoever asks again is given the same words.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

from sqlalchemy import Connection, insert, select

from desk.disclosing import disclosed, require_effect
from desk.lending_rules import NO_MODEL
from desk.office import MACHINE, Desk, InHand
from desk.records import Held, StoredDecision, held
from desk.rulebook import Rulebook, is_at_hand
from desk.storage.tables import decisions, disclosures, letters, outbox
from desk.wording import TONGUES, Told, Tongue, Wording
from law.categories import DataCategory
from lending.cases import Case, Outcome, Status
from lending.terms.disclosure import DisclosureTable
from protocol.errors import NotFound
from protocol.uses import UseStatement

LETTER = "letter"
LETTER_NOTICE = "letter.notice"
"""The row of the law tables: what a refusal says besides its reasons."""


@dataclass(frozen=True)
class Letter:
    """In each language."""

    decision: str
    texts: dict[Tongue, str]

    @property
    def document(self) -> str:
        """What was stated to have been handed over."""
        return "\n".join(self.texts[tongue] for tongue in TONGUES)


def letter(desk: Desk, application: str) -> Letter:
    """The letter about the newest decision; written if it was not yet.

    Raises:
        NotFound, NotLoggedYet, Conflict: there is nothing to explain yet. SealError: forgotten.
    """
    with desk.reading() as hand:
        found = held(hand.connection, application)
        require_effect(found)
        kept = _kept(desk, hand.connection, found)
    if kept is not None:
        return kept
    written = Letter(found.decision.id, _texts(desk, found))

    def record(hand: InHand) -> Letter:
        earlier = _kept(desk, hand.connection, found)
        if earlier is not None:
            return earlier
        hand.connection.execute(
            insert(letters).values(
                decision=written.decision,
                written_at=hand.moment,
                sealed=found.key(desk).seal(LETTER, dict(written.texts)),
            )
        )
        blinding = found.made(desk).blinding
        said = desk.trail.explained(blinding, _scored(hand.connection, found), written.document)
        desk.trail.record(hand.connection, blinding, said)
        return written

    return desk.write(record)


def disclosure(desk: Desk, application: str, to_show: bool = False) -> DisclosureTable:
    """What the borrower is shown of the newest offer, and confirms by its hash.

    Args:
        to_show: it is handed out to be shown; when that was first is kept.

    Raises:
        NotFound, NotLoggedYet; Conflict: nothing is offered.
    """
    with desk.reading() as hand:
        found = held(hand.connection, application)
        require_effect(found)
        before = _shown(hand.connection, found)
    table = disclosed(desk, found)

    def record(hand: InHand) -> None:
        if not _shown(hand.connection, found):
            hand.connection.execute(
                insert(disclosures).values(
                    decision=found.decision.id, disclosure_sha256=table.hash, shown_at=hand.moment
                )
            )

    if to_show and not before:
        desk.write(record)
    return table


def receipt(desk: Desk, decision: str) -> str:
    """The signed receipt of a decision, for its person (``tahini receipt verify``).

    Raises:
        NotFound; NotLoggedYet: its entries are not cosigned yet; RegistryUnavailable.
    """
    with desk.reading() as hand:
        found = _of_decision(hand.connection, decision)
    require_effect(found)
    made = found.made(desk)
    token = desk.trail.receipt(made.blinding, made.payload())
    if token is None:
        raise NotFound("the log has no entries of this decision yet")
    return token


def _of_decision(connection: Connection, decision: str) -> Held:
    application = connection.scalar(
        select(decisions.c.application).where(decisions.c.id == decision)
    )
    if application is None:
        raise NotFound("there is no such decision")
    return held(connection, application, decision)


def _shown(connection: Connection, found: Held) -> bool:
    of_it = disclosures.c.decision == found.decision.id
    return connection.scalar(select(disclosures.c.decision).where(of_it)) is not None


def _kept(desk: Desk, connection: Connection, found: Held) -> Letter | None:
    sealed = connection.scalar(
        select(letters.c.sealed).where(letters.c.decision == found.decision.id)
    )
    if sealed is None:
        return None
    return Letter(found.decision.id, found.key(desk).open(LETTER, sealed))


def _texts(desk: Desk, found: Held) -> dict[Tongue, str]:
    made, row = found.made(desk), found.application
    decision = made.decision
    told = Told(
        application={
            "id": row.id,
            "received": desk.day(row.received_at),
            "product": row.product,
            "amount": row.amount,
            "days": row.term_days,
        },
        outcome=decision.outcome,
        by_machine=made.by == MACHINE and decision.outcome != "review",
        day=desk.day(decision.decided_at),
        offer=None if decision.offer is None else (decision.offer.amount, decision.offer.term_days),
        scored=decision.scored,
        reasons=decision.reasons,
        **_kinds(desk, made),
        entry_index=found.entry_index or 0,
    )
    end, wording = _ends(desk, decision.outcome, told.day), wording_of(desk, made.case)
    return {tongue: wording.letter(told, tongue) + end.get(tongue, "") for tongue in TONGUES}


def _kinds(desk: Desk, made: StoredDecision) -> dict[str, frozenset[DataCategory]]:
    """As the sources were described when the case was made, without what is held for measuring
    fairness alone: no decision rests on it."""
    facts = made.case.facts
    held = {name: frozenset(made.sources.get(fact.source, ())) for name, fact in facts.items()}
    hidden = desk.lending.hidden(held, desk.day(made.case.now))
    seen = {fact: held[name] for name, fact in facts.items() if name not in hidden}

    def of(status: Status) -> list[frozenset[DataCategory]]:
        return [kinds for fact, kinds in seen.items() if fact.status == status]

    refused = made.permission.refused.keys()
    return {
        "used": frozenset().union(*of("present")),
        "refused": frozenset().union(*of("refused")) & refused,
        "outdated": frozenset().union(*(one for one in of("refused") if not one & refused)),
    }


def wording_of(desk: Desk, case: Case) -> Wording:
    """What would have changed the outcome is told by the model and the cut-off that decided,
    whatever scores by now. Raises NotKept."""
    wording = desk.wording
    if wording.scorer is None or case.model_hash == NO_MODEL or is_at_hand(desk, case):
        return wording
    score = Rulebook(desk.transactions.database, desk.at_rest).of(case).model
    if score is None:
        return wording
    return replace(wording, scorer=score.scorer, cut_off=score.reference.cut_off)


def _ends(desk: Desk, outcome: Outcome, day: date) -> dict[str, str]:
    """What stands under a letter: the notice that the law of the place has under a refusal, and who
    the lender is."""
    row = desk.wording.laws.find(desk.wording.jurisdiction, LETTER_NOTICE, day)
    refused = outcome in {"decline", "counter"} and row is not None
    notice = f"{row.value}\n" if refused and row is not None else ""
    return {tongue: f"{notice}{end}\n" for tongue, end in desk.ways.letter_end.items()}


def _scored(connection: Connection, found: Held) -> UseStatement:
    """What was stated of the decision."""
    token = connection.scalar(
        select(outbox.c.token).where(
            outbox.c.application == found.decision.id, outbox.c.step == "use.scored"
        )
    )
    return UseStatement.claimed(str(token))
