"""Exceptions of joint exposure. None says an amount, a name of a person, or anything about another
lender than the one that is told."""

from protocol.errors import ConsentError


class ExposureRefused(ConsentError):
    """A server does not do what it was asked; nothing was changed. ``rule`` names what did not
    hold."""

    status = 409
    code = "exposure-refused"
    rule = ""


class ExposureBusy(ConsentError):
    """Something else about this person is under way. The first server waits and tries again; a
    lender is not told, for it would learn that somebody asks."""

    status = 503
    code = "exposure-busy"


class AnswersDisagree(ConsentError):
    """What the two servers answered does not belong together: at least one of them is wrong."""

    status = 502
    code = "exposure-answers-disagree"
