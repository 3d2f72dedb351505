"""How a borrower's consents stand in the transaction that will record what they decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from consent.storage.consents import ConsentKey
from consent.storage.subjects import Subject
from consent.transaction import Transaction
from law.categories import SENSITIVITIES
from protocol.changes import CurrentConsent


def tag_of(presents: Sequence[CurrentConsent]) -> str:
    """The ETag of somebody's consents: it changes with every change of any of them."""
    return f'"{sum(present.version for present in presents)}"'


@dataclass(frozen=True)
class BorrowersConsents:
    """The consents of one request's borrowers, in the transaction that will record what they
    decide."""

    transaction: Transaction
    subjects: Sequence[Subject]
    presents: Mapping[ConsentKey, CurrentConsent]
    """Of these subjects, and of others."""
    shown: Mapping[ConsentKey, str]
    """In which language the notice was shown when a consent was decided last, where it can be read
    and the intent reads it; of others, too."""

    def all(self) -> list[tuple[Subject, ConsentKey, CurrentConsent]]:
        """Every consent of these subjects, with whose it is."""
        scopes: dict[str, list[int]] = {subject.lender: [] for subject in self.subjects}
        for scope, recipient in self.transaction.notices.recipients.items():
            if recipient in scopes:
                scopes[recipient].append(scope)
        keys = [
            (subject, (scope, subject.id, sensitivity))
            for subject in self.subjects
            for scope in scopes[subject.lender]
            for sensitivity in SENSITIVITIES
        ]
        return [(subject, key, self.presents[key]) for subject, key in keys if key in self.presents]

    @property
    def tag(self) -> str:
        """Their ETag."""
        return tag_of([present for _, _, present in self.all()])
