"""For how long a text was before somebody, and whether they came to its end: what a yes must say
where a notice asks for it (征信业管理条例 19; ISO/IEC 29184).

The page's own server counts from the moment when it sent the page; a page with script also counts
for how long it was looked at, and the shorter counts. The end is reached where the person says so
in the line that stands there, or the script has seen that line come up.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field

from screens.house.forms import OwnForm

LONGEST_S = 86_400


class NoticeForm(OwnForm):
    """Answers to a notice, as it was shown in one language."""

    language: str = Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    since: str = Field(default="", max_length=120)
    """The stamp of :class:`Readings`: since when the text was shown."""
    looked: str = Field(default="", pattern=r"^[0-9]{0,5}$")
    """Seconds for which the page was looked at, where a script could tell."""
    reached: Literal["yes"] | None = None
    """The end of the text was reached."""


@dataclass(frozen=True)
class Readings:
    """Stamps that say since when a text was shown to somebody. Only the process that made a stamp
    reads it: after a restart the time counts anew."""

    layout: str
    """SHA-256 of what the pages are made of (:attr:`screens.house.shell.Look.layout`)."""
    secret: bytes = field(repr=False)

    def stamp(self, whose: str, sha256: str, moment: datetime) -> str:
        """Since ``moment`` the text of this hash is before whoever ``whose`` stands for."""
        said = str(int(moment.timestamp()))
        return f"{said}.{self._mark(said, whose, sha256)}"

    def shown(
        self, sent: NoticeForm | None, whose: str, sha256: str, moment: datetime
    ) -> dict[str, Any]:
        """For the fields of a page: what was ``sent`` from it before goes on to count."""
        if sent is not None and self._made(sent):
            reached = sent.reached is not None
            return {"since": sent.since, "looked": sent.looked, "reached": reached}
        stamp = self.stamp(whose, sha256, moment)
        return {"since": stamp, "looked": "", "reached": False}

    def seconds(self, form: NoticeForm, moment: datetime) -> int:
        """Whole seconds for which the text was shown; 0 where the stamp is none of ours."""
        if not self._made(form):
            return 0
        begun = datetime.fromtimestamp(int(form.since.partition(".")[0]), UTC)
        shown = int(min(max((moment - begun).total_seconds(), 0), LONGEST_S))
        return min(shown, int(form.looked)) if form.looked else shown

    def presentation(self, form: NoticeForm, moment: datetime) -> dict[str, Any]:
        """How the text was shown, as the registry takes it. That each choice has a control of its
        own, and none is chosen beforehand, is how our pages are made."""
        return {
            "layout_sha256": self.layout,
            "seconds": self.seconds(form, moment),
            "to_the_end": form.reached is not None,
            "own_controls": True,
        }

    def _made(self, form: NoticeForm) -> bool:
        said, _, mark = form.since.partition(".")
        mine = self._mark(said, form.whose, form.sha256)
        return hmac.compare_digest(mark.encode(), mine.encode())

    def _mark(self, *about: str) -> str:
        return hmac.digest(self.secret, "\n".join(("shown", *about)).encode(), "sha256").hex()


def shown_enough(presentation: dict[str, Any], least: int) -> bool:
    """Whether a yes may follow."""
    return bool(presentation["seconds"] >= least and presentation["to_the_end"])
