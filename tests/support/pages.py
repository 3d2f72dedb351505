"""What is looked for on a page, as it is sent and in a browser, and somebody who taps on it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT  # type: ignore[import-untyped]
from playwright.sync_api import Download, Locator, Page, expect
from playwright.sync_api import TimeoutError as PageTimeout
from support.waiting import PATIENCE_S

TAGS = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]
VOID = {"meta", "link", "input", "br"}
LEADS_ELSEWHERE = """(one) => one.tagName === "A"
    ? !one.download && !one.getAttribute("href").startsWith("#")
    : one.type === "submit" && one.form !== null"""


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
        if tag in {"input", "textarea"} and "label" in self.open:
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
        """A button of this name, or a link. What leads to another page has led there when this returns: the next tap
        is one on that page."""
        target = self._target(name, within)
        try:
            leads_elsewhere = target.evaluate(LEADS_ELSEWHERE)
        except PageTimeout as error:
            shown = self.page.inner_text("body")[:1000]
            raise AssertionError(f"{self.page.url} offers no {name!r}, but: {shown}") from error
        if leads_elsewhere:
            with self.page.expect_navigation(wait_until="domcontentloaded"):
                target.click()
        else:
            target.click()
        self.taps += 1

    def arrives(self, path: str) -> None:
        """Wait until the page is there, whatever was cut short on the way: a second click ends the first one's."""
        wanted = re.escape(path).replace(r"\*\*", ".*").replace(r"\*", "[^/]*")
        expect(self.page).to_have_url(re.compile(wanted + "$"), timeout=PATIENCE_S * 1000)
        self.page.wait_for_load_state()

    def saves(self, name: str) -> Download:
        """What a tap saves as a file."""
        with self.page.expect_download() as saved:
            self._target(name, "main").click()
        self.taps += 1
        return saved.value

    def _target(self, name: str, within: str) -> Locator:
        inside = self.page.locator(within)
        button, link = (inside.get_by_role(role, name=name, exact=True) for role in ("button", "link"))  # type: ignore[arg-type]
        return button.or_(link).first

    def choose(self, question: str, answer: str) -> None:
        self.page.get_by_role("group", name=question).get_by_label(answer).check()
        self.taps += 1

    def states(self) -> list[str]:
        return [one.strip() for one in self.page.locator(".card .state").all_inner_texts()]


def press_to(page: Page, name: str) -> None:
    """Tab until it has the focus, which must be seen, then Enter."""
    for _ in range(60):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            "[document.activeElement.textContent.trim(), getComputedStyle(document.activeElement).outlineStyle]"
        )
        if focused[0] == name:
            assert focused[1] != "none"
            page.keyboard.press("Enter")
            return
    raise AssertionError(f"{name} cannot be reached")


def press_into(page: Page, field: str) -> None:
    """Tab until a field of this name has the focus, which must be seen."""
    for _ in range(60):
        page.keyboard.press("Tab")
        name, outline = page.evaluate(
            "[document.activeElement.name || '', getComputedStyle(document.activeElement).outlineStyle]"
        )
        if name == field:
            assert outline != "none"
            return
    raise AssertionError(f"{field} cannot be reached")


def barriers(page: Page) -> list[tuple[str, list[str]]]:
    """What axe finds wrong with a page, and where."""
    page.evaluate(AXE_SCRIPT)
    found = page.evaluate("(tags) => axe.run({ runOnly: tags })", TAGS)
    return [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in found["violations"]]


ENLARGED = "(size) => { document.documentElement.style.fontSize = size; }"


def fits(page: Page, width: int) -> bool:
    """Whether nothing is wider than the screen, and whatever is tapped is as large as a finger; on a wide screen
    also at 200% zoom, and with letters of twice the size (WCAG 2.2 SC 1.4.4)."""
    boxes = [one.bounding_box() for one in page.locator("button:visible, .button:visible").all()]
    large = all(box and box["height"] >= 44 and box["width"] >= 44 for box in boxes)
    found = large and _within(page, width)
    if found and width >= 1280:
        page.evaluate(ENLARGED, "200%")
        found = _within(page, width)
        page.evaluate(ENLARGED, "")
        page.set_viewport_size({"width": width // 2, "height": 640})
        found = found and fits(page, width // 2)
        page.set_viewport_size({"width": width, "height": 640})
    return found


def _within(page: Page, width: int) -> bool:
    return int(page.evaluate("document.documentElement.scrollWidth")) <= width
