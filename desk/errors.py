"""Exceptions of a lender's service; each is answered as a problem document (RFC 9457)."""

from protocol.errors import Conflict, ConsentError, NotAllowed


class DeskError(ConsentError):
    """Base of what only this room refuses; the message is one sentence for a person."""


class ConsentMissing(NotAllowed):
    """The person has not consented to what is about to be done, or has taken it back."""

    code = "consent-missing"


class NotACustomer(NotAllowed):
    """Whoever logged in is no customer of this lender."""

    code = "not-a-customer"


class NotLoggedYet(Conflict):
    """The log has not given the decision an index, so nothing rests on it yet (invariant 12)."""

    code = "not-logged-yet"


class OfferExpired(Conflict):
    """The offer was good until a time that has passed."""

    code = "offer-expired"


class OfferLapsed(Conflict):
    """The offer was accepted, and not paid out within the days that its product names."""

    code = "offer-lapsed"


class NotReadYet(Conflict):
    """The table of what the loan costs was not shown, or not long enough to be read."""

    code = "not-read-yet"


class AboveCap(Conflict):
    """What the borrower would pay is above what the law of the day allows."""

    code = "above-cap"


class PriceChanged(Conflict):
    """What was asked for costs something else by now than the borrower was shown."""

    code = "price-changed"


class SourceFailed(DeskError):
    """A source cannot be asked as it is described, or answered something else than it should."""

    status = 502
    code = "source-failed"


class RulesMissing(DeskError):
    """No policy is in force for what is asked, or what a case was decided by is not here."""

    status = 503
    code = "rules-missing"


class AssessmentMissing(DeskError):
    """The law of the place asks the lender to assess this use first; nothing covers it."""

    status = 503
    code = "assessment-missing"


class ReplayEnded(DeskError):
    """Not every decision was made again, because a process that did it was ended."""

    code = "replay-ended"
