"""Publish a notice: from now on borrowers can answer it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import select

from consent.arrangement import answered_within, arrangement, collected
from consent.dating import require_day
from consent.notice_changes import further
from consent.notice_rules import Draft, lint
from consent.registry import Registry
from consent.storage.tables import NoticeRow, ScopeRow
from consent.transaction import reading, writing
from protocol.errors import Conflict, NotFound
from protocol.notices import Notice


def publish_notice(registry: Registry, token: str) -> Notice:
    """Record a notice signed by the registry's operator.

    Raises:
        SignatureError: not the registry's. Conflict: this version exists already, another notice
            asks for the same, it is dated on another day, or it does not say what it must
            (``consent.notice_rules``).
    """
    notice = Notice.verify(token, registry.me.key)
    require_day(f"notice {notice.id!r}", notice.published_at, registry.clock())
    if len(set(notice.recipients)) != len(notice.recipients):
        raise Conflict(f"notice {notice.id!r} names a recipient twice")
    for recipient in notice.recipients:
        registry.consortium.party(recipient)
    for broken in lint(Draft(notice, registry.consortium)):
        raise Conflict(
            f"notice {notice.id!r} version {notice.version} cannot be published: {broken.reason} "
            f"({broken.article})"
        )
    texts = {language: notice.text_sha256(language) for language in sorted(notice.texts)}
    with writing(registry) as transaction:
        session, known = transaction.session, transaction.notices
        if (notice.id, notice.version) in known.numbers:
            raise Conflict(f"notice {notice.id!r} version {notice.version} is published already")
        if any(
            n.id == notice.id and (n.version > notice.version or n.purpose != notice.purpose)
            for n in known.notices.values()
        ):
            raise Conflict(
                f"notice {notice.id!r} has a later version already, or was about another purpose"
            )
        for recipient in notice.recipients:
            live = known.live(notice.purpose, recipient)
            if live is not None and live.id != notice.id:
                raise Conflict(
                    f"notice {live.id!r} asks for {recipient!r} and this purpose already; publish "
                    "a new version of it"
                )
        session.add(NoticeRow(id=notice.id, version=notice.version, token=token))
        for recipient in notice.recipients:
            if (notice.purpose, recipient) not in known.scopes:
                session.add(ScopeRow(purpose=notice.purpose, recipient=recipient, events=0))
        public = {"notice": notice.id, "notice_version": notice.version, "texts": texts}
        transaction.log_sealed("notice.published", registry.me.id, public, {"token": token})
    return notice


def read_notice(registry: Registry, notice_id: str, version: int) -> str:
    """The signed notice; raises NotFound."""
    with reading(registry) as view:
        token = view.session.scalar(
            select(NoticeRow.token).where(NoticeRow.id == notice_id, NoticeRow.version == version)
        )
    if token is None:
        raise NotFound(f"there is no notice {notice_id!r} version {version}")
    return token


def list_notices(registry: Registry) -> list[dict[str, Any]]:
    """Every published version of every notice, in the order of publication."""
    with reading(registry) as view:
        notices = view.notices.notices
    return [
        {
            "id": notice.id,
            "version": notice.version,
            "purpose": notice.purpose,
            "recipients": list(notice.recipients),
            "languages": {
                language: notice.text_sha256(language) for language in sorted(notice.texts)
            },
            "categories": [one.value for one in notice.terms.categories],
            "automated_decision": notice.terms.automated_decision,
            "reaches_further": _reaches_further(notice, notices.values()),
            "published_at": notice.published_at.isoformat(),
        }
        for _, notice in sorted(notices.items())
    ]


def read_arrangement(registry: Registry, language: str) -> dict[str, Any]:
    """Who answers for what, and what the live notices ask for (``consent.arrangement``). Raises
    Malformed."""
    with reading(registry) as view:
        known, today = view.notices, view.moment.date()
        live = {one.id: one for about in known.scopes if (one := known.live(*about)) is not None}
    found = arrangement(registry.consortium, language)
    return {
        **found,
        "collected": collected(live.values(), language),
        "answered_within": answered_within(found["jurisdiction"], today),
    }


def _reaches_further(notice: Notice, published: Iterable[Notice]) -> list[str]:
    """In what a version goes beyond the one before it, so that whoever said yes is asked again."""
    earlier = [one for one in published if one.id == notice.id and one.version < notice.version]
    last = max(earlier, key=lambda one: one.version, default=None)
    return [] if last is None else list(further(last, notice))
