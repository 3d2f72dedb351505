"""A page of ours as it is sent, and somebody in front of one in a browser."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from playwright.sync_api import Page

VOID = {"meta", "link", "input", "br"}


class Seen(HTMLParser):
    """What stands in a page: its elements, and the text of what people read."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.labelled = 0
        self.feed(page)
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "input" and "label" in self.open:
            self.labelled += 1
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


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
