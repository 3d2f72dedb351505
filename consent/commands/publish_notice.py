"""Publish a notice: from now on borrowers can answer it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from consent.registry import Registry
from consent.storage.tables import NoticeRow, ScopeRow
from consent.transaction import reading, writing
from protocol.consents import Notice
from protocol.errors import Conflict, NotFound


def publish_notice(registry: Registry, token: str) -> Notice:
    """Record a notice signed by the registry's operator.

    Raises:
        SignatureError: not the registry's. Conflict: this version exists already.
    """
    notice = Notice.verify(token, registry.me.key)
    if not notice.texts:
        raise Conflict(f"notice {notice.id!r} has no text in any language")
    if len(set(notice.recipients)) != len(notice.recipients):
        raise Conflict(f"notice {notice.id!r} names a recipient twice")
    for recipient in notice.recipients:
        registry.consortium.party(recipient)
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
            "material_change": notice.terms.material_change,
            "published_at": notice.published_at.isoformat(),
        }
        for _, notice in sorted(notices.items())
    ]
