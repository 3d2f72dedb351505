"""What an auditor asks of a notice that was answered, without the registry's word for it. Pure.

The auditor holds the signed notices and what was answered (``auditlog.sampling``); here stands what
a registry asks before it records a yes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from auditlog.sample_answers import ProvedAnswer
from auditlog.sampling import NoticeRules
from consent.commands.check_decisions import OFF_SCREEN, check_form, check_published, check_shown
from consent.notice_changes import further
from consent.notice_rules import BrokenRule, Draft, lint
from protocol.errors import Conflict
from protocol.notices import Notice
from protocol.parties import Consortium


def ill_given(notice: Notice, yes: ProvedAnswer) -> str | None:
    """In words, in what a yes was not given as its notice asks: in writing, after the notice, shown
    as long as it says; None where it was."""
    on_screen = yes.in_a_login or yes.channel not in OFF_SCREEN
    try:
        check_form(notice, yes.channel)
        check_form(notice, yes.resumed_by or yes.channel)
        check_published(notice, yes.made_at)
        check_shown(notice, yes.shown, on_screen=on_screen)
    except Conflict as error:
        return str(error)
    return None


def unfit(notices: Sequence[Notice], consortium: Consortium) -> Iterator[tuple[Notice, BrokenRule]]:
    """Of the published versions to which a yes still counts, those that nobody could publish today,
    and the first rule that keeps them from it."""
    for notice in notices:
        later = [one for one in notices if one.id == notice.id and one.version > notice.version]
        if any(further(notice, one) for one in later):
            continue
        for found in lint(Draft(notice, consortium))[:1]:
            yield notice, found


NOTICE_RULES = NoticeRules(further, ill_given)
