"""Somebody in front of a page of ours, in a browser."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Page


@dataclass
class Visitor:
    """Somebody at a phone who counts what they tap."""

    page: Page
    taps: int = 0
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _said(self, message: Any) -> None:
        """What a browser complains of; but for its own line about a page with the status of a refusal."""
        if message.type == "error" and "responded with a status of 4" not in message.text:
            self.complaints.append(message.text)

    def tap(self, name: str, within: str = "main") -> None:
        found = self.page.locator(within).get_by_role("button", name=name, exact=True)
        target = found if found.count() else self.page.locator(within).get_by_role("link", name=name, exact=True)
        target.first.click()
        self.taps += 1

    def choose(self, question: str, answer: str) -> None:
        self.page.get_by_role("group", name=question).get_by_label(answer).check()
        self.taps += 1

    def states(self) -> list[str]:
        return [one.strip() for one in self.page.locator(".card .state").all_inner_texts()]
